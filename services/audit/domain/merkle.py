"""Merkle trees over records, hashed as RFC 6962 has it, and proofs from stored hashes.

What is stored are tiles, as in C2SP's tlog-tiles: entry i of level L is the root of the 256**L leaves from
i * 256**L on, 256 entries a tile. A tree of five million leaves has three levels, so a proof reads a handful of tiles.
https://www.rfc-editor.org/rfc/rfc6962#section-2.1
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

HASH_BYTES: Final = 32
_PAIR_BYTES: Final = 2 * HASH_BYTES
TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
# The root of a tree without leaves.
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

# Level and place of a tile; its entries' hashes, one after the other.
TileKey: TypeAlias = tuple[int, int]
Tiles: TypeAlias = Mapping[TileKey, bytes]
# The root of a complete subtree: its first leaf and its number of leaves, a power of two that divides the first.
ReadSubtree: TypeAlias = Callable[[int, int], bytes]
Result = TypeVar("Result")

# What leaves and nodes begin with. To copy a begun hash takes a third of the time of beginning one.
_LEAF: Final = hashlib.sha256(b"\x00")
_NODE: Final = hashlib.sha256(b"\x01")


def leaf_hash(record: bytes) -> bytes:
    """The hash of a leaf."""
    begun = _LEAF.copy()
    begun.update(record)
    return begun.digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over two others."""
    return _parent(left + right)


def root(read: ReadSubtree, size: int) -> bytes:
    """The root of the first `size` leaves."""
    return _root_of(read, 0, size) if size else EMPTY_ROOT


def inclusion_proof(read: ReadSubtree, index: int, size: int) -> list[bytes]:
    """The hashes that lead from leaf `index`, counted from 0, to the root of `size` leaves."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    return _path(read, index, 0, size)


def consistency_proof(read: ReadSubtree, old_size: int, size: int) -> list[bytes]:
    """The hashes that show the tree of `old_size` leaves to be the beginning of that of `size`."""
    if not 0 < old_size <= size:
        raise ValueError(f"a tree of {old_size} is not the beginning of one of {size}")
    return [] if old_size == size else _shared(read, old_size, 0, size, complete=True)


def _root_of(read: ReadSubtree, start: int, end: int) -> bytes:
    count = end - start
    if count & (count - 1) == 0:
        return read(start, count)
    middle = start + _split(count)
    return node_hash(_root_of(read, start, middle), _root_of(read, middle, end))


def _path(read: ReadSubtree, index: int, start: int, end: int) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(read, index, start, middle), _root_of(read, middle, end)]
    return [*_path(read, index, middle, end), _root_of(read, start, middle)]


def _shared(read: ReadSubtree, old_end: int, start: int, end: int, *, complete: bool) -> list[bytes]:
    """SUBPROOF of the RFC: whoever checks knows the root of a `complete` part, so it is left out."""
    if old_end == end:
        return [] if complete else [_root_of(read, start, end)]
    middle = start + _split(end - start)
    if old_end <= middle:
        return [*_shared(read, old_end, start, middle, complete=complete), _root_of(read, middle, end)]
    return [*_shared(read, old_end, middle, end, complete=False), _root_of(read, start, middle)]


def _split(count: int) -> int:
    """The largest power of two below a count of two or more."""
    return 1 << (count - 1).bit_length() - 1


def reading(tiles: Tiles) -> ReadSubtree:
    """Read subtrees from tiles; KeyError names one that is not there."""

    def read(start: int, count: int) -> bytes:
        key, first, entries = _place(start, count)
        part = tiles[key][first * HASH_BYTES : (first + entries) * HASH_BYTES]
        if len(part) != entries * HASH_BYTES:
            raise KeyError(key)
        return _fold(part)

    return read


def tiles_read(use: Callable[[ReadSubtree], object]) -> set[TileKey]:
    """The tiles that a computation will read, so that they can be fetched together."""
    found: set[TileKey] = set()

    def note(start: int, count: int) -> bytes:
        found.add(_place(start, count)[0])
        return EMPTY_ROOT

    use(note)
    return found


def _place(start: int, count: int) -> tuple[TileKey, int, int]:
    """The tile that has a complete subtree, the first of its entries there, and their number."""
    level, height = divmod(count.bit_length() - 1, TILE_HEIGHT)
    entry = start >> (level * TILE_HEIGHT)
    return (level, entry >> TILE_HEIGHT), entry & (TILE_WIDTH - 1), 1 << height


def _fold(hashes: bytes) -> bytes:
    """The root of a complete subtree from its entries."""
    while len(hashes) > HASH_BYTES:
        hashes = b"".join([_parent(hashes[at : at + _PAIR_BYTES]) for at in range(0, len(hashes), _PAIR_BYTES)])
    return hashes


def _parent(pair: bytes) -> bytes:
    begun = _NODE.copy()
    begun.update(pair)
    return begun.digest()


def edge(size: int) -> set[TileKey]:
    """The tiles that a tree of `size` leaves has begun and not filled."""
    keys = set()
    level = 0
    while size:
        if size & (TILE_WIDTH - 1):
            keys.add((level, size >> TILE_HEIGHT))
        size >>= TILE_HEIGHT
        level += 1
    return keys


def grown(tiles: Tiles, size: int, leaves: Iterable[bytes]) -> dict[TileKey, bytes]:
    """What becomes of the edge of a tree of `size` when leaves' hashes are added: each changed tile, whole."""
    changed: dict[TileKey, bytearray] = {}
    level, added = 0, list(leaves)
    while added:
        added = _grown_level(tiles, changed, level, size >> (level * TILE_HEIGHT), added)
        level += 1
    return {key: bytes(tile) for key, tile in changed.items()}


def _grown_level(
    tiles: Tiles, changed: dict[TileKey, bytearray], level: int, first: int, added: Sequence[bytes]
) -> list[bytes]:
    """Add entries to a level; answers the roots of the tiles that this has filled."""
    filled = []
    for entry, hash_ in enumerate(added, first):
        key = (level, entry >> TILE_HEIGHT)
        if key not in changed:
            # What is there of a tile that has been begun; nothing of a new one.
            known = (entry & (TILE_WIDTH - 1)) * HASH_BYTES
            changed[key] = bytearray(tiles[key][:known] if known else b"")
            assert len(changed[key]) == known, f"tile {key} is not the edge of the tree"
        tile = changed[key]
        tile += hash_
        if len(tile) == TILE_WIDTH * HASH_BYTES:
            filled.append(_fold(bytes(tile)))
    return filled

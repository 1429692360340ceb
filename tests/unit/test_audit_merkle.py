"""Trees and proofs against RFC 6962's own examples, and against a tree that is computed leaf by leaf."""

from __future__ import annotations

import hashlib
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit.domain.merkle import (
    EMPTY_ROOT,
    TileKey,
    consistency_proof,
    edge,
    grown,
    inclusion_proof,
    leaf_hash,
    reading,
    root,
    tiles_read,
)

# The examples of the reference implementation of Certificate Transparency: leaves, and the root after each.
LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def naive_root(hashes: list[bytes]) -> bytes:
    """MTH of the RFC, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(hashes[:split]) + naive_root(hashes[split:])).digest()


def included(leaf: bytes, index: int, size: int, proof: list[bytes], wanted: bytes) -> bool:
    """Section 2.1.3.2 of RFC 9162."""
    if index >= size:
        return False
    place, last, found = index, size - 1, leaf
    for part in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = hashlib.sha256(b"\x01" + part + found).digest()
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\x01" + found + part).digest()
        place, last = place >> 1, last >> 1
    return last == 0 and found == wanted


def consistent(old: int, size: int, old_root: bytes, new_root: bytes, proof: list[bytes]) -> bool:
    """Section 2.1.4.2 of RFC 9162."""
    if old == size:
        return not proof and old_root == new_root
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    place, last = old - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    if not path:
        return False
    first = second = path[0]
    for part in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first = hashlib.sha256(b"\x01" + part + first).digest()
            second = hashlib.sha256(b"\x01" + part + second).digest()
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            second = hashlib.sha256(b"\x01" + second + part).digest()
        place, last = place >> 1, last >> 1
    return first == old_root and second == new_root and last == 0


def tree(hashes: list[bytes], step: int) -> dict[TileKey, bytes]:
    """Tiles of a tree that grew by `step` leaves at a time, from nothing but its edge."""
    tiles: dict[TileKey, bytes] = {}
    for size in range(0, len(hashes), step):
        known = {key: tiles[key] for key in edge(size)}
        tiles |= grown(known, size, hashes[size : size + step])
    return tiles


def test_roots_are_those_of_the_reference() -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    read = reading(tree(hashes, 3))
    assert [root(read, size).hex() for size in range(1, 9)] == ROOTS
    assert root(read, 0) == EMPTY_ROOT


@settings(max_examples=30)
@given(size=st.integers(1, 1500), step=st.integers(1, 700), data=st.data())
def test_every_proof_of_a_tree_holds_and_no_other(size: int, step: int, data: st.DataObject) -> None:
    hashes = [leaf_hash(str(number).encode()) for number in range(size)]
    read = reading(tree(hashes, step))
    new_root = root(read, size)
    assert new_root == naive_root(hashes)
    index = data.draw(st.integers(0, size - 1), "index")
    proof = inclusion_proof(read, index, size)
    assert included(hashes[index], index, size, proof, new_root)
    assert not included(leaf_hash(b"another"), index, size, proof, new_root)
    old = data.draw(st.integers(1, size), "old")
    old_root = naive_root(hashes[:old])
    assert root(read, old) == old_root
    shared = consistency_proof(read, old, size)
    assert consistent(old, size, old_root, new_root, shared)
    if old < size:
        assert not consistent(old, size, leaf_hash(b"another"), new_root, shared)


def test_a_proof_in_a_tree_of_millions_reads_few_tiles() -> None:
    size = 5_000_003
    for index in (0, 255, 256, 65_536, 4_999_999, size - 1):
        assert len(tiles_read(partial(inclusion_proof, index=index, size=size))) <= 7
    assert len(tiles_read(partial(consistency_proof, old_size=123_457, size=size))) <= 7


def test_a_tile_that_lacks_an_entry_is_named() -> None:
    tiles = tree([leaf_hash(bytes([number])) for number in range(5)], 5)
    tiles[0, 0] = tiles[0, 0][:64]
    with pytest.raises(KeyError, match=r"\(0, 0\)"):
        root(reading(tiles), 5)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 3)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="is not in a tree"):
        inclusion_proof(reading({}), index, size)


@pytest.mark.parametrize(("old", "size"), [(0, 3), (4, 3)])
def test_there_is_no_proof_of_a_beginning_that_is_none(old: int, size: int) -> None:
    with pytest.raises(ValueError, match="is not the beginning"):
        consistency_proof(reading({}), old, size)

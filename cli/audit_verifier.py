"""Checks an export of the trail against signed checkpoints, offline.

It shares no code with what writes the trail, and needs nothing of Onward: a record is a line, its leaf is
SHA-256(0x00 || line), and the tree is that of RFC 6962. Memory does not grow with the export.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# For longer than this no record may be without a checkpoint; one is made within seconds.
GAP_MAX = timedelta(minutes=10)
_ED25519 = b"\x01"
_SIGNATURE = "\N{EM DASH} "
_LEAF, _NODE = b"\x00", b"\x01"


class NotVerifiedError(Exception):
    """What is wrong, in words."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A note whose signature holds."""

    origin: str
    size: int
    root: bytes
    time: datetime | None


class Key:
    """A verifier key as C2SP's signed-note has it: name+id+base64."""

    def __init__(self, text: str) -> None:
        try:
            self.name, key_id, public = text.strip().split("+", 2)
            self._id, key = bytes.fromhex(key_id), base64.b64decode(public, validate=True)
        except (ValueError, binascii.Error):
            raise NotVerifiedError(f"{text[:80]!r} is no verifier key (name+id+base64)") from None
        if key[:1] != _ED25519 or hashlib.sha256(self.name.encode() + b"\n" + key).digest()[:4] != self._id:
            raise NotVerifiedError(f"the verifier key of {self.name} is damaged")
        self._public = Ed25519PublicKey.from_public_bytes(key[1:])

    def has_signed(self, text: bytes, signature_line: str) -> bool:
        """Whether a signature line is this key's, and holds."""
        if not signature_line.startswith(f"{_SIGNATURE}{self.name} "):
            return False
        try:
            signature = base64.b64decode(signature_line.rpartition(" ")[2], validate=True)
            self._public.verify(signature[4:], text)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return signature[:4] == self._id


def read_checkpoint(note: str, key: Key) -> Checkpoint:
    """A note that the key has signed; raises NotVerifiedError."""
    text, separator, signatures = note.rpartition("\n\n")
    signed = (text + "\n").encode()
    if not separator or not any(key.has_signed(signed, line) for line in signatures.splitlines()):
        raise NotVerifiedError(f"the checkpoint is not signed by {key.name}")
    lines = text.split("\n")
    try:
        origin, size, root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
        times = [datetime.fromisoformat(line.removeprefix("time ")) for line in lines[3:] if line.startswith("time ")]
    except (IndexError, ValueError, binascii.Error):
        raise NotVerifiedError("the checkpoint is malformed") from None
    return Checkpoint(origin, size, root, times[0] if times else None)


class Tree:
    """The root of what was added, from the roots of its complete subtrees."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def add(self, record: bytes) -> None:
        """Add a leaf."""
        found = hashlib.sha256(_LEAF + record).digest()
        # As many subtrees are completed as the old size has ones at its end.
        place = self.size
        while place & 1:
            found = hashlib.sha256(_NODE + self._roots.pop() + found).digest()
            place >>= 1
        self._roots.append(found)
        self.size += 1

    def root(self) -> bytes:
        """The root now."""
        if not self._roots:
            return hashlib.sha256(b"").digest()
        found = self._roots[-1]
        for part in reversed(self._roots[:-1]):
            found = hashlib.sha256(_NODE + part + found).digest()
        return found


@dataclass(slots=True)
class Report:
    """What a verification found; `faults` is empty where all is well. `remarks` are no faults, and worth knowing."""

    records: int = 0
    covered: int = 0
    workspace: str = ""
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    # The first and the last record between two checkpoints of which the second does not hold, where there are such.
    altered: tuple[int, int] | None = None


class Verifier:
    """Takes the records of an export in order, from the first."""

    def __init__(
        self, checkpoints: Iterable[Checkpoint], gap_max: timedelta = GAP_MAX, *, ends_at: int | None = None
    ) -> None:
        """`ends_at` is the size that the export says to have; checkpoints beyond it are of a later time.

        None takes the largest checkpoint for it.
        """
        self._expected = sorted(checkpoints, key=lambda one: one.size)
        self._ends_at = max((one.size for one in self._expected), default=0) if ends_at is None else ends_at
        self._gap_max = gap_max
        self._kinds: set[str] = set()
        self._tree = Tree()
        self._report = Report()
        self._positions: dict[str, int] = {}
        self._record_time = ""
        self._uncovered_since = ""
        self._last_good = 0
        self._report.faults += _split_views(self._expected)

    def add(self, line: bytes) -> None:
        """The next record: its bytes without the line break."""
        try:
            record = orjson.loads(line)
            self._compare(record)
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise NotVerifiedError(f"line {self._tree.size + 1} is no record") from None
        self._tree.add(line)
        self._uncovered_since = self._uncovered_since or record["recordTime"]
        while self._expected and self._expected[0].size == self._tree.size:
            self._check(self._expected.pop(0))

    def report(self) -> Report:
        """After the last record."""
        report = self._report
        report.records, report.covered = self._tree.size, self._last_good
        size = self._tree.size
        if size < self._ends_at:
            covered = f"its checkpoint covers {self._ends_at}"
            report.faults.append(f"the export ends at record {size}, and {covered}: records are missing")
        later = [one.size for one in self._expected if one.size > max(size, self._ends_at)]
        if later:
            report.remarks.append(f"there are checkpoints of up to {max(later)} records, made after this export")
        if not report.faults and self._last_good < self._tree.size:
            report.faults.append(f"records {self._last_good + 1} to {self._tree.size} are covered by no checkpoint")
        return report

    def _compare(self, record: dict[str, Any]) -> None:
        """What must hold from one record to the next."""
        index, workspace = self._tree.size + 1, str(record["workspace"])
        self._report.workspace = self._report.workspace or workspace
        if record["index"] != index:
            told = f"record {index} says that it is record {record['index']}: one is missing, added or moved"
            self._fault("order", told)
        if workspace != self._report.workspace:
            self._fault("workspace", f"record {index} is of workspace {workspace}, not of {self._report.workspace}")
        service, position = str(record["service"]), int(record["position"])
        if position != self._positions.get(service, 0) + 1:
            told = f"record {index} tells of position {position} of {service}'s log, and the one before is not told"
            self._fault("order", told)
        self._positions[service] = position
        if str(record["recordTime"]) < self._record_time:
            self._fault("time", f"record {index} was recorded before the one in front of it")
        self._record_time = str(record["recordTime"])

    def _check(self, one: Checkpoint) -> None:
        since, self._uncovered_since = self._uncovered_since, ""
        if one.root != self._tree.root():
            self._report.altered = self._report.altered or (self._last_good + 1, one.size)
            self._fault("root", f"records {self._last_good + 1} to {one.size} are not those that were signed")
            return
        # Of the first that is at hand nobody knows what came before it.
        known, self._last_good = self._last_good, one.size
        if known and one.time is not None and since:
            late = one.time - datetime.fromisoformat(since)
            if late > self._gap_max:
                told = f"between the checkpoints of {known} and of {one.size} records none was made or kept for {late}"
                self._report.remarks.append(told)

    def _fault(self, kind: str, text: str) -> None:
        """Note the first of its kind: what follows it follows from it."""
        if kind not in self._kinds:
            self._kinds.add(kind)
            self._report.faults.append(text)


def _split_views(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """Two trees of one size are two stories."""
    return [
        f"two checkpoints of {one.size} records differ: equivocation"
        for one, other in pairwise(checkpoints)
        if one.size == other.size and one.root != other.root
    ]


def leads_to(record: bytes, index: int, size: int, hashes: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to from a record at `index`, counted from 1. Raises NotVerifiedError."""
    place, last = index - 1, size - 1
    found = hashlib.sha256(_LEAF + record).digest()
    for part in hashes:
        if last == 0:
            raise NotVerifiedError("the proof is too long")
        if place & 1 or place == last:
            found = hashlib.sha256(_NODE + part + found).digest()
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = hashlib.sha256(_NODE + found + part).digest()
        place, last = place >> 1, last >> 1
    if last:
        raise NotVerifiedError("the proof is too short")
    return found


def is_consistent(old: Checkpoint, new: Checkpoint, hashes: Sequence[bytes]) -> bool:
    """Whether a consistency proof shows the old tree to be the beginning of the new one (RFC 9162, 2.1.4.2)."""
    if old.size == new.size:
        return not hashes and old.root == new.root
    path = [old.root, *hashes] if old.size & (old.size - 1) == 0 else list(hashes)
    if not path:
        return False
    place, last = old.size - 1, new.size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = path[0]
    for part in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first = hashlib.sha256(_NODE + part + first).digest()
            second = hashlib.sha256(_NODE + part + second).digest()
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            second = hashlib.sha256(_NODE + second + part).digest()
        place, last = place >> 1, last >> 1
    return first == old.root and second == new.root and last == 0

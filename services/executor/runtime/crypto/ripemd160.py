"""RIPEMD-160 in Python, after its authors' paper of 1996.

Several builds of OpenSSL 3 leave it to a provider that hashlib does not load.
"""

from __future__ import annotations

import struct
from typing import Final

_BLOCK: Final = struct.Struct("<16I")
_STATE: Final = struct.Struct("<5I")
_MASK: Final = 0xFFFFFFFF
_START: Final = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_LEFT_CONSTANTS: Final = (0x00000000, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E)
_RIGHT_CONSTANTS: Final = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0x00000000)
# One byte for each of the 80 steps: which word comes next, and how far it is rotated.
_LEFT_WORDS: Final = bytes.fromhex(
    "0001020304050607 08090a0b0c0d0e0f 07040d010a060f03 0c000905020e0b08 030a0e04090f0801 020700060d0b050c"
    "01090b0a00080c04 0d03070f0e050602 04000509070c020a 0e0103080b060f0d"
)
_RIGHT_WORDS: Final = bytes.fromhex(
    "050e070009020b04 0d060f08010a030c 060b0307000d050a 0e0f080c04090102 0f050103070e0609 0b080c020a00040d"
    "08060401030b0f00 050c020d09070a0e 0c0f0a0401050807 06020d0e0003090b"
)
_LEFT_TURNS: Final = bytes.fromhex(
    "0b0e0f0c05080709 0b0d0e0f06070908 0706080d0b09070f 070c0f090b070d0c 0b0d06070e090d0f 0e080d06050c0705"
    "0b0c0e0f0e0f0908 090e05060806050c 090f050b06080d0c 050c0d0e0b080506"
)
_RIGHT_TURNS: Final = bytes.fromhex(
    "0809090b0d0f0f05 0707080b0e0e0c06 090d0f070c08090b 07070c07060f0d0b 09070f0b0806060e 0c0d050e0d0d0705"
    "0f05080b0e0e060e 06090c090c050f08 08050c090c050e06 080d06050f0d0b0b"
)


def _mixed(x: int, y: int, z: int, round_: int) -> int:
    if round_ == 0:
        return x ^ y ^ z
    if round_ == 1:
        return (x & y) | (~x & z)
    if round_ == 2:
        return (x | ~y) ^ z
    if round_ == 3:
        return (x & z) | (y & ~z)
    return x ^ (y | ~z)


def _turned(value: int, by: int) -> int:
    value &= _MASK
    return (value << by | value >> (32 - by)) & _MASK


def _line(state: tuple[int, ...], words: tuple[int, ...], *, right: bool) -> tuple[int, ...]:
    a, b, c, d, e = state
    order, turns = (_RIGHT_WORDS, _RIGHT_TURNS) if right else (_LEFT_WORDS, _LEFT_TURNS)
    constants = _RIGHT_CONSTANTS if right else _LEFT_CONSTANTS
    for step in range(80):
        round_ = step >> 4
        mixed = _mixed(b, c, d, 4 - round_ if right else round_)
        a = _turned(a + mixed + words[order[step]] + constants[round_], turns[step]) + e
        a, b, c, d, e = e, a & _MASK, b, _turned(c, 10), d
    return a, b, c, d, e


def _compressed(state: tuple[int, ...], block: bytes) -> tuple[int, ...]:
    words = _BLOCK.unpack(block)
    left, right = _line(state, words, right=False), _line(state, words, right=True)
    # Each word of the state goes on with the next one of the left line and the one after it of the right.
    return tuple((state[(n + 1) % 5] + left[(n + 2) % 5] + right[(n + 3) % 5]) & _MASK for n in range(5))


class Ripemd160:
    """As much of hashlib's interface as `hmac` needs."""

    digest_size = 20
    block_size = 64
    name = "ripemd160"

    def __init__(self, data: bytes | memoryview = b"") -> None:
        self._state: tuple[int, ...] = _START
        self._length = 0
        self._rest = b""
        self.update(data)

    def update(self, data: bytes | memoryview) -> None:
        self._length += len(data)
        whole = self._rest + bytes(data)
        end = len(whole) - len(whole) % 64
        for at in range(0, end, 64):
            self._state = _compressed(self._state, whole[at : at + 64])
        self._rest = whole[end:]

    def digest(self) -> bytes:
        padding = b"\x80" + bytes((55 - self._length) % 64) + struct.pack("<Q", self._length * 8)
        last, state = self._rest + padding, self._state
        for at in range(0, len(last), 64):
            state = _compressed(state, last[at : at + 64])
        return _STATE.pack(*state)

"""Frames between the executor and its workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.runtime.wire import (
    FRAME_BYTES_MAX,
    FROM_WORKER_BYTES_MAX,
    HEADER,
    REPLY_BYTES,
    FrameReader,
    FrameTooLargeError,
    Kind,
    frame,
    portions,
)

FRAMES = st.lists(st.tuples(st.sampled_from(list(Kind)), st.binary(max_size=50)), max_size=10)


@given(FRAMES, st.lists(st.integers(1, 30), max_size=40))
def test_frames_survive_any_cutting_of_the_stream(frames: list[tuple[Kind, bytes]], cuts: list[int]) -> None:
    stream = b"".join(frame(kind, body) for kind, body in frames)
    reader, found = FrameReader(), []
    for cut in [*cuts, len(stream)]:
        found += list(reader.feed(stream[:cut]))
        stream = stream[cut:]
    assert found == [(int(kind), body) for kind, body in frames]


def test_the_parts_of_a_frame_are_one_body() -> None:
    assert list(FrameReader().feed(frame(Kind.BATCH, b"head", b"", b"text"))) == [(Kind.BATCH, b"headtext")]


def test_a_frame_beyond_the_limit_is_refused_before_it_arrives() -> None:
    with pytest.raises(FrameTooLargeError, match="the limit is"):
        list(FrameReader().feed(HEADER.pack(FRAME_BYTES_MAX + 1, Kind.REPLY)))


@pytest.mark.parametrize("kind", [*Kind, 255])
def test_a_worker_may_send_so_much_of_each_kind_and_nothing_of_others(kind: int) -> None:
    most = FROM_WORKER_BYTES_MAX.get(kind, 0)
    reader = FrameReader(FROM_WORKER_BYTES_MAX)
    assert list(reader.feed(HEADER.pack(most, kind) + bytes(most))) == [(kind, bytes(most))]
    with pytest.raises(FrameTooLargeError):
        list(reader.feed(HEADER.pack(most + 1, kind)))


@given(st.lists(st.sampled_from([1, 100, REPLY_BYTES // 2, REPLY_BYTES, 2 * REPLY_BYTES]), max_size=8))
def test_replies_hold_records_whole_in_order_and_not_too_many(sizes: list[int]) -> None:
    records = [b"%d" % at * size for at, size in enumerate(sizes)]
    found = portions(records)
    assert b",".join(found) == b",".join(records)
    assert all(len(one.replace(b",", b"")) <= REPLY_BYTES or b"," not in one for one in found)

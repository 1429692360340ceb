"""Frames between the executor and its workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.runtime.wire import FRAME_BYTES_MAX, HEADER, FrameReader, FrameTooLargeError, Kind, frame

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

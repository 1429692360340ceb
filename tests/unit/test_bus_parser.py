"""Our parser against nats-py's own: however the bytes are cut, both see the same messages."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol.parser import Parser as NatsParser

from kit.bus.client import CONTROL_LINE_BYTES_MAX, Parser, Reader

OUR_SID = 7
Seen = list[tuple[Any, ...]]

tokens = st.text("abc$_.", min_size=1, max_size=20)
bodies = st.binary(max_size=60)


class Recorder:
    """What a parser calls of nats-py's client."""

    def __init__(self) -> None:
        self.seen: Seen = []

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, header: bytes) -> None:
        self.seen.append((sid, bytes(subject), bytes(reply), data, header or b""))

    async def _process_ping(self) -> None:
        self.seen.append(("ping",))

    async def _process_pong(self) -> None:
        self.seen.append(("pong",))

    async def _process_err(self, text: str) -> None:
        self.seen.append(("err", text))

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.seen.append(("info", info))


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(["msg", "hmsg", "PING", "PONG", "+OK", "-ERR 'Boom'", 'INFO {"a": 1}']))
    if kind not in ("msg", "hmsg"):
        return kind.encode() + b"\r\n"
    subject, sid = draw(tokens), draw(st.sampled_from([1, OUR_SID]))
    reply, body = draw(st.none() | tokens), draw(bodies)
    line = f"{subject} {sid}{' ' + reply if reply else ''}"
    if kind == "msg":
        return f"MSG {line} {len(body)}\r\n".encode() + body + b"\r\n"
    header = b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n"
    return f"HMSG {line} {len(header)} {len(header) + len(body)}\r\n".encode() + header + body + b"\r\n"


def parse(parser: Any, chunks: list[bytes]) -> None:
    async def feed() -> None:
        for chunk in chunks:
            await parser.parse(chunk)

    asyncio.run(feed())


def our_parser() -> tuple[Parser, Seen]:
    client = Recorder()
    parser = Parser(client)  # type: ignore[arg-type]  # a stand-in
    parser.sinks[OUR_SID] = lambda subject, reply, header, data: client.seen.append(
        (OUR_SID, subject, reply, data, header)
    )
    return parser, client.seen


def ours(chunks: list[bytes]) -> Seen:
    parser, seen = our_parser()
    parse(parser, chunks)
    return seen


def ours_read(chunks: list[bytes], late: list[bool]) -> Seen:
    """What arrives is handed over where it is read, or by the task that reads the rest; `late` ones before it waits."""
    parser, seen = our_parser()

    async def feed() -> None:
        reader = Reader(parser)

        async def read() -> None:
            while rest := await reader.rest():
                await parser.parse(rest)

        reading = asyncio.create_task(read())
        for number, chunk in enumerate(chunks):
            if not late[number % len(late)]:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            reader.feed_data(chunk)
        reader.feed_eof()
        await reading

    asyncio.run(feed())
    return seen


def theirs(chunks: list[bytes]) -> Seen:
    client = Recorder()
    parse(NatsParser(client), chunks)
    return client.seen


@given(
    st.lists(frames(), max_size=12),
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.lists(st.booleans(), min_size=1, max_size=10),
)
def test_any_cut_of_the_stream_gives_what_nats_py_sees(stream: list[bytes], cuts: list[int], late: list[bool]) -> None:
    data = b"".join(stream)
    chunks: list[bytes] = []
    position = 0
    while position < len(data):
        size = cuts[len(chunks) % len(cuts)]
        chunks.append(data[position : position + size])
        position += size
    assert ours(chunks) == theirs([data])
    assert ours_read(chunks, late) == theirs([data])


@pytest.mark.parametrize(
    "garbage", [b"MSG a\r\n", b"HMSG a 1 x 2\r\n", b"INFO {bad\r\n", b"\r\n", b"x" * (CONTROL_LINE_BYTES_MAX + 1)]
)
def test_garbage_is_a_protocol_error_which_nats_py_survives_by_reconnecting(garbage: bytes) -> None:
    with pytest.raises(ProtocolError):
        ours([garbage])


async def waited_for(reader: Reader) -> asyncio.Task[bytes]:
    """Somebody who waits for what the parser leaves."""
    reading = asyncio.create_task(reader.rest())
    await asyncio.sleep(0)
    return reading


async def test_what_is_read_while_somebody_waits_is_handed_over_at_once_and_garbage_told_to_him() -> None:
    parser, seen = our_parser()
    reader = Reader(parser)
    reading = await waited_for(reader)
    reader.feed_data(b"MSG a 7 2\r\nok\r\nMSG b 7")
    assert seen == [(OUR_SID, b"a", b"", b"ok", b"")]
    reader.feed_data(b" 1\r\n1\r\nPING\r\nMSG c 7 0\r\n\r\n")
    assert len(seen) == 2
    assert await reading == b"PING\r\nMSG c 7 0\r\n\r\n"
    reading = await waited_for(reader)
    reader.feed_data(b"MSG a\r\n")
    reader.feed_data(b"MSG d 7 0\r\n\r\n")
    with pytest.raises(ProtocolError):
        await reading
    assert len(seen) == 2


async def test_what_comes_late_from_an_old_connection_is_no_message_of_the_new_one() -> None:
    parser, seen = our_parser()
    old = Reader(parser)
    reading = await waited_for(old)
    old.feed_data(b"MSG a 7 30\r\nhalf of it: ")
    parser.reset()
    old.feed_data(b"MSG a 7 6\r\nforged\r\n")
    assert seen == []
    reading.cancel()


def test_after_a_reset_the_rest_of_the_old_connection_is_forgotten() -> None:
    client = Recorder()
    parser = Parser(client)  # type: ignore[arg-type]  # a stand-in
    parse(parser, [b"MSG a 1 5\r\nhal"])
    parser.reset()
    parse(parser, [b"MSG b 1 2\r\nok\r\n"])
    assert client.seen == [(1, b"b", b"", b"ok", b"")]

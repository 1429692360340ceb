"""Messages and acknowledgement subjects, as servers of all ages write them."""

from kit.bus.message import Message, parse_headers

SHORT = b"$JS.ACK.EVENTS_acme.executor.2.1234.99.1700000000123456789.7"
LONG = b"$JS.ACK.hub.ACCHASH.EVENTS_acme.executor.2.1234.99.1700000000123456789.7"
LONG_WITH_TOKEN = LONG + b".r4nd0m"


def test_all_forms_of_the_ack_subject_tell_the_same() -> None:
    for reply in (SHORT, LONG, LONG_WITH_TOKEN):
        message = Message(b"events.acme.web", reply, b"", b"{}")
        assert message.stream == "EVENTS_acme"
        assert message.delivered == 2
        assert message.stream_seq == 1234
        assert message.consumer_seq == 99
        assert message.timestamp_ns == 1_700_000_000_123_456_789
        assert message.pending == 7
        assert message.reply == reply.decode()


def test_the_message_id_is_read_without_the_other_headers() -> None:
    block = b"NATS/1.0\r\nA: 1\r\nNats-Msg-Id: 018f-1\r\nB: x:y\r\n\r\n"
    message = Message(b"s", SHORT, block, b"")
    assert message.msg_id == "018f-1"
    assert message.headers == {"A": "1", "Nats-Msg-Id": "018f-1", "B": "x:y"}


def test_a_message_without_headers_has_neither_headers_nor_id() -> None:
    message = Message(b"s", SHORT, b"", b"")
    assert message.headers is None
    assert message.msg_id is None


def test_headers_that_are_not_utf8_do_no_harm() -> None:
    assert parse_headers(b"NATS/1.0\r\nA: \xff\r\nno separator\r\n\r\n") == {"A": "�"}


def test_a_built_message_reads_like_a_delivered_one() -> None:
    message = Message.build("due.acme", b"x", {"Nats-Msg-Id": "1"}, stream="DUE", stream_seq=5, delivered=3)
    assert (message.subject, message.stream, message.stream_seq, message.delivered) == (
        "due.acme",
        "DUE",
        5,
        3,
    )
    assert message.msg_id == "1"

"""What may go wrong when servers are started on one's own machine."""


class EmbeddedError(Exception):
    """A server or its folder can't be used; the message is one line that says what to do about it."""

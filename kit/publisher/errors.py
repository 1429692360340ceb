"""What a program that publishes is told."""

# Names follow kit.errors: what happened, without an Error suffix.

from kit.errors import DeadlineExceeded, InvalidArgument, LimitReached


class InvalidEvent(InvalidArgument):
    """It is no event of the Segment spec, so it would be refused; the message says why."""


class PublisherFull(LimitReached):
    """As much waits for its acknowledgement as the publisher may hold: the event was not taken."""


class NotPublished(DeadlineExceeded):
    """Some events have no acknowledgement yet; they may be stored or not."""

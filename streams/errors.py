"""What can be wrong with the world outside: each message says what, where, and how to mend it, in one line.

`live/errors.py` says what the command line ends with.
"""


class StreamError(Exception):
    """Base of the errors of this package."""


class BadMessage(StreamError):
    """A peer sent something that is not a message of ours: count it, drop it, report it."""


class MediaError(StreamError):
    """A media file is missing, unreadable, truncated or holds no such stream."""


class SessionError(StreamError):
    """A session bundle is missing, corrupt or of another schema."""


class AddressError(StreamError):
    """An endpoint cannot be used: malformed, occupied, unreachable, or without the keys that it needs."""


class StreamLost(StreamError):
    """Who published the stream gives no sign of life any more, and said no `SessionEnd`."""

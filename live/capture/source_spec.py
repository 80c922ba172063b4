"""What a person asks to listen to and look at: the words of the command line as `SourceSpec`.

The rule of this file: a word is understood once, here, and what it means travels to the worker. Nothing is opened; the
only question to the disk is whether a file of that name exists, because file names may hold anything, even the signs
used here.
"""

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from erc_live.live.errors import ConfigError

_CHANNEL = r"@[0-9]{1,3}$"
_SCHEMES = ("http", "https", "rtsp", "rtmp", "udp", "tcp")
_MEDIA_SUFFIXES = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".wma", ".mp4", ".m4v", ".mkv", ".mov", ".webm", ".avi")
)


class SourceSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One microphone or camera of a session.

    `name` is its id on the bus. `target` is, by `medium`: the number or name of a device ("default" for the usual one),
    the path of a media file, an address, or the folder of a recorded session, which has a source called `name`.
    `speaker` is the only person heard by this microphone, None if there are several. `channel` is the only one listened
    to, counted from 1; None: all, averaged.
    """

    kind: Literal["mic", "camera"]
    medium: Literal["device", "file", "url", "bundle"]
    name: str
    target: str
    speaker: str | None = None
    channel: int | None = None

    @property
    def live(self) -> bool:
        """Whether it goes on by itself: nobody can ask it to wait, or to begin again."""
        return self.medium in ("device", "url")


def parse_mic(text: str, index: int) -> SourceSpec:
    """The microphone number `index` of a session, from `DEVICE` or `FILE`, each with `@CHANNEL` and `=SPEAKER` or not.

    A device is a number, a part of its name, or "default". Raises ConfigError.

    >>> parse_mic("3@2=Agent", 0)
    SourceSpec(kind='mic', medium='device', name='mic-0', target='3', speaker='Agent', channel=2)
    """
    target, equals, speaker = text.rpartition("=")
    if not equals or _is_file(text) or _is_file(re.sub(_CHANNEL, "", text)):
        target, speaker = text, ""
    elif not speaker.strip():
        raise ConfigError(f"--mic {text}: no name after '='; write --mic {target}=NAME, or leave out the '='")
    target, channel = _channel_of(target.strip())
    if "://" in target:
        raise ConfigError(f"--mic {text}: a microphone is a device or a media file, not an address")
    medium = _medium_of_file("--mic", target)
    if medium is None and re.fullmatch(r"-\d+", target):
        raise ConfigError(f"--mic {text}: device numbers begin at 0; `erc-live devices` lists them")
    return SourceSpec(
        kind="mic",
        medium=medium or "device",
        name=f"mic-{index}",
        target=target,
        speaker=speaker.strip() or None,
        channel=channel,
    )


def parse_camera(text: str, index: int) -> SourceSpec:
    """The camera number `index` of a session, from a number, `/dev/video*`, a media file or an address.

    Raises ConfigError.

    >>> parse_camera("http://127.0.0.1:8080/live", 1).medium
    'url'
    """
    target = text.strip()
    name = f"camera-{index}"
    if target.isascii() and target.isdigit():
        return SourceSpec(kind="camera", medium="device", name=name, target=str(int(target)))
    device = re.fullmatch(r"/dev/video(\d+)", str(Path(target).resolve())) if target.startswith("/dev/") else None
    if device:  # also by one of the links of udev, which keep their names when cameras are plugged in another order
        return SourceSpec(kind="camera", medium="device", name=name, target=device[1])
    if "://" in target:
        if urlsplit(target).scheme.lower() not in _SCHEMES:
            raise ConfigError(f"--camera {text}: the address must begin with one of {', '.join(_SCHEMES)}")
        return SourceSpec(kind="camera", medium="url", name=name, target=target)
    if _medium_of_file("--camera", target) is None:
        raise ConfigError(f"--camera {text}: not a camera number, a media file or an address such as rtsp://host/path")
    return SourceSpec(kind="camera", medium="file", name=name, target=target)


def public_target(spec: SourceSpec) -> str:
    """The target as it may stand in a message: an address without user name and password."""
    if spec.medium != "url":
        return spec.target
    parts = urlsplit(spec.target)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _channel_of(target: str) -> tuple[str, int | None]:
    """The device or file, and the channel after the last "@". Raises ConfigError for a file with no such thing."""
    front, at, number = target.rpartition("@")
    if not at or _is_file(target):
        return target, None
    if re.search(_CHANNEL, target):
        if int(number) == 0:
            raise ConfigError(f"--mic {target}: channels are counted from 1; the first is {front}@1")
        return front.strip(), int(number)
    if _is_file(front):
        raise ConfigError(f"--mic {target}: after '@' comes the number of a channel, as in {front}@1")
    return target, None


def _medium_of_file(option: str, target: str) -> Literal["file"] | None:
    """For a file its medium, None for what cannot be meant as one. Raises ConfigError for a file that is not there."""
    if not target:
        raise ConfigError(f"{option}: nothing given; `erc-live devices` lists what is plugged in")
    if _is_file(target):
        return "file"
    path = Path(target)
    if path.is_dir() and target not in (".", "..") and path.suffix == "":
        raise ConfigError(f"{option} {target}: a folder; to play a recorded session, use `erc-live replay {target}`")
    if path.suffix.lower() in _MEDIA_SUFFIXES or target.startswith(("/", "./", "../", "~")):
        raise ConfigError(f"{option} {target}: no such file")
    return None


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long, or a zero byte in it
        return False

"""The voices of people who agreed to be recognised: one small file each, in the user's own data folder.

A print of a voice is personal data. So it is written only with the sentence in which the person agreed, it says by
itself what it is, and one command lists or forgets it. It counts for the encoder that made it and for no other.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
import numpy as np
import platformdirs

from erc_live.live import config
from erc_live.live.errors import ConfigError
from erc_live.live.speakers.clustering import SpeakerClustering
from erc_live.streams.journal import write_whole

if TYPE_CHECKING:  # not at run time: who lists prints loads no encoder
    from erc_live.live.speakers.embedding import VoiceReader

FORMAT = "erc.voice-print/1"


class VoicePrint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person. `encoder` is the fingerprint of what made the vector; `date` an ISO date; `seconds` of speech."""

    format: str = FORMAT
    name: str
    date: str
    consent: str
    seconds: float
    encoder: str
    vector: list[float]


def sentence(name: str) -> str:
    """What a person agrees to."""
    return f"I, {name}, agree that erc-live keeps a print of my voice on this computer, to recognise me by it."


def folder() -> Path:
    """Where prints are kept."""
    return platformdirs.user_data_path("erc-live") / "voices"


def keep(name: str, vector: np.ndarray, seconds: float, encoder: str) -> Path:
    """Write the print of somebody who has said `sentence(name)`; an older one is replaced. Shapes: vector (256,)"""
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    print_ = VoicePrint(
        name=name,
        date=datetime.now(UTC).date().isoformat(),
        consent=sentence(name),
        seconds=round(seconds, 1),
        encoder=encoder,
        vector=[round(float(value), 6) for value in vector],
    )
    write_whole(path, msgspec.json.format(msgspec.json.encode(print_)) + b"\n", mode=0o600)  # its owner's only
    return path


def stored() -> list[VoicePrint]:
    """All prints, by name. Raises ConfigError where a file is none."""
    return sorted((_read(path) for path in folder().glob("*.json")), key=lambda entry: entry.name)


def forget(name: str) -> None:
    """Delete somebody's print. Raises ConfigError when there is none."""
    path = _path(name)
    if not path.is_file():
        raise ConfigError(f"nobody called {name!r} is enrolled; `erc-live enrol --list` lists who is")
    path.unlink()


def open_speakers(settings: config.SpeakersSection, reader: "VoiceReader") -> SpeakerClustering:
    """The voices of a new session: nobody, or the people it is told to know.

    Raises:
        ConfigError: one of them is not enrolled, or was for another encoder.
    """
    return SpeakerClustering(
        {name: _vector(name, reader.encoder.fingerprint) for name in settings.known}, settings.most
    )


def _vector(name: str, encoder: str) -> np.ndarray:
    path = _path(name)
    again = f"erc-live enrol {name!r} --mic default"
    if not path.is_file():
        raise ConfigError(f"speakers.known: nobody called {name!r} is enrolled: {again}")
    entry = _read(path)
    if entry.encoder != encoder:
        raise ConfigError(f"speakers.known: {name!r} was enrolled for {entry.encoder}, not for {encoder}: {again}")
    return np.array(entry.vector, np.float32)


def check(name: str) -> None:
    """Raise ConfigError where a name is none."""
    if not name.strip() or not name.isprintable() or len(name) > 60:
        raise ConfigError(f"{name!r} is no name: 1 to 60 printable characters")


def _path(name: str) -> Path:
    check(name)
    return folder() / f"{quote(name.strip(), safe=' ')}.json"


def _read(path: Path) -> VoicePrint:
    try:
        entry = msgspec.json.decode(path.read_bytes(), type=VoicePrint)
        if entry.format != FORMAT:
            raise ValueError(f"its format is {entry.format}")
    except (msgspec.MsgspecError, OSError, ValueError) as error:
        raise ConfigError(f"{path} is no voice print of this version ({error}): delete it and enrol anew") from error
    return entry

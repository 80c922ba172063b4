"""The voices of people who agreed to be recognised: one small file each, in the user's own data folder.

A print of a voice is personal data. So it is written only with the sentence in which the person agreed, it says by
itself what it is, and one command lists or forgets it. It counts for the encoder that made it and for no other.
"""

from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
import numpy as np
import platformdirs

from erc_live.live import config
from erc_live.live.errors import ConfigError
from erc_live.live.speakers.clustering import SpeakerClustering
from erc_live.live.speakers.identification import alike
from erc_live.streams.journal import make_private, write_whole

if TYPE_CHECKING:  # not at run time: who lists prints loads no encoder
    from erc_live.live.speakers.embedding import VoiceReader

FORMAT = "erc.voice-print/2"
# Cosine of two prints from which on they are hard to tell apart. With one microphone 1 in 10 pairs of people are above,
# and 19 in 20 pairs of recordings of one person. With two, the medians are 0.05 and 0.26 (RAVDESS, actors 13 to 20, by
# a script).
CONFUSED = 0.6
AGREE = 0.1  # cosine of two recordings of one print, at least: 1 in 5 of one person with two microphones is below


class VoiceRecording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one recording left of a voice. `date`: an ISO date; `seconds` of speech."""

    date: str
    seconds: float
    vector: list[float]


class VoicePrint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person. `encoder` is the fingerprint of what made the vectors."""

    format: str = FORMAT
    name: str
    consent: str
    encoder: str
    recordings: list[VoiceRecording]

    @property
    def vector(self) -> np.ndarray:
        """The mean over the recordings: each is another microphone or mood. Shapes: (256,) float32."""
        found: np.ndarray = np.mean([recording.vector for recording in self.recordings], axis=0).astype(np.float32)
        return found


def sentence(name: str) -> str:
    """What a person agrees to."""
    return f"I, {name}, agree that erc-live keeps a print of my voice on this computer, to recognise me by it."


def folder() -> Path:
    """Where prints are kept."""
    return platformdirs.user_data_path("erc-live") / "voices"


def recorded(vector: np.ndarray, seconds: float) -> VoiceRecording:
    """What is kept of a recording that was made now. Shapes: vector (256,)"""
    return VoiceRecording(
        date=datetime.now(UTC).date().isoformat(),
        seconds=round(seconds, 1),
        vector=[round(float(value), 6) for value in vector],
    )


def keep(name: str, recordings: list[VoiceRecording], encoder: str) -> Path:
    """Write the print of somebody who has agreed to `sentence(name)`; an older one is replaced."""
    path = _path(name)
    make_private(path.parent)
    print_ = VoicePrint(name=name, consent=sentence(name), encoder=encoder, recordings=recordings)
    write_whole(path, msgspec.json.format(msgspec.json.encode(print_)) + b"\n")
    return path


def outlook(name: str, recordings: list[VoiceRecording], centre: np.ndarray, encoder: str) -> list[str]:
    """How well a print will tell its person from others, in plain words: a line for each thing to know."""
    vectors = [np.array(recording.vector) for recording in recordings]
    whole = np.mean(vectors, axis=0)
    lines = []
    if len(vectors) == 1:
        lines.append("one recording: another one, with the microphone of your sessions, makes it surer (--add)")
    else:
        least = min(alike(one, other, centre) for one, other in combinations(vectors, 2))
        verdict = "they agree" if least >= AGREE else "they disagree: is each of this person alone?"
        lines.append(f"{len(vectors)} recordings, the least alike {least:.2f} (1: the same voice): {verdict}")
    others = [entry for entry in stored() if entry.encoder == encoder and entry.name != name.strip()]
    nearest = max(((alike(whole, entry.vector, centre), entry.name) for entry in others), default=None)
    if nearest is not None:
        verdict = "may be confused" if nearest[0] >= CONFUSED else "told apart"
        lines.append(f"of those enrolled {nearest[1]} is most alike, {nearest[0]:.2f}: {verdict}")
    return lines


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
    """The voices of a new session, some of which may have names: those of the people that it is asked to know.

    Raises:
        ConfigError: one of them is not enrolled, or was for another encoder; or there are more people at least than at
            most.
    """
    if settings.most and settings.least > settings.most:
        raise ConfigError(f"speakers.least is {settings.least} and speakers.most {settings.most}: the least is more")
    known = {name: _known(name, reader.encoder.fingerprint).vector for name in settings.known}
    return SpeakerClustering(known, reader.encoder.centre, settings.least, settings.most)


def enrolled(name: str, encoder: str) -> list[VoiceRecording]:
    """The recordings of somebody that were made with this encoder; none of somebody who is not enrolled."""
    path = _path(name)
    entry = _read(path) if path.is_file() else None
    return entry.recordings if entry is not None and entry.encoder == encoder else []


def _known(name: str, encoder: str) -> VoicePrint:
    path = _path(name)
    again = f"erc-live enrol {name!r} --mic default"
    if not path.is_file():
        raise ConfigError(f"speakers.known: nobody called {name!r} is enrolled: {again}")
    entry = _read(path)
    if entry.encoder != encoder:
        raise ConfigError(f"speakers.known: {name!r} was enrolled for {entry.encoder}, not for {encoder}: {again}")
    return entry


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
        if not entry.recordings:
            raise ValueError("it has no recording")
    except (msgspec.MsgspecError, OSError, ValueError) as error:
        raise ConfigError(f"{path} is no voice print of this version ({error}): delete it and enrol anew") from error
    return entry

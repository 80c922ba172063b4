"""The voices of people who agreed to be recognised: an encrypted file and a readable receipt for each, in the user's
own data folder.

A print of a voice is personal data. So it is written only with the receipt of a consent, counts only while that holds,
and one command lists or forgets both. It counts for the encoder that made it and for no other.
"""

from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
import platformdirs

from erc_live.live import config
from erc_live.live.errors import ConfigError
from erc_live.live.privacy import consent
from erc_live.live.privacy.consent import ConsentReceipt
from erc_live.live.privacy.encryption import decrypted, encrypted
from erc_live.streams.journal import make_private, write_whole

FORMAT = "erc.voice-print/3"
OLDER = "erc.voice-print/2"  # in the clear, with the sentence of the consent in it
PRINT, RECEIPT, CLEAR = ".voice", ".consent", ".json"  # endings of files: encrypted, readable, and of `OLDER`


class VoiceRecording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one recording left of a voice. `date`: an ISO date; `seconds` of speech."""

    date: str
    seconds: float
    vector: list[float]


class VoicePrint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person. `encoder` is the fingerprint of what made the vectors."""

    format: str = FORMAT
    name: str
    encoder: str
    recordings: list[VoiceRecording]

    @property
    def vector(self) -> np.ndarray:
        """The mean over the recordings: each is another microphone or mood. Shapes: (256,) float32."""
        found: np.ndarray = np.mean([recording.vector for recording in self.recordings], axis=0).astype(np.float32)
        return found


def folder() -> Path:
    """Where prints are kept."""
    return platformdirs.user_data_path("erc-live") / "voices"


def recorded(vector: np.ndarray, seconds: float) -> VoiceRecording:
    """What is kept of a recording that was made now. Shapes: vector (256,)"""
    return VoiceRecording(
        date=consent.today().isoformat(),
        seconds=round(seconds, 1),
        vector=[round(float(value), 6) for value in vector],
    )


def keep(recordings: list[VoiceRecording], encoder: str, receipt: ConsentReceipt) -> Path:
    """Write the print of somebody who has agreed, after the receipt of that; older ones are replaced."""
    path = _path(receipt.person, PRINT)
    make_private(path.parent)
    entry = VoicePrint(name=receipt.person, encoder=encoder, recordings=recordings)
    consent.write(path.with_suffix(RECEIPT), receipt)
    write_whole(path, encrypted(msgspec.json.encode(entry), path.name))  # its owner's only
    return path


def stored() -> list[VoicePrint]:
    """All prints, by name. Raises ConfigError where a file is none."""
    return sorted((_read(path) for path in folder().glob(f"*{PRINT}")), key=lambda entry: entry.name)


def receipt_of(name: str) -> ConsentReceipt | None:
    """The receipt of somebody's consent, None if there is none. Raises ConfigError where the file is none."""
    return consent.read(_path(name, RECEIPT))


def objection(name: str, day: date | None = None) -> str | None:
    """Why somebody's print must not be used on that day (None: today); None if it may be."""
    receipt = receipt_of(name)
    if receipt is None:
        return "there is no receipt of a consent"
    if not receipt.holds(day or consent.today()):
        return f"the consent ended on {receipt.until}"
    return None


def forget(name: str) -> None:
    """Delete somebody's print, and the receipt after it. Raises ConfigError when there is neither."""
    paths = [path for path in (_path(name, ending) for ending in (PRINT, CLEAR, RECEIPT)) if path.is_file()]
    if not paths:
        raise ConfigError(f"nobody called {name!r} is enrolled; `erc-live enrol --list` lists who is")
    for path in paths:
        path.unlink()


def migrate() -> list[str]:
    """Encrypt prints that an older version wrote, and note their consent by itself; a line for each. It holds for a
    year from the first recording on, as a new one would. Raises ConfigError where a file is none.
    """
    lines = []
    for path in sorted(folder().glob(f"*{CLEAR}")):
        entry, agreed = _read_clear(path)
        given = date.fromisoformat(min(recording.date for recording in entry.recordings))
        receipt = msgspec.structs.replace(
            consent.agreement(entry.name, given + consent.VALID, "migrated", config.SessionSection()),
            agreed=agreed,
            given=given.isoformat(),
        )
        keep(entry.recordings, entry.encoder, receipt)
        path.unlink()
        lines.append(f"{entry.name}: the voice print is encrypted now; the consent to it holds until {receipt.until}")
    return lines


def unusable(known: list[str]) -> list[str]:
    """A line for each of the people to be known whose print must not be used."""
    reasons = {name: objection(name) for name in known if _path(name, PRINT).is_file()}
    return [
        f"{name} is not recognised: {reason}; `erc-live enrol` renews it, with --forget it deletes the print"
        for name, reason in reasons.items()
        if reason
    ]


def enrolled(name: str, encoder: str) -> list[VoiceRecording]:
    """The recordings of somebody that were made with this encoder; none of somebody who is not enrolled."""
    path = _path(name, PRINT)
    entry = _read(path) if path.is_file() else None
    return entry.recordings if entry is not None and entry.encoder == encoder else []


def known_print(name: str, encoder: str) -> VoicePrint:
    """The print of somebody to be recognised. Raises ConfigError where there is none, or of another encoder."""
    path = _path(name, PRINT)
    again = f"erc-live enrol {name!r} --mic default"
    if not path.is_file() and path.with_suffix(CLEAR).is_file():
        raise ConfigError(
            f"speakers.known: the print of {name!r} is of an older version: `erc-live enrol --list` mends it"
        )
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


def _path(name: str, ending: str) -> Path:
    check(name)
    return folder() / f"{quote(name.strip(), safe=' ')}{ending}"


def _read(path: Path) -> VoicePrint:
    try:
        entry = msgspec.json.decode(decrypted(path.read_bytes(), path.name), type=VoicePrint)
        _check_print(entry, FORMAT)
    except (msgspec.MsgspecError, OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be used ({error}): delete it and enrol anew") from error
    return entry


def _read_clear(path: Path) -> tuple[VoicePrint, str]:
    """A print of an older version, and the sentence of the consent."""
    try:
        fields = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        agreed = msgspec.convert(fields.pop("consent", None), str)
        entry = msgspec.convert(fields, VoicePrint)
        _check_print(entry, OLDER)
    except (msgspec.MsgspecError, OSError, ValueError) as error:
        raise ConfigError(f"{path} is no voice print of this version ({error}): delete it and enrol anew") from error
    return msgspec.structs.replace(entry, format=FORMAT), agreed


def _check_print(entry: VoicePrint, expected: str) -> None:
    if entry.format != expected:
        raise ValueError(f"its format is {entry.format}")
    if not entry.recordings:
        raise ValueError("it has no recording")

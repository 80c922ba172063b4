"""What a person agreed to, as a receipt: who, to what, what for, when, until when, and how to take it back.

The fields are those of ISO/IEC TS 27560 that a print of a voice on one computer needs. A receipt is readable, and lies
beside what it allows. The rule of this file: an agreement has an end, and after it nothing is allowed.
"""

import importlib.metadata
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from erc_live.live.config import SessionSection
from erc_live.live.errors import ConfigError
from erc_live.streams.journal import write_whole

FORMAT = "erc.consent/1"
VALID = timedelta(days=365)  # unless another day was named
LONGEST = timedelta(days=5 * 365)

Evidence = Literal["asked", "reported", "migrated"]


class ConsentReceipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agreement. `given`: ISO date or time in UTC; `until`: ISO date, the last day on which it holds.

    `evidence`: the person was asked in a terminal, the operator reported it (--consent), or an older version had noted
    no more than the sentence. `controller` and `contact` as in the configuration; `version` of erc-live.
    """

    format: str = FORMAT
    receipt: str
    person: str
    controller: str
    contact: str
    agreed: str
    purpose: str = "to call this person by name in sessions, recognised by the voice"
    data: str = "a print of the voice: one vector for each recording, and no sound"
    storage: str = "this computer, encrypted"
    recipients: str = "none"
    given: str
    until: str
    evidence: Evidence
    withdrawal: str
    version: str

    @property
    def last_day(self) -> date:
        return date.fromisoformat(self.until)

    def holds(self, day: date) -> bool:
        """Whether it still holds on that day."""
        return day <= self.last_day


def today() -> date:
    return datetime.now(UTC).date()


def sentence(person: str, until: date) -> str:
    """What a person agrees to."""
    return (
        f"I, {person}, agree that erc-live keeps a print of my voice on this computer until {until.isoformat()}, to "
        "recognise me by it."
    )


def last_day(text: str | None) -> date:
    """The day that somebody named, or a year from now. Raises ConfigError where it is none, over or too far."""
    if text is None:
        return today() + VALID
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--until {text}: write a day as {(today() + VALID).isoformat()}") from error
    if not today() <= day <= today() + LONGEST:
        raise ConfigError(f"--until {text}: name a day from today to {(today() + LONGEST).isoformat()}")
    return day


def agreement(person: str, until: date, evidence: Evidence, settings: SessionSection) -> ConsentReceipt:
    """The receipt of what a person agreed to now."""
    return ConsentReceipt(
        receipt=uuid.uuid4().hex,
        person=person,
        controller=settings.controller,
        contact=settings.contact,
        agreed=sentence(person, until),
        given=datetime.now(UTC).isoformat(timespec="seconds"),
        until=until.isoformat(),
        evidence=evidence,
        withdrawal=f"erc-live enrol --forget {person!r}",
        version=importlib.metadata.version("erc-live"),
    )


def write(path: Path, receipt: ConsentReceipt) -> None:
    """Write a receipt; an older one is replaced."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(receipt)) + b"\n")


def read(path: Path) -> ConsentReceipt | None:
    """A receipt, None where there is none. Raises ConfigError where the file is none."""
    try:
        receipt = msgspec.json.decode(path.read_bytes(), type=ConsentReceipt)
        if receipt.format != FORMAT:
            raise ValueError(f"its format is {receipt.format}")
        date.fromisoformat(receipt.until)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, OSError, ValueError) as error:
        raise ConfigError(f"{path} is no receipt of a consent ({error}): delete it and enrol anew") from error
    return receipt

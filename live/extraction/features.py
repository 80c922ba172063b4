"""What a corpus's media say, measured as live use measures it: prosody, voice and faces of each utterance, once.

The same encoders, pictures and rates as in a session, so a model meets live what it was trained on. What was measured
is kept, one small file per dialogue, named after everything it depends on: the encoders, and path, size, time and cut
of the media. So a run that was interrupted goes on, a changed clip is measured again, and a second training reads
numbers only. The prosody that a corpus brings is not measured anew.

The rule of this file: a clip that is missing or broken is a missing modality with a name, never the end.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from erc_live.live import config as configuration
from erc_live.live.config import CaptureSection
from erc_live.live.extraction.clips import silent
from erc_live.live.extraction.utterance_media import cuts, frames_of, sounds
from erc_live.live.requests import Appearance
from erc_live.live.session.weight_cache import models_folder
from erc_live.live.vision.active_speaker import ActiveSpeaker
from erc_live.live.vision.expression import open_face_reader
from erc_live.models.corpora.dialogue import PROSODY, Dialogue, Split, Utterance
from erc_live.models.encoders.audio import ProsodyEncoder
from erc_live.models.encoders.face import FACE_LABELS
from erc_live.models.encoders.voice import VOICE_LABELS, VoiceEncoder
from erc_live.models.files import whole
from erc_live.models.training.dialogue_dataset import Measured
from erc_live.streams.align import sample_frames
from erc_live.streams.messages import VideoFrame

WIDTHS = {"prosody": len(PROSODY), "voice": len(VOICE_LABELS), "face": len(FACE_LABELS)}
FORMAT = "measured/3"  # to be counted up when other values come of the same encoders
NAMED = 10  # broken files that are told by name

Row = np.ndarray
Key = tuple[str, int]  # name of the dialogue, place of the utterance


class PcmEncoder(Protocol):
    """Samples to a vector, NaN where nothing is usable."""

    fingerprint: str

    def __call__(self, pcm: np.ndarray) -> Row: ...


class FaceDescriber(Protocol):
    """As `vision.expression.FaceReader`."""

    fingerprint: str

    def describe(
        self, frames: Sequence[VideoFrame], pcm: Row, t_start_ns: int
    ) -> tuple[tuple[Appearance, ...], float | None]: ...


@dataclass(frozen=True)
class Instruments:
    """What is measured with; `max_frames` pictures of an utterance are looked at. `faces` is None where none can be
    found.
    """

    prosody: PcmEncoder
    voice: PcmEncoder
    faces: FaceDescriber | None
    capture: CaptureSection
    max_frames: int

    @property
    def fingerprint(self) -> str:
        """Names everything that the numbers depend on but the media."""
        faces = None if self.faces is None else self.faces.fingerprint
        parts = (FORMAT, self.prosody.fingerprint, self.voice.fingerprint, faces, self.capture, self.max_frames)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def open_instruments(voice: Path, face: Path) -> Instruments:
    """What a session would measure with here, with the voice and face encoders of these folders.

    Raises:
        EngineError: the face finder that was configured cannot run.
        WeightsError: an encoder cannot be read.
    """
    settings = configuration.load().config
    reader = open_face_reader(settings.visual, models_folder(settings.models), face)
    return Instruments(
        prosody=ProsodyEncoder(),
        voice=VoiceEncoder.load(voice),
        faces=reader,
        capture=settings.capture,
        max_frames=settings.visual.max_frames,
    )


@dataclass
class Extracted:
    """What was measured, and the files that were missing, broken or silent, in words; both grow while work goes on."""

    measured: dict[Key, Measured] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def complaint(self) -> str | None:
        """One paragraph about the broken files."""
        if not self.broken:
            return None
        more = (
            f"; and {len(self.broken) - NAMED} more, which `erc-live corpus check` names"
            if len(self.broken) > NAMED
            else ""
        )
        return f"{len(self.broken)} media files cannot be used: {'; '.join(self.broken[:NAMED])}{more}"


def measure(
    split: Split,
    open_instruments: Callable[[], Instruments],
    cache: Path,
    processes: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Extracted:
    """Measure the media of a split, or read what was measured before.

    Args:
        split: of a corpus; without any media the instruments are not even opened.
        open_instruments: called once in each process, so it must be a function that another process can import.
        cache: folder of the measurements.
        processes: how many work side by side; 1: this one.
        progress: called with the number of dialogues done and of all.
    """
    found = Extracted()
    dialogues = [dialogue for dialogue in split.dialogues if any(u.audio or u.video for u in dialogue.utterances)]
    if not dialogues:
        return found
    with _workers(open_instruments, processes) as work:
        for done, (dialogue, (rows, broken)) in enumerate(zip(dialogues, work(dialogues, cache), strict=True), 1):
            for place in range(len(dialogue.utterances)):
                found.measured[dialogue.name, place] = Measured(**{name: _tensor(rows[name][place]) for name in WIDTHS})
            found.broken += broken
            progress(done, len(dialogues))
    return found


Answer = tuple[dict[str, Row], list[str]]  # rows of `WIDTHS`, one per utterance, and the broken files
_opened: list[Instruments] = []  # of a worker process


@contextmanager
def _workers(
    open_instruments: Callable[[], Instruments], processes: int
) -> Iterator[Callable[[Sequence[Dialogue], Path], Iterable[Answer]]]:
    """Something that measures dialogues in their order. What is waiting is dropped when the block is left early."""
    if processes == 1:
        tools = open_instruments()
        yield lambda dialogues, cache: (measured(dialogue, tools, cache) for dialogue in dialogues)
        return
    executor = ProcessPoolExecutor(processes, get_context("spawn"), _open, (open_instruments,))
    try:
        yield lambda dialogues, cache: executor.map(_measure_opened, dialogues, [cache] * len(dialogues))
    finally:
        executor.shutdown(cancel_futures=True)


def _open(open_instruments: Callable[[], Instruments]) -> None:
    torch.set_num_threads(1)  # the processes are as many as there are cores to use
    _opened.append(open_instruments())


def _measure_opened(dialogue: Dialogue, cache: Path) -> Answer:
    return measured(dialogue, _opened[-1], cache)


def measured(dialogue: Dialogue, tools: Instruments, cache: Path) -> Answer:
    """Rows (utterances, width) of each of `WIDTHS`, NaN where nothing was measured, and the broken files, in words."""
    path = cache / f"media-{_key(dialogue, tools)}.safetensors"
    if path.is_file():
        try:
            with safe_open(path, "numpy") as file:
                return {name: file.get_tensor(name) for name in WIDTHS}, json.loads(file.metadata()["broken"])
        except (SafetensorError, KeyError, TypeError, ValueError):
            path.unlink()  # damaged: what is only kept to save time is made again
    rows = {name: np.full((len(dialogue.utterances), width), np.nan, np.float32) for name, width in WIDTHS.items()}
    broken: list[str] = []
    samples = _measure_sound(dialogue, tools, rows, broken)
    _measure_faces(dialogue, tools, rows, broken, samples)
    broken = list(dict.fromkeys(broken))  # sound and pictures may be of one file
    with whole(path) as part:
        save_file(rows, part, {"broken": json.dumps(broken)})
    return rows, broken


def _measure_sound(dialogue: Dialogue, tools: Instruments, rows: dict[str, Row], broken: list[str]) -> dict[int, Row]:
    """Fills in what is heard. Returns the samples by utterance."""
    samples: dict[int, Row] = {}
    for file, wanted in cuts(dialogue, lambda utterance: utterance.audio).items():
        for cut, pcm in sounds(file, wanted, broken):
            samples[cut.place] = pcm
            if silent(pcm):
                broken.append(f"{file}: silent")
            rows["voice"][cut.place] = tools.voice(pcm)
            if dialogue.utterances[cut.place].prosody is None:
                rows["prosody"][cut.place] = tools.prosody(pcm)
    return samples


def _measure_faces(
    dialogue: Dialogue, tools: Instruments, rows: dict[str, Row], broken: list[str], samples: dict[int, Row]
) -> None:
    """Fills in the face that speaks, chosen by the rule of a session; `samples` by utterance."""
    if tools.faces is None:
        return
    active_speaker, silence = ActiveSpeaker(), np.empty(0, np.int16)
    for file, wanted in cuts(dialogue, lambda utterance: utterance.video).items():
        for cut, frames in frames_of(file, wanted, tools.capture, broken):
            start_ns = int(cut.start_s * 1e9)
            chosen = sample_frames(frames, start_ns, frames[-1].t_ns + 1, tools.max_frames)
            faces, _ = tools.faces.describe(chosen, samples.get(cut.place, silence), start_ns)
            face = active_speaker.choose(dialogue.utterances[cut.place].speaker, faces, str(cut.place))
            if face is not None:
                rows["face"][cut.place] = face.vector


def _key(dialogue: Dialogue, tools: Instruments) -> str:
    parts = [
        (_state(dialogue, u, u.audio), _state(dialogue, u, u.video), u.prosody is None) for u in dialogue.utterances
    ]
    return hashlib.sha256(repr((tools.fingerprint, parts)).encode()).hexdigest()[:24]


def _state(dialogue: Dialogue, utterance: Utterance, file: Path | None) -> tuple[object, ...]:
    """What the vectors of a file depend on; that a file is missing is a state, too."""
    if file is None:
        return ()
    try:
        found = file.stat()
    except OSError:
        return (str(file),)
    return str(file), found.st_size, found.st_mtime_ns, dialogue.span(utterance, file)


def _tensor(row: Row) -> Tensor | None:
    return None if np.isnan(row).all() else torch.from_numpy(row)

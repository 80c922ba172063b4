"""`erc-live encoder train voice` and `erc-live encoder evaluate voice`: the clips on disk, live curves, the scores.

Training stops at the first clip that cannot be read: nobody should learn from half of a corpus without knowing it.
Scoring leaves such clips out, and names them, on standard error and in the JSON.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from erc_live.live.commands.degradations import confusion_table, degradations
from erc_live.live.commands.options import Folds
from erc_live.live.commands.places import cache_folder, encoder_folder
from erc_live.live.screen.console import err, out
from erc_live.live.screen.progress import counting
from erc_live.models.corpora import ravdess
from erc_live.models.errors import CorpusError
from erc_live.streams.errors import MediaError
from erc_live.streams.media import audio_chunks
from erc_live.streams.plural import counted

if TYPE_CHECKING:
    from erc_live.models.encoders.voice_network import Listener
    from erc_live.models.training.encoder_evaluation import VoiceScores
    from erc_live.models.training.voice_dataset import DescribedVoices, VoiceClip
    from erc_live.models.training.voice_training import VoiceTraining

ALL = "all"
NAMED = 3  # clips that a message names
BY_DEV = {
    "corpus": "RAVDESS speech, actors 1-16; temperature and usual distance are of actors 17-20",
}
BY_FOLDS = {
    "corpus": "RAVDESS speech, actors 1-20, all of whom it has learnt from; temperature and usual distance are of the "
    "folds, in which nobody is heard by a network that learnt from them, and so are all scores",
    "settings": "fourteen were looked at in five such folds: three choices of layers with three strengths of the pull, "
    "on clean sound alone; then 0, 2 or 4 copies, and of 4 three strengths",
}
ABOUT = {
    "source": "Livingstone and Russo 2018, The Ryerson Audio-Visual Database of Emotional Speech and Song",
    "listener": "frozen: the encoder of Whisper tiny.en (MIT, Copyright 2022 OpenAI) and two layers of the shipped "
    "speaker encoder (Resemblyzer, Apache-2.0), in 8 bits",
    "licence": "CC BY-NC-SA 4.0: research only, and so are weights that were trained on it",
    "limits": [
        "acted: two sentences, played to be recognised, by North American professionals; real talk is far harder",
        "calm counts as neutral",
        "log-probabilities are calibrated under clean sound; farther from the training voices they become flatter",
        "says how a voice sounds, never what a person feels; not for decisions about people",
    ],
}

Clips = Annotated[Path, typer.Option("--corpus", help="Folder of RAVDESS, as released or with an index.csv.")]


def train(
    corpus: Clips,
    into: Annotated[Path, typer.Option("--out", help="Folder for the weights and their card.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same weights on one machine.")] = 0,
    folds: Folds = 0,
) -> None:
    """Train what hears a voice, on actors 1-16; it is measured on actors 17-20.

    With --folds every actor of 1-20 is scored by a network that never heard them, and what is kept learns from all.
    A run that was interrupted goes on when the same command is given again.
    """
    from erc_live.models.card import PRETRAINED
    from erc_live.models.encoders.speaker import SpeakerEncoder
    from erc_live.models.training.voice_folds import folds_of, train_voice_folds
    from erc_live.models.training.voice_training import WHISPER, VoiceTraining, begun, train_voice

    config = VoiceTraining(seed=seed)
    listener = begun(config.network, encoder_folder(WHISPER).parent, SpeakerEncoder.load(PRETRAINED / "speaker"))
    clips = {split: read(ravdess.clips(corpus, split), f"reading {split}") for split in ("train", "dev")}
    for usable, broken in clips.values():
        if broken:
            named = "; ".join(broken[:NAMED])
            raise CorpusError(f"{len(broken)} of {len(usable) + len(broken)} clips cannot be read: {named}: mend them")
    (learnt, _), (dev, _) = clips["train"], clips["dev"]
    if folds:
        folds_of([*learnt, *dev], folds)  # too few people are told now, and not after listening
    about = {"command": " ".join(["erc-live", *sys.argv[1:]]), **(BY_FOLDS if folds else BY_DEV), **ABOUT}
    voices = _listen([*learnt, *dev], listener, config)
    with err.status("learning"):
        if folds:
            train_voice_folds(voices, folds, into, config, about)
        else:
            teachers, others = ({clip.person for clip in split} for split in (learnt, dev))
            train_voice(voices.of(teachers), voices.of(others), into, config, about)
    out.print(f"{into}: weights and card written", markup=False, soft_wrap=True)


def _listen(clips: Sequence["VoiceClip"], listener: "Listener", config: "VoiceTraining") -> "DescribedVoices":
    """What the frozen layers make of clips, with a bar; Ctrl-C ends the command, with the advice how it goes on."""
    from erc_live.live.commands.curves import INTERRUPTED
    from erc_live.models.training.voice_dataset import Hearing

    def report(done: int, total: int) -> None:
        shown.update(bar, completed=done, total=total)

    try:
        with counting() as shown:
            bar = shown.add_task("listening", total=None)
            hearing = Hearing(listener, config.copies, config.seed, cache_folder(), report)
            return hearing.describe(clips)
    except KeyboardInterrupt:
        err.print("stopped: the same command goes on with what has been heard", markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None


def evaluate(
    corpus: Clips,
    split: Annotated[str, typer.Option(help="dev: actors 17-20; test: 21-24; train: 1-16; all.")] = "dev",
    degrade: Annotated[
        list[str] | None,
        typer.Option(help="telephone, noise or room; several are done one after the other.", metavar="NAME"),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Folder of weights. Default: the shipped ones.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Score what hears a voice on the clips of a split. Clips that cannot be read are named, and left out."""
    from erc_live.models.card import PRETRAINED
    from erc_live.models.encoders.voice import VoiceEncoder
    from erc_live.models.training.encoder_evaluation import evaluate_voice
    from erc_live.models.training.sounds import DEGRADATIONS

    names = degradations(degrade, DEGRADATIONS)
    encoder = VoiceEncoder.load(weights or PRETRAINED / "voice")
    recordings, missing = read(clips_of(corpus, split), f"reading {split}")
    if missing:
        err.print(f"{counted(len(missing), 'clip')} left out: {'; '.join(missing)}", markup=False, soft_wrap=True)
    if not recordings:
        raise CorpusError(f"{corpus}: no clip of {split} can be read, of {len(missing)}")
    with err.status(f"hearing {counted(len(recordings), 'clip')}"):
        scores = evaluate_voice(encoder, recordings, names)
    if as_json:
        about = {"weights": encoder.fingerprint, "split": split, "degrade": names, "missing": missing}
        out.print_json(data={**about, **asdict(scores)})
        return
    _show(scores)


def read(clips: Sequence[ravdess.RavdessClip], doing: str) -> tuple[list["VoiceClip"], list[str]]:
    """Decode clips, with a bar: the recordings, and a line for each clip that cannot be read."""
    from erc_live.models.training.voice_dataset import VoiceClip

    found: list[VoiceClip] = []
    missing: list[str] = []
    with counting() as shown:
        for clip in shown.track(clips, description=doing):
            try:
                chunks = [chunk.pcm for chunk in audio_chunks(clip.path, "", 0)]
            except MediaError as error:
                missing.append(str(error))
                continue
            found.append(VoiceClip(clip.path.stem, np.concatenate(chunks), clip.label, f"{clip.actor:02}"))
    return found, missing


def clips_of(corpus: Path, split: str) -> list[ravdess.RavdessClip]:
    """The clips of a split, or of `ALL`. Raises CorpusError."""
    if split != ALL:
        return ravdess.clips(corpus, split)
    if not (there := ravdess.splits(corpus)):
        raise CorpusError(f"{corpus}: no clips of RAVDESS, and no index.csv that names them")
    return [clip for each in there for clip in ravdess.clips(corpus, each)]


def _show(scores: "VoiceScores") -> None:
    from erc_live.models.encoders.voice import VOICE_LABELS

    out.print(confusion_table(VOICE_LABELS, VOICE_LABELS, scores.recall, scores.confusion))
    unusable = f", {scores.unusable} of them without an answer" if scores.unusable else ""
    out.print(
        f"{counted(scores.clips, 'clip')}{unusable}: UAR {scores.uar:.4f}, accuracy {scores.accuracy:.4f}, "
        f"calibration error {scores.calibration_error:.4f}",
        highlight=False,
        soft_wrap=True,
    )

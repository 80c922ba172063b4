"""From labelled dialogues to weights: every seed by itself, then the one that is best on dev.

The text encoder is either left as it is, and then a seed takes minutes, or tuned together with the graph. What an
encoder makes of utterances whose labels it has seen is too easy to learn from; `folds` gives the graph vectors of
encoders that have not seen them.

Where several processes work on it (`torchrun`), the first of them writes and the others wait.

A run leaves `seed-N/` with weights and card of each seed, and the files of the best seed beside them.
"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from erc_live.models import checkpoint
from erc_live.models.blocks.heads import shift_logits
from erc_live.models.card import PRETRAINED
from erc_live.models.encoders.packing import is_packed
from erc_live.models.encoders.text import WEIGHTS, TextEncoder, fingerprint
from erc_live.models.errors import WeightsError
from erc_live.models.training.config import Run, TrainConfig
from erc_live.models.training.examples import Example, encoded, fitting
from erc_live.models.training.files import writing
from erc_live.models.training.fit import fit, team
from erc_live.models.training.learner import Learner
from erc_live.models.training.material import Lesson, Material, with_vectors
from erc_live.models.training.results import TEXT, Results, copy, crown, finished, write

ENCODER = "encoder"  # folder of a run: the packed text encoder, where it is neither shipped nor tuned by the seeds


def train(material: Material, encoder: Path, config: TrainConfig, run: Run) -> checkpoint.Checkpoint:
    """Train every seed on `train` and write the one that is best on `dev`.

    The same seed on the same machine gives the same weights, whether the run was interrupted or not.

    Args:
        material: the dialogues, their text not yet encoded.
        encoder: folder of the text encoder to use, or to begin with if it is tuned.
        config: how to train.
        run: where it goes, and who watches it.

    Raises:
        CorpusError: nothing in the corpus has a label, or one of the modalities.
        WeightsError: encoder or start weights cannot be read or do not fit, the loss is no number any more, or the
            results cannot be written.
    """
    material = material.only(config.modalities)
    material.check()
    config = replace(config, tune_text=config.tune_text and material.present()[0])
    key = _key(material, encoder, config)
    if config.folds:
        lesson, text = _folded(material, encoder, config, run)
        config = replace(config, tune_text=False)
    else:
        text = encoder if config.tune_text else _packed(encoder, run.out)
        lesson = _lesson(material, None if config.tune_text else TextEncoder.load(text), config, run)
    return _seeds(Results(material, config, run, key, text), lesson)


def _key(material: Material, encoder: Path, config: TrainConfig) -> str:
    """Names everything that the result depends on but the seed."""
    content = (material.digest(), fingerprint(encoder), replace(config, seeds=()))
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def _seeds(results: Results, lesson: Lesson) -> checkpoint.Checkpoint:
    config, run = results.config, results.run
    workers = team()
    for seed in config.seeds:
        folder = run.out / f"seed-{seed}"
        if workers.is_main_process and not run.resume:
            shutil.rmtree(folder, ignore_errors=True)
        workers.wait_for_everyone()
        if finished(folder, results.key):
            continue
        torch.manual_seed(seed)
        text = TextEncoder.load(results.text)
        learner = _learner(results.material, text, config)
        fitted = fit(learner, lesson, config, seed, results.key, run)
        if workers.is_main_process:
            write(results, learner, fitted, text, seed)
        workers.wait_for_everyone()
    if workers.is_main_process:
        crown(results)
    workers.wait_for_everyone()
    return checkpoint.load(str(run.out.resolve()))  # absolute: a folder may be called like shipped weights


def _lesson(material: Material, text: TextEncoder | None, config: TrainConfig, run: Run) -> Lesson:
    """Dialogues with their text vectors if they come from an encoder that stays as it is."""
    train, bare, dev = material.train, None, material.dev
    if text is not None:
        train, bare = with_vectors(train, text, run)
        dev = encoded(dev, text, run.cache, run.encoding)
    return Lesson(
        train, bare, material.judged(dev), _offsets(material, config), config.disturbance, material.composition
    )


def _offsets(material: Material, config: TrainConfig) -> Tensor:
    """Log frequencies of the labels, `balance` times: with them on its logits while it learns, a network needs not
    learn them, and without them it favours rare labels (Menon et al. 2021, "Long-tail learning via logit adjustment").
    """
    counts = material.counts().clamp(min=1).float()
    return config.balance * (counts / counts.sum()).log()


def _learner(material: Material, text: TextEncoder, config: TrainConfig) -> Learner:
    """A new learner, its scales those of the corpus, its weights those of `start` where these fit."""
    sizes = {"classes": len(material.labels), **material.dims(text.dim), **config.sizes}
    learner = Learner(config.network, sizes, text if config.tune_text else None)
    if config.start is not None:
        _begin_from(learner.model, checkpoint.load(config.start), material.labels, config)
    shown = fitting(material.shown(), learner.model)
    learner.model.fusion.scale.fit(torch.cat([example.utterances.audio for example in shown]))
    shift_logits(learner.model, _offsets(material, config))
    return learner


def _begin_from(model: Any, start: checkpoint.Checkpoint, labels: tuple[str, ...], config: TrainConfig) -> None:
    """Take over what a run has learnt. A modality that it did not have is learnt from the beginning."""
    if (start.card.network, start.card.labels) != (config.network, labels):
        raise WeightsError(
            f"{config.start} is a {start.card.network} for {', '.join(start.card.labels)}, this run a {config.network} "
            f"for {', '.join(labels)}: they must be the same"
        )
    theirs, own = start.model.state_dict(), model.state_dict()
    strange = [name for name, value in own.items() if name not in theirs or theirs[name].shape != value.shape]
    if other := [name for name in strange if not name.startswith("fusion.")]:
        raise WeightsError(f"{config.start} has other sizes than this run ({other[0]}): give the same with --size")
    model.load_state_dict(own | {name: value for name, value in theirs.items() if name in own and name not in strange})


def _packed(encoder: Path, out: Path) -> Path:
    """The folder of the encoder as it will lie beside the weights: what is learnt from must be what is used later."""
    if encoder.resolve() == (PRETRAINED / TEXT).resolve():
        return encoder
    text, target, workers = TextEncoder.load(encoder), out / ENCODER, team()
    if workers.is_main_process:
        with writing(target):
            shutil.rmtree(target, ignore_errors=True)
            if is_packed(encoder / WEIGHTS):
                copy(encoder, target)
            else:
                text.save(target)
    workers.wait_for_everyone()
    return target


def _folded(material: Material, encoder: Path, config: TrainConfig, run: Run) -> tuple[Lesson, Path]:
    """Train's text vectors by encoders that were tuned without the dialogue in question, and the folder of the encoder
    that was tuned on all of train: it makes the vectors of dev, and it is the one that is kept.
    """
    tuning = replace(config, folds=0, tune_text=True, seeds=config.seeds[:1])

    def tuned(name: str, dialogues: Sequence[Example]) -> Path:
        out = run.out / name
        train(replace(material, train=dialogues, composition=None), encoder, tuning, replace(run, out=out))
        return out / TEXT

    lesson: dict[int, tuple[Example, Tensor]] = {}
    for fold in range(config.folds):
        held = range(fold, len(material.train), config.folds)
        rest = [example for place, example in enumerate(material.train) if place not in held]
        text = TextEncoder.load(tuned(f"fold-{fold}", rest))
        rows = zip(*with_vectors([material.train[place] for place in held], text, run), strict=True)
        lesson.update(zip(held, rows, strict=True))
    folder = tuned("fold-all", material.train)
    dev = encoded(material.dev, TextEncoder.load(folder), run.cache, run.encoding)
    dialogues, bare = zip(*(lesson[place] for place in range(len(material.train))), strict=True)
    offsets, how = _offsets(material, config), config.disturbance
    return Lesson(dialogues, bare, material.judged(dev), offsets, how, material.composition), folder

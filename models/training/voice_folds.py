"""A recipe for voices scored on all people, each heard by a network that did not learn from them; then trained on all.

Sixteen actors to learn from and four to choose by say little of the next person. Here every person is left out once:
for each fold a network learns from the people of the other folds, for all epochs, and its last epoch answers for the
fold, so nothing is chosen on what is scored. Temperature and usual distance of the network that is kept come from these
answers; the scores that are told use, for each fold, the temperature and the distance of the other folds.
What people who taught nothing sound like to a network is wanted elsewhere, too (composed corpora), and the network that
is kept has learnt from everybody; so the answers of the folds are kept beside it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Generator, Tensor

from erc_live.models.encoders.voice import VoiceEncoder
from erc_live.models.errors import CorpusError
from erc_live.models.files import whole
from erc_live.models.training.encoder_evaluation import VoiceScores
from erc_live.models.training.folds import grouped_folds
from erc_live.models.training.metrics import recall_per_class
from erc_live.models.training.trainer import RESUME, EpochDone, StepDone
from erc_live.models.training.voice_dataset import VoiceClip, classes_of
from erc_live.models.training.voice_task import VoiceTraining, fit_voice, write_voice
from erc_live.models.training.voice_unheard import (
    CONDITIONS,
    SLOPE,
    Unheard,
    answers_of,
    calibrate,
    clean_temperature,
    know_voices,
    usual_distance,
)

UNHEARD = "unheard.safetensors"  # in the folder of the weights: the answers of the folds
CLEAN = "clean"  # its rows that are of clips as they are; others bear the name of the degradation
DRAWS = 2_000  # of the bootstrap
TAILS = (0.025, 0.975)


def train_voice_folds(
    clips: Sequence[VoiceClip],
    folds: int,
    out: Path,
    config: VoiceTraining,
    about: Mapping[str, Any],
    watch: Callable[[StepDone | EpochDone], None] = lambda _: None,
) -> VoiceEncoder:
    """Score a recipe in folds of people, train it on all of them, write weights, card and `UNHEARD` into `out`.

    A run that was interrupted goes on where it was.

    Raises:
        CorpusError: there are fewer people than folds.
        WeightsError: `out` cannot be written to, or holds an unfinished run with other data or settings.
    """
    clips = [clip for clip in clips if clip.usable()]
    config = replace(config, score_every=config.epochs)
    parts = _parts(clips, folds)
    states = [out / f"fold-{fold}-{RESUME}" for fold in range(folds)]
    heard = []
    for fold, state in enumerate(states):
        learnt = [clip for clip, part in zip(clips, parts, strict=True) if part != fold]
        network, _ = fit_voice(learnt, (), state, config, watch)
        know_voices(network, learnt)
        heard.append(answers_of(network, [clip for clip, part in zip(clips, parts, strict=True) if part == fold]))
    order = torch.tensor(parts).argsort(stable=True).argsort()
    answers = torch.cat([_calibrated(one, _joined(heard[:at] + heard[at + 1 :])) for at, one in enumerate(heard)], 1)
    answers = answers[:, order]
    network, _ = fit_voice(clips, (), out / RESUME, config, watch)
    know_voices(network, clips)
    known = calibrate(network, _joined(heard))
    _keep_answers(out / UNHEARD, answers, clips)
    training = {**about, **asdict(config), "folds": folds, "people": len({clip.person for clip in clips}), **known}
    encoder = write_voice(network, out, training, lambda: fold_scores(answers, clips))
    for state in (*states, out / RESUME):
        state.unlink(missing_ok=True)
    return encoder


def fold_scores(answers: Tensor, clips: Sequence[VoiceClip]) -> dict[str, Any]:
    """What a card says of the answers of the folds: under each condition, and of each person under clean sound.

    Shapes: log-probabilities (conditions, n, 7) of the n clips
    """
    labels = classes_of(clips)
    scores: dict[str, Any] = {
        ", ".join(("folds", *names)): asdict(VoiceScores.of(rows, labels))
        for names, rows in zip(CONDITIONS, answers, strict=True)
    }
    people = sorted({clip.person for clip in clips})
    places = {name: torch.tensor([clip.person == name for clip in clips]) for name in people}
    alone = {name: VoiceScores.of(answers[0][rows], labels[rows]) for name, rows in places.items()}
    by_person = {name: {"uar": one.uar, "calibration_error": one.calibration_error} for name, one in alone.items()}
    counts = torch.tensor([one.confusion for one in alone.values()])
    return {**scores, "folds": {**scores["folds"], "interval": uar_interval(counts), "people": by_person}}


def uar_interval(counts: Tensor, seed: int = 0) -> tuple[float, float]:
    """Between what 95 % of the average recalls lie when as many people are drawn again and again (bootstrap).

    Shapes: the confusion of each person (people, 7, 7)
    """
    drawn = torch.randint(len(counts), (DRAWS, len(counts)), generator=Generator().manual_seed(seed))
    sums = counts[drawn].sum(1)
    there = sums.sum(-1) > 0
    recalls = recall_per_class(sums).masked_fill(~there, 0.0).sum(-1) / there.sum(-1)
    low, high = torch.quantile(recalls.double(), torch.tensor(TAILS).double()).tolist()
    return low, high


def _parts(clips: Sequence[VoiceClip], folds: int) -> list[int]:
    try:
        return grouped_folds([clip.person for clip in clips], folds)
    except ValueError as error:
        raise CorpusError(f"--folds {folds}: {error}") from error


def _joined(parts: Sequence[Unheard]) -> Unheard:
    return Unheard(
        torch.cat([one.labels for one in parts]),
        torch.cat([one.logits for one in parts], 1),
        torch.cat([one.distances for one in parts], 1),
    )


def _calibrated(one: Unheard, others: Unheard) -> Tensor:
    """The log-probabilities of a fold, by what the other folds teach of confidence. Shapes: -> (conditions, n, 7)"""
    beyond = (one.distances - usual_distance(others)).clamp(min=0)
    return (one.logits / (clean_temperature(others) * (1 + SLOPE * beyond))[..., None]).log_softmax(-1)


def _keep_answers(path: Path, answers: Tensor, clips: Sequence[VoiceClip]) -> None:
    names = {"clips": json.dumps([clip.name for clip in clips])}
    tensors = {CLEAN: answers[0], **{name: rows for (name,), rows in zip(CONDITIONS[1:], answers[1:], strict=True)}}
    with whole(path) as part:
        save_file({name: rows.contiguous() for name, rows in tensors.items()}, part, names)

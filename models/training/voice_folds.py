"""A recipe for voices scored on all people, each heard by a network that did not learn from them; then learnt from all.

Sixteen actors to learn from and four to choose by say little of the next person. Here every person is left out once:
for each fold a network learns from the people of the other folds and answers for the fold, so nothing is chosen on what
is scored. Temperature and usual distance of the network that is kept come from these answers; the scores that are told
use, for each fold, the temperature and the distance of the other folds.
What people who taught nothing sound like to a network is wanted elsewhere, too (composed corpora), and the network that
is kept has learnt from everybody; so the answers of the folds are kept beside it.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Generator, Tensor

from erc_live.models.encoders.voice import VoiceEncoder
from erc_live.models.encoders.voice_network import CLASSES
from erc_live.models.errors import CorpusError
from erc_live.models.files import whole
from erc_live.models.training.encoder_evaluation import VoiceScores
from erc_live.models.training.folds import grouped_folds
from erc_live.models.training.metrics import recall_per_class
from erc_live.models.training.voice_dataset import CONDITIONS, DescribedVoices, VoiceClip, classes_of
from erc_live.models.training.voice_head import (
    SLOPE,
    Unheard,
    answers_of,
    calibrate,
    clean_temperature,
    usual_distance,
)
from erc_live.models.training.voice_training import VoiceTraining, fit_voice, write_voice

UNHEARD = "unheard.safetensors"  # in the folder of the weights: the answers of the folds
CLEAN = "clean"  # its rows that are of clips as they are; others bear the name of the degradation
DRAWS = 2_000  # of the bootstrap
TAILS = (0.025, 0.975)


def train_voice_folds(
    voices: DescribedVoices, folds: int, out: Path, config: VoiceTraining, about: Mapping[str, Any]
) -> VoiceEncoder:
    """Score a recipe in folds of people, train it on all of them, write weights, card and `UNHEARD` into `out`.

    Raises:
        CorpusError: there are fewer people than folds.
        WeightsError: `out` cannot be written to.
    """
    parts = folds_of(voices.clips, folds)
    answers, heard = unheard_answers(voices, parts, config)
    network = fit_voice(voices, config)
    known = calibrate(network, heard)
    _keep_answers(out / UNHEARD, answers, voices.clips)
    people = len({clip.person for clip in voices.clips})
    training = {**about, **asdict(config), "folds": folds, "people": people, **known}
    return write_voice(network, out, training, lambda: fold_scores(answers, voices.clips, parts))


def unheard_answers(
    voices: DescribedVoices, parts: Sequence[Collection[str]], config: VoiceTraining
) -> tuple[Tensor, Unheard]:
    """What networks that learnt from the other parts of the people say of each clip, calibrated by these parts; and all
    of it before that, part by part.

    Shapes: -> (conditions, n, 7)
    """
    heard: list[Unheard] = []
    for people in parts:
        network = fit_voice(voices.of({clip.person for clip in voices.clips}.difference(people)), config)
        heard.append(answers_of(network, voices.of(people)))
    answers = torch.full((*voices.conditions.shape[:2], CLASSES), torch.nan)
    for at, people in enumerate(parts):
        rows = [row for row, clip in enumerate(voices.clips) if clip.person in people]
        answers[:, rows] = _calibrated(heard[at], _joined(heard[:at] + heard[at + 1 :]))
    return answers, _joined(heard)


def fold_scores(answers: Tensor, clips: Sequence[VoiceClip], parts: Sequence[Collection[str]]) -> dict[str, Any]:
    """What a card says of the answers of the folds: under each condition; of each fold and person under clean sound.

    Shapes: log-probabilities (conditions, n, 7) of the n clips
    """
    labels = classes_of(clips)
    scores: dict[str, Any] = {
        ", ".join(("folds", *names)): asdict(VoiceScores.of(rows, labels))
        for names, rows in zip(CONDITIONS, answers, strict=True)
    }

    def alone(people: Collection[str]) -> VoiceScores:
        rows = torch.tensor([clip.person in people for clip in clips])
        return VoiceScores.of(answers[0][rows], labels[rows])

    people = {name: alone([name]) for name in sorted({clip.person for clip in clips})}
    counts = torch.tensor([one.confusion for one in people.values()])
    more = {
        "interval": uar_interval(counts),
        "by_fold": [alone(part).uar for part in parts],
        "worst": min(people, key=lambda name: people[name].uar),
        "people": {name: {"uar": one.uar, "calibration_error": one.calibration_error} for name, one in people.items()},
    }
    return {**scores, "folds": {**scores["folds"], **more}}


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


def folds_of(clips: Sequence[VoiceClip], folds: int) -> list[set[str]]:
    """The people of each fold. Raises CorpusError when there are fewer people than folds."""
    try:
        places = grouped_folds([clip.person for clip in clips], folds)
    except ValueError as error:
        raise CorpusError(f"--folds {folds}: {error}") from error
    pairs = {(clip.person, place) for clip, place in zip(clips, places, strict=True)}
    return [{person for person, place in pairs if place == fold} for fold in range(folds)]


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


def stored_answers(folder: Path) -> dict[str, Tensor]:
    """What the folds said of clips as they are, (7,) each, by the names of the clips; nothing without folds."""
    path = folder / UNHEARD
    if not path.is_file():
        return {}
    with safe_open(path, "pt") as file:
        return dict(zip(json.loads(file.metadata()["clips"]), file.get_tensor(CLEAN), strict=True))


def _keep_answers(path: Path, answers: Tensor, clips: Sequence[VoiceClip]) -> None:
    names = {"clips": json.dumps([clip.name for clip in clips])}
    tensors = {CLEAN: answers[0], **{name: rows for (name,), rows in zip(CONDITIONS[1:], answers[1:], strict=True)}}
    with whole(path) as part:
        save_file({name: rows.contiguous() for name, rows in tensors.items()}, part, names)

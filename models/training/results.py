"""What a run leaves behind: weights and card of each seed, calibrated on dev, and those of the best seed beside them.

The rule of this file: the scores on a card are those of the files as they were written, read again; and a card is
written last, so a folder with a card is whole.
"""

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

from erc_live.models import card as cards
from erc_live.models import checkpoint
from erc_live.models.blocks.heads import apply_temperature
from erc_live.models.card import CARD, PRETRAINED, WEIGHTS, Card
from erc_live.models.encoders.text import FILES, TextEncoder
from erc_live.models.errors import WeightsError
from erc_live.models.modalities import MODALITIES
from erc_live.models.state import widths
from erc_live.models.training.calibration import temperature
from erc_live.models.training.config import Run, TrainConfig
from erc_live.models.training.evaluate import classify
from erc_live.models.training.examples import encoded, fitting
from erc_live.models.training.files import writing
from erc_live.models.training.fit import SAVED, Fitted
from erc_live.models.training.learner import Learner
from erc_live.models.training.material import Material
from erc_live.models.training.metrics import Scores

TEXT = "text"  # name of the folder of the encoder, among the shipped ones and beside weights that bring their own
CERTAIN = 0.7  # accuracy on dev of the answers that are shown as certain


@dataclass(frozen=True)
class Results:
    """What all seeds of a run have in common. `key` names it; `text` is the folder of the encoder it began with."""

    material: Material
    config: TrainConfig
    run: Run
    key: str
    text: Path


def finished(folder: Path, key: str) -> bool:
    """Whether the seed of this run has been trained to its end."""
    try:
        return bool(cards.read(str(folder)).card.training.get("key") == key)
    except WeightsError:
        return False


def write(results: Results, learner: Learner, fitted: Fitted, text: TextEncoder, seed: int) -> None:
    """Write the best epoch of a seed into its folder, with temperature and threshold chosen on dev."""
    folder = results.run.out / f"seed-{seed}"
    learner.load_state_dict(fitted.best)
    model: Any = learner.cpu().eval().model
    with writing(folder):
        _write_text(results, text, folder)
    material, config = results.material, results.config
    read = TextEncoder.load(folder / TEXT if (folder / TEXT).is_dir() else results.text)
    dev = fitting(encoded(material.dev, read, results.run.cache), model)
    composed = [] if material.composition is None else fitting(material.composition.dev(dev), model)
    answers = classify(model, [*dev, *composed])
    divisor = temperature(answers.logits, answers.labels)
    apply_temperature(model, divisor)
    logits, labels = replace(answers, logits=answers.logits / divisor).scored()
    threshold = certain_from(logits.softmax(-1), labels)
    scores = {
        name: Scores.of(classify(model, part), material.labels, threshold, divisor).for_card()
        for name, part in (("dev", dev), ("dev_composed", composed))
        if part
    }
    fingerprints = {**material.encoders, "text": read.fingerprint}
    used = [name for name, width in zip(MODALITIES, widths(model.config), strict=True) if width]
    card = Card(
        network=config.network,
        config=asdict(model.config),
        labels=material.labels,
        encoders={name: fingerprints[name] for name in used if name in fingerprints},
        scores=scores,
        training=_story(results, fitted, seed),
        abstain_below=threshold,
    )
    with writing(folder):
        checkpoint.save(folder, model, card)
        (folder / SAVED).unlink(missing_ok=True)


def crown(results: Results) -> None:
    """Copy the seed that is best on dev to the root of the run; its card tells the scores of all."""
    out, seeds = results.run.out, results.config.seeds
    seed_cards = {seed: cards.read(str(out / f"seed-{seed}")).card for seed in seeds}
    by_seed = {seed: card.training["dev_weighted_f1"] for seed, card in seed_cards.items()}
    best = max(by_seed, key=lambda seed: by_seed[seed])
    card, source = seed_cards[best], out / f"seed-{best}"
    with writing(out):
        (out / CARD).unlink(missing_ok=True)
        shutil.rmtree(out / TEXT, ignore_errors=True)
        if (source / TEXT).is_dir():
            copy(source / TEXT, out / TEXT)
        shutil.copyfile(source / WEIGHTS, out / WEIGHTS)
        cards.write(out, replace(card, training={**card.training, "seeds": spread(seed_cards)}))


def spread(seed_cards: dict[int, Card]) -> dict[str, Any]:
    """Dev scores of all seeds, with mean and standard deviation."""
    told = {}
    for name in ("weighted_f1", "macro_f1"):
        values = [card.scores["dev"][name] for card in seed_cards.values()]
        told[name] = {
            "by_seed": dict(zip(map(str, seed_cards), values, strict=True)),
            "mean": mean(values),
            "sd": stdev(values) if len(values) > 1 else None,
        }
    return told


def certain_from(probs: Tensor, labels: Tensor, accuracy: float = CERTAIN) -> float:
    """The least confidence from which on answers are right often enough: 0 if all are, 1 if none.

    Of all thresholds whose answers reach the accuracy it is the one that leaves the most answers.
    Shapes: probs (N, C), labels (N,)
    """
    confidence, predicted = probs.max(-1)
    order = confidence.argsort(descending=True, stable=True)
    right = (predicted == labels)[order].double().cumsum(0) / torch.arange(1, len(order) + 1)
    enough = (right >= accuracy).nonzero()
    if not len(enough):
        return 1.0
    last = int(enough[-1])
    return 0.0 if last == len(order) - 1 else float(confidence[order[last]])


def copy(encoder: Path, target: Path) -> None:
    """Copy the files of a text encoder."""
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(encoder / name, target / name)


def _write_text(results: Results, text: TextEncoder, folder: Path) -> None:
    shutil.rmtree(folder / TEXT, ignore_errors=True)
    if results.config.tune_text:
        text.save(folder / TEXT)
    elif results.text.resolve() != (PRETRAINED / TEXT).resolve():
        copy(results.text, folder / TEXT)


def _story(results: Results, fitted: Fitted, seed: int) -> dict[str, Any]:
    material, run = results.material, results.run
    return {
        "corpora": list(material.corpora),
        "command": run.command,
        "seed": seed,
        "dev_weighted_f1": max(fitted.scores),
        "epoch": fitted.leader + 1,
        "curve": {"loss": fitted.losses, "dev_weighted_f1": fitted.scores},
        "composition": material.composition and material.composition.described(),
        "options": results.config.described(),
        "key": results.key,
    }

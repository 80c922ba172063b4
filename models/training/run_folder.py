"""What a run leaves behind: weights and a card; of a graph those of each seed, calibrated on dev, and of the best one.

The rule of this file: the scores on a card are those of the files as they were written, read again; and a card is
written last, so a folder with a card is whole.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from safetensors.torch import save_file
from torch import nn

from erc_live.models import card as cards
from erc_live.models import checkpoint
from erc_live.models.blocks.heads import apply_temperature
from erc_live.models.card import CARD, PRETRAINED, WEIGHTS, Card
from erc_live.models.encoders.packing import save_packed
from erc_live.models.encoders.text import FILES, HEAD, TextEncoder, fingerprint
from erc_live.models.ensemble import Ensemble
from erc_live.models.errors import WeightsError
from erc_live.models.files import whole, writing
from erc_live.models.modalities import MODALITIES
from erc_live.models.state import widths
from erc_live.models.training.dialogue_dataset import DialogueDataset, encoded, fitting
from erc_live.models.training.evaluation import classify
from erc_live.models.training.fold_encoders import open_encoders
from erc_live.models.training.graph_config import Run, TrainConfig
from erc_live.models.training.judgement import Judged, judge
from erc_live.models.training.trainer import RESUME, Fit
from erc_live.models.weights import sha256

TEXT = "text"  # name of the folder of the encoder, among the shipped ones and beside weights that bring their own


@dataclass(frozen=True)
class GraphRun:
    """What all seeds of a run have in common. `key` names it; `text` is the folder of the encoder it began with, `head`
    that of the one whose answer it began with; `judged` is what folds said, and without it dev calibrates and scores.
    """

    dataset: DialogueDataset
    config: TrainConfig
    run: Run
    key: str
    text: Path
    head: Path
    judged: Judged | None = None


def finished(folder: Path, key: str) -> bool:
    """Whether the seed of this run has been trained to its end."""
    try:
        return bool(cards.read(str(folder)).card.training.get("key") == key)
    except WeightsError:
        return False


def write_seed(graph_run: GraphRun, model: Any, text: TextEncoder, fit: Fit, seed: int) -> None:
    """Write the best epoch of a seed into its folder, with temperature and threshold chosen on dev."""
    folder = graph_run.run.out / f"seed-{seed}"
    with writing(folder):
        _write_text(graph_run, text, folder)
    dataset, config = graph_run.dataset, graph_run.config
    own = folder / TEXT
    judged = graph_run.judged or _on_dev(graph_run, model, own if config.tune_text else graph_run.text)
    apply_temperature(model, judged.temperature)
    fingerprints = {"text": fingerprint(own if own.is_dir() else graph_run.text), **dataset.encoders}
    used = [name for name, width in zip(MODALITIES, widths(model.config), strict=True) if width]
    card = Card(
        network=config.network,
        config=asdict(model.config),
        labels=dataset.labels,
        encoders={name: fingerprints[name] for name in used if name in fingerprints},
        scores=judged.scores,
        training={**_training(graph_run, fit, seed), "temperature": judged.temperature},  # which is in the weights
        abstain_below=judged.abstain_below,
        by_modalities=judged.by_modalities,
    )
    with writing(folder):
        checkpoint.save(folder, model, card)
        (folder / RESUME).unlink(missing_ok=True)


def _on_dev(graph_run: GraphRun, model: Any, encoder: Path) -> Judged:
    dataset = graph_run.dataset
    dev = fitting(encoded(dataset.dev, open_encoders(encoder), graph_run.run.cache), model)
    composed = [] if dataset.composition is None else fitting(dataset.composition.dev(dev), model)
    return judge(partial(classify, model), {"dev": dev, "dev_composed": composed}, dataset.labels)


def write_best(graph_run: GraphRun) -> None:
    """Copy the seed that is best on dev to the root of the run, and its card tells the scores of all; or write all
    seeds as one ensemble, where folds have judged them together.
    """
    out, seeds = graph_run.run.out, graph_run.config.seeds
    seed_cards = {seed: cards.read(str(out / f"seed-{seed}")).card for seed in seeds}
    best = seeds[0]
    if graph_run.judged is None:
        best = max(seeds, key=lambda seed: seed_cards[seed].training["dev_weighted_f1"])
    card, source = seed_cards[best], out / f"seed-{best}"
    with writing(out):
        (out / CARD).unlink(missing_ok=True)
        shutil.rmtree(out / TEXT, ignore_errors=True)
        if (source / TEXT).is_dir():
            copy_encoder(source / TEXT, out / TEXT)
        if graph_run.judged is None or len(seeds) == 1:
            shutil.copyfile(source / WEIGHTS, out / WEIGHTS)
        else:
            together = Ensemble([checkpoint.load(str((out / f"seed-{seed}").resolve())).model for seed in seeds])
            checkpoint.save_weights(out, together)
            card = replace(card, members=len(seeds), training={**card.training, "seed": list(seeds)})
        if graph_run.judged is None:
            card = replace(card, training={**card.training, "seeds": _dev_scores(seed_cards)})
        cards.write(out, card)


def seed_folders(run: str) -> list[str]:
    """The folders of the seeds of a run, the first seed first; of weights without any, or whose seeds answer together,
    themselves.
    """
    if (Path(run) / CARD).is_file() and cards.read(run).card.members > 1:
        return [run]
    cards_there = Path(run).glob(f"seed-*/{CARD}")
    return sorted((str(path.parent) for path in cards_there), key=lambda name: (len(name), name)) or [run]


def _dev_scores(seed_cards: Mapping[int, Card]) -> dict[str, Any]:
    """Those of all seeds."""
    return {
        name: spread({seed: card.scores["dev"][name] for seed, card in seed_cards.items()})
        for name in ("weighted_f1", "macro_f1")
    }


def spread(by_seed: Mapping[int, float]) -> dict[str, Any]:
    """As a card tells a score of several seeds: each by its number, mean and standard deviation (None of one seed)."""
    values = list(by_seed.values())
    return {
        "by_seed": {str(seed): value for seed, value in by_seed.items()},
        "mean": mean(values),
        "sd": stdev(values) if len(values) > 1 else None,
    }


def copy_encoder(encoder: Path, target: Path) -> None:
    """Copy the files of a text encoder."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (*FILES, HEAD):
        if name in FILES or (encoder / name).is_file():
            _link(encoder / name, target / name)


def _link(source: Path, target: Path) -> None:
    """The same file once more, where the disk allows that: a run of many seeds keeps one encoder. Nothing here writes
    into a file that is there: a new one takes its place.
    """
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _write_text(graph_run: GraphRun, text: TextEncoder, folder: Path) -> None:
    shutil.rmtree(folder / TEXT, ignore_errors=True)
    if graph_run.config.tune_text:
        text.save(folder / TEXT)
    elif "text" not in graph_run.dataset.brought() and graph_run.text.resolve() != (PRETRAINED / TEXT).resolve():
        copy_encoder(graph_run.text, folder / TEXT)


def _training(graph_run: GraphRun, fit: Fit, seed: int) -> dict[str, Any]:
    """What is told of a run. Where folds judged, dev taught with the rest, and its scores would say nothing."""
    dataset, run = graph_run.dataset, graph_run.run
    chosen = {"dev_weighted_f1": fit.best_score} if graph_run.judged is None else {}
    curve = {"dev_weighted_f1": [next(iter(scores.values())) for scores in fit.scores]} if chosen else {}
    return {
        "corpora": list(dataset.corpora),
        "command": run.command,
        "seed": seed,
        **chosen,
        "epoch": fit.best_epoch + 1,
        "curve": {"loss": fit.losses, **curve},
        "composition": dataset.composition and dataset.composition.for_card(),
        "options": graph_run.config.for_card(),
        **({"search": run.search} if run.search else {}),
        "key": graph_run.key,
    }


def write_encoder(
    network: nn.Module,
    out: Path,
    card: Mapping[str, Any],
    scores: Callable[[], Mapping[str, Any]],
    packed: bool = False,
) -> None:
    """Write weights, then the card, then the card again with what `scores` measures on the folder as it is then.

    Half precision costs the third decimal of a logit and saves half of the file; packed (packing.py), three quarters.

    Raises:
        WeightsError: the folder cannot be written to.
    """
    if packed:
        save_packed(network.state_dict(), out / WEIGHTS)
    else:
        weights = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in network.state_dict().items()}
        with whole(out / WEIGHTS) as part:
            save_file(weights, part)
    card = {**card, "sha256": sha256(out / WEIGHTS), "scores": {}}
    write_card(out, card)
    write_card(out, {**card, "scores": scores()})


def write_card(out: Path, card: Mapping[str, Any]) -> None:
    """Write the card of an encoder. Raises WeightsError when it cannot be written."""
    with whole(out / CARD) as part:
        part.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

"""The table of all networks: which cells it has, and how each is trained and scored on dev, every seed of it.

Networks x {causal, two-sided} x modalities, and the default network with one block changed at a time. A cell is one
configuration with all its seeds. Its folder is named after everything that its figures depend on, so a table that was
interrupted goes on, and one with an option changed trains only what is new. What a cell leaves is the run of its best
seed and `cell.json`; the answers of all seeds are in `answers.safetensors`, so comparing costs nothing.

The rule of this file: dev only, and the same dialogues, features and epochs for every network.
"""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from erc_live.models import checkpoint
from erc_live.models.encoders.text import TextEncoder, fingerprint_with_head
from erc_live.models.errors import WeightsError
from erc_live.models.files import whole
from erc_live.models.networks import NETWORKS
from erc_live.models.training.dialogue_dataset import DialogueDataset, Example, encoded, fitting
from erc_live.models.training.evaluation import classify
from erc_live.models.training.graph_config import Report, Run, TrainConfig
from erc_live.models.training.graph_training import train_graph
from erc_live.models.training.metrics import Answers

DEFAULT = "dialogue_graph"
AHEAD = (0, 1, 2)  # utterances, of the look-ahead curve; the whole dialogue is its end
CELL, ANSWERS = "cell.json", "answers.safetensors"

# The highest rates: of the default network its own, of the others those of their papers.
RATES = {"multiemo": 1e-4, "vuemo": 1e-4, "hgf_milag": 3e-4, "safsd_glnet": 1e-4}

# Sizes that are smaller than published, or a table would take weeks on a laptop. As published, safsd_glnet has 82 M
# parameters.
REDUCED: dict[str, dict[str, Any]] = {"safsd_glnet": {"width": 256, "graph_width": 256}}
QUICK: dict[str, dict[str, Any]] = {
    "multiemo": {"width": 64, "feedforward": 256, "hidden": 128},
    "vuemo": {"width": 64, "num_L": 3},
    "hgf_milag": {"context_width": 60, "graph_width": 40, "head_width": 40},
    "safsd_glnet": {"width": 64, "graph_width": 64},
}

# Of the default network, one block at a time.
BLOCKS: dict[str, dict[str, Any]] = {
    "window 0 (no context)": {"window": 0},
    "window 1": {"window": 1},
    "window 20": {"window": 20},
    "1 layer": {"layers": 1},
    "3 layers": {"layers": 3},
    "no dropout": {"dropout": 0.0},
    "width 64": {"width": 64},
    "width 256": {"width": 256},
}


@dataclass(frozen=True)
class Cell:
    """One configuration. `block` names what an ablation changes, empty in the table of networks; without `speakers`
    all utterances are of one person.
    """

    config: TrainConfig
    block: str = ""
    speakers: bool = True

    @property
    def causal(self) -> bool:
        """Whether it is blind to the future."""
        return bool(self.config.sizes["causal"])

    @property
    def name(self) -> str:
        """In words."""
        letters = "".join(modality[0] for modality in self.config.modalities)
        return f"{self.config.network} {'causal' if self.causal else 'two-sided'} {letters} {self.block}".strip()


@dataclass(frozen=True)
class Outcome:
    """What a cell reached: the answers of each seed, its size, and how long it took; `ahead` is the look-ahead curve of
    the default network's twin, W-F1 per seed.
    """

    cell: Cell
    answers: tuple[Answers, ...]
    parameters: int
    seconds: float
    ahead: dict[str, list[float]]


def plan(present: Sequence[str], base: TrainConfig, quick: bool) -> list[Cell]:
    """All cells, in the order in which they are wanted: networks with everything there is, then the rest.

    Args:
        present: the modalities that the corpus has.
        base: epochs, seeds and the like; of the network only its `sizes` for the default one count.
        quick: with sizes of a few minutes.
    """
    subsets = [s for size in range(len(present), 0, -1) for s in combinations(present, size)]
    reduced = QUICK if quick else REDUCED

    def cell(network: str, causal: bool, modalities: tuple[str, ...]) -> Cell:
        sizes = base.sizes if network == DEFAULT else reduced.get(network, {})
        rate = base.rate if network == DEFAULT else RATES[network]
        sizes = {**sizes, "causal": causal}
        return Cell(replace(base, network=network, sizes=sizes, modalities=modalities, rate=rate))

    everything, *fewer = [
        [cell(network, causal, subset) for causal in (True, False) for network in NETWORKS] for subset in subsets
    ]
    return [*everything, *_ablation(everything[0]), *(one for cells in fewer for one in cells)]


def _ablation(whole_cell: Cell) -> list[Cell]:
    config = whole_cell.config
    changed = [Cell(replace(config, sizes={**config.sizes, **sizes}), block) for block, sizes in BLOCKS.items()]
    return [*changed, replace(whole_cell, block="speakers not told apart", speakers=False)]


@dataclass(frozen=True)
class Bench:
    """What all cells share: data, text encoder, where the table goes and where text vectors are kept."""

    dataset: DialogueDataset
    encoder: Path
    folder: Path
    cache: Path
    command: str = ""

    def folder_of(self, cell: Cell) -> Path:
        """Named after the cell and after everything that its figures depend on."""
        content = (self.dataset.digest(), fingerprint_with_head(self.encoder), cell)
        digest = hashlib.sha256(repr(content).encode()).hexdigest()[:8]
        return self.folder / "cells" / f"{re.sub('[^a-z0-9]+', '-', cell.name.lower()).strip('-')}-{digest}"

    def done(self, cell: Cell) -> bool:
        """Whether an earlier run has trained and scored it."""
        return (self.folder_of(cell) / CELL).is_file()

    def dev(self, cell: Cell) -> list[Example]:
        """The dialogues that a cell is scored on, without text vectors."""
        dataset = _dataset(self.dataset, cell).only(cell.config.modalities)
        return list(dataset.dev) if dataset.composition is None else dataset.composition.dev(dataset.dev)


def run_cell(bench: Bench, cell: Cell, watch: Callable[[Report], None] = lambda _: None) -> Outcome:
    """Train and score a cell, or read what was found before.

    Raises:
        CorpusError: nothing can be learnt from the corpus.
        WeightsError: the cell cannot be trained or written.
    """
    folder = bench.folder_of(cell)
    dev = bench.dev(cell)
    if outcome := _read(folder, cell, dev):
        return outcome
    start = time.monotonic()
    run = Run(folder, bench.cache, bench.command, resume=True, watch=watch)
    best = train_graph(_dataset(bench.dataset, cell), bench.encoder, cell.config, run)
    seconds = time.monotonic() - start
    answers, ahead = _answers(bench, cell, folder, dev)
    parameters = sum(parameter.numel() for parameter in best.model.parameters())
    outcome = Outcome(cell, tuple(answers), parameters, seconds, ahead)
    _write(folder, outcome)
    for seed in cell.config.seeds:
        shutil.rmtree(folder / f"seed-{seed}", ignore_errors=True)  # tens of megabytes each, and scored
    return outcome


def _dataset(dataset: DialogueDataset, cell: Cell) -> DialogueDataset:
    if cell.speakers:
        return dataset
    return replace(dataset, train=_by_one(dataset.train), dev=_by_one(dataset.dev))


def _by_one(dialogues: Sequence[Example]) -> list[Example]:
    return [
        replace(one, utterances=replace(one.utterances, speakers=torch.zeros_like(one.utterances.speakers)))
        for one in dialogues
    ]


def _answers(
    bench: Bench, cell: Cell, folder: Path, dev: Sequence[Example]
) -> tuple[list[Answers], dict[str, list[float]]]:
    """The answers of every seed, and the look-ahead curve where it is wanted."""
    answers: list[Answers] = []
    ahead: dict[str, list[float]] = {}
    twin = cell.config.network == DEFAULT and not cell.causal
    for seed in cell.config.seeds:
        loaded = checkpoint.load(str(folder / f"seed-{seed}"))
        data = fitting(encoded(dev, TextEncoder.load(loaded.text_folder), bench.cache), loaded.model)
        answers.append(classify(loaded.model, data))
        if twin:
            for k in AHEAD:
                ahead.setdefault(str(k), []).append(classify(loaded.model, data, ahead=k).weighted_f1())
            ahead.setdefault("full", []).append(answers[-1].weighted_f1())
    return answers, ahead


def _write(folder: Path, outcome: Outcome) -> None:
    logits = {f"seed-{seed}": one.logits for seed, one in zip(outcome.cell.config.seeds, outcome.answers, strict=True)}
    content = {
        "cell": outcome.cell.name,
        "config": asdict(outcome.cell.config),
        "parameters": outcome.parameters,
        "seconds": outcome.seconds,
        "ahead": outcome.ahead,
    }
    with whole(folder / ANSWERS) as part:
        save_file(logits, part)
    with whole(folder / CELL) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read(folder: Path, cell: Cell, dev: Sequence[Example]) -> Outcome | None:
    if not (folder / CELL).is_file():
        return None
    try:
        content = json.loads((folder / CELL).read_text(encoding="utf-8"))
        logits = load_file(folder / ANSWERS)
        answers = tuple(_answered(dev, logits[f"seed-{seed}"]) for seed in cell.config.seeds)
        return Outcome(cell, answers, content["parameters"], content["seconds"], content["ahead"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise WeightsError(f"{folder} is damaged ({error}): delete it, and it is trained again") from error


def _answered(dev: Sequence[Example], logits: Tensor) -> Answers:
    return Answers(
        logits,
        torch.cat([example.labels for example in dev]),
        torch.cat([example.utterances.speakers for example in dev]),
        tuple(len(example) for example in dev),
    )

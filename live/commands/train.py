"""`erc-live train`: the options, live curves, and the scores of all seeds."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erc_live.live.commands.options import (
    Compose,
    Corpora,
    Encoder,
    Folds,
    Modalities,
    Network,
    Out,
    Processes,
    Seeds,
    Sizes,
    Start,
    check_network,
    modality_names,
    seed_numbers,
    size_values,
)
from erc_live.live.commands.places import cache_folder, own_weights
from erc_live.live.errors import ConfigError
from erc_live.live.screen.console import err, out, print_line
from erc_live.models.card import CARD
from erc_live.streams.plural import counted

if TYPE_CHECKING:
    from erc_live.models.card import Card
    from erc_live.models.training.graph_config import TrainConfig


class RecipeName(StrEnum):
    """Where optimiser, schedule and sizes come from."""

    OWN = "own"
    PUBLISHED = "published"


Share = Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the texts of an epoch, without marks and capitals.")]
Average = Annotated[float, typer.Option(min=0.0, max=0.9999, help="Decay of the average of the weights; 0: none.")]
Balance = Annotated[float, typer.Option(min=0.0, help="Favour rare labels: 0 not at all, 1 as if all were alike.")]
Patience = Annotated[int, typer.Option(min=1, help="Epochs without a better score on dev before it ends.")]
Batch = Annotated[int, typer.Option(min=1, help="Utterances per step, in whole dialogues.")]
Rate = Annotated[float, typer.Option(min=0.0, help="Highest learning rate of the network.")]
TextRate = Annotated[float, typer.Option(min=0.0, help="Highest learning rate of the text encoder.")]
Tune = Annotated[bool, typer.Option("--tune-text", help="Train the text encoder together with the network.")]
Options = Annotated[
    Path | None,
    typer.Option(help="What `erc-live tune` found, for network, sizes, rate, batch, balance, average.", metavar="FILE"),
]
Recipes = Annotated[
    RecipeName, typer.Option("--recipe", help="Optimiser, schedule and sizes: ours, or those of the network's release.")
]
DECIDED = ("patience", "batch", "balance", "average", "unpunctuated", "options")  # by a release, if it is asked for
Force = Annotated[bool, typer.Option("--force", help="Replace weights that --out holds.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what --out holds of the same run.")]


def train(
    context: typer.Context,
    corpus: Corpora,
    network: Network = "dialogue_graph",
    into: Out = None,
    sizes: Sizes = None,
    modalities: Modalities = "tav",
    seeds: Seeds = "1",
    epochs: Annotated[int, typer.Option(min=1, help="At most.")] = 100,
    patience: Patience = 12,
    batch: Batch = 64,
    rate: Rate = 1e-3,
    tune_text: Tune = False,
    text_rate: TextRate = 5e-5,
    folds: Folds = 0,
    balance: Balance = 0.5,
    average: Average = 0.99,
    unpunctuated: Share = 0.1,
    start: Start = None,
    compose: Compose = None,
    encoder: Encoder = None,
    options: Options = None,
    recipe: Recipes = RecipeName.OWN,
    processes: Processes = 1,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Train a network on a corpus; epoch, seed, temperature and threshold are chosen on its dev split.

    With --folds, each fold is scored by weights that never saw it, after the epoch that was best on the other folds.
    Then every seed learns from all of it, and they answer together, at so many times the cost of a step.

    Ctrl-C ends a run at any time, and the same command with --resume goes on. Under torchrun it uses several processes.
    """
    from erc_live.models.training.augment import Disturbance
    from erc_live.models.training.graph_config import TrainConfig

    config = TrainConfig(
        network=network,
        sizes=size_values(sizes),
        seeds=seed_numbers(seeds),
        modalities=modality_names(modalities),
        start=start,
        epochs=epochs,
        patience=patience,
        batch_utterances=batch,
        rate=rate,
        tune_text=tune_text,
        text_rate=text_rate,
        folds=folds,
        ema=average,
        balance=balance,
        disturbance=Disturbance(unpunctuated=unpunctuated),
    )
    config, search = (config, None) if options is None else _tuned(options, config)
    folder = into or own_weights(config.network)
    if (folder / CARD).exists() and not (resume or force):
        raise ConfigError(f"{folder} holds weights: name another --out, --force to replace them, or --resume")
    published = _typed(context) if recipe is RecipeName.PUBLISHED else None
    _run(_Asked(tuple(corpus), tuple(compose or ()), encoder, processes, folder, resume, published, search), config)


def _typed(context: typer.Context) -> tuple[str, ...]:
    """What a person may set beside a release. Raises ConfigError for what the release decides."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    typed = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if decided := [name for name in typed if name in DECIDED]:
        raise ConfigError(f"--recipe published: the release decides on --{decided[0]}: leave one of them out")
    return tuple(name for name in typed if name in ("epochs", "rate"))


def _tuned(options: Path, config: "TrainConfig") -> "tuple[TrainConfig, dict[str, Any]]":
    """The options of a search, but for how long to train, on what, and with which text encoder; and how it chose."""
    from erc_live.live.commands.tune import read_options

    tuned, search = read_options(options)
    asked = ("seeds", "modalities", "start", "epochs", "patience", "tune_text", "text_rate", "folds")
    return replace(tuned, **{name: getattr(config, name) for name in asked}), search


@dataclass(frozen=True)
class _Asked:
    """What a person asked for besides how to train; `published` is what was set beside a release, None: our recipe;
    `search` how the options were chosen, for the card.
    """

    corpora: tuple[Path, ...]
    compose: tuple[str, ...]
    encoder: Path | None
    processes: int
    out: Path
    resume: bool
    published: tuple[str, ...] | None
    search: dict[str, Any] | None


def _run(asked: _Asked, config: "TrainConfig") -> None:
    from erc_live.live.commands.curves import print_precision, watched
    from erc_live.live.commands.datasets import dialogue_dataset, text_folder
    from erc_live.models.training.graph_config import Run
    from erc_live.models.training.graph_folds import already_learnt, train_folds
    from erc_live.models.training.graph_training import train_graph
    from erc_live.models.training.published import as_published
    from erc_live.models.training.ratings import few_ratings

    check_network(config.network, config.sizes)
    data = dialogue_dataset(asked.corpora, config.start, asked.compose, asked.processes)
    encoder = text_folder(asked.encoder, config.start)
    notes = [*data.check(), *few_ratings(data.train), *(already_learnt(data, encoder) if config.folds else [])]
    for note in notes:
        err.print(f"warning: {note}", style="yellow", markup=False, soft_wrap=True)
    if asked.published is not None:
        config = as_published(config, data, asked.published)
    command = " ".join(["erc-live", *sys.argv[1:]])
    seeds = len(config.seeds)
    runs = seeds * (config.folds + 1)
    if config.folds:  # with a tuned encoder one seed stays; else the first seed tries how many epochs are right
        runs += 1 - seeds if config.tune_text else config.folds
    advice = f"the same command with --resume goes on in {asked.out}"
    if config.tune_text:
        print_precision()
    with watched(runs * config.epochs, advice) as curves:
        into = Run(asked.out, cache_folder(), command, asked.resume, curves, asked.search)
        trained = (train_folds if config.folds else train_graph)(data, encoder, config, into)
    summary = _folds_summary(trained.card) if config.folds else _summary(trained.card)
    out.print(f"{asked.out}: {summary}", markup=False, highlight=False, soft_wrap=True)
    if advice := _other_epochs(trained.card, config):
        print_line(advice)


def _other_epochs(card: "Card", config: "TrainConfig") -> str:
    """What to tell who trained for too few epochs or too many; nothing if they seem to have been right."""
    from erc_live.models.training.learning_curve import fell_since, still_rising

    if "epochs" in card.scores.get("folds", {}):
        last = card.scores["folds"]["epochs"]["chosen"] == config.epochs
        return f"the folds were best after the last epoch: --epochs {2 * config.epochs} may do better" if last else ""
    curve: list[float] = card.scores["folds"]["curve"] if config.folds else []
    if still_rising(curve):
        return f"the folds still got better when training ended: --epochs {2 * config.epochs} may do better"
    if epoch := fell_since(curve):
        return (
            f"the folds were best after epoch {epoch} ({curve[epoch - 1]:.4f}) and got worse to {curve[-1]:.4f}: fewer "
            "--epochs may do better, or what `erc-live tune --folds` finds"
        )
    if not config.folds and card.training["epoch"] == config.epochs:
        return f"its best epoch was the last: dev may rise further with more than --epochs {config.epochs}"
    return ""


def _folds_summary(card: "Card") -> str:
    """The scores of the recipe on all that is labelled: of what is kept, and of each seed alone."""
    found = card.scores["folds"]
    low, high = found["interval"]
    together = f", {card.members} seeds together" if card.members > 1 else ""
    scored = (
        f"folds, {counted(found['utterances'], 'utterance')}{together}: W-F1 {found['weighted_f1']:.4f} "
        f"(95 % over dialogues {low:.4f} to {high:.4f}), macro-F1 {found['macro_f1']:.4f}, calibration error "
        f"{found['calibration']['error']:.4f}{_ended(found)}"
    )
    alone = [
        f"{title} {each['mean']:.4f} ± {each['sd']:.4f}"
        for name, title in (("weighted_f1", "W-F1"), ("macro_f1", "macro-F1"))
        for each in [found["seeds"][name]]
        if each["sd"] is not None
    ]
    scored += _dimensions(found)
    return f"{scored}; a seed alone: {', '.join(alone)}" if alone else scored


def _ended(folds: Mapping[str, Any]) -> str:
    """How many epochs the folds chose, if they did."""
    return f", after {counted(folds['epochs']['chosen'], 'epoch')}" if "epochs" in folds else ""


def _summary(card: "Card") -> str:
    """The scores on dev: of the weights that were kept, and how far the seeds are apart."""
    dev, seeds = card.scores["dev"], card.training["seeds"]["weighted_f1"]
    kept = f"dev W-F1 {dev['weighted_f1']:.4f}, macro-F1 {dev['macro_f1']:.4f}{_dimensions(dev)}"
    if seeds["sd"] is None:
        return kept
    several = f"{len(seeds['by_seed'])} seeds {seeds['mean']:.4f} ± {seeds['sd']:.4f}"
    return f"{kept} (seed {card.training['seed']}); {several}"


def _dimensions(scores: Mapping[str, Any]) -> str:
    """How well the dimensions that were learnt agree with the ratings; nothing where none was."""
    return "".join(
        f", {name} CCC {one['ccc']:.4f} (95 % {one['interval'][0]:.4f} to {one['interval'][1]:.4f})"
        for name, one in scores.get("dimensions", {}).items()
    )

"""`erc-live tune`: search for better options of a network, for as long as one likes.

With folds, a setting is scored on all that is labelled, in train and dev, each answer by a run that did not learn from
its dialogue; the usual options are tried first, and stand until others are better beyond luck
(`models/training/setting_choice.py`). Without, dev chooses the best, which on a small dev is partly the luckiest.

The study is a folder: a journal of all trials, the chosen options as JSON, and the run that is going on. Ctrl-C ends it
at any time; the same command goes on, and a trial that was broken off goes on from its last epoch.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from erc_live.live.commands.options import (
    Compose,
    Corpora,
    Encoder,
    Modalities,
    Network,
    Processes,
    Seeds,
    check_network,
    modality_names,
    seed_numbers,
)
from erc_live.live.errors import ConfigError
from erc_live.live.screen.console import err, print_line
from erc_live.streams.plural import counted

if TYPE_CHECKING:
    from erc_live.models.training.dialogue_dataset import DialogueDataset
    from erc_live.models.training.graph_config import TrainConfig

INTERRUPTED = 130  # as shells count it
SMALL = 10_000  # labelled utterances; of fewer, luck moves a score by more than most options do


def tune(
    corpus: Corpora,
    into: Annotated[Path, typer.Option("--out", help="Folder of the study; one that is there is gone on with.")],
    network: Network = "dialogue_graph",
    trials: Annotated[int, typer.Option(min=1, help="How many in all, earlier ones included.")] = 40,
    modalities: Modalities = "tav",
    seeds: Seeds = "1",
    epochs: Annotated[int, typer.Option(min=1, help="Of each trial and seed; without --folds at most.")] = 15,
    folds: Annotated[
        int, typer.Option(min=0, help="Choose on so many folds of train and dev together. 0: dev chooses.")
    ] = 0,
    compose: Compose = None,
    encoder: Encoder = None,
    processes: Processes = 1,
) -> None:
    """Search for better options of a network, on dev or, with --folds, on all that is labelled.

    With --folds the usual options are tried first, and others are chosen only where they are better beyond luck.

    Ctrl-C ends it, the same command goes on.
    """
    from erc_live.live.commands.datasets import dialogue_dataset, text_folder
    from erc_live.live.commands.tune_search import Search, open_study, require_optuna
    from erc_live.models.training.graph_config import TrainConfig

    base = TrainConfig(
        network=network,
        seeds=seed_numbers(seeds),
        modalities=modality_names(modalities),
        epochs=epochs,
        patience=None if folds else max(2, epochs // 3),
        folds=folds,
    )
    require_optuna()
    check_network(network, {})
    data = dialogue_dataset(corpus, None, compose or [], processes)
    text = text_folder(encoder, None)
    utterances = _utterances(data, text, base)
    search = Search(open_study(into, base, data, text), data, text, base, into, utterances)
    _warn(data, text, base, utterances)
    try:
        search.run(trials)
    except KeyboardInterrupt:
        err.print(f"stopped after {counted(search.done, 'trial')}: the same command goes on in {into}", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    search.show()


def _utterances(data: "DialogueDataset", encoder: Path, base: "TrainConfig") -> int:
    """How many labelled ones choose. Raises CorpusError where there are none, or too few groups for the folds."""
    from erc_live.models.training.graph_folds import fold_parts

    data = data.only(base.modalities)
    scored = data.dev
    if base.folds:
        parts = fold_parts(data, encoder, base.folds)
        scored = [example for example in (*data.train, *data.dev) if example.group in parts]
    return sum(int((example.labels >= 0).sum()) for example in scored)


def _warn(data: "DialogueDataset", encoder: Path, base: "TrainConfig", utterances: int) -> None:
    """Say what will make the choice worse than it seems."""
    from erc_live.models.training.graph_folds import already_learnt

    notes = [*data.check(), *(already_learnt(data, encoder) if base.folds else [])]
    if not base.folds and utterances < SMALL:
        notes.append(
            f"dev chooses by {utterances:,} labelled utterances, and under {SMALL:,} the best of many trials is partly "
            "the luckiest: --folds 5 chooses by train and dev together, and tells luck from gain"
        )
    for note in notes:
        err.print(f"warning: {note}", style="yellow", soft_wrap=True)
    if base.folds:
        each = base.folds * len(base.seeds) * base.epochs
        parts = ((base.folds, "fold"), (len(base.seeds), "seed"), (base.epochs, "epoch"))
        print_line(f"each trial: {' x '.join(counted(*part) for part in parts)} = {counted(each, 'epoch')}")


def read_options(path: Path) -> "tuple[TrainConfig, dict[str, Any]]":
    """The options that a study chose, as `tune` writes them, and how it chose them, for the card.

    Raises:
        ConfigError: the file is not there, or nothing that `tune` wrote.
    """
    from erc_live.models.training.graph_config import TrainConfig

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(content["config"], TrainConfig), dict(content.get("search", {}))
    except OSError as error:
        raise ConfigError(f"--options {path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"--options {path}: not a file that `erc-live tune` wrote ({error})") from error

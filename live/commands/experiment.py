"""`erc-live experiment table`: train and score every network on dev, and write down what each part is worth."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erc_live.live.commands.baseline import baseline
from erc_live.live.commands.experiment_attention import experiment_attention
from erc_live.live.commands.options import Compose, Corpus, Encoder, Processes, check_network, seed_numbers
from erc_live.live.commands.places import cache_folder
from erc_live.live.screen.console import err, out, print_line
from erc_live.live.screen.progress import counting
from erc_live.streams.plural import counted

if TYPE_CHECKING:
    from erc_live.models.training.ablation import Bench, Cell, Outcome
    from erc_live.models.training.ablation_tables import Table
    from erc_live.models.training.graph_config import Report, TrainConfig

experiment_app = typer.Typer(help="Experiments that anybody can repeat.", no_args_is_help=True)
experiment_app.command("baseline")(baseline)
experiment_app.command("attention")(experiment_attention)

MARKDOWN, JSON = "table.md", "table.json"
QUICK_EPOCHS = 3
INTERRUPTED = 130  # as shells count it
EPOCHS, PATIENCE = 15, 4  # enough for all networks on MELD, and a night on two cores


@experiment_app.command("table")
def experiment_table(
    corpus: Corpus,
    into: Annotated[Path, typer.Option("--out", help="Folder of the table; with an earlier one in it, it goes on.")],
    quick: Annotated[bool, typer.Option("--quick", help="Minutes: one seed, few epochs, narrow networks.")] = False,
    seeds: Annotated[str, typer.Option(help="How many (5: 0 to 4), or which (0,3,7).", metavar="N|N,N,...")] = "5",
    epochs: Annotated[int, typer.Option(min=1, help="At most.")] = EPOCHS,
    networks: Annotated[
        list[str] | None, typer.Option("--network", help="Only this network; may be given again.")
    ] = None,
    compose: Compose = None,
    encoder: Encoder = None,
    processes: Processes = 1,
) -> None:
    """Five networks, causal and two-sided, with every subset of the modalities; the default one block by block; and
    what causality costs. All scores are of dev. Ctrl-C ends it at any time, and the same command goes on.
    """
    from erc_live.live.commands.datasets import dialogue_dataset, text_folder
    from erc_live.models.training.ablation import Bench, plan
    from erc_live.models.training.ablation_tables import table

    for network in networks or ():
        check_network(network, {})
    base = _base(quick, seeds, epochs)
    data = dialogue_dataset([corpus], None, compose or (), processes)
    for note in data.check():
        err.print(f"warning: {note}", style="yellow", markup=False, soft_wrap=True)
    command = " ".join(["erc-live", *sys.argv[1:]])
    bench = Bench(data, text_folder(encoder, None), into, cache_folder(), command)
    cells = [cell for cell in plan(data.modalities(), base, quick) if not networks or cell.config.network in networks]
    print_line(_cost(bench, cells))
    header = _header(bench, base, quick)
    found: list[Outcome] = []
    failed: dict[str, str] = {}
    try:
        for cell, outcome in _run(bench, cells):
            if isinstance(outcome, str):
                failed[cell.name] = outcome
            else:
                found.append(outcome)
            _write(into, table(header, found, failed))
    except KeyboardInterrupt:
        done = f"{len(found)} of {len(cells)} cells"
        err.print(f"stopped after {done}: the same command goes on in {into}", markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    out.print((into / MARKDOWN).read_text(encoding="utf-8"), markup=False, highlight=False, soft_wrap=True)
    err.print(f"written: {into / MARKDOWN} and {into / JSON}", markup=False, soft_wrap=True)


def _base(quick: bool, seeds: str, epochs: int) -> "TrainConfig":
    from erc_live.models.training.graph_config import TrainConfig

    if quick:
        return TrainConfig(seeds=(0,), epochs=min(epochs, QUICK_EPOCHS), patience=QUICK_EPOCHS)
    return TrainConfig(seeds=seed_numbers(seeds), epochs=epochs, patience=PATIENCE)


def _cost(bench: "Bench", cells: "Sequence[Cell]") -> str:
    """What the table will take, before it takes it; how long that is the bar says, once a cell is trained."""
    left = [cell for cell in cells if not bench.done(cell)]
    runs = sum(len(cell.config.seeds) for cell in left)
    epochs = sum(len(cell.config.seeds) * cell.config.epochs for cell in left)
    most = f"{counted(runs, 'run')}, at most {counted(epochs, 'epoch')}"
    return f"{counted(len(cells), 'cell')}, {len(left)} of them to train: {most}"


def _header(bench: "Bench", base: "TrainConfig", quick: bool) -> list[str]:
    """What the figures are of, and what was made smaller so that they were found in this life."""
    from erc_live.models.encoders.text import fingerprint
    from erc_live.models.training.ablation import QUICK, RATES, REDUCED

    data = bench.dataset
    scored = sum(int((example.labels >= 0).sum()) for example in data.dev)
    made_smaller = [
        f"{network} has {', '.join(f'{key} {value}' for key, value in sizes.items())}"
        for network, sizes in (QUICK if quick else REDUCED).items()
    ]
    lines = [
        f"Weighted F1 on dev of {' and '.join(data.corpora)} ({scored:,} labelled utterances in {len(data.dev):,} "
        f"dialogues, {len(data.labels)} labels), mean ± standard deviation of {len(base.seeds)} seeds; the epoch is "
        f"chosen on the same dev. Causal networks by step, one utterance at a time; two-sided ones hear the dialogue.",
        f"At most {base.epochs} epochs, patience {base.patience}; rates {base.rate:g} of the default network, "
        f"{', '.join(f'{rate:g} of {network}' for network, rate in RATES.items())}, as published. "
        f"Text vectors of encoder {fingerprint(bench.encoder)}, the same for all.",
        f"Smaller than published: {'; '.join(made_smaller)}.",
    ]
    if data.composition is not None:
        lines.append("Voices and faces are composed of other corpora; see the card of the default weights.")
    if quick:
        lines.insert(
            0, "**A quick look: one seed, few epochs, narrow networks. It shows that all works, not which is best.**"
        )
    return [*lines, f"`{bench.command}`"]


def _run(bench: "Bench", cells: "Sequence[Cell]") -> "Iterator[tuple[Cell, Outcome | str]]":
    """Cell by cell, what it reached, or why it could not be trained: the others go on."""
    from erc_live.models.errors import WeightsError
    from erc_live.models.training.ablation import run_cell
    from erc_live.models.training.trainer import EpochDone

    with counting() as shown:
        every = shown.add_task("cells", total=len(cells))
        one = shown.add_task("")
        for cell in cells:
            seeds, epochs = len(cell.config.seeds), cell.config.epochs
            shown.reset(one, description=cell.name, total=seeds * epochs)

            def show(report: "Report", cell: "Cell" = cell, epochs: int = epochs) -> None:
                if isinstance(report, EpochDone):
                    place = cell.config.seeds.index(report.seed) * epochs + report.epoch + 1
                    shown.update(one, completed=place)

            try:
                yield cell, run_cell(bench, cell, show)
            except WeightsError as error:
                yield cell, str(error)
            shown.advance(every)


def _write(folder: Path, rows: "Table") -> None:
    from erc_live.models.files import whole
    from erc_live.models.training.ablation_tables import as_json, as_markdown

    with whole(folder / MARKDOWN) as part:
        part.write_text(as_markdown(rows), encoding="utf-8")
    with whole(folder / JSON) as part:
        part.write_text(json.dumps(as_json(rows), indent=2) + "\n", encoding="utf-8")

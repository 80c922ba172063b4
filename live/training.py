"""`erc-live train`, `evaluate` and `bench model`: the options, a progress bar, and the result as a table."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import platformdirs
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from erc_live.live import config as configuration
from erc_live.live.errors import ConfigError
from erc_live.live.fetch import models_folder

out = Console()
err = Console(stderr=True)

Corpus = Annotated[Path, typer.Option(help="Folder of a corpus: MELD's csv files, or dialogues as JSON lines.")]
Encoder = Annotated[Path | None, typer.Option(help="Folder of the text encoder. Default: the fetched minilm.")]


def train(
    corpus: Corpus,
    network: Annotated[
        str, typer.Option(help="dialogue_graph, multiemo, vuemo, hgf_milag or safsd_glnet.")
    ] = "dialogue_graph",
    into: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the weights and their card. Default: where --network finds them."),
    ] = None,
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", help="Of the network, e.g. width=64 or causal=true.", metavar="KEY=VALUE"),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds; the one that is best on dev is kept.", metavar="N,N,...")] = "0",
    epochs: Annotated[int, typer.Option(min=1)] = 4,
    batch: Annotated[int, typer.Option(min=1, help="Utterances per step, in whole dialogues.")] = 48,
    rate: Annotated[float, typer.Option(help="Highest learning rate of the dialogue graph.")] = 1e-3,
    adapter: Annotated[str | None, typer.Option(help="Go on from the adapter of these weights.")] = None,
    adapter_rank: Annotated[int, typer.Option(min=0, help="Rank of the text adapter; 0 leaves it as it is.")] = 16,
    adapter_rate: Annotated[float, typer.Option(help="Highest learning rate of the text adapter.")] = 1e-3,
    encoder: Encoder = None,
) -> None:
    """Train the dialogue graph and the text adapter on a corpus; epoch and seed are chosen on its dev split."""
    from erc_live.models.training.train import Epoch, TrainConfig
    from erc_live.models.training.train import train as run

    config = TrainConfig(
        network=network,
        sizes=_sizes(sizes or []),
        seeds=_numbers(seeds),
        adapter=adapter,
        epochs=epochs,
        batch_utterances=batch,
        learning_rate=rate,
        adapter_rank=adapter_rank,
        adapter_learning_rate=adapter_rate,
    )
    with _bar() as bar:
        task = bar.add_task("training", total=len(config.seeds) * config.epochs)

        def show(epoch: Epoch) -> None:
            where, score = f"seed {epoch.seed}  epoch {epoch.epoch + 1}", f"dev W-F1 {epoch.dev_weighted_f1:.4f}"
            bar.console.print(f"{where}  loss {epoch.loss:.4f}  {score}")
            bar.advance(task)

        command = " ".join(["erc-live", *sys.argv[1:]])
        folder = into or own_weights(network)
        checkpoint = run(corpus, encoder or _encoder(), folder, config, command, show)
    out.print(f"{folder}: dev W-F1 {checkpoint.card.scores['dev']['weighted_f1']:.4f}")


def own_weights(network: str) -> Path:
    """Where weights that were trained here lie, so that `--network` finds them."""
    return platformdirs.user_data_path("erc-live") / "networks" / network


def evaluate(
    corpus: Corpus,
    split: Annotated[str, typer.Option(help="Split of the corpus.")] = "dev",
    weights: Annotated[str, typer.Option(help="default, or a folder that `erc-live train` wrote.")] = "default",
    hide: Annotated[list[str] | None, typer.Option(help="Leave out a modality: text, audio or visual.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    encoder: Encoder = None,
) -> None:
    """Score weights as they are used live: one utterance at a time, from the past alone."""
    from erc_live.models.training.evaluate import evaluate as run

    with _bar() as bar:
        task = bar.add_task("dialogues")
        scores = run(
            corpus,
            split,
            encoder or _encoder(),
            weights,
            hide or [],
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        out.print_json(data=asdict(scores))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("label")
    table.add_column("F1", justify="right")
    for label, f1 in scores.f1.items():
        table.add_row(label, f"{f1:.3f}")
    out.print(table)
    out.print(
        f"{scores.utterances} utterances: W-F1 {scores.weighted_f1:.4f}, macro-F1 {scores.macro_f1:.4f}, "
        f"accuracy {scores.accuracy:.4f}, calibration error {scores.calibration_error:.4f}"
    )


def bench_model(
    network: Annotated[list[str] | None, typer.Option("--network", help="Default: dialogue_graph.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    short: Annotated[bool, typer.Option("--short", help="Only show that all works.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw time over length into this SVG.", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What networks cost: time per utterance, memory per dialogue, dialogues per machine."""
    from erc_live.live import bench
    from erc_live.live.bench_report import render, svg

    lengths = bench.LENGTHS[:2] if short else bench.LENGTHS
    effort = bench.SHORT if short else bench.FULL
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=err, transient=True
    ) as bar:
        task = bar.add_task("building", total=None)  # what it takes depends on the machine that it measures
        report = bench.bench_model(
            network or ["dialogue_graph"],
            lengths,
            device,
            lambda what: bar.update(task, description=what),
            effort,
        )
    if plot:
        plot.write_text(svg(report), encoding="utf-8")
    if as_json:
        out.print_json(data=report.plain())
    else:
        out.print(render(report))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--seeds {text}: write whole numbers with commas between them, such as 0,1,2") from error


def _sizes(items: list[str]) -> dict[str, Any]:
    """KEY=VALUE with a JSON value."""
    try:
        return {key: json.loads(value) for key, _, value in (item.partition("=") for item in items)}
    except ValueError as error:
        raise ConfigError(f"--size {' '.join(items)}: write KEY=VALUE with a number, true or false") from error


def _encoder() -> Path:
    return models_folder(configuration.load().config.models) / "minilm"


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )

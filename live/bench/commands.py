"""`erc-live bench`: the options, what is being measured now, and the result as a table."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

out = Console()
err = Console(stderr=True)


def bench_model(
    network: Annotated[list[str] | None, typer.Option("--network", help="Default: dialogue_graph.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    short: Annotated[bool, typer.Option("--short", help="Only show that all works.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw time over length into this SVG.", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What networks cost: time per utterance, memory per dialogue, dialogues per machine."""
    from erc_live.live.bench import model as bench
    from erc_live.live.bench.model_report import render, svg

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

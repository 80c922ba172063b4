"""`erc-live models`: the weights that are used and not shipped: list, fetch, verify."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TaskID
from rich.table import Table
from rich.text import Text

from erc_live.live import config as configuration
from erc_live.live.commands.session_options import ConfigFile, Sets
from erc_live.live.screen.console import out
from erc_live.live.screen.progress import downloading
from erc_live.live.session.needs import Need, fetch_all, needs
from erc_live.live.session.weight_cache import models_folder, rows
from erc_live.models.errors import WeightsError
from erc_live.models.weights import verify
from erc_live.streams.plural import counted

models_app = typer.Typer(
    help="Weights that erc-live uses and does not ship: list, fetch, verify.", no_args_is_help=True
)


@models_app.command("list")
def models_list(config: ConfigFile = None, sets: Sets = None) -> None:
    """What there is, what it is for, and whether it is on this machine."""
    folder = models_folder(configuration.load(config, sets or []).config.models)
    table = Table(box=None, pad_edge=False)
    for title in ("name", "MB", "here", "licence", "purpose"):
        table.add_column(title, justify="right" if title == "MB" else "left")
    for row in rows(folder):
        here = "yes" if row.folder else "no"
        table.add_row(row.weight.name, f"{row.weight.size / 1e6:.0f}", here, row.weight.licence, row.weight.purpose)
    out.print(table)
    out.print(f"folder: {folder}", soft_wrap=True)


@models_app.command("fetch")
def models_fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="As `erc-live models list` names them. Default: what this machine needs for its configuration.",
            metavar="[NAME...]",
        ),
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Fetch weights from where they are published, and check every byte."""
    loaded = configuration.load(config, sets or []).config
    wanted = [Need((name,)) for name in names] if names else needs(loaded)
    for folder in _fetch(wanted, models_folder(loaded.models)):
        out.print(str(folder), soft_wrap=True)


def _fetch(wanted: Sequence[Need], folder: Path) -> list[Path]:
    """Fetch weights and show how far each file is. Raises WeightsError."""
    with downloading() as progress:
        bars: dict[str, TaskID] = {}

        def show(file: str, done: int, total: int) -> None:
            if file not in bars:
                bars[file] = progress.add_task(file, total=total)
            progress.update(bars[file], completed=done)

        def notify(line: str) -> None:
            progress.console.print(Text(line), soft_wrap=True)
            for bar in bars.values():  # what follows has bars of its own
                progress.remove_task(bar)
            bars.clear()

        return fetch_all(wanted, folder, show, notify)


@models_app.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Default: all that are here.", metavar="[NAME...]")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Compare fetched weights with their published digests."""
    folder = models_folder(configuration.load(config, sets or []).config.models)
    problems: list[str] = []
    for name in names or [row.weight.name for row in rows(folder) if row.folder]:
        found = verify(name, folder)
        out.print(f"{name}: {'; '.join(found) or 'right'}", soft_wrap=True)
        problems += found
    if problems:
        raise WeightsError(f"{counted(len(problems), 'file')} wrong; `erc-live models fetch NAME` fetches anew")

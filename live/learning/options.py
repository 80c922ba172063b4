"""What the commands of training share: options, the progress bar, where weights lie."""

from pathlib import Path
from typing import Annotated

import platformdirs
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from erc_live.live import config as configuration
from erc_live.live.fetch import models_folder

out = Console()
err = Console(stderr=True)

Corpus = Annotated[Path, typer.Option(help="Folder of a corpus: MELD's csv files, or dialogues as JSON lines.")]
Encoder = Annotated[Path | None, typer.Option(help="Folder of the text encoder. Default: the fetched minilm.")]


def own_weights(network: str) -> Path:
    """Where weights that were trained here lie, so that `--network` finds them."""
    return platformdirs.user_data_path("erc-live") / "networks" / network


def encoder_folder() -> Path:
    """Where the fetched text encoder lies."""
    return models_folder(configuration.load().config.models) / "minilm"


def bar() -> Progress:
    """A bar that counts, on standard error, and goes away."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )

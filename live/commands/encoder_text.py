"""`erc-live encoder train text`: the corpora on disk, live curves."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erc_live.live.commands.options import Corpora, seed_numbers
from erc_live.live.commands.places import encoder_folder
from erc_live.live.screen.console import out
from erc_live.models.card import PRETRAINED
from erc_live.models.errors import WeightsError

if TYPE_CHECKING:
    from erc_live.models.encoders.text import TextEncoder


def train(
    corpus: Corpora,
    into: Annotated[Path, typer.Option("--out", help="Folder for the encoder, packed, and its card.")],
    start: Annotated[
        str,
        typer.Option(
            help="minilm, default (the shipped one), the folder of an encoder, or its name on the Hugging Face hub."
        ),
    ] = "minilm",
    epochs: Annotated[int, typer.Option(min=1)] = 1,
    rate: Annotated[float, typer.Option(min=0.0, help="Highest learning rate of the encoder.")] = 1e-4,
    balance: Annotated[
        float, typer.Option(min=0.0, help="Favour rare labels: 0 not at all, 1 as if all were alike.")
    ] = 0.0,
    pseudo_labels: Annotated[
        str | None,
        typer.Option(help="A file that `erc-live predict` wrote: its estimates are learnt too.", metavar="FILE"),
    ] = None,
    seeds: Annotated[str, typer.Option(help="How many, or which (0,3,7); their mean is kept.", metavar="N")] = "1",
) -> None:
    """Train what reads words, all of it, to tell the labels of utterances.

    A run that was interrupted goes on when the same command is given again.
    """
    from erc_live.live.commands.curves import print_precision, watched
    from erc_live.models.corpora import read
    from erc_live.models.training.text_task import PARTS, TextTraining, train_text

    corpora = [(read(path, "train"), read(path, "dev")) for path in corpus]
    config = TextTraining(seed_numbers(seeds), epochs, rate=rate, balance=balance, pseudo_labels=pseudo_labels)
    about = {"command": " ".join(["erc-live", *sys.argv[1:]])}
    print_precision()
    with watched(len(config.seeds) * epochs * PARTS, f"the same command goes on in {into}", PARTS) as curves:
        encoder = train_text(corpora, open_encoder(start), into, config, about, curves)
    out.print(f"{into}: encoder {encoder.fingerprint} written", markup=False, soft_wrap=True)


def open_encoder(choice: str) -> "TextEncoder":
    """An encoder by what a person calls it: minilm (fetched), default (shipped), a folder, or a name on the Hugging
    Face hub.

    Raises:
        WeightsError: it is not there, or cannot be read.
    """
    from erc_live.models.encoders.text import TextEncoder

    if Path(choice).is_dir():
        return TextEncoder.load(Path(choice))
    if choice == "default":
        return TextEncoder.load(PRETRAINED / "text")
    if choice != "minilm":
        return TextEncoder.named(choice)
    if not encoder_folder().is_dir():
        raise WeightsError("minilm is not on this disk; fetch it with: erc-live models fetch minilm")
    return TextEncoder.load(encoder_folder())

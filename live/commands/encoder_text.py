"""`erc-live encoder train text`: the corpora on disk, live curves."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erc_live.live.commands.options import Corpora, Folds, seed_numbers
from erc_live.live.commands.places import encoder_folder
from erc_live.live.errors import ConfigError
from erc_live.live.screen.console import out
from erc_live.models import card as cards
from erc_live.models.card import CARD, SHIPPED
from erc_live.models.errors import WeightsError
from erc_live.streams.plural import counted

FETCHED = ("minilm", "mpnet")

if TYPE_CHECKING:
    from erc_live.models.encoders.text import TextEncoder


def train(
    corpus: Corpora,
    into: Annotated[Path, typer.Option("--out", help="Folder for the encoder, packed, and its card.")],
    start: Annotated[
        str,
        typer.Option(
            help="minilm, mpnet, default or large (the shipped ones), the folder of an encoder, or its name on the "
            "Hugging Face hub."
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
    folds: Folds = 0,
    bits: Annotated[int, typer.Option(help="Of a weight that is written: 8, or 4 for a large encoder.")] = 8,
) -> None:
    """Train what reads words, all of it, to tell the labels of utterances.

    A run that was interrupted goes on when the same command is given again.
    """
    from erc_live.live.commands.curves import print_precision, watched
    from erc_live.models.corpora import read
    from erc_live.models.training.text_task import PARTS, TextTraining, train_text

    if folds and len(seed_numbers(seeds)) > 1:
        raise ConfigError(
            f"--seeds {seeds}: with --folds each fold is a run of one seed, which may be named: --seeds 3,"
        )
    if bits not in (4, 8):
        raise ConfigError(f"--bits {bits}: give 8 or 4")
    corpora = [(read(path, "train"), read(path, "dev")) for path in corpus]
    config = TextTraining(
        seed_numbers(seeds), folds, epochs, rate=rate, balance=balance, pseudo_labels=pseudo_labels, bits=bits
    )
    about = {"command": " ".join(["erc-live", *sys.argv[1:]])}
    print_precision()
    with watched((folds or len(config.seeds)) * epochs * PARTS, f"the same command goes on in {into}", PARTS) as curves:
        encoder = train_text(corpora, open_encoder(start), into, config, about, curves)
    for line in [f"{into}: encoder {encoder.fingerprint} written", *_summary(into)]:
        out.print(line, markup=False, soft_wrap=True)


def _summary(folder: Path) -> list[str]:
    """What the card says of its scores: a line for each corpus."""
    found = json.loads((folder / CARD).read_text(encoding="utf-8"))["scores"]
    if "folds" not in found:
        return [f"dev of {corpus}: {_score(one)}" for corpus, one in found["dev"].items()]
    lines = [f"folds: {_score(found['folds'])}"]
    for corpus, one in found["folds"].get("beside", {}).items():
        written = f"; as they were written {_score(one['as_written'])}" if "as_written" in one else ""
        lines.append(f"dialogues of {corpus} that the folds leave out: {_score(one)}{written}")
    return lines


def _score(one: Mapping[str, Any]) -> str:
    return f"{counted(one['utterances'], 'utterance')}, W-F1 {one['weighted_f1']:.4f}, macro-F1 {one['macro_f1']:.4f}"


def open_encoder(choice: str) -> "TextEncoder":
    """An encoder by what a person calls it: minilm or mpnet (fetched), default or large (shipped), a folder, or a name
    on the Hugging Face hub.

    Raises:
        WeightsError: it is not there, or cannot be read.
    """
    from erc_live.models.encoders.text import TextEncoder

    if Path(choice).is_dir():
        return TextEncoder.load(Path(choice))
    if choice in SHIPPED:
        return TextEncoder.load(cards.read(choice).encoder_folder("text"))
    if choice not in FETCHED:
        return TextEncoder.named(choice)
    if not encoder_folder(choice).is_dir():
        raise WeightsError(f"{choice} is not on this disk; fetch it with: erc-live models fetch {choice}")
    return TextEncoder.load(encoder_folder(choice))

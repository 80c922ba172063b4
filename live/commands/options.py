"""Options that several commands of learning share, and what their values mean."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from erc_live.live.errors import ConfigError

LETTERS = {"t": "text", "a": "audio", "v": "visual"}
NETWORK_NAMES = ("dialogue_graph", "multiemo", "vuemo", "hgf_milag", "safsd_glnet")  # that can be trained

Corpus = Annotated[Path, typer.Option(help="Folder of a corpus, or one file of dialogues in the neutral format.")]
Corpora = Annotated[
    list[Path],
    typer.Option(
        "--corpus",
        help="Folder of a corpus, or one file of dialogues in the neutral format; KIND:DIR for the pickles of "
        "a published system (erc-live corpus --help). Of several with the same labels, the dev split of the first "
        "chooses.",
    ),
]
Encoder = Annotated[Path | None, typer.Option(help="Folder of a text encoder. Default: the shipped one.")]
Sizes = Annotated[
    list[str] | None,
    typer.Option("--size", help="Of the network, e.g. width=64 or causal=true.", metavar="KEY=VALUE"),
]
Modalities = Annotated[str, typer.Option(help="What is heard: letters of t(ext), a(udio), v(isual).")]
Processes = Annotated[int, typer.Option(min=1, help="How many measure media side by side.")]
Start = Annotated[
    str | None, typer.Option(help="Go on from these weights: default, or the folder of a run.", metavar="WEIGHTS")
]
Compose = Annotated[
    list[str] | None,
    typer.Option(help="Take voices or faces from another corpus: ravdess=DIR, ferplus=DIR.", metavar="NAME=DIR"),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for the weights and their card. Default: where --network finds them."),
]
Seeds = Annotated[str, typer.Option(help="How many (5: 0 to 4), or which (0,3,7).", metavar="N|N,N,...")]
Folds = Annotated[
    int,
    typer.Option(
        min=0,
        help="Score the recipe in so many folds of train and dev together, and keep what learns from all. "
        "0: dev chooses and scores.",
    ),
]
Network = Annotated[str, typer.Option(help=f"{', '.join(NETWORK_NAMES[:-1])} or {NETWORK_NAMES[-1]}.")]


def check_network(name: str, sizes: dict[str, Any]) -> None:
    """Whether there is such a network, and whether it has sizes of these names: known before a corpus is read.

    Raises ConfigError.
    """
    if name not in NETWORK_NAMES:
        raise ConfigError(f"--network {name}: there is no such network; choose from {', '.join(NETWORK_NAMES)}")
    if not sizes:
        return
    from erc_live.models.training.graph_task import sizes_of  # in the call: it loads torch

    known = [key for key in sizes_of(name) if key != "classes" and not key.endswith("_dim")]  # these the corpus sets
    for key in sizes:
        if key not in known:
            raise ConfigError(f"--size {key}: {name} has no such size; it has {', '.join(known)}")


def seed_numbers(text: str) -> tuple[int, ...]:
    """`5` is the five seeds 0 to 4; `0,3,7` are these, `3,` is that one. Raises ConfigError for anything else."""
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if not all(part.isdecimal() for part in parts) or text.strip() == "0":
        raise ConfigError(f"--seeds {text}: give how many there are to be, such as 5, or which, such as 0,3,7 or 3,")
    numbers = tuple(dict.fromkeys(int(part) for part in parts))
    return numbers if "," in text else tuple(range(numbers[0]))


def modality_names(letters: str) -> tuple[str, ...]:
    """`ta` is text and audio. Raises ConfigError for another letter, or none."""
    unknown = [letter for letter in letters if letter not in LETTERS]
    if unknown or not letters:
        raise ConfigError(f"--modalities {letters}: give some of the letters t (text), a (audio), v (visual)")
    return tuple(name for letter, name in LETTERS.items() if letter in letters)


def size_values(items: list[str] | None) -> dict[str, Any]:
    """KEY=VALUE with a JSON value. Raises ConfigError for another form."""
    try:
        pairs = [item.partition("=") for item in items or []]
        return {key: json.loads(value) for key, _, value in pairs}
    except ValueError as error:
        raise ConfigError(f"--size {' '.join(items or [])}: write KEY=VALUE with a number, true or false") from error

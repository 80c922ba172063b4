"""`erc-live labels`: weights for labels of one's own from example sentences, and what so many sentences are worth."""

import sys
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from erc_live.live.commands.evaluate import check_labels
from erc_live.live.commands.network_inputs import NetworkInputs
from erc_live.live.commands.options import Corpus, Encoder
from erc_live.live.commands.places import own_weights
from erc_live.live.errors import ConfigError
from erc_live.live.screen.console import out, print_line
from erc_live.models.card import CARD, PRETRAINED

if TYPE_CHECKING:
    from erc_live.models.training.anchor_scores import AnchorScores, DrawnFigure

labels_app = typer.Typer(
    help="Labels of your own from example sentences, without training: make such weights, measure what they are worth.",
    no_args_is_help=True,
)

MEANS = ("calibration_error", "certain", "right")  # columns of the table without an interval
FORBIDDEN = ("/", "\\", "..")  # in a name, which becomes a folder


@labels_app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="What `--network` calls them.", metavar="NAME")],
    source: Annotated[
        Path, typer.Option("--from", help="Example sentences: a line each, label, tab, sentence.", metavar="FILE")
    ],
    encoder: Encoder = None,
    force: Annotated[bool, typer.Option("--force", help="Replace weights of that name.")] = False,
) -> None:
    """Make weights for labels of your own: `erc-live demo --network NAME` and all sessions take them.

    Each label is the mean of its sentences; nothing is trained, and nothing says how good they are.
    """
    from erc_live.models import checkpoint
    from erc_live.models.encoders.text import TextEncoder
    from erc_live.models.training.anchors import network_of, read_anchors
    from erc_live.models.training.run_folder import TEXT, copy_encoder

    folder = own_weights(name)
    if not name.strip() or any(part in name for part in FORBIDDEN):
        raise ConfigError(f"{name!r} cannot be the name of a folder: give one without {' '.join(FORBIDDEN)}")
    if (folder / CARD).exists() and not force:
        raise ConfigError(f"{folder} holds weights: give another name, or --force to replace them")
    anchors = read_anchors(source)
    model, card = network_of(
        anchors, TextEncoder.load(encoder or PRETRAINED / TEXT), " ".join(["erc-live", *sys.argv[1:]])
    )
    folder.mkdir(parents=True, exist_ok=True)
    if encoder is not None:
        copy_encoder(encoder, folder / TEXT)
    checkpoint.save(folder, model, card)
    counts = ", ".join(f"{label} ({len(sentences)})" for label, sentences in anchors.items())
    print_line(f"{folder}: {counts}; estimated expressed emotion, from words alone and not measured", out)
    if min(map(len, anchors.values())) < 2:
        print_line("a label has a single sentence: no answer will be shown as certain; give more, and --force")
    print_line(f"try it: erc-live demo --network {name}")


@labels_app.command("measure")
def measure(
    corpus: Corpus,
    weights: Annotated[str, typer.Option(help="Trained on these labels; their encoder reads.")] = "default",
    anchors: Annotated[str, typer.Option(help="Sentences of each label.", metavar="N,N,...")] = "5,20,100",
    draws: Annotated[int, typer.Option(min=2, help="How often they are drawn from train.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Measure what labels made of so many sentences are worth: a corpus' own labels, sentences of train, scored on dev;
    beside the weights that were trained on them, words alone, and the likeliest label.
    """
    from erc_live.models import checkpoint
    from erc_live.models.corpora import is_alone, read
    from erc_live.models.errors import CorpusError
    from erc_live.models.training.anchor_scores import anchor_scores
    from erc_live.models.training.dialogue_dataset import examples, label_counts

    sizes = _sizes(anchors)
    if is_alone(corpus):
        raise CorpusError(
            f"{corpus} would be scored by sentences of its own: put it into a folder as train.jsonl, and a tenth of "
            "its dialogues is dev; give the folder"
        )
    loaded = checkpoint.load(weights)
    inputs = NetworkInputs(weights, loaded)
    train, dev = read(corpus, "train"), read(corpus, "dev")
    check_labels(dev, loaded.card.labels, weights)
    pool = examples(train, loaded.card.labels)
    counts = label_counts(pool, len(loaded.card.labels)).tolist()
    fewest, label = min(zip(counts, loaded.card.labels, strict=True))
    if 0 < fewest < max(sizes):
        print_line(
            f"warning: of {label}, train has {fewest:,} sentences; of labels with fewer than asked, all are taken"
        )
    found = anchor_scores(loaded, inputs.of(dev), pool, sizes, draws, inputs.alone)
    if as_json:
        out.print_json(data={"corpus": dev.corpus, "split": dev.name, "weights": weights, **found.plain()})
        return
    out.print(_table(found))
    print_line(
        f"{dev.corpus} {dev.name}, so many sentences of each label: the mean of {draws} draws of them, in brackets 95 "
        "% of the draws. ECE: calibration error. Certain: the share of answers that are shown as such; right: "
        f"of these. Trained: {weights}, from words alone; majority: always the likeliest label.",
        out,
    )


def _sizes(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise ConfigError(f"--anchors {text}: give numbers of sentences, such as 5,20,100")
    return tuple(dict.fromkeys(map(int, parts)))


def _table(scores: "AnchorScores") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(("sentences", "W-F1", "macro-F1", "ECE", "certain", "right")):
        table.add_column(title, justify="right" if number else "left")
    for size, row in scores.by_size.items():
        scored = (_cell(row[name]) for name in ("weighted_f1", "macro_f1"))
        means = ("-" if isnan(row[name].mean) else f"{row[name].mean:.3f}" for name in MEANS)
        table.add_row(str(size), *scored, *means)
    for name, one in (("majority", scores.majority), ("trained", scores.trained)):
        table.add_row(name, *(f"{one[key]:.3f}" for key in ("weighted_f1", "macro_f1")), "", "", "")
    return table


def _cell(spread: "DrawnFigure") -> str:
    return f"{spread.mean:.3f} [{spread.low:.3f}, {spread.high:.3f}]"

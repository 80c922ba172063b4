"""`erc-live corpus`: look at a corpus, check it, and bring it into the neutral format."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from erc_live.live.commands.corpus_features import corpus_features
from erc_live.live.commands.corpus_recognition import recognise_corpus
from erc_live.live.errors import ConfigError
from erc_live.live.screen.console import err, out
from erc_live.live.screen.printable import printable
from erc_live.live.screen.progress import counting
from erc_live.streams.plural import counted

if TYPE_CHECKING:
    from erc_live.models.corpora.dialogue import Dialogue, Split
    from erc_live.models.corpora.survey import Counts

corpus_app = typer.Typer(
    help="Corpora of labelled conversations: what is in one, whether it is whole, and the neutral format.",
    epilog=(
        "Known: MELD, IEMOCAP (four labels with :4way behind the folder), DailyDialog, GoEmotions, RAVDESS, and any "
        "other in the neutral format: train.jsonl, dev.jsonl and test.jsonl, a dialogue per line. The pickles of "
        "features that published systems read: multiemo-pickles:DIR, vuemo-pickles:DIR, hgf-milag-pickles:DIR, "
        "safsd-glnet-pickles:DIR; they are read as data, nothing in them is run."
    ),
    no_args_is_help=True,
)

Where = Annotated[Path, typer.Argument(help="Folder of a corpus, or one file in the neutral format.", metavar="PATH")]


@corpus_app.command("stats")
def corpus_stats(path: Where, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Count dialogues, speakers, labels and media of each split, and warn of what training would stumble over."""
    from erc_live.models.corpora.survey import count, warnings

    found = _read_all(path, None)
    counted = {split.name: count(split) for split in found}
    doubts = warnings(found)
    labels = _labels(found)
    if as_json:
        splits = {name: asdict(counts) for name, counts in counted.items()}
        vectors = {modality: asdict(kind) for modality, kind in found[0].features.items()}
        facts = {"corpus": found[0].corpus, "labels": labels, "vectors": vectors, "splits": splits, "warnings": doubts}
        out.print_json(data=facts)
        return
    out.print(f"{found[0].corpus}", style="bold", markup=False)
    for modality, kind in found[0].features.items():
        out.print(f"{modality} vectors: {printable(kind.name)}, {kind.width} numbers", markup=False, highlight=False)
    out.print(_size_table(counted))
    out.print()
    out.print(_label_table(labels, counted))
    for doubt in doubts:
        out.print(f"warning: {doubt}", style="yellow", markup=False, soft_wrap=True)


@corpus_app.command("convert")
def corpus_convert(
    path: Where,
    into: Annotated[Path, typer.Argument(help="A new folder for the corpus in the neutral format.", metavar="OUT")],
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", help="Another name for a label; FROM= takes the label away.", metavar="FROM=TO"),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this split; repeat for several. Of a file on its own: which split it becomes.", metavar="SPLIT"
        ),
    ] = None,
) -> None:
    """Write any corpus in the neutral format: whole or not at all, and the same corpus always as the same bytes.

    Media are not copied: their paths are written as seen from OUT.

    Utterances whose label is taken away stay, for they are context.
    """
    from erc_live.models.corpora import is_alone
    from erc_live.models.corpora.neutral import write

    if is_alone(path) and len(split or []) != 1:
        raise ConfigError(f"{path} is one file: say with one --split whether it becomes train, dev or test")
    found = _read_all(path, split)
    names = _renamed(maps or [], _labels(found))
    found = [one.relabelled(names) for one in found]
    with counting() as shown:
        task = shown.add_task("writing", total=sum(len(one.dialogues) for one in found))

        def counted(split: "Split") -> "Iterator[Dialogue]":
            for dialogue in split.dialogues:
                yield dialogue
                shown.advance(task)

        write(into, [(one, counted(one)) for one in found], _labels(found))
    sizes = ", ".join(f"{one.name} {len(one.dialogues)}" for one in found)
    out.print(f"{into}: dialogues: {sizes}; labels: {' '.join(_labels(found)) or 'none'}", markup=False, soft_wrap=True)


@corpus_app.command("schema")
def corpus_schema() -> None:
    """Print the JSON Schema of a line of the neutral format."""
    from erc_live.models.corpora import neutral_line

    typer.echo(json.dumps(neutral_line.corpus_schema(), indent=2))


@corpus_app.command("check")
def corpus_check(path: Where) -> None:
    """Tell all that is wrong with a corpus: lines, labels, names used twice, times that run backwards, and media that
    are missing, cut, silent or cannot be decoded: each is, as training would.
    """
    from erc_live.models.corpora.survey import problems
    from erc_live.models.errors import CorpusError

    with err.status(f"reading {path}"):
        found = list(problems(path))
    found += _media_problems(path)
    for problem in found:
        out.print(problem, markup=False, highlight=False, soft_wrap=True)
    if found:
        raise CorpusError(f"{path}: {counted(len(found), 'problem')}, told above")
    out.print(f"{path}: right", markup=False, soft_wrap=True)


def _media_problems(path: Path) -> list[str]:
    """What is wrong with the media of a corpus; nothing where it cannot be read, which is told without."""
    from erc_live.live.extraction.clips import problems
    from erc_live.models.errors import CorpusError

    try:
        splits = _read_all(path, None)
    except CorpusError:
        return []
    with counting() as shown:
        task = shown.add_task("media", total=sum(len(split.dialogues) for split in splits))
        return [problem for split in splits for problem in problems(split, lambda: shown.advance(task))]


def _read_all(path: Path, wanted: list[str] | None) -> "list[Split]":
    """The splits of a corpus that are wanted, all when nothing is said."""
    from erc_live.models.corpora import read
    from erc_live.models.corpora.survey import parts

    names = list(dict.fromkeys(wanted or parts(path)))
    with counting() as shown:
        return [read(path, name) for name in shown.track(names, description="reading")]


def _labels(splits: "list[Split]") -> list[str]:
    return list(dict.fromkeys(label for split in splits for label in split.labels))


def _renamed(maps: list[str], labels: list[str]) -> dict[str, str | None]:
    names: dict[str, str | None] = {}
    for item in maps:
        old, sign, new = (part.strip() for part in item.partition("="))
        if not sign or old in names:
            raise ConfigError(f"--map {item}: write FROM=TO once for each label, such as angry=anger, or FROM=")
        if old not in labels:
            raise ConfigError(f"--map {item}: the corpus has no label {old!r}, only {', '.join(labels) or 'none'}")
        names[old] = new or None
    return names


def _size_table(counted: "dict[str, Counts]") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in counted:
        table.add_column(name, justify="right")
    rows: dict[str, Callable[[Counts], str]] = {
        "dialogues": lambda one: f"{one.dialogues}",
        "utterances": lambda one: f"{one.utterances}",
        "speakers in a dialogue (mean, most)": lambda one: f"{one.speakers_mean:.1f}, {one.speakers_most}",
        "utterances in a dialogue (median, most)": lambda one: f"{one.turns_median:g}, {one.turns_most}",
        "words in an utterance (median, most)": lambda one: f"{one.words_median:g}, {one.words_most}",
        "with text": lambda one: _share(one.text, one.utterances),
        "with sound": lambda one: _share(one.audio, one.utterances),
        "with picture": lambda one: _share(one.video, one.utterances),
        "with prosody": lambda one: _share(one.prosody, one.utterances),
        "without a label": lambda one: _share(one.unlabelled, one.utterances),
    }
    for what, say in rows.items():
        table.add_row(what, *(say(one) for one in counted.values()))
    for modality in dict.fromkeys(name for one in counted.values() for name in one.vectors):
        shares = (_share(one.vectors.get(modality, 0), one.utterances) for one in counted.values())
        table.add_row(f"with {modality} vectors", *shares)
    return table


def _label_table(labels: list[str], counted: "dict[str, Counts]") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("label")
    for name in counted:
        table.add_column(name, justify="right")
    for label in labels:
        shares = (_share(one.labels.get(label, 0), one.utterances - one.unlabelled) for one in counted.values())
        table.add_row(Text(label), *shares)
    return table


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:4.0%})" if part else "0"


corpus_app.command("features")(corpus_features)
corpus_app.command("hear")(recognise_corpus)

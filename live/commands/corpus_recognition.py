"""`erc-live corpus hear`: a corpus in which the words are what a recogniser hears when they are read aloud.

The rule of this file: what a run needs is asked for before the first line is read, and its end says how much was lost.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erc_live.live.screen.console import err, out, print_line
from erc_live.live.screen.progress import counting
from erc_live.streams.plural import counted

if TYPE_CHECKING:
    from erc_live.live.asr.transcribers import Transcriber
    from erc_live.live.bench.word_errors import Errors
    from erc_live.models.corpora.dialogue import Dialogue, Split

JOURNAL = "{}.journal"


Where = Annotated[Path, typer.Argument(help="Folder of a corpus, or one file in the neutral format.", metavar="PATH")]
Into = Annotated[
    Path, typer.Argument(help="Folder for the corpus in the neutral format; it may hold other splits.", metavar="OUT")
]
Lines = Annotated[
    int | None,
    typer.Option(min=1, help="Dialogues until so many lines are there. Default: all. More later goes on."),
]
Recogniser = Annotated[
    str,
    typer.Option(help="Weights of faster-whisper (tiny.en, base, a folder), pocketsphinx, or auto.", metavar="NAME"),
]
Seed = Annotated[int, typer.Option(help="Draws the dialogues, the voices, and what spoils them.")]


def recognise_corpus(
    path: Where,
    into: Into,
    split: Annotated[str, typer.Option(help="train, dev or test.", metavar="SPLIT")],
    lines: Lines = None,
    recogniser: Recogniser = "auto",
    seed: Seed = 0,
) -> None:
    """Read a split aloud with synthetic voices, spoil the sound, and keep what a recogniser makes of it.

    A session has no transcript: words are misheard, marks are missing, and of some lines nothing is left. Weights that
    learn from this corpus have seen that. Each line keeps speaker, label, times and media; "text" is what was heard,
    empty where nothing was, and "spoken" what stood there.

    flite and espeak-ng must be installed. Of the dialogues two in five are clean; the others come by telephone, from
    across a room, or in noise. Lines are recognised whole, with the settings of a session.

    Ctrl-C or a crash loses the line in work: the same command goes on, from OUT/SPLIT.journal, where voice and sound of
    each line stand, too.

    Next: erc-live corpus check OUT
    """
    from erc_live.live.asr.transcribers import expected, open_transcriber
    from erc_live.live.bench.recognisers import choices, configured
    from erc_live.live.bench.word_errors import compare, normaliser
    from erc_live.live.extraction.reading_voices import check_voices
    from erc_live.live.extraction.recognised_corpus import chosen
    from erc_live.live.session.weight_cache import models_folder
    from erc_live.models.corpora.neutral import write_split

    config = configured(choices([recogniser])[0], ())
    score = partial(compare, normalise=normaliser(config.transcriber.language))
    score(["tried"], "tried")  # what counts errors is here: known now, and not after hours
    source = _source(path, split)
    _check_place(into, source)
    with err.status("trying the voices"):
        check_voices()
    folder = models_folder(config.models)
    with err.status(f"loading {expected(config.transcriber, folder)}"):
        transcriber = open_transcriber(config.transcriber, folder)
    read = _recognised(source, chosen(source, seed, lines), seed, transcriber, into)
    write_split(into, replace(source, dialogues=read))
    print_line(f"{into / source.name}.jsonl: {_summary(read, score)}, by {transcriber.name}", out)


def _recognised(
    source: "Split", dialogues: "Sequence[Dialogue]", seed: int, transcriber: "Transcriber", into: Path
) -> "tuple[Dialogue, ...]":
    """The dialogues as they were heard, from the journal what is there already."""
    from erc_live.live.extraction.reading_voices import cast
    from erc_live.live.extraction.recognised_corpus import LineJournal, Origin, recognise

    origin = Origin(corpus=source.corpus, split=source.name, seed=seed, recogniser=transcriber.name)
    with counting() as shown, closing(LineJournal(into / JOURNAL.format(source.name), origin)) as journal:
        task = shown.add_task("lines", total=sum(len(one.utterances) for one in dialogues))
        return tuple(recognise(dialogues, partial(cast, seed), transcriber, journal, partial(shown.advance, task)))


def _source(path: Path, split: str) -> "Split":
    """The split to read aloud. Raises CorpusError where it has no words."""
    from erc_live.live.extraction.recognised_corpus import original
    from erc_live.models.corpora import read
    from erc_live.models.errors import CorpusError

    with err.status(f"reading {path}"):
        source = read(path, split)
    if "text" in source.features:
        raise CorpusError(f"{path}: its words are vectors already, which nobody can read aloud: give a corpus of text")
    if not any(original(utterance) for dialogue in source.dialogues for utterance in dialogue.utterances):
        raise CorpusError(f"{path}: nothing was transcribed in its {source.name} split: give a corpus with text")
    return source


def _check_place(into: Path, split: "Split") -> None:
    """Raises CorpusError where another corpus would be written over, or be mixed with."""
    from erc_live.models.corpora.neutral import check_labels
    from erc_live.models.errors import CorpusError

    target = into / f"{split.name}.jsonl"
    if target.exists() and not (into / JOURNAL.format(split.name)).is_file():
        raise CorpusError(f"{target} is there already, and not from here: give another folder")
    check_labels(into, split)


def _summary(dialogues: "Sequence[Dialogue]", score: "Callable[[Sequence[str], str], list[Errors]]") -> str:
    """How many lines there are, how many words are wrong, and of how many lines nothing was heard."""
    from erc_live.live.bench.word_errors import interval, together

    turns = [(turn.spoken or "", turn.text) for dialogue in dialogues for turn in dialogue.utterances]
    errors = [together(score([spoken], text)) for spoken, text in turns]
    rate, spread = together(errors).rate, interval(errors)
    between = f" ({spread[0]:.1%} to {spread[1]:.1%})" if spread else ""
    lost = sum(not text for _, text in turns)
    words = "no word to be heard" if rate is None else f"word error rate {rate:.1%}{between}"
    return (
        f"{counted(len(turns), 'line')} in {counted(len(dialogues), 'dialogue')}, {words}, "
        f"no words of {counted(lost, 'line')} ({lost / len(turns):.1%})"
    )

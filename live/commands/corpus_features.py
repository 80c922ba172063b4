"""`erc-live corpus features`: measure the media of a corpus now, so that training and scoring need not wait for it."""

from pathlib import Path
from typing import Annotated

import typer

from erc_live.live.commands.options import Processes
from erc_live.live.commands.places import cache_folder
from erc_live.live.screen.console import out
from erc_live.streams.plural import counted


def corpus_features(
    path: Annotated[
        Path, typer.Argument(help="Folder of a corpus, or one file of dialogues in the neutral format.", metavar="PATH")
    ],
    processes: Processes = 1,
) -> None:
    """Measure prosody, voices and faces of every utterance that has media. What was measured before is not done again.

    Missing and broken files are named; Ctrl-C ends it at any time, and the same command goes on.
    """
    from erc_live.live.commands.datasets import measured
    from erc_live.models.corpora import read, splits
    from erc_live.models.training.dialogue_dataset import modalities_of

    for name in splits(path) or ("test",):
        split = read(path, name)
        found = measured(split, split.labels, processes=processes)
        utterances = sum(len(example) for example in found)
        has = ", ".join(modalities_of(found)) or "nothing"
        size = f"{counted(utterances, 'utterance')} in {counted(len(found), 'dialogue')}"
        line = f"{split.corpus} {name}: {size}, with {has}"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    out.print(f"kept in {cache_folder()}", markup=False, highlight=False, soft_wrap=True)

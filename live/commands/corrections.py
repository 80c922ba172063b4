"""`erc-live corrections`: sessions whose labels people corrected, as a corpus that training takes.

The rule of this file: a person reads how many labels there are, whose, and what to do next.
"""

from pathlib import Path
from typing import Annotated

import typer

from erc_live.live.commands.bundle_options import outside
from erc_live.live.screen.console import out, print_line
from erc_live.live.screen.progress import counting

TRAIN = "train"


def corrections(
    bundles: Annotated[list[Path], typer.Argument(help="Recorded sessions.", metavar="BUNDLE...")],
    into: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the corpus.", metavar="CORPUS")],
    reviewed: Annotated[
        bool,
        typer.Option(
            "--reviewed", help="Somebody went through all of them: what nobody corrected is right, and a label, too."
        ),
    ] = False,
) -> None:
    """Turn recorded sessions whose labels people corrected into a corpus, from which `train --start` learns.

    Labels come from `c` on the dashboard and from `erc-live annotate`. What nobody judged is context without a label.
    Next: erc-live train --corpus CORPUS --start default --out RUN
    """
    from erc_live.live.export.plain_text import UniqueNames, file_part
    from erc_live.live.extraction.corrected_sessions import corrected_session, write_clips
    from erc_live.models.corpora.dialogue import Split
    from erc_live.models.corpora.neutral import write
    from erc_live.models.errors import CorpusError
    from erc_live.streams.journal import FOLDER_MODE

    for bundle in bundles:
        outside(bundle, into)
    names, missing = UniqueNames("{}-{}"), list[str]()
    with counting() as shown:
        sessions = [
            corrected_session(path, names.take(file_part(path.resolve().name) or "session"), into, reviewed)
            for path in shown.track(_each_once(bundles), description="reading")
        ]
        dialogues = [dialogue for session in sessions for dialogue in session.dialogues]
        if not dialogues:
            raise CorpusError(
                "nobody gave an utterance of these sessions a label: `c` on the dashboard does, and "
                f"`erc-live annotate {bundles[0]}`"
            )
        known = dict.fromkeys(label for session in sessions for label in session.view.estimated_labels)
        spoken = [utterance for dialogue in dialogues for utterance in dialogue.utterances]
        own = dict.fromkeys(each.label for each in spoken if each.label is not None and each.label not in known)
        labels = [*known, *own]

        def fill(folder: Path) -> None:
            folder.chmod(FOLDER_MODE)  # voices and words: for its owner alone, as the recordings are
            for session in shown.track(sessions, description="sound"):
                write_clips(session, folder, missing)

        write(into, [(Split(into.name, TRAIN, tuple(labels), tuple(dialogues)), dialogues)], labels, fill)
    for line in missing:
        print_line(line)
    labelled = sum(utterance.label is not None for utterance in spoken)
    changed, annotated = (sum(getattr(session, name) for session in sessions) for name in ("changed", "annotated"))
    confirmed = labelled - annotated
    parts = [f"{changed} corrected", f"{annotated - changed} confirmed", f"{confirmed} left as they were"]
    print_line(
        f"{into}: dialogues: {len(dialogues)}, utterances: {len(spoken)}, with a label: {labelled} "
        f"({', '.join(part for part in parts if not part.startswith('0 '))})",
        out,
    )
    _advise(into, list(own), len(dialogues))


def _each_once(bundles: list[Path]) -> list[Path]:
    """Without those that were named before: one talk would be learnt from twice, or be train and dev at once."""
    each = list({path.resolve(): path for path in reversed(bundles)}.values())[::-1]
    if len(each) < len(bundles):
        print_line("a session that is named several times is taken once")
    return each


def _advise(into: Path, own: list[str], dialogues: int) -> None:
    """What to do next, and what would stand in the way."""
    if dialogues == 1:
        print_line("one dialogue cannot be both train and dev: correct more, or train together with another corpus")
    if own:
        print_line(
            f"labels of your own: {', '.join(own)}. --start takes weights that know all labels: train without it, or "
            f"rename with `erc-live corpus convert {into} NEW --map '{own[0]}=...'`"
        )

"""`erc-live annotate`: what a person takes an utterance of a recorded session for, beside the estimate.

The rule of this file: names and words of a bundle are somebody else's; each line that is printed is one line.
"""

import getpass
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erc_live.live.commands.bundle_options import named_utterance
from erc_live.live.errors import ConfigError
from erc_live.live.screen.console import out, print_line

if TYPE_CHECKING:
    from erc_live.streams.conversation_view import AnnotatedUtterance, ConversationView

_LONGEST = 100  # letters of a label, and of a name


def annotate(
    bundle: Annotated[Path, typer.Argument(help="Folder of a recorded session.", metavar="BUNDLE")],
    utterance: Annotated[
        str | None, typer.Option(help="Its number in the dialogue, from 0, or its id.", metavar="K")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="What you take its expression for: a label of the session, or one of your own.")
    ] = None,
    author: Annotated[str | None, typer.Option(help="Who says so. Default: your name on this machine.")] = None,
) -> None:
    """Say what the expression of an utterance is, in a recorded session; without options, list its utterances.

    The estimate stays. Your label stands beside it with your name and the time; a later one of yours takes its place.
    Example: erc-live annotate talks/monday --utterance 8 --label joy
    """
    from erc_live.streams import annotating
    from erc_live.streams.annotations import Annotation
    from erc_live.streams.conversation_view import conversation_view
    from erc_live.streams.session import open_session

    view = conversation_view(open_session(bundle))
    if utterance is None and label is None:
        _list(view)
        return
    if utterance is None or label is None:
        raise ConfigError("name both --utterance and --label, or neither to list the utterances")
    spoken = named_utterance(view, utterance, "--utterance", bundle)
    named = _checked("--label", label)
    made = Annotation(
        session=spoken.event.session,
        t_ns=spoken.event.t_start_ns,
        wall_ns=time.time_ns(),
        author=_user() if author is None else _checked("--author", author),
        kind="label",
        utterance=spoken.event.utterance,
        label=named,
    )
    annotating.annotate(bundle, [made])
    print_line(f"{_line(view, spoken)}: {named}, by {made.author}", out)
    known = view.estimated_labels
    if named not in known:
        print_line(f"{named} is none of the labels of this session ({', '.join(known)}): it counts as your own")


def _list(view: "ConversationView") -> None:
    for spoken in view.utterances:
        annotated = f" > {spoken.label_annotated} ({', '.join(spoken.authors)})" if spoken.annotations else ""
        print_line(f"{_line(view, spoken)}{annotated}  {spoken.event.text}", out)
    if not view.utterances:
        print_line("no utterances")


def _line(view: "ConversationView", spoken: "AnnotatedUtterance") -> str:
    """Number, time, who, and the estimate."""
    at_s = (spoken.event.t_start_ns - view.start_ns) // 1_000_000_000
    time_of = f"{at_s // 3600}:{at_s // 60 % 60:02}:{at_s % 60:02}"
    sure = "" if spoken.event.certain else "?"
    return f"{spoken.event.index:>4}  {time_of}  {spoken.speaker_name}  {spoken.event.label}{sure}"


def _checked(option: str, text: str) -> str:
    name = " ".join(text.split())
    if not name or not name.isprintable() or len(name) > _LONGEST:
        raise ConfigError(f"{option}: write a word or a few on one line, at most {_LONGEST} letters")
    return name


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name
        return "somebody"

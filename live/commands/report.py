"""`erc-live report`: a recorded session as one page, to look back at and to hand on."""

from pathlib import Path
from typing import Annotated

import typer

from erc_live.live.commands.bundle_options import named_utterance, outside
from erc_live.live.report import bundle_report
from erc_live.live.screen.console import out, print_line
from erc_live.live.screen.progress import remaining
from erc_live.streams.plural import counted


def report(
    bundle: Annotated[Path, typer.Argument(help="Folder of a recorded session (--record), whole or cut off.")],
    page: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The page; an earlier report is replaced. Default: NAME-OF-BUNDLE.html, here.",
            metavar="FILE",
        ),
    ] = None,
    why: Annotated[
        list[str] | None,
        typer.Option(
            help="Draw what moved this utterance's estimate: its number or id (`erc-live annotate BUNDLE`). Several.",
            metavar="K",
        ),
    ] = None,
    no_sound: Annotated[bool, typer.Option("--no-sound", help="Leave the sound out.")] = False,
) -> None:
    """Write a recorded session as one page: who said what, the labels over time, the sound, what is missing.

    The page needs no network and no program but a browser. Sound of up to some 18 minutes is in it; longer sound lies
    beside it, as a file of the same name that ends in .sound.webm. Both are readable by you alone, as the recording is.
    """
    target = outside(bundle, page or Path(f"{bundle.resolve().name}.html"))
    with remaining() as bars:
        task = bars.add_task("sound", total=None, visible=False)
        written = bundle_report.report(
            bundle,
            target,
            with_sound=not no_sound,
            explanations=_explanations(bundle, why or []),
            progress=lambda done_s, of_s: bars.update(task, completed=done_s, total=of_s, visible=True),
        )
    for line in written.lines:
        print_line(line)
    print_line(f"{written.page}: {counted(written.utterances, 'utterance')}; open it in a browser", out)


def _explanations(bundle: Path, utterances: list[str]) -> dict[str, str]:
    """A drawing for each of them, by its id."""
    if not utterances:
        return {}
    from erc_live.live.explanation.recorded_dialogues import drawings, recorded_dialogues  # here: they load networks
    from erc_live.models import checkpoint

    recorded = recorded_dialogues(bundle)
    wanted = {recorded.id_of(named_utterance(recorded.view, name, "--why", bundle)) for name in utterances}
    return drawings(recorded, wanted, checkpoint.load(recorded.weights))

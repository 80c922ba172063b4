"""`erc-live report`: a recorded session as one page, to look back at and to hand on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from erc_live.live.errors import ConfigError
from erc_live.live.report import bundle_report
from erc_live.live.screen.console import out, print_line
from erc_live.live.screen.progress import remaining


def report(
    bundle: Annotated[Path, typer.Argument(help="Folder of a recorded session (--record), whole or cut off.")],
    page: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The page; replaced where it is. Default: NAME-OF-BUNDLE.html, here.", metavar="FILE"
        ),
    ] = None,
    no_sound: Annotated[bool, typer.Option("--no-sound", help="Leave the sound out.")] = False,
    why: Annotated[
        list[str] | None,
        typer.Option(
            "--why", help="Say on the page what moved the estimate of this utterance: number or id.", metavar="K"
        ),
    ] = None,
) -> None:
    """Write a recorded session as one page: who said what, the labels over time, the sound, what is missing.

    The page needs no network and no program but a browser. Sound of up to some 18 minutes is in it; longer sound lies
    beside it, as a file of the same name that ends in .webm. Both are readable by you alone, as the recording is.
    """
    target = page or Path(f"{bundle.resolve().name}.html")
    if target.resolve().is_relative_to(bundle.resolve()):
        raise ConfigError(f"-o {target}: is inside the recorded session, which is not changed; name another place")
    with remaining() as bars:
        task = bars.add_task("sound", total=None, visible=False)
        written = bundle_report.report(
            bundle,
            target,
            with_sound=not no_sound,
            explanations=explained(bundle, why or []),
            progress=lambda done_s, of_s: bars.update(task, completed=done_s, total=of_s, visible=True),
        )
    for line in written.lines:
        print_line(line)
    print_line(f"{written.page}: {written.utterances} utterances; open it in a browser", out)


def explained(bundle: Path, names: Sequence[str]) -> dict[str, str]:
    """By utterance, what moved its estimate, drawn; {} where nobody asks. Raises SessionError, WeightsError."""
    if not names:
        return {}
    from erc_live.live.explanation.recorded_dialogues import drawings, recorded_dialogues
    from erc_live.models import checkpoint

    recorded = recorded_dialogues(bundle)
    utterances = [recorded.find(name) for name in names]
    return drawings(recorded, utterances, checkpoint.load(recorded.weights))

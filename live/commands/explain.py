"""`erc-live explain`: what moved the estimate of one utterance of a recorded session, as a table and as a drawing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from erc_live.live.commands.bundle_options import named_utterance, outside
from erc_live.live.explanation.influence import signed
from erc_live.live.screen.console import err, out, print_line
from erc_live.streams.plural import counted

if TYPE_CHECKING:
    from erc_live.live.explanation.influence import Explanation, Influence

_NUMBER_CELLS = 6  # -12.34
_HEAD_BYTES = 200
_COUNT = 5  # utterances in the table
_DIFFERENT = 1e-3  # between what the session gave the label and what is computed anew


def explain(
    bundle: Annotated[Path, typer.Argument(help="Folder of a recorded session.", metavar="BUNDLE")],
    utterance: Annotated[
        str | None,
        typer.Option(
            "--utterance", help="Its number in the dialogue, from 0, or its id. Default: the last.", metavar="K"
        ),
    ] = None,
    drawing: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Draw all of it as SVG: heat maps; of dialogue_graph, the default network, attention, too.",
            metavar="WHY.svg",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Those that labelled the session, if they lie elsewhere now.", metavar="FOLDER")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object with all numbers.")] = False,
) -> None:
    """Say of a recorded session what moved the estimate of an utterance: past utterances, words, voice, face.

    Each utterance is left out in turn, and each modality of it; the change of the log-probability of the label is its
    influence. It explains the estimate of the model, and nobody's feelings. Numbers of utterances: erc-live annotate
    BUNDLE
    """
    from erc_live.live.explanation.recorded_dialogues import recorded_dialogues
    from erc_live.models import checkpoint

    recorded = recorded_dialogues(bundle)
    wanted = recorded.last
    if utterance is not None:
        wanted = recorded.id_of(named_utterance(recorded.view, utterance, "--utterance", bundle))
    if drawing is not None:
        outside(bundle, drawing)
    with err.status("leaving out one utterance after the other"):
        (explanation,) = recorded.explain([wanted], checkpoint.load(weights or recorded.weights))
    if drawing is not None:
        _draw(explanation, drawing)
    if as_json:
        print_line(msgspec.json.encode(explanation).decode(), out)
        return
    _print(explanation)
    if drawing is not None:
        print_line(f"drawn: {drawing}", out)


def _draw(explanation: "Explanation", path: Path) -> None:
    from erc_live.live.errors import ConfigError
    from erc_live.live.explanation.heat_maps import DRAWING, svg
    from erc_live.streams.journal import write_whole

    try:
        if path.exists() and DRAWING not in path.read_bytes()[:_HEAD_BYTES]:
            raise ConfigError(f"-o {path}: is there already, and is no drawing of explain; name another place")
        write_whole(path, svg(explanation).encode())
    except OSError as error:
        raise ConfigError(f"-o {path}: cannot be written: {error.strerror}; name another place") from error


def _print(explanation: "Explanation") -> None:
    """The estimate, then the strongest influences."""
    e = explanation
    print_line(f"Utterance {e.index}, {e.speaker_name}: {e.text or '(no words)'}", out)
    print_line(f"Estimate: {e.label} {e.probability:.2f} (model {e.model})", out)
    if e.recorded is not None and abs(e.recorded - e.probability) > _DIFFERENT:
        print_line(f"The session gave {e.recorded:.2f}: other sizes of numbers, or a corrected dialogue", err)
    out.print(Text("\nWhat moved the estimate most: log p falls by so much without it (nats)", style="bold"))
    table = Table(box=None, pad_edge=False)
    for title in ("all", "words", "voice", "face"):
        table.add_column(title, justify="right", min_width=_NUMBER_CELLS)
    table.add_column("utterance", no_wrap=True, overflow="ellipsis")
    for influence in e.strongest(_COUNT):
        table.add_row(*_cells(influence))
    out.print(table)
    spoken = len(e.influences) - 1
    more = " (older ones may count, too)" if e.bounded else ""
    print_line(f"Examined: itself and the {counted(spoken, 'utterance')} before it that can count{more}.", out)


def _cells(influence: "Influence") -> list[Text]:
    """A row of the table; what was missing has no number."""
    numbers = [influence.whole, *(influence.modalities.get(name) for name in ("text", "audio", "visual"))]
    who = "itself" if influence.itself else f"{influence.index} {influence.speaker_name}"
    return [
        *(Text("" if n is None else signed(n)) for n in numbers),
        Text(f"{who}: {influence.text or '(no words)'}"),
    ]

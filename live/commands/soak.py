"""`erc-live soak`: how long a session lasts, and what it survives."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from erc_live.live.commands.session_options import Mics, Sets
from erc_live.live.screen.console import err, out
from erc_live.live.screen.progress import elapsed


def soak(
    mic: Mics = None,
    hours: Annotated[float, typer.Option(min=0.01, help="Of media; a shorter recording is repeated.")] = 0.5,
    speed: Annotated[float, typer.Option(min=0.1, help="As of replay.")] = 20.0,
    faults: Annotated[float, typer.Option(min=0.0, help="Per minute, on average.")] = 6.0,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
    as_live: Annotated[bool, typer.Option("--as-live", help="As with microphones, which cannot wait.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    sets: Sets = None,
) -> None:
    """Play a recording for hours through the real processes, kill them at random, and count what is lost.

    They are stopped and starved as well, and what subscribers got is compared with what they would have got: events
    lost, repeated and wrong, memory, and how long a process was away. Exit code 1 if an event was lost without a gap,
    or came twice.

    erc-live soak --hours 8 --faults 10 --mic agent.flac=Agent --mic caller.flac=Caller
    """
    from rich.table import Table

    from erc_live.live.bench import endurance as bench
    from erc_live.live.session.launch import demo_sources

    voices = mic or [f"{source.target}={source.speaker}" for source in demo_sources()[0] if source.kind == "mic"]
    with tempfile.TemporaryDirectory() as place, elapsed() as bar:
        folder, task = Path(place), bar.add_task("making the recording", total=None)
        arguments = []
        for text in voices:
            path, _, name = text.partition("=")
            longer = bench.lengthen(Path(path), hours, folder)
            arguments += ["--mic", f"{longer}={name}" if name else str(longer)]
        items = [*(sets or []), f"events.endpoint=ipc://{folder}/e"]
        arguments += [part for item in items for part in ("--set", item)]
        bar.update(task, description="without faults, in one process")
        expected = bench.reference(arguments, lambda event: bar.update(task, description=event.text[:40]))
        bar.update(task, description="with faults")
        more = ["--record", str(folder / "kept"), *(["--as-live"] if as_live else [])]
        result = bench.endure(
            [*arguments, *more], speed, faults, seed, expected, lambda line: bar.console.print(line, markup=False)
        )
        result.hours = hours
    if as_json:
        out.print_json(data=bench.plain(result))
    else:
        table = Table("what", "how much", title="Endurance")
        for what, much in bench.plain(result).items():
            table.add_row(what.replace("_", " "), str(much))
        out.print(table)
    if result.lost or result.repeated:
        err.print("An event was lost without a gap, or came twice.")
        raise typer.Exit(1)

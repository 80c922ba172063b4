"""The command `erc-live`: parse, call, and end with a documented exit code. Nothing heavy is imported until it is
needed.

Exit codes: 0 done; 1 a bug of ours; 2 a wrong option or key; 3 a device; 4 a file or session; 5 missing or broken
weights; 6 an address; 7 a process of the session died, and something that was said or recorded is lost with it.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from erc_live.live import config as configuration
from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.commands.bench import bench_asr, bench_endpoint, bench_latency, bench_model, bench_speakers
from erc_live.live.commands.corpus import corpus_app
from erc_live.live.commands.corpus_features import corpus_features
from erc_live.live.commands.encoder import encoder_app
from erc_live.live.commands.enrol import enrol
from erc_live.live.commands.evaluate import evaluate
from erc_live.live.commands.experiment import experiment_app
from erc_live.live.commands.options import own_weights
from erc_live.live.commands.predict import predict
from erc_live.live.commands.train import train
from erc_live.live.commands.tune import tune
from erc_live.live.config import Loaded
from erc_live.live.errors import ConfigError
from erc_live.live.session.spec import SessionSpec

EPILOG = (
    "Examples: erc-live --mic default --camera 0 | erc-live --mic default=Ann --mic 3=Ben --record talk | erc-live demo"
)

app = typer.Typer(
    name="erc-live",
    help="See, while people talk, who said what and which emotion it expresses (estimated expressed emotion).",
    epilog=EPILOG,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(
    help="Weights that erc-live uses and does not ship: list, fetch, verify.", no_args_is_help=True
)
config_app = typer.Typer(help="The configuration: which keys there are, and who set them.", no_args_is_help=True)
bench_app = typer.Typer(help="Measure on this machine.", no_args_is_help=True)
session_app = typer.Typer(help="Recorded sessions: verify one, recover one that was cut off.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(config_app, name="config")
app.add_typer(session_app, name="session")
app.add_typer(bench_app, name="bench")
bench_app.command("latency")(bench_latency)
bench_app.command("endpoint")(bench_endpoint)
bench_app.command("speakers")(bench_speakers)
bench_app.command("asr")(bench_asr)
bench_app.command("model")(bench_model)
corpus_app.command("features")(corpus_features)
app.add_typer(corpus_app, name="corpus")
app.add_typer(encoder_app, name="encoder")
app.add_typer(experiment_app, name="experiment")
for command in (enrol, train, evaluate, tune, predict):
    app.command()(command)

out = Console()
err = Console(stderr=True)

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Configuration file, over the user's own.", metavar="FILE")
]
Sets = Annotated[list[str] | None, typer.Option("--set", help="One key, over every file.", metavar="SECTION.KEY=VALUE")]
Mics = Annotated[
    list[str] | None,
    typer.Option(
        "--mic",
        help="default, a device name or number, or a media file; @N hears its channel N alone (from 1); =NAME says "
        "whose it is. Several: one per person.",
        metavar="MIC[@N][=NAME]",
    ),
]
Cameras = Annotated[
    list[str] | None,
    typer.Option("--camera", help="A device number, a media file, or a URL (http MJPEG, rtsp).", metavar="CAMERA"),
]
Transcript = Annotated[
    Path | None,
    typer.Option(help="Words of a recording (.vtt, .srt, .jsonl), instead of a recogniser.", metavar="FILE"),
]
Record = Annotated[
    Path | None, typer.Option(help="Keep the session in this new folder. Off by default.", metavar="DIR")
]
Network = Annotated[
    str | None,
    typer.Option(help="The network that was trained here under this name, instead of the shipped one.", metavar="NAME"),
]
Picture = Annotated[Path | None, typer.Option(help="Save the last screen as an SVG picture.", metavar="FILE")]
Jsonl = Annotated[bool, typer.Option("--jsonl", help="JSON lines instead of the dashboard.")]
Speed = Annotated[str, typer.Option(help="1 real time, N times as fast, or max (in one process).", metavar="1|N|max")]

AsLive = Annotated[
    bool, typer.Option("--as-live", help="Rather give words up than be late, as with microphones. Files can wait.")
]


@app.callback(invoke_without_command=True)
def live(
    context: typer.Context,
    mic: Mics = None,
    camera: Cameras = None,
    transcript: Transcript = None,
    record: Record = None,
    picture: Picture = None,
    jsonl: Jsonl = False,
    network: Network = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """See, while people talk, who said what and which emotion each utterance expresses (estimated expressed
    emotion).
    """
    if context.invoked_subcommand:
        return
    from erc_live.live.session import launch

    loaded = configuration.load(config, sets or [], _flags(network))
    sources = launch.sources(mic or ["default"], camera or [])
    _run(loaded, sources, "1", transcript, record, picture, jsonl)


@app.command()
def replay(
    path: Annotated[
        Path | None, typer.Argument(help="A recorded session, or any media file.", metavar="[PATH]")
    ] = None,
    mic: Mics = None,
    camera: Cameras = None,
    speed: Speed = "1",
    as_live: AsLive = False,
    transcript: Transcript = None,
    record: Record = None,
    picture: Picture = None,
    jsonl: Jsonl = False,
    network: Network = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Play a recorded session or media files as if they happened now: PATH, or one file per person with --mic."""
    from erc_live.live.session import launch

    loaded = configuration.load(config, sets or [], _flags(network))
    sources = launch.replay_sources(path, mic or [], camera or [])
    if path and path.is_dir() and not transcript and loaded.config.transcriber.engine == "auto":
        transcript = path  # a session has its own words; `--set transcriber.engine=...` recognises them anew
    _run(loaded, sources, speed, transcript, record, picture, jsonl, hurry=as_live)


@app.command()
def demo(
    speed: Speed = "1",
    record: Record = None,
    picture: Picture = None,
    jsonl: Jsonl = False,
    network: Network = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Play a short conversation that comes with erc-live: no microphone, camera, network or GPU.

    It is heard by the recogniser whose weights are here; without any, its words come from its transcript.
    """
    from erc_live.live.session import launch

    loaded = configuration.load(config, sets or [], _flags(network))
    sources, said = launch.demo_sources()
    transcript, reference = launch.demo_words(loaded.config, said)
    _run(loaded, sources, speed, transcript, record, picture, jsonl, reference)
    if transcript and loaded.config.transcriber.engine == "auto":
        err.print(Text(launch.UNHEARD), soft_wrap=True)


def _run(
    loaded: Loaded,
    sources: Sequence[SourceSpec],
    speed: str,
    transcript: Path | None,
    record: Path | None,
    picture: Path | None,
    jsonl: bool,
    reference: Path | None = None,
    hurry: bool = False,
) -> None:
    from erc_live.live.session import launch

    session = SessionSpec(
        session=datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ"),
        config=loaded.config,
        sources=tuple(sources),
        speed=launch.parse_speed(speed),
        hurry=hurry or any(source.live for source in sources),
        transcript=str(transcript) if transcript else None,
        reference=str(reference) if reference else None,
        record=str(record) if record else None,
        picture=str(picture) if picture else None,
        as_lines=_lines(jsonl),
    )
    launch.run(session)


def _flags(network: str | None) -> dict[str, object]:
    if network is None:
        return {}
    weights = own_weights(network)
    if not weights.is_dir():
        train = f"erc-live train --network {network} --corpus FOLDER"
        raise ConfigError(f"--network {network}: no such weights in {weights.parent}; train them: {train}")
    return {"tracker.weights": str(weights)}


def _lines(jsonl: bool) -> bool:
    """Whether to write lines: when asked to, or when nobody looks at a terminal that can be drawn on."""
    return jsonl or not out.is_terminal or out.is_dumb_terminal


@app.command()
def subscribe(
    endpoint: Annotated[str | None, typer.Argument(help="Where a session publishes (events.endpoint).")] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object per line.")] = False,
    wait: Annotated[float | None, typer.Option(help="Give up after so many seconds without a session.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Follow the emotion events of a running session: first what was missed, then each as it comes."""
    from erc_live.live.screen import sinks
    from erc_live.streams.subscribe import subscribe as events

    place = endpoint or configuration.load(config, sets or []).config.events.endpoint
    waiting = Text(f"waiting for a session that publishes at {place} (events.endpoint); Ctrl-C ends it")
    messages = events(place, timeout_s=wait, on_wait=lambda: err.print(waiting, soft_wrap=True))
    sinks.write(messages, sys.stdout, as_json=_lines(jsonl))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the emotion event stream."""
    import json

    from erc_live.streams.schema import event_schema

    print(json.dumps(event_schema(), indent=2))


@app.command()
def devices(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """List microphones and cameras and what they can do."""
    from erc_live.live.capture.devices import list_devices, render

    found = list_devices()
    if as_json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        out.print(render(found))


@models_app.command("list")
def models_list(config: ConfigFile = None, sets: Sets = None) -> None:
    """What there is, what it is for, and whether it is on this machine."""
    from erc_live.live.session.weight_cache import models_folder, rows

    folder = models_folder(configuration.load(config, sets or []).config.models)
    table = Table(box=None, pad_edge=False)
    for title in ("name", "MB", "here", "licence", "purpose"):
        table.add_column(title, justify="right" if title == "MB" else "left")
    for row in rows(folder):
        here = "yes" if row.folder else "no"
        table.add_row(row.weight.name, f"{row.weight.size / 1e6:.0f}", here, row.weight.licence, row.weight.purpose)
    out.print(table)
    print(f"folder: {folder}")


@models_app.command("fetch")
def models_fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="As `erc-live models list` names them. Default: what this machine needs for its configuration.",
            metavar="[NAME...]",
        ),
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Fetch weights from where they are published, and check every byte."""
    from erc_live.live.session import launch
    from erc_live.live.session.needs import Need, needs
    from erc_live.live.session.weight_cache import models_folder

    loaded = configuration.load(config, sets or []).config
    wanted = [Need((name,)) for name in names] if names else needs(loaded)
    for folder in launch.fetch_with_bars(wanted, models_folder(loaded.models)):
        print(folder)


@models_app.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Default: all that are here.", metavar="[NAME...]")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Compare fetched weights with their published digests."""
    from erc_live.live.session.weight_cache import models_folder, rows
    from erc_live.models.errors import WeightsError
    from erc_live.models.weights import verify

    folder = models_folder(configuration.load(config, sets or []).config.models)
    problems: list[str] = []
    for name in names or [row.weight.name for row in rows(folder) if row.folder]:
        found = verify(name, folder)
        print(f"{name}: {'; '.join(found) or 'right'}")
        problems += found
    if problems:
        raise WeightsError(f"{len(problems)} files are wrong; `erc-live models fetch NAME` brings them again")


@config_app.command("show")
def config_show(
    origin: Annotated[bool, typer.Option("--origin", help="Say which layer set each key.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Print every key with its value; `config.toml` of the repository explains them."""
    import json

    import msgspec

    loaded = configuration.load(config, sets or [])
    tree = msgspec.to_builtins(loaded.config)
    print(f"# the user's own file: {configuration.user_file()}")
    for section, keys in tree.items():
        print(f"\n[{section}]")
        for key, value in keys.items():
            line = f"{key} = {json.dumps(value)}"
            print(f"{line:<44}# {loaded.origin[f'{section}.{key}']}" if origin else line)


@session_app.command("verify")
def session_verify(path: Annotated[Path, typer.Argument(help="Folder of the session.")]) -> None:
    """Check every file of a recorded session against its manifest and checksums."""
    from erc_live.streams.errors import SessionError
    from erc_live.streams.session import verify

    findings = verify(path)
    for finding in findings:
        print(finding)
    if findings:
        raise SessionError(f"{path}: {len(findings)} findings; `erc-live session recover` saves what is whole")
    print(f"{path}: whole")


@session_app.command("recover")
def session_recover(path: Annotated[Path, typer.Argument(help="Folder of the session.")]) -> None:
    """Make a session whole that was cut off: keep all that is complete, drop the torn end."""
    from erc_live.streams.session import recover

    recover(path)
    print(f"{path}: recovered; `erc-live session verify` checks it, `erc-live replay` plays it")


def main() -> None:
    """Console entry point."""
    try:
        app()
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        err.print(Text(f"erc-live: {error}"), style="bold", soft_wrap=True)
        sys.exit(code)


if __name__ == "__main__":
    main()

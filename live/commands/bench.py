"""`erc-live bench`: the options, what is being measured now, and the result as a table."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from erc_live.live.bench.recognisers import Choice, Recognisers, choices
from erc_live.live.commands.bench_serving import bench_kills, bench_load, bench_naive, bench_shard
from erc_live.live.commands.options import check_network
from erc_live.live.screen.console import out
from erc_live.live.screen.progress import counting, elapsed
from erc_live.streams.messages import EmotionEvent
from erc_live.streams.plural import counted

bench_app = typer.Typer(help="Measure on this machine.", no_args_is_help=True)


def bench_model(
    network: Annotated[list[str] | None, typer.Option("--network", help="Default: dialogue_graph.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    short: Annotated[bool, typer.Option("--short", help="Only show that all works.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw time over length into this SVG.", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What networks cost: time per utterance, memory per dialogue, dialogues per machine."""
    from erc_live.live.bench import model as bench
    from erc_live.live.bench.model_report import render, svg

    for name in network or ():
        check_network(name, {})
    lengths = bench.LENGTHS[:2] if short else bench.LENGTHS
    budget = bench.SHORT if short else bench.FULL
    with elapsed() as bar:
        task = bar.add_task("building", total=None)  # what it takes depends on the machine that it measures
        report = bench.bench_model(
            network or ["dialogue_graph"],
            lengths,
            device,
            lambda what: bar.update(task, description=what),
            budget,
        )
    if plot:
        plot.write_text(svg(report), encoding="utf-8")
    if as_json:
        out.print_json(data=report.plain())
    else:
        out.print(render(report))


def bench_latency(
    path: Annotated[Path | None, typer.Argument(help="A recording; default: the demo.", metavar="[PATH]")] = None,
    mic: Annotated[list[str] | None, typer.Option("--mic", help="One file per person.", metavar="FILE[=NAME]")] = None,
    camera: Annotated[
        list[str] | None, typer.Option("--camera", help="Also run with these pictures, and compare.", metavar="FILE")
    ] = None,
    recogniser: Recognisers = None,
    transcript: Annotated[
        Path | None, typer.Option(help="Words of the recording, instead of a recogniser.", metavar="FILE")
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="One key.", metavar="SECTION.KEY=VALUE")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw where the time goes into this SVG.", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What people wait for: play a recording through the real processes in real time; p50 and p95 of every stage, what
    was given up, and what each process cost. Each recogniser plays the whole recording, with and without pictures. The
    demo reads its words from its transcript unless a recogniser is named.

    erc-live bench latency --mic agent.flac=Agent --mic caller.flac=Caller --recogniser tiny.en --recogniser base
    """
    from erc_live.live.bench import latency as bench
    from erc_live.live.bench import latency_report

    arguments = [str(path)] if path else [part for m in mic or [] for part in ("--mic", m)]
    if transcript:
        arguments += ["--transcript", str(transcript)]
    if not arguments:
        arguments = _demo(with_words=not recogniser)
    arguments += [part for item in sets or [] for part in ("--set", item)]
    sessions: list[bench.Latency] = []
    with elapsed() as bar:
        for name, options in _runs(arguments, choices(recogniser), camera or []).items():
            task = bar.add_task(f"{name}: starting", total=None)

            def on_event(event: EmotionEvent, task: TaskID = task, name: str = name) -> None:
                bar.update(task, description=f"{name}: {event.text[:40]}")

            sessions.append(bench.bench_latency(name, options, on_event))
            bar.remove_task(task)
    if plot:
        latency_report.plot(plot, sessions)
    if as_json:
        out.print_json(data=[session.plain() for session in sessions])
    else:
        out.print(latency_report.render(sessions))


def _demo(*, with_words: bool) -> list[str]:
    """Options of `erc-live replay` that play the sound of the demo."""
    from erc_live.live.session import launch

    sources, transcript = launch.demo_sources()
    voices = [f"{source.target}={source.speaker}" for source in sources if source.kind == "mic"]
    words = ["--transcript", str(transcript)] if with_words else []
    return [*words, *(part for voice in voices for part in ("--mic", voice))]


def _runs(arguments: list[str], recognisers: Sequence[Choice], camera: list[str]) -> dict[str, list[str]]:
    """The sessions to play, by name: each recogniser, without and with pictures."""
    runs: dict[str, list[str]] = {}
    for choice in recognisers:
        alone = [*arguments, *(part for item in choice.sets for part in ("--set", item))]
        runs[choice.name if choice.sets else "sound alone"] = alone
        if camera:
            seen = [*alone, *(part for c in camera for part in ("--camera", c))]
            runs[f"{choice.name}, pictures" if choice.sets else "with pictures"] = seen
    return runs


def bench_speakers(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Folders or sound files; default: the demo.", metavar="[PATH]...")
    ] = None,
    rttm: Annotated[
        Path | None, typer.Option(help="Who speaks when; default: the .rttm in each folder.", metavar="FILE")
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="One key.", metavar="SECTION.KEY=VALUE")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw who spoke, and who was heard.", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Who spoke when, on one shared microphone. Without RTTM, files are one per person, in sync, and are mixed."""
    from erc_live.live import config as configuration
    from erc_live.live.bench import diarization as bench
    from erc_live.live.bench.recordings import find
    from erc_live.live.errors import ConfigError
    from erc_live.live.session.launch import demo_sources
    from erc_live.live.speakers.embedding import open_voice_reader

    config = configuration.load(sets=sets or []).config
    reader = open_voice_reader(config.speakers)
    if reader is None:
        raise ConfigError("speakers.most is 1: there is nobody to tell apart")
    recordings = find(paths or [Path(source.target) for source in demo_sources()[0] if source.kind == "mic"], rttm)
    with elapsed() as bar:
        task = bar.add_task("loading", total=len(recordings))
        scores = bench.bench_speakers(
            recordings, config, reader, lambda what: bar.update(task, description=what, advance=1)
        )
    if plot:
        bench.plot(plot, scores)
    if as_json:
        out.print_json(data=bench.plain(scores))
    else:
        out.print(bench.render(scores))


def bench_endpoint(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Folders or sound files; default: the demo.", metavar="[PATH]...")
    ] = None,
    rttm: Annotated[Path | None, typer.Option(help="Who speaks when; default: the .rttm in each folder.")] = None,
    silence: Annotated[list[float] | None, typer.Option(help="Also with this fixed silence, s.")] = None,
    pause: Annotated[float, typer.Option(help="Silence that ends a turn of the reference, s.")] = 0.5,
    sets: Annotated[list[str] | None, typer.Option("--set", help="One key.", metavar="SECTION.KEY=VALUE")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw delay over false cut-offs.", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """How soon the end of speech is noticed, and how often too soon. Without RTTM: one file per person, in sync."""
    from erc_live.live import config
    from erc_live.live.bench import endpoint as bench
    from erc_live.live.bench import endpoint_report
    from erc_live.live.bench.recordings import find
    from erc_live.live.perception.turn_detection import open_turn_detector
    from erc_live.live.session import launch
    from erc_live.live.session.engines import segmenter_config
    from erc_live.live.session.weight_cache import models_folder

    chosen = config.load(None, sets or []).config
    detector = open_turn_detector(chosen.perception, models_folder(chosen.models))
    demo = [Path(source.target) for source in launch.demo_sources()[0] if source.kind == "mic"]
    recordings = find(paths or demo, rttm)
    with elapsed() as bar:
        task = bar.add_task("listening", total=len(recordings))
        report = bench.bench_endpoint(
            recordings,
            segmenter_config(chosen),
            detector,
            silence or bench.SILENCES_S,
            pause,
            lambda name: bar.update(task, description=name, advance=1),
        )
    if plot:
        endpoint_report.plot(plot, report)
    if as_json:
        out.print_json(data=report.plain())
    else:
        out.print(endpoint_report.render(report))


def _advance(bar: Progress, task: TaskID, what: str, share: float) -> None:
    bar.update(task, description=what, advance=share)


def bench_asr(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Sound files, or folders of them and folders in those, with their words beside them: .txt, .vtt, .srt "
            "by the same name, .stm, or LibriSpeech's .trans.txt. An empty .txt: nobody speaks. Default: the demo.",
            metavar="[PATH]...",
        ),
    ] = None,
    recogniser: Recognisers = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(help="A file or folder of texts that lie elsewhere, by the names of recordings.", metavar="PATH"),
    ] = None,
    nonspeech: Annotated[
        list[Path] | None,
        typer.Option(help="Recordings in which nobody speaks: every word heard is invented.", metavar="PATH"),
    ] = None,
    cut: Annotated[
        list[str] | None,
        typer.Option(
            help="What is recognised at a time: utterances as in a session (the default); whole: all in one piece; a "
            "number: pieces of so many s, past the speech detector. Several: side by side.",
            metavar="session|whole|SECONDS",
        ),
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="One key.", metavar="SECTION.KEY=VALUE")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the errors of each, and its cost.", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs, with what was said and heard.")] = False,
) -> None:
    """How many words recognisers get wrong, what they invent where nobody speaks, and what they cost.

    erc-live bench asr talks --recogniser tiny.en --recogniser base --nonspeech noises
    """
    from erc_live.live import config as configuration
    from erc_live.live.bench import asr as bench
    from erc_live.live.bench import asr_report
    from erc_live.live.bench.references import find_clips
    from erc_live.live.bench.word_errors import normaliser

    config = configuration.load(sets=sets or []).config
    anything = paths or nonspeech
    clips = find_clips(paths or [], reference or [], nonspeech or []) if anything else bench.demo_clips()
    normalise = normaliser(config.transcriber.language)
    recognisers = bench.open_recognisers(choices(recogniser), cut or [bench.SESSION], sets or [])
    with elapsed() as bar:
        task = bar.add_task("reading", total=len(clips) * len(recognisers))
        report = bench.bench_asr(clips, recognisers, config, normalise, partial(_advance, bar, task))
    if plot:
        asr_report.plot(plot, report)
    if as_json:
        out.print_json(data=asr_report.plain(report))
    else:
        out.print(asr_report.render(report))


def bench_talk(
    make: Annotated[
        Path, typer.Option(help="Where to put the conversations: a folder that is new or empty.", metavar="FOLDER")
    ],
    seed: Annotated[int, typer.Option(min=0, help="The same seed and voices make the same conversations.")] = 0,
    number: Annotated[int, typer.Option(min=1, help="So many conversations, of 1 to 2 minutes each.")] = 12,
    people: Annotated[
        list[int] | None,
        typer.Option(min=1, help="So many people talk; several: in turn. Default: 2 to 6, two most often."),
    ] = None,
    clips: Annotated[
        list[Path] | None,
        typer.Option(help="Short recordings of one person, whose name is that of the folder.", metavar="FOLDER"),
    ] = None,
    call: Annotated[
        list[Path] | None,
        typer.Option(help="A long recording of one person alone: one side of a call.", metavar="FILE"),
    ] = None,
    synthetic: Annotated[
        list[str] | None,
        typer.Option(
            "--flite",
            help="A synthetic voice of flite: slt, rms, awb, kal16. Without --clips and --call: all four.",
            metavar="VOICE",
        ),
    ] = None,
) -> None:
    """Make conversations whose answers are known, to measure on: people of yours who take turns, interrupt each other,
    say "yeah" meanwhile and all talk at once, in simulated rooms, with noise, by telephone. `bench speakers` and `bench
    endpoint` take the folder as it is.

    erc-live bench talk --make talks --seed 1 --clips ravdess/Actor_01 --clips ravdess/Actor_02 --call agent.flac

    erc-live bench speakers talks
    """
    from erc_live.live.bench import talk_voices
    from erc_live.live.bench.talk_maker import check_folder, make_talk
    from erc_live.live.demo import flite
    from erc_live.live.errors import ConfigError

    check_folder(make)
    folders, files, names = clips or [], call or [], synthetic or []
    if not (folders or files or names):
        if not flite.installed():
            raise ConfigError("no voices: name --clips FOLDER or --call FILE, or install flite, a speech synthesiser")
        names = [*talk_voices.VOICES]
    with counting() as bar:
        task = bar.add_task("", total=len(folders) + len(files) + len(names) + number)

        def advance(what: str) -> None:
            bar.update(task, description=what, advance=1)

        voices = talk_voices.read_voices(folders, files, names, advance)
        paths = make_talk(make, voices, seed, number, people or (), advance)
    out.print(
        f"{counted(len(paths), 'conversation')} of {counted(len(voices), 'voice')}; now: erc-live bench speakers {make}"
    )


bench_app.command("load")(bench_load)
bench_app.command("shard")(bench_shard)
bench_app.command("kills")(bench_kills)
bench_app.command("naive")(bench_naive)
bench_app.command("latency")(bench_latency)
bench_app.command("endpoint")(bench_endpoint)
bench_app.command("speakers")(bench_speakers)
bench_app.command("asr")(bench_asr)
bench_app.command("talk")(bench_talk)
bench_app.command("model")(bench_model)

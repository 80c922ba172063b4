"""From what a person asked for to a running session: checks first, then the workers, or the cores in this process."""

import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import msgspec
import platformdirs

from erc_live.live.alerts.alert_checks import check_rules
from erc_live.live.asr.pooled_words import pooled_name
from erc_live.live.asr.transcript_file import read_cues
from erc_live.live.asr.whisper_models import is_here
from erc_live.live.capture.source import bundle_sources, channels_hint, check
from erc_live.live.capture.source_spec import SourceSpec, parse_camera, parse_mic
from erc_live.live.config import Config
from erc_live.live.demo.recognition import RecognitionScore
from erc_live.live.errors import ConfigError, WorkerError
from erc_live.live.privacy import purpose
from erc_live.live.screen.console import print_line
from erc_live.live.session.log_file import session_log
from erc_live.live.session.operators import operators
from erc_live.live.session.recording_registry import prune
from erc_live.live.session.spec import Feed, SessionSpec
from erc_live.live.session.supervisor import Supervisor
from erc_live.live.session.weight_cache import models_folder
from erc_live.live.speakers.voice_prints import migrate
from erc_live.models import card
from erc_live.streams.address import (
    DEFAULT_ENDPOINT,
    check_endpoint,
    control_endpoint,
    feature_endpoint,
    own_endpoint,
    public_endpoint,
)
from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.errors import MediaError, SessionError
from erc_live.streams.event_stream import check_publishable
from erc_live.streams.feature_channel import DIALOGUE
from erc_live.streams.journal import make_private
from erc_live.streams.media import probe, undecodable
from erc_live.streams.messages import AnyMessage

FASTEST = float("inf")
UNHEARD = (
    "Nobody listened: these words are the demo's own transcript, because no speech recogniser is on this disk. "
    "`erc-live models fetch` brings one."
)
MOST_SPEED = 1000.0  # more than any machine gives; "max" is for that
Message = TypeVar("Message", bound=AnyMessage)


def sources(mics: Sequence[str], cameras: Sequence[str]) -> tuple[SourceSpec, ...]:
    """Devices, files and URLs as the options name them. Raises ConfigError or MediaError."""
    specs = (
        *(parse_mic(text, number) for number, text in enumerate(mics)),
        *(parse_camera(text, number) for number, text in enumerate(cameras)),
    )
    names = [spec.speaker for spec in specs if spec.speaker]
    if len(set(names)) < len(names):
        raise ConfigError(f"--mic: two microphones of one name ({', '.join(names)}); give each person their own")
    _refuse_one_sound_twice([spec for spec in specs if spec.kind == "mic"])
    return specs


def _refuse_one_sound_twice(mics: Sequence[SourceSpec]) -> None:
    """What two microphones hear alike would be taken from the one and given to the other (`crosstalk.py`)."""
    for one, other in combinations(mics, 2):
        names = [Path(each.target).resolve() if each.medium == "file" else each.target for each in (one, other)]
        if names[0] == names[1] and (one.channel == other.channel or None in (one.channel, other.channel)):
            raise ConfigError(
                f"--mic {other.target}: given twice, so two people would be heard in one sound; "
                f"give each their own, or their own channel: --mic {one.target}@1=ONE --mic {one.target}@2=OTHER"
            )


def replay_sources(
    path: Path | None, mics: Sequence[str], cameras: Sequence[str], notify: Callable[[str], None] = print_line
) -> tuple[SourceSpec, ...]:
    """A bundle's sources, a media file's sound and picture, or the files of --mic and --camera. `notify` is called with
    what a person should know of them, line by line.
    """
    if path is None:
        if not mics:
            raise ConfigError("replay: name a recorded session or a media file, or one file per person with --mic")
        return sources(mics, cameras)
    if mics:
        raise ConfigError(f"replay: {path} and --mic exclude each other: the path brings its own sound")
    if path.is_dir():
        return bundle_sources(path)
    return sources([str(path)], [*_cameras_of(path, notify), *cameras])


def own_words(path: Path | None, config: Config) -> Path | None:
    """The recorded session at `path`, which has its own words unless a recogniser is named; None for anything else."""
    return path if path is not None and path.is_dir() and config.transcriber.engine == "auto" else None


def permitted(sources: Sequence[SourceSpec], config: Config) -> tuple[SourceSpec, ...]:
    """What of a film or a recorded session may be used: no pictures where words alone are to decide."""
    return tuple(source for source in sources if source.kind == "mic" or not config.session.text_only)


def _cameras_of(path: Path, notify: Callable[[str], None]) -> list[str]:
    """The file once more, where it can be seen, too. Raises MediaError where it cannot be heard."""
    info = probe(path)
    if "audio" in info.undecodable:
        raise MediaError(undecodable(path, "audio"))
    if not info.audio:
        raise MediaError(f"{path}: no sound in it, so nobody can be heard; add --mic FILE")
    unseen = f"{undecodable(path, 'video')}; it is heard without them" if "video" in info.undecodable else ""
    for line in (unseen, channels_hint(path)):
        if line:
            notify(line)
    return [str(path)] if info.video else []


def demo_sources() -> tuple[tuple[SourceSpec, ...], Path]:
    """The conversation that is shipped, and its transcript."""
    folder = Path(str(files("erc_live.live.demo")))
    mics = [f"{folder / 'ada.flac'}=Ada", f"{folder / 'ben.flac'}=Ben"]
    return sources(mics, [str(folder / "faces.mp4")]), folder / "transcript.vtt"


def demo_words(config: Config, captions: Path) -> tuple[Path | None, Path | None]:
    """The transcript that the demo takes its words from, or else the reference for what a recogniser makes of it.

    Weights that are here are used. Where none are, the demo is no reason for a less accurate recogniser.
    """
    choice = config.transcriber
    if choice.engine == "none":
        return None, None
    unnamed = choice.engine == "auto" and choice.model == "auto"
    if choice.engine == "transcript" or (unnamed and not is_here(choice, models_folder(config.models))):
        return captions, None
    return None, captions


def parse_speed(text: str) -> float:
    """`1`, a positive number, or `max` (infinity). Raises ConfigError."""
    try:
        speed = FASTEST if text == "max" else float(text)
    except ValueError:
        speed = 0.0
    if not speed > 0 or (speed > MOST_SPEED and text != "max"):
        raise ConfigError(
            f"--speed {text}: write 1 for real time, a number of times as fast (up to {MOST_SPEED:.0f}), or max"
        )
    return speed


def parse_feed(text: str) -> Feed:
    """`DIALOGUE`, or `DIALOGUE@ENDPOINT` of the server. Raises ConfigError or AddressError."""
    dialogue, _, endpoint = text.partition("@")
    if not DIALOGUE.fullmatch(dialogue):
        raise ConfigError(f"--feed {text}: name the dialogue by 1 to 64 letters, digits, - and _, the first no sign")
    endpoint = feature_endpoint(endpoint or DEFAULT_ENDPOINT)
    check_endpoint(endpoint)
    return Feed(dialogue, endpoint)


def run(session: SessionSpec, beginning: str = "") -> None:
    """Run a session to its end: in this process at maximum speed, else in the workers. Raises what `exit_code` knows.
    `beginning`: a line for people, if it may begin at all.

    If it has a reference, the last line on standard error tells how much of that was recognised.
    """
    check_session(session)
    if beginning:
        print_line(beginning)
    reference = read_cues(Path(session.reference)) if session.reference else ()
    hearing = RecognitionScore(reference, [source.name for source in session.sources if source.kind == "mic"])
    if session.speed == FASTEST:
        if session.config.control.enabled:
            print_line("--speed max: nobody can steer what runs as fast as it can; control.enabled is ignored")
        from erc_live.live.session import max_speed  # here: only this way of running loads the engines in this process

        max_speed.replay(session, hearing.observe)
    else:
        _run_workers(session, hearing.observe)
    if session.reference and (line := hearing.summary()):
        print_line(line)


def _run_workers(session: SessionSpec, observe: Callable[[AnyMessage], None]) -> None:
    if session.config.transcriber.engine == "pool":
        pooled_name(session.config.transcriber)  # of processes that find none, the error would come late
    session = _placed(session)
    with session_log(_log_path(session)) as log, operators(session, observe) as others:
        try:
            Supervisor(session, log.place, others).run()
        except WorkerError:
            for line in log.tail:
                print_line(line)
            raise


def _log_path(session: SessionSpec) -> Path | None:
    if session.config.session.ephemeral:
        return None
    return platformdirs.user_log_path("erc-live", ensure_exists=True) / f"{session.session}.log"


def _placed(session: SessionSpec) -> SessionSpec:
    """The session, with the endpoints that "auto" means. Raises AddressError if one cannot be used."""
    events, control = session.config.events, session.config.control
    if session.feed is not None and events.endpoint == DEFAULT_ENDPOINT:  # there the server publishes
        events = msgspec.structs.replace(events, endpoint=own_endpoint(f"feed-{session.feed.dialogue}"))
    check_publishable(events.endpoint, KeyFolder(), keyless=events.keyless)
    events = msgspec.structs.replace(events, endpoint=public_endpoint(events.endpoint))
    if control.enabled:
        control = msgspec.structs.replace(control, endpoint=control_endpoint(control.endpoint))
    config = msgspec.structs.replace(session.config, events=events, control=control)
    return msgspec.structs.replace(session, config=config)


def check_session(session: SessionSpec) -> None:
    """What can be known before anything is started: what may not be, files that are not media, a folder in the way."""
    purpose.check(session.config.session)
    _check_alerts(session)
    _check_ephemeral(session)
    _check_text_only(session)
    if session.feed is not None and session.speed == FASTEST:
        raise ConfigError(f"--feed needs the processes of a session: --speed {MOST_SPEED:.0f} instead of max")
    for source in session.sources:
        if source.medium == "file":
            check(source)
    if session.transcript and not Path(session.transcript).exists():
        raise MediaError(f"--transcript {session.transcript}: no such file")
    if session.record:
        _check_room(Path(session.record))
        for line in prune(session.config.recording.keep_days, time.time_ns()):
            print_line(line)
    _check_screenshot(session)


def _check_screenshot(session: SessionSpec) -> None:
    """Whether the last screen can be saved."""
    if session.picture and (not session.dashboard or session.speed == FASTEST):
        raise ConfigError("--picture: only the dashboard has a last screen: in a terminal, and not at --speed max")
    if session.picture and not Path(session.picture).absolute().parent.is_dir():
        raise ConfigError(f"--picture {session.picture}: there is no folder {Path(session.picture).absolute().parent}")


def _check_alerts(session: SessionSpec) -> None:
    """Refuse rules that cannot be kept, by the labels of the weights that will decide."""
    if session.config.alerts:
        check_rules(session.config.alerts, card.read(session.config.tracker.weights).card.labels)


def _check_ephemeral(session: SessionSpec) -> None:
    """Refuse what would be kept of a session that keeps nothing; else bring the prints of voices up to date."""
    if session.config.session.ephemeral:
        for option, kept in (("--record", session.record), ("--picture", session.picture)):
            if kept:
                raise ConfigError(f"--ephemeral and {option} {kept} exclude each other: it writes nothing to the disk")
        return
    for line in migrate() if session.config.speakers.known else ():
        print_line(line)


def _check_text_only(session: SessionSpec) -> None:
    """Refuse cameras, and the lack of words, where words alone are to decide."""
    if not session.config.session.text_only:
        return
    if cameras := [source.target for source in session.sources if source.kind == "camera"]:
        raise ConfigError(f"--text-only and --camera {cameras[0]} exclude each other: nobody may be looked at")
    if session.config.transcriber.engine == "none":
        raise ConfigError("--text-only with transcriber.engine none leaves nothing to decide from: name an engine")


def _check_room(folder: Path) -> None:
    """Whether a recording can be kept there, where nobody else can read it. Raises SessionError."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise SessionError(f"--record {folder}: the folder is not empty; name a new one")
        place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        with tempfile.TemporaryFile(dir=place):
            pass
        if line := make_private(folder) if folder.exists() else "":
            print_line(line)
    except OSError as error:
        raise SessionError(
            f"--record {folder}: nothing can be written there ({error.strerror}); name another"
        ) from error

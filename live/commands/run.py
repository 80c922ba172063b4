"""`erc-live` itself, `replay` and `demo`: from the options to a session, and the session to its end."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

# Before numpy is imported: one thread rounds as the workers do, which have one each. With two, words of the recogniser
# came out otherwise at `--speed max` than at any other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer
from rich.text import Text

from erc_live.live import config as configuration
from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.commands.places import network_flags
from erc_live.live.commands.session_options import (
    AsLive,
    Cameras,
    ConfigFile,
    Ephemeral,
    Feed,
    Jsonl,
    Mics,
    Network,
    Picture,
    Purpose,
    Reason,
    Record,
    Sets,
    Setting,
    Speed,
    TextOnly,
    Transcript,
    session_flags,
)
from erc_live.live.config import Loaded
from erc_live.live.privacy.purpose import UNNAMED
from erc_live.live.screen.console import err, wants_jsonl, wants_lines
from erc_live.live.session import launch
from erc_live.live.session.spec import SessionSpec


def live(
    mic: list[str] | None,
    camera: list[str] | None,
    transcript: Path | None,
    record: Path | None,
    picture: Path | None,
    jsonl: bool,
    network: str | None,
    feed: str | None,
    config: Path | None,
    sets: list[str] | None,
    flags: dict[str, object],
) -> None:
    """Run a session of devices, which `erc-live` without a command does. `flags`: as of `session_flags`."""
    loaded = configuration.load(config, sets or [], flags | network_flags(network))
    sources = launch.sources(mic or ["default"], camera or [])
    _run(loaded, sources, "1", transcript, record, picture, jsonl, cameras=bool(camera), feed=feed)


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
    feed: Feed = None,
    purpose: Purpose = None,
    setting: Setting = None,
    reason: Reason = None,
    text_only: TextOnly = False,
    ephemeral: Ephemeral = False,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Play a recorded session or media files as if they happened now: PATH, or one file per person with --mic."""
    flags = session_flags(purpose, setting, reason, text_only, ephemeral)
    loaded = configuration.load(config, sets or [], flags | network_flags(network))
    sources = launch.replay_sources(path, mic or [], camera or [])
    transcript = transcript or launch.own_words(path, loaded.config)
    _run(loaded, sources, speed, transcript, record, picture, jsonl, hurry=as_live, cameras=bool(camera), feed=feed)


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
    loaded = configuration.load(config, sets or [], network_flags(network))
    sources, captions = launch.demo_sources()
    transcript, reference = launch.demo_words(loaded.config, captions)
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
    cameras: bool = False,
    feed: str | None = None,
) -> None:
    """`cameras`: somebody asked for them by name."""
    if not cameras:
        sources = launch.permitted(sources, loaded.config)
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
        jsonl=wants_jsonl(jsonl),
        lines=wants_lines(),
        feed=launch.parse_feed(feed) if feed is not None else None,
    )
    unnamed = loaded.origin["session.purpose"] == "default" and any(source.live for source in sources)
    launch.run(session, UNNAMED if unnamed else "")

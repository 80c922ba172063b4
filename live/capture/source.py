"""Where sound and pictures come from: microphones, cameras and recordings, all read in the same way.

A source is opened first, because devices are slow to start and may fail; it begins to deliver when the session begins.
The rule of this file: a recording is played at the pace of the session's clock, as if it were being recorded now.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from erc_live.live.capture.microphone import Microphone
from erc_live.live.capture.sound_check import SoundCheck, level_db
from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.capture.video_check import VideoCheck
from erc_live.live.config import CaptureSection
from erc_live.streams.clock import Clock
from erc_live.streams.errors import MediaError, SessionError
from erc_live.streams.media import audio_chunks, probe, undecodable
from erc_live.streams.messages import CHUNK_S, SAMPLE_RATE_HZ, AudioChunk, Gap, Kind, SourceEnd, VideoFrame
from erc_live.streams.replay import FrameSettings, MediaSource, Replayed, due_ns, source_messages
from erc_live.streams.session import open_session

APART_S = 60.0  # of a file are listened to, to tell whether each of its two channels is a person
APART_DB = 10.0  # by so much one channel is louder while its person speaks
APART_SHARE = 0.1  # of the time that is not silent, and as much for the other one
AUDIBLE_DB = -50.0


class Source(Protocol):
    """An open microphone, camera or recording.

    `finished`: nothing will come any more; `end_ns`: from when on, None where that is not known. `level_db`: dBFS of
    the latest chunk, None without sound. `rate_hz`: samples or pictures per second at the source. `dropped`: chunks or
    pictures that were lost. `note`: what a person should know, "" when all is well.
    """

    @property
    def finished(self) -> bool: ...

    @property
    def end_ns(self) -> int | None: ...

    @property
    def level_db(self) -> float | None: ...

    @property
    def rate_hz(self) -> float | None: ...

    @property
    def dropped(self) -> int: ...

    @property
    def note(self) -> str: ...

    def start(self, clock: Clock, start_ns: int) -> None:
        """Deliver from `start_ns` of `clock` on. Once, before the first `read`."""

    def read(self, timeout_s: float) -> Sequence[AudioChunk | VideoFrame | Gap]:
        """What is there, in order of time; [] when nothing came within `timeout_s` (real time). Never raises."""

    def close(self) -> None:
        """Let go of the device or file. May be called twice."""


def open_source(spec: SourceSpec, config: CaptureSection) -> Source:
    """Open what `spec` names. Raises DeviceError, MediaError or SessionError."""
    if spec.medium in ("file", "bundle"):
        return RecordingSource(spec, config)
    if spec.kind == "mic":
        return Microphone(spec, config)
    from erc_live.live.capture.camera import Camera

    return Camera(spec, config)


def recorded_messages(
    spec: SourceSpec, config: CaptureSection, start_ns: int, sound: SoundCheck | None = None
) -> Iterator[Replayed]:
    """All that a file, or a source of a bundle, holds, to its `SourceEnd`, without waiting; it begins at `start_ns`.

    `sound`: whom to ask afterwards what was wrong with it. Raises MediaError or SessionError where nothing can be read;
    one that breaks off ends there (`SourceEnd.damaged`).
    """
    sound = sound or sound_check(spec)
    kind: Kind = "audio" if spec.kind == "mic" else "video"
    source = MediaSource(Path(spec.target), spec.name, kind, spec.channel, sound.mixer)
    frames = FrameSettings(config.camera_rate_hz, config.camera_width_px, config.jpeg_quality)
    for message in source_messages(source, start_ns, frames):
        yield sound.take(message) if isinstance(message, AudioChunk) else message


def sound_check(spec: SourceSpec) -> SoundCheck:
    """What listens to a file or a source of a bundle. Raises MediaError."""
    if spec.kind == "mic" and spec.medium == "file":
        return SoundCheck("file", probe(Path(spec.target)).rate_hz)
    return SoundCheck("bundle", SAMPLE_RATE_HZ)


def channels_hint(path: Path) -> str:
    """One line for a file of two channels that are two people, "" for any other."""
    if probe(path).channels != 2:
        return ""
    try:
        chunks = [islice(audio_chunks(path, "", 0, channel), round(APART_S / CHUNK_S)) for channel in (1, 2)]
        left, right = (np.array([level_db(chunk.pcm) for chunk in channel]) for channel in chunks)
    except MediaError:  # somebody else will say so
        return ""
    louder = (left - right)[np.maximum(left, right) > AUDIBLE_DB]
    if not len(louder) or min((louder > APART_DB).mean(), (louder < -APART_DB).mean()) < APART_SHARE:
        return ""
    return f"{path} has a voice in each of its two channels; each as a person: --mic {path}@1=ONE --mic {path}@2=OTHER"


def bundle_sources(path: Path) -> tuple[SourceSpec, ...]:
    """What was recorded in the bundle at `path`, under the names it had. Raises SessionError."""
    session = open_session(path)
    speakers = {source.name: source.speaker for source in session.manifest.sources}
    return tuple(
        SourceSpec(
            kind="mic" if kind == "audio" else "camera",
            medium="bundle",
            name=name,
            target=str(path),
            speaker=speakers.get(name) or None,
        )
        for kind, name in session.tracks()
    )


class RecordingSource:
    """The sound or the pictures of a media file, or a source of a bundle, each message when its time has come."""

    dropped = 0

    def __init__(self, spec: SourceSpec, config: CaptureSection) -> None:
        self.finished = False
        self.end_ns: int | None = None
        self._damage = ""
        self._spec = spec
        self._config = config
        self._messages: Iterator[Replayed] = iter(())
        self._next: AudioChunk | VideoFrame | Gap | None = None
        check(spec)
        self._sound = sound_check(spec)
        self._video = VideoCheck()
        self.rate_hz = float(SAMPLE_RATE_HZ) if spec.kind == "mic" else config.camera_rate_hz

    @property
    def level_db(self) -> float | None:
        return self._sound.level_db

    @property
    def note(self) -> str:
        """At the end, only what is wrong with the recording itself."""
        return self._damage if self.finished else self._sound.note or self._video.note

    def start(self, clock: Clock, start_ns: int) -> None:
        """The recording begins at `start_ns` of `clock`."""
        self._clock = clock
        self._messages = recorded_messages(self._spec, self._config, start_ns, self._sound)
        self._next = self._take()

    def read(self, timeout_s: float) -> list[AudioChunk | VideoFrame | Gap]:
        """All that is due: sound when it has been heard to its end, pictures at their time."""
        if self._next is not None:
            self._clock.sleep_until(min(due_ns(self._next), self._clock.now_ns() + int(timeout_s * 1e9)))
        now_ns = self._clock.now_ns()
        out: list[AudioChunk | VideoFrame | Gap] = []
        while self._next is not None and due_ns(self._next) <= now_ns:
            if isinstance(self._next, VideoFrame):
                self._video.look(self._next)
            out.append(self._next)
            self._next = self._take()
        return out

    def close(self) -> None:
        self._messages = iter(())

    def _take(self) -> AudioChunk | VideoFrame | Gap | None:
        """The next message, None at the end. Damage ends a recording there: what came before is worth keeping."""
        try:
            message = next(self._messages)
        except (MediaError, SessionError) as error:
            self._damage, self.finished = str(error), True
            return None
        if isinstance(message, SourceEnd):
            self._damage, self.finished = message.reason if message.damaged else "", True
            self.end_ns = message.t_ns
            return None
        return message


def check(spec: SourceSpec) -> None:
    """Whether a recording holds what is wanted of it. Raises MediaError or SessionError."""
    path = Path(spec.target)
    if spec.medium == "bundle":
        found = any((source.kind, source.name) == (spec.kind, spec.name) for source in bundle_sources(path))
    else:
        info = probe(path)
        kind: Kind = "audio" if spec.kind == "mic" else "video"
        if kind in info.undecodable:
            raise MediaError(undecodable(path, kind))
        found = info.audio if spec.kind == "mic" else info.video
        if found and (spec.channel or 0) > info.channels:
            raise MediaError(f"{path}: no channel {spec.channel} in its sound, which has {info.channels}")
    if not found:
        raise MediaError(f"{path}: holds no {'sound' if spec.kind == 'mic' else 'pictures'} for {spec.name}")

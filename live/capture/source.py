"""Where sound and pictures come from: microphones, cameras and recordings, all read in the same way.

A source is opened first, because devices are slow to start and may fail; it begins to deliver when the session begins.
The rule of this file: a recording is played at the pace of the session's clock, as if it were being recorded now.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from erc_live.live.capture.microphone import Microphone, level_db
from erc_live.live.capture.spec import SourceSpec
from erc_live.live.config import Capture
from erc_live.streams.clock import Clock
from erc_live.streams.errors import MediaError, SessionError
from erc_live.streams.media import probe
from erc_live.streams.messages import SAMPLE_RATE_HZ, AudioChunk, Gap, SourceEnd, VideoFrame
from erc_live.streams.replay import MediaSource, Pictures, Replayed, due_ns, is_damage, source_messages
from erc_live.streams.session import open_session


class Source(Protocol):
    """An open microphone, camera or recording.

    `finished`: nothing will come any more. `level_db`: dBFS of the latest chunk, None without sound. `rate_hz`: samples
    or pictures per second at the source. `dropped`: chunks or pictures that were lost. `note`: what a person should
    know, "" when all is well.
    """

    @property
    def finished(self) -> bool: ...

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


def open_source(spec: SourceSpec, config: Capture) -> Source:
    """Open what `spec` names. Raises DeviceError, MediaError or SessionError."""
    if spec.medium in ("file", "bundle"):
        return Recording(spec, config)
    if spec.kind == "mic":
        return Microphone(spec, config)
    from erc_live.live.capture.camera import Camera

    return Camera(spec, config)


def recorded_messages(spec: SourceSpec, config: Capture, start_ns: int) -> Iterator[Replayed]:
    """All that a file, or a source of a bundle, holds, to its `SourceEnd`, without waiting; it begins at `start_ns`.

    Raises MediaError or SessionError where nothing can be read; one that breaks off ends there (`replay.is_damage`).
    """
    source = MediaSource(Path(spec.target), spec.name, "audio" if spec.kind == "mic" else "video")
    pictures = Pictures(config.camera_rate_hz, config.camera_width_px, config.jpeg_quality)
    return source_messages(source, start_ns, pictures)


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


class Recording:
    """The sound or the pictures of a media file, or a source of a bundle, each message when its time has come."""

    dropped = 0

    def __init__(self, spec: SourceSpec, config: Capture) -> None:
        self.finished = False
        self.level_db: float | None = None
        self.note = ""
        self._spec = spec
        self._config = config
        self._messages: Iterator[Replayed] = iter(())
        self._next: AudioChunk | VideoFrame | Gap | None = None
        _check(spec)
        self.rate_hz = float(SAMPLE_RATE_HZ) if spec.kind == "mic" else config.camera_rate_hz

    def start(self, clock: Clock, start_ns: int) -> None:
        """The recording begins at `start_ns` of `clock`."""
        self._clock = clock
        self._messages = recorded_messages(self._spec, self._config, start_ns)
        self._next = self._take()

    def read(self, timeout_s: float) -> list[AudioChunk | VideoFrame | Gap]:
        """All that is due: sound when it has been heard to its end, pictures at their time."""
        if self._next is not None:
            self._clock.sleep_until(min(due_ns(self._next), self._clock.now_ns() + int(timeout_s * 1e9)))
        now_ns = self._clock.now_ns()
        out: list[AudioChunk | VideoFrame | Gap] = []
        while self._next is not None and due_ns(self._next) <= now_ns:
            out.append(self._next)
            self._next = self._take()
        if out and isinstance(out[-1], AudioChunk):
            self.level_db = level_db(out[-1].pcm)
        return out

    def close(self) -> None:
        self._messages = iter(())

    def _take(self) -> AudioChunk | VideoFrame | Gap | None:
        """The next message, None at the end. Damage ends a recording there: what came before is worth keeping."""
        try:
            message = next(self._messages)
        except (MediaError, SessionError) as error:
            self.note, self.finished = str(error), True
            return None
        if isinstance(message, SourceEnd):
            self.note, self.finished = message.reason if is_damage(message) else "", True
            return None
        return message


def _check(spec: SourceSpec) -> None:
    path = Path(spec.target)
    if spec.medium == "bundle":
        found = any((source.kind, source.name) == (spec.kind, spec.name) for source in bundle_sources(path))
    else:
        info = probe(path)
        found = info.audio if spec.kind == "mic" else info.video
    if not found:
        raise MediaError(f"{path}: holds no {'sound' if spec.kind == 'mic' else 'pictures'} for {spec.name}")

"""Media in and out, through PyAV: files to speech samples and pictures, and back to the formats of a session bundle.

The rule of this file: time comes from the media, never from a clock. Everything of one file is stamped from the start
of the file as a whole, so that its sound and its pictures keep their distance, and a hole in the sound is a hole in the
stamps. What leaves here is what travels on the bus: 16 kHz mono int16 chunks, and JPEG pictures.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from erc_live.streams.errors import MediaError
from erc_live.streams.jpeg import encode_jpeg, upright
from erc_live.streams.lengths import goes_on, torn
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, AudioChunk, Kind, VideoFrame
from erc_live.streams.mixing import Mixer, in_floats
from erc_live.streams.timeline import Timeline

_MAX_SKEW_NS = 40_000_000  # sound this late against its pictures is not yet noticed (ITU-R BT.1359: 45 ms and more is)
_RATE_SLACK = 0.1  # of a period: a picture that jitters or is rounded to ms still counts for its slot
_KINDS: tuple[Kind, ...] = ("audio", "video")
_WHAT = {"audio": "sound", "video": "pictures"}
_END_SLACK_S = 1.0  # streams of one file need not end together
_MS = Fraction(1, 1000)  # the time base of Matroska
# Tags need not be UTF-8. Up to 18, PyAV refuses the file unless told otherwise; from 19 on it never does.
_ANY_TAGS = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


@dataclass(frozen=True)
class MediaInfo:
    """What a file holds and can be decoded. `duration_s` is None where the file does not say; `channels` and `rate_hz`
    are of its sound, 0 without. `undecodable`: what it holds of a kind, but only in forms that nothing here decodes.
    """

    audio: bool
    video: bool
    duration_s: float | None
    channels: int = 0
    rate_hz: int = 0
    undecodable: tuple[Kind, ...] = ()


class Resampler:
    """A stream of samples at any rate to 16 kHz mono int16.

    Channels are averaged; one of two that cancel each other is turned over first (`mixing.py`). The result does not
    depend on how the input is cut, and sample 0 of the output has the time of sample 0 of the input. 16 kHz mono int16
    passes unchanged; at other rates an input shorter than the filter (3 ms) gives nothing.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self.rate_hz = rate_hz
        self.channels = channels
        self._resampler = _speech_resampler()
        self._mixer = Mixer()

    @property
    def turned_over(self) -> bool:
        """Whether one of two channels had to be."""
        return self._mixer.turned_over

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Shapes: (n, channels) int16, or float32 in [-1, 1] -> (m,) int16; some samples stay inside until later."""
        if samples.ndim != 2 or samples.shape[1] != self.channels or samples.dtype not in (np.int16, np.float32):
            raise ValueError(f"samples must be int16 or float32 (n, {self.channels}): {samples.dtype} {samples.shape}")
        if not len(samples):
            return np.empty(0, np.int16)
        mono = self._mixer.mix(in_floats(samples))
        frame = av.AudioFrame.from_ndarray(mono[None, :], format="flt", layout="mono")
        frame.sample_rate = self.rate_hz
        return _samples(self._resampler.resample(frame))

    def flush(self) -> np.ndarray:
        """The samples still inside; the resampler then starts a new stream."""
        rest = _samples(self._resampler.resample(None))
        self._resampler = _speech_resampler()
        self._mixer = Mixer()
        return rest


def probe(path: Path) -> MediaInfo:
    """What is in the file. Raises MediaError when it is missing or not media."""
    with closing(_Container(path)) as container:
        duration, sound = container.av.duration, container.first("audio")
        return MediaInfo(
            audio=sound is not None,
            video=container.first("video") is not None,
            duration_s=None if duration is None else duration / 1e6,
            channels=0 if sound is None else sound.codec_context.channels,
            rate_hz=0 if sound is None else sound.codec_context.sample_rate,
            undecodable=tuple(kind for kind in _KINDS if container.holds(kind) and container.first(kind) is None),
        )


def undecodable(path: Path, kind: Kind) -> str:
    """What to say of a file whose sound or pictures nothing here decodes."""
    return f"{path}: its {_WHAT[kind]} cannot be decoded: no decoder here knows the form; convert the file first"


def audio_chunks(
    path: Path, source: str, start_ns: int, channel: int | None = None, mixer: Mixer | None = None
) -> Iterator[AudioChunk]:
    """The sound of a media file in chunks of `CHUNK_SAMPLES`; shorter ones at the end and before a hole.

    Of several sound tracks, the one that the file marks as default, else the first. The start of the file has the time
    `start_ns`. `channel` is the only one that is heard, counted from 1; None: all, mixed by `mixer`, which may be asked
    afterwards. Raises MediaError when the file is missing, not media or without sound or that channel; and, after
    everything it holds was yielded, when it ends before its time.
    """
    mixer = mixer or Mixer()
    stretch: _UnbrokenSound | None = None
    with closing(_Container(path)) as container:
        for offset_ns, stored in container.frames("audio"):
            frame = _mono(stored, channel, mixer, path)
            if stretch is None or not stretch.continued_by(frame, start_ns + offset_ns):
                if stretch is not None:
                    yield from stretch.flush()
                stretch = _UnbrokenSound(source, start_ns + offset_ns, frame)
            yield from stretch.feed(frame)
        if stretch is None:
            raise container.empty("audio")
        yield from stretch.flush()
        container.raise_if_cut()


def video_frames(
    path: Path, source: str, start_ns: int, rate_hz: float, width_px: int, jpeg_quality: int
) -> Iterator[VideoFrame]:
    """The pictures of a media file as upright JPEG pictures: at most `rate_hz` of them, and `width_px` wide.

    `jpeg_quality` is 1 to 100 as elsewhere. The start of the file has the time `start_ns`. Raises MediaError like
    `audio_chunks`.
    """
    last_slot: int | None = None
    with closing(_Container(path)) as container:
        for offset_ns, frame in container.frames("video"):
            slot = int(offset_ns * rate_hz / 1e9 + _RATE_SLACK)
            if last_slot is not None and slot <= last_slot:
                continue
            last_slot = slot
            picture = upright(frame, width_px)
            yield VideoFrame(
                source=source,
                t_ns=start_ns + offset_ns,
                width_px=picture.width,
                height_px=picture.height,
                jpeg=encode_jpeg(picture, jpeg_quality),
            )
        if last_slot is None:
            raise container.empty("video")
        container.raise_if_cut()


def encode_flac(pcm: np.ndarray) -> bytes:
    """A FLAC file, lossless. Shapes: pcm (n,) int16 at `SAMPLE_RATE_HZ`, n > 0."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE_HZ, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def encode_mkv(frames: Sequence[VideoFrame]) -> bytes:
    """A Matroska file that holds the very bytes of the pictures, in order; at least one, all of one size.

    Players see the time since the first one, in ms, which is all that Matroska can store.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("mjpeg")
        stream.width, stream.height, stream.pix_fmt = frames[0].width_px, frames[0].height_px, "yuvj420p"
        stream.time_base = _MS
        t_ms = 0
        for frame in frames:
            t_ms = max(t_ms, (frame.t_ns - frames[0].t_ns) // 1_000_000)
            packet = av.Packet(frame.jpeg)
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, _MS, t_ms, t_ms
            packet.is_keyframe = True
            container.mux(packet)
    return file.getvalue()


class _Container:
    """An open media file: its stream of a kind, decoded, and whether it ended before its time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reached_s = 0.0  # since the file began
        self._stamped_s = 0.0  # the same as the file counts
        self._damaged = False
        self._refusal = ""  # of the decoder, the last time
        try:
            self.av = av.open(f"file:{path}", **_ANY_TAGS)  # the prefix: a colon in a name is no protocol
        except FileNotFoundError as error:
            raise MediaError(f"{path}: no such file") from error
        except (av.InvalidDataError, EOFError) as error:
            raise MediaError(f"{path}: not a media file, or cut off before its index") from error
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
        media = [stream for stream in self.av.streams if stream.type in ("audio", "video")]
        self._origin_s = min(
            (s.start_time * s.time_base for s in media if s.start_time is not None), default=Fraction(0)
        )
        self._timeline = Timeline(self.av.format.name)

    def close(self) -> None:
        self.av.close()

    def holds(self, kind: Kind) -> bool:
        """Whether there is any stream of the kind; the cover picture of a piece of music is no video."""
        return bool(self._streams(kind))

    def first(self, kind: Kind) -> Any:
        """The stream of the kind that the file marks as default, else the first, of those that can be decoded; or
        None.
        """
        found = [stream for stream in self._streams(kind) if stream.codec_context is not None]
        marked = [stream for stream in found if stream.disposition & av.stream.Disposition.default]
        return next(iter(marked or found), None)

    def frames(self, kind: Kind) -> Iterator[tuple[int, Any]]:
        """Decoded frames with their time in ns since the start of the file. Raises MediaError without such a stream.

        Damaged packets are passed over: the decoder finds its feet at the next good one. A frame without a stamp begins
        where the one before it ends.
        """
        stream = self.first(kind)
        if stream is None:
            raise MediaError(
                undecodable(self.path, kind) if self.holds(kind) else f"{self.path}: holds no {kind} stream"
            )
        stream.thread_count = 1
        due_s = self._origin_s if kind == "audio" else None  # sound without any times counts its samples
        packets = self.av.demux()  # of all streams: the one that is cut off need not be the one wanted
        while (packet := self._next(packets)) is not None:
            for frame in self._decode(packet) if packet.stream is stream else ():
                at_s = due_s if frame.pts is None else frame.pts * frame.time_base
                if at_s is None:
                    raise MediaError(f"{self.path}: its {kind} stream carries no times: put it into a container")
                due_s = at_s + _length_s(frame, stream)
                yield int((at_s - self._origin_s) * 1_000_000_000), frame

    def empty(self, kind: Kind) -> MediaError:
        """What to say where not one frame came out of it."""
        if self._refusal:
            return MediaError(f"{self.path}: its {_WHAT[kind]} cannot be decoded: {self._refusal}")
        return MediaError(f"{self.path}: its {kind} stream is empty")

    def raise_if_cut(self) -> None:
        """Raise MediaError when the file stopped before its time."""
        # Matroska, cut between packets, gives no error but stores its length; elsewhere a length may be an estimate.
        stored = self.av.duration if "matroska" in self.av.format.name else None
        length_s = (stored or 0) / 1e6
        if self._damaged or self._stamped_s < length_s - _END_SLACK_S:
            raise MediaError(f"{self.path}: ends early, at {self._reached_s:.1f} s: the file is cut or damaged there")
        if goes_on(self.path):
            says = f"says that its sound ends at {self._reached_s:.1f} s, and more follows, which is not heard"
            raise MediaError(f"{self.path}: its header {says}: convert the file first, or split it where it was joined")

    def _streams(self, kind: Kind) -> list[Any]:
        return [
            stream
            for stream in self.av.streams
            if stream.type == kind and not stream.disposition & av.stream.Disposition.attached_pic
        ]

    def _next(self, packets: Iterator[Any]) -> Any:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            self._damaged = True
            return None
        if packet is not None and packet.size:
            self._damaged = packet.is_corrupt and torn(self.path)
            if packet.pts is not None:
                self._stamped_s = max(self._stamped_s, float(_end_s(packet)))
                if packet.stream.type in _KINDS:
                    self._timeline.mend(packet)
                self._reached_s = max(self._reached_s, float(_end_s(packet) - self._origin_s))
        return packet

    def _decode(self, packet: Any) -> list[Any]:
        try:
            return list(packet.decode())
        except av.FFmpegError as error:
            self._damaged, self._refusal = True, error.strerror
            return []


class _UnbrokenSound:
    """Sound without a hole, cut into chunks. The times count samples from the first one."""

    def __init__(self, source: str, t_ns: int, first: Any) -> None:
        self._source = source
        self._t_ns = t_ns  # of the next chunk
        self._format = _format(first)
        self._rate_hz = first.sample_rate
        self._start_ns = t_ns
        self._consumed = 0  # samples at the rate of the file
        self._resampler = _speech_resampler()
        self._pending = np.empty(0, np.int16)

    def continued_by(self, frame: Any, t_ns: int) -> bool:
        due_ns = self._start_ns + self._consumed * 1_000_000_000 // self._rate_hz
        return t_ns - due_ns <= _MAX_SKEW_NS and _format(frame) == self._format

    def feed(self, frame: Any) -> Iterator[AudioChunk]:
        self._consumed += frame.samples
        frame.pts = None  # the resampler shall count samples, not mend times
        self._pending = np.concatenate((self._pending, _samples(self._resampler.resample(frame))))
        while len(self._pending) >= CHUNK_SAMPLES:
            yield self._chunk()

    def flush(self) -> Iterator[AudioChunk]:
        self._pending = np.concatenate((self._pending, _samples(self._resampler.resample(None))))
        while len(self._pending):
            yield self._chunk()

    def _chunk(self) -> AudioChunk:
        pcm, self._pending = np.split(self._pending, [CHUNK_SAMPLES])
        chunk = AudioChunk(source=self._source, t_ns=self._t_ns, pcm=pcm)
        self._t_ns = chunk.t_end_ns
        return chunk


def _mono(frame: Any, channel: int | None, mixer: Mixer, path: Path) -> Any:
    """The sound of one channel, counted from 1, or None: of all, mixed; a frame of one channel as it is."""
    count = frame.layout.nb_channels
    if (channel or 0) > count:
        raise MediaError(f"{path}: no channel {channel} in its sound, which has {count}")
    if count == 1:
        return frame
    samples = frame.to_ndarray()  # (channels, n), or (1, n * channels) where the channels take turns
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, count)
    if channel is None:
        one, form = mixer.mix(in_floats(samples), [each.name for each in frame.layout.channels]), "flt"
    else:
        one, form = samples[:, channel - 1], frame.format.name
    mono = av.AudioFrame.from_ndarray(np.ascontiguousarray(one[None]), format=form, layout="mono")
    mono.sample_rate = frame.sample_rate
    return mono


def _end_s(packet: Any) -> Fraction:
    return Fraction((packet.pts + (packet.duration or 0)) * packet.time_base)


def _length_s(frame: Any, stream: Any) -> Fraction:
    """How long a frame lasts, as far as that is known."""
    if stream.type == "audio":
        return Fraction(frame.samples, frame.sample_rate)
    return 1 / Fraction(stream.average_rate) if stream.average_rate else Fraction(0)


def _speech_resampler() -> Any:
    return av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)


def _samples(frames: Sequence[Any]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int16), *(frame.to_ndarray()[0] for frame in frames)])


def _format(frame: Any) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name

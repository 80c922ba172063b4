"""The tracks of a session as WAV or FLAC files, mono, 16 bits, 16 kHz, all of one length, and a JSON file about them.

The rule of this file: sound is read once for all tracks of a microphone, and written as it comes.
"""

import wave
from collections.abc import Callable
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol, Self

import av
import msgspec
import numpy as np

from erc_live.live.export.aligned_sound import SoundTrack, aligned, length, masked, sound_tracks
from erc_live.live.export.exported import Export
from erc_live.live.export.tabular import relative_s, time_text
from erc_live.streams.conversation_view import ConversationView
from erc_live.streams.errors import SessionError
from erc_live.streams.messages import SAMPLE_RATE_HZ, samples_to_ns
from erc_live.streams.session import RecordedSession

_WAV_SAMPLES = (2**32 - 64) // 2  # its lengths are counted in 32 bits


class SoundWriter(Protocol):
    """An open file that takes samples (n,) int16."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def write(self, pcm: np.ndarray) -> None:
        """Append samples."""


class WavWriter:
    """RIFF WAVE, PCM."""

    def __init__(self, path: Path) -> None:
        self._file = wave.open(str(path), "wb")  # noqa: SIM115  `__exit__` closes it
        self._file.setnchannels(1)
        self._file.setsampwidth(2)
        self._file.setframerate(SAMPLE_RATE_HZ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, pcm: np.ndarray) -> None:
        """Append samples."""
        self._file.writeframesraw(pcm.astype("<i2", copy=False).tobytes())


class FlacWriter:
    """FLAC, lossless, about half as large."""

    def __init__(self, path: Path) -> None:
        self._container = av.open(str(path), "w", format="flac")
        self._stream = self._container.add_stream("flac", rate=SAMPLE_RATE_HZ, layout="mono", format="s16")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()

    def write(self, pcm: np.ndarray) -> None:
        """Append samples."""
        frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        for packet in self._stream.encode(frame):
            self._container.mux(packet)


def write_wav(export: Export) -> None:
    """A file for each track. Raises SessionError without sound, or where a session is too long for WAV."""
    if length(export.view) > _WAV_SAMPLES:
        hours = _WAV_SAMPLES // SAMPLE_RATE_HZ // 3600
        raise SessionError(f"{export.session.path}: longer than the {hours} hours that a WAV file holds: --to flac")
    _write(export, "wav", WavWriter)


def write_flac(export: Export) -> None:
    """A file for each track. Raises SessionError without sound."""
    _write(export, "flac", FlacWriter)


def file_names(session: RecordedSession, view: ConversationView, stem: str, suffix: str) -> dict[str, SoundTrack]:
    """Name of each file, and what is in it."""
    return {f"{stem}.{track.name}.{suffix}": track for track in sound_tracks(session, view)}


def write_tracks(export: Export, files: dict[str, SoundTrack], open_file: Callable[[Path], SoundWriter]) -> None:
    """The sound of these tracks under these names. Raises as `ExportFolder.path`."""
    for source, group in groupby(files.items(), key=lambda item: item[1].source):
        with ExitStack() as stack:
            tracks = [(stack.enter_context(open_file(export.folder.path(name))), track) for name, track in group]
            at = 0
            for block in aligned(export.session, export.view, source, export.missing):
                for file, track in tracks:
                    file.write(masked(block, at, track.spans))
                at += len(block)
                export.advance(samples_to_ns(len(block)))


def _write(export: Export, suffix: str, open_file: Callable[[Path], SoundWriter]) -> None:
    files = file_names(export.session, export.view, export.stem, suffix)
    if not files:
        raise SessionError(f"{export.session.path}: no sound was recorded: leave {suffix} out of --to")
    write_tracks(export, files, open_file)
    about = msgspec.json.format(msgspec.json.encode(_about(export, files)))
    export.write_text(f"{export.stem}.{suffix}.json", about.decode() + "\n")


def _about(export: Export, files: dict[str, SoundTrack]) -> dict[str, Any]:
    """What the files are, and where they are silent because nothing was recorded."""
    view = export.view
    sources = {track.source for track in files.values()}
    return {
        "session": export.session.manifest.session,
        "start_time": time_text(view.start_wall_ns),
        "start_ns": view.start_ns,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "duration_s": length(view) / SAMPLE_RATE_HZ,
        "files": [_about_track(name, track) for name, track in files.items()],
        "gaps": [
            {
                "source": gap.source,
                "start_s": relative_s(view, gap.t_start_ns),
                "end_s": relative_s(view, gap.t_end_ns),
                "cause": gap.cause,
            }
            for gap in view.gaps
            if gap.source in sources
        ],
    }


def _about_track(name: str, track: SoundTrack) -> dict[str, Any]:
    about = {"file": name, "source": track.source, "speaker_name": track.speaker_name}
    if track.spans is None:
        return about
    spans = [[start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ] for start, end in track.spans]
    return about | {"utterances_s": spans}

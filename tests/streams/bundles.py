"""Recorded sessions for tests: what capture might send, and how to record it."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from erc_live.streams.messages import AudioChunk, SourceEnd, VideoFrame, samples_to_ns
from erc_live.streams.record import Recorder
from erc_live.streams.session import Manifest, RecordedSource, new_manifest

SECOND = 1_000_000_000


def manifest() -> Manifest:
    sources = [RecordedSource(name="mic-0", kind="audio", speaker="Ada"), RecordedSource(name="camera-0", kind="video")]
    return new_manifest("s1", 5 * SECOND, 1_700_000_000 * SECOND, sources, {"capture": {"camera_rate_hz": 10.0}})


def record(folder: Path, messages: Iterable[object]) -> None:
    with Recorder(folder, manifest()) as recorder:
        for message in messages:
            recorder.write(message)


def die(recorder: Recorder) -> None:
    """What the system does with the files of a process that was killed."""
    recorder._close_logs()
    os.close(recorder._lock._descriptor)


def sound(source: str, t_ns: int, samples: int, seed: int = 0) -> AudioChunk:
    pcm = np.random.default_rng([seed, t_ns % 2**32, samples]).integers(-(2**15), 2**15, samples).astype(np.int16)
    return AudioChunk(source=source, t_ns=t_ns, pcm=pcm)


def picture(source: str, t_ns: int, size: tuple[int, int] = (32, 16), extra: bytes = b"") -> VideoFrame:
    jpeg = b"\xff\xd8\xff\xda" + t_ns.to_bytes(8, "big", signed=True) + extra + b"\xff\xd9"
    return VideoFrame(source=source, t_ns=t_ns, width_px=size[0], height_px=size[1], jpeg=jpeg)


def conversation(seconds: float, start_ns: int = 7 * SECOND) -> list[AudioChunk | VideoFrame]:
    """A microphone and a camera, in step."""
    chunks = [sound("mic-0", start_ns + samples_to_ns(n * 512), 512) for n in range(int(seconds * 31.25))]
    frames = [picture("camera-0", start_ns + n * SECOND // 10) for n in range(int(seconds * 10))]
    return sorted([*chunks, *frames], key=lambda message: message.t_ns)


# Between two messages of a source: in step, a jitter, a hole, or a clock that was set back.
_holes = st.sampled_from([0, 0, 0, 0, 1, 3_000_001, -2_000_000, 700_000_000, 11 * SECOND, -SECOND])


@st.composite
def tracks(draw, kind: str):
    """All messages of one source."""
    source = draw(st.sampled_from(["mic-0", "a b", "ä"] if kind == "audio" else ["camera-0", "c d", "ö"]))
    t_ns = draw(st.integers(-SECOND, 2**60))
    out: list[AudioChunk | VideoFrame | SourceEnd] = []
    for _ in range(draw(st.integers(1, 12))):
        if kind == "audio":
            out.append(sound(source, t_ns, draw(st.sampled_from([1, 160, 512, 512, 512, 20_000, 70_000]))))
            t_ns = out[-1].t_end_ns
        else:
            out.append(
                picture(
                    source, t_ns, draw(st.sampled_from([(32, 16), (32, 16), (16, 32)])), draw(st.binary(max_size=9))
                )
            )
            t_ns += SECOND // 3
        t_ns += draw(_holes)
    if draw(st.booleans()):
        out.append(SourceEnd(source=source, t_ns=t_ns, reason="end of file"))
    return out

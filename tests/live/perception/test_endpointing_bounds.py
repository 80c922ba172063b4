"""What stops or stalls delays nobody else: cameras by nothing, microphones by `STALLED_NS` once and never again."""

import pytest
from fakes import LoudnessDetector, answer, chunks, merged, speech

from erc_live.live.perception.endpointing import STALLED_NS, Endpointer, Settings
from erc_live.live.requests import RequestKind
from erc_live.streams.messages import AudioChunk, Gap, SourceEnd, VideoFrame
from erc_live.streams.segmenter import SegmenterConfig

SECOND = 1_000_000_000
CONFIG = SegmenterConfig(min_speech_s=0.1, end_silence_min_s=0.32, end_silence_s=0.32)
TALK = speech((False, 10), *[(True, 40), (False, 30)] * 8)
QUIET = speech((False, len(TALK) // 512))
STOP_NS = 8 * SECOND


def delays_s(messages: list[AudioChunk | VideoFrame | Gap | SourceEnd], microphones: int) -> list[float]:
    """Every message comes at its time, analysis takes none: how long each utterance of mic-0 waits for others, in s."""
    sources = dict.fromkeys(f"mic-{i}" for i in range(microphones))
    core = Endpointer(sources, LoudnessDetector, Settings(CONFIG, 5, partial_every_s=0.0), 0, STALLED_NS)
    told: list[float] = []
    for message in sorted(messages, key=time_of):
        now_ns = time_of(message)
        for request in core.feed(message):
            if request.kind == RequestKind.FINAL:
                core.accept(answer(request))
        told += [(now_ns - done.request.t_closed_ns) / 1e9 for done in core.poll(now_ns)]
    return told


def time_of(message: AudioChunk | VideoFrame | Gap | SourceEnd) -> int:
    return message.t_end_ns if isinstance(message, AudioChunk | Gap) else message.t_ns


def pictures(until_ns: int) -> list[VideoFrame]:
    return [
        VideoFrame(source="camera-0", t_ns=t_ns, width_px=1, height_px=1, jpeg=b"")
        for t_ns in range(0, until_ns, SECOND // 10)
    ]


@pytest.mark.parametrize("until_ns", [0, STOP_NS, 30 * SECOND])
def test_a_camera_that_stops_delays_nothing(until_ns: int) -> None:
    told = delays_s([*chunks("mic-0", TALK), *pictures(until_ns)], microphones=1)
    assert len(told) == 8
    assert max(told) == 0.0


@pytest.mark.parametrize("says_so", ["nothing", "gap", "end"])
def test_a_microphone_that_stops_delays_the_others_for_a_second_at_most_and_only_once(says_so: str) -> None:
    heard = [chunk for chunk in chunks("mic-1", QUIET) if chunk.t_end_ns <= STOP_NS]
    found_ns = STOP_NS + SECOND  # capture.silent_device_s later
    last = {
        "nothing": [],
        "gap": [Gap(source="mic-1", t_start_ns=heard[-1].t_end_ns, t_end_ns=found_ns, lost=31, cause="device")],
        "end": [SourceEnd(source="mic-1", t_ns=found_ns, reason="stopped")],
    }[says_so]
    told = delays_s([*merged(list(chunks("mic-0", TALK)), heard), *last], microphones=2)
    assert len(told) == 8
    assert max(told) <= STALLED_NS / 1e9
    assert sum(delay > 0.2 for delay in told) <= 1, "after that second nobody waits for it"


def test_a_microphone_that_comes_back_is_waited_for_again() -> None:
    heard = [c for c in chunks("mic-1", QUIET) if c.t_end_ns <= STOP_NS or c.t_ns >= STOP_NS + 3 * SECOND]
    told = delays_s(merged(list(chunks("mic-0", TALK)), heard), microphones=2)
    assert len(told) == 8
    assert max(told) <= STALLED_NS / 1e9
    assert told[-1] <= 0.032

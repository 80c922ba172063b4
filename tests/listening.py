"""A perception core that hears loud as speech, some talk for it, and what it asks to be analysed."""

from fakes import LoudnessDetector, speech

from erc_live.live.perception.endpointing import Endpointer, Settings
from erc_live.streams.segmenter import SegmenterConfig

CONFIG = SegmenterConfig(
    onset=0.5,
    offset=0.35,
    pre_roll_s=0.064,
    min_speech_s=0.1,
    end_silence_min_s=0.16,
    end_silence_s=0.16,
    max_utterance_s=3.0,
)
TIMING = {"speculative_s": 0.096, "partial_every_s": 0.5}
TALK = speech((False, 10), (True, 20), (False, 12), (True, 30), (False, 12), (True, 8), (False, 20))


def endpointer(*sources, max_frames=5):
    return Endpointer(dict.fromkeys(sources), LoudnessDetector, settings_(max_frames), start_ns=0)


def settings_(max_frames=5, timing=TIMING):
    return Settings(CONFIG, max_frames, **timing)


def asked(core, messages):
    """Every request, in order."""
    return [request for message in messages for request in core.feed(message)]

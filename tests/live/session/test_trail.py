"""How far one reads to follow an utterance, from the chunk of sound that closes it to its event.

The demo runs in one process under `sys.setprofile`, and each call of a function of the product is noted. The trail are
the files of the cores. An engine, behind its protocol, and what the network is built of are one place each: who follows
an utterance need not look inside. The vocabulary (types, clock, the test of what can be read) is looked up, not
followed. A hop is a call from one file of the trail to another, or to an engine; each call counts, also a repeated one.
The ceilings on everything that runs, engines included, keep the whole from growing unseen.
"""

import sys
from functools import cache
from itertools import islice, pairwise
from pathlib import Path

from erc_live.live import config
from erc_live.live.session import launch
from erc_live.live.session.engines import load_engines
from erc_live.live.session.in_process import InProcess, recorded
from erc_live.live.session.spec import SessionSpec
from erc_live.models.checkpoint import load
from erc_live.streams.messages import EmotionEvent

ROOT = Path(config.__file__).resolve().parents[1]
VOCABULARY = ("streams/messages.py", "streams/clock.py", "streams/words.py", "live/requests.py")
ENGINES = ("live/asr/", "live/vision/", "live/speakers/embedding", "live/perception/vad", "models/")
CORES = ("live/vision/active_speaker.py", "models/networks/dialogue_graph.py")  # stand among the engines
# One of the files is the arithmetic that the tracker shares with `erc-live explain`; slots and their steps are those of
# a server of many dialogues, and cost 16 hops.
TRAIL_FILES, TRAIL_HOPS = 17, 76
# Measured with the faces of ten pictures a second: 42 and 382 before the classifier and the places of labels had files.
ALL_FILES, ALL_HOPS = 46, 440


@cache
def product_file(path):
    """The path of a file from the root of the product; None for all others."""
    inside = Path(path).is_relative_to(ROOT) and Path(path).relative_to(ROOT).parts[0] in ("live", "models", "streams")
    return Path(path).relative_to(ROOT).as_posix() if inside else None


class Calls:
    """Which file of the product calls which, in order."""

    def __init__(self):
        self.made = []

    def __call__(self, frame, event, argument):
        if event == "call" and (callee := product_file(frame.f_code.co_filename)):
            caller = frame.f_back
            while caller is not None and not product_file(caller.f_code.co_filename):
                caller = caller.f_back
            self.made.append((caller and product_file(caller.f_code.co_filename), callee, frame.f_code.co_qualname))


def engine(file):
    return file is not None and file.startswith(ENGINES) and file not in CORES


def of_each_utterance(count):
    """The calls from the chunk that closes an utterance to its event."""
    sources, transcript = launch.demo_sources()
    settings = config.load(None, [], {}).config
    spec = SessionSpec(session="trail", config=settings, sources=sources, transcript=str(transcript))
    core = InProcess(spec, load_engines(settings, transcript), load("default"))
    calls = Calls()
    events = (message for message in core.run(recorded(spec)) if isinstance(message, EmotionEvent))
    sys.setprofile(calls)
    try:
        for _ in islice(events, count):
            start = max(i for i, (*_, name) in enumerate(calls.made) if name == "FrontEnd.feed")
            yield [(caller, callee) for caller, callee, _ in calls.made[start:]]
            calls.made.clear()
    finally:
        sys.setprofile(None)


def test_an_utterance_can_be_followed_through_few_files():
    for calls in of_each_utterance(2):
        followed = [(a, b) for a, b in calls if not engine(a) and a not in VOCABULARY and b not in VOCABULARY]
        trail = {b for _, b in followed if not engine(b)}
        hops = [(a, b) for a, b in followed if a != b]
        assert len(trail) <= TRAIL_FILES, " ".join(sorted(trail))
        assert len(hops) <= TRAIL_HOPS, hops
        everything = [b for _, b in calls]
        assert len(set(everything)) <= ALL_FILES, sorted(set(everything))
        assert sum(a != b for a, b in pairwise(everything)) <= ALL_HOPS

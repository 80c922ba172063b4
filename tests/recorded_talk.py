"""Recorded sessions with everything a report shows, for tests: made of `conversation.py` and of whatever people do."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
from conversation import MS, START_NS, S, utterance
from examples import LABELS, hello

from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.messages import (
    CHUNK_SAMPLES,
    SAMPLE_RATE_HZ,
    AudioChunk,
    EmotionEvent,
    Gap,
    Hello,
    Overload,
    Relabel,
    SessionEnd,
    SessionState,
    Word,
    WorkerLost,
)
from erc_live.streams.record import Recorder
from erc_live.streams.session import RecordedSource, new_manifest

HOSTILE = "</script><img src=x onerror=alert(1)>"
NAMES = (f"Zoë {HOSTILE}", "明子", "ليلى")
OWN_LABEL = "Schadenfreude & <b>"
WALL_NS = 1_700_000_000 * S


def greeting(**fields: object) -> Hello:
    own = {"session": "talk", "t_ns": START_NS, "wall_ns": WALL_NS, "notice": "People are told.", "purpose": "research"}
    return hello(**(own | fields))


def said(number: int, t_s: float, length_s: float = 2.0, speaker: int = 0, **fields: object) -> EmotionEvent:
    """Utterance `number`, with a word for each half second; the page begins at `START_NS`."""
    t_ns, end_ns = START_NS + round(t_s * S), START_NS + round((t_s + length_s) * S)
    words = [
        Word(text=f"w{number}.{n}", t_start_ns=t_ns + n * S // 2, t_end_ns=t_ns + (n + 1) * S // 2)
        for n in range(int(length_s * 2))
    ]
    stamps = ("t_closed_ns", "t_text_ns", "t_features_ns", "t_logits_ns")
    late = {name: end_ns + n * 100 * MS for n, name in enumerate(stamps, 2)}
    own = {
        "utterance": f"u{number}",
        "index": number,
        "speaker": speaker,
        "speaker_name": NAMES[speaker % 3],
        "source": f"mic-{speaker}",
        "text": " ".join(word.text for word in words),
        "words": tuple(words),
        "t_end_ns": end_ns,
        "t_published_ns": end_ns + 501 * MS,
    }
    return msgspec.structs.replace(utterance(number, 0, t_ns), **(late | own | fields))


def annotation(kind: str, t_s: float, **fields: object) -> Annotation:
    t_ns = START_NS + round(t_s * S)
    return Annotation(session="talk", t_ns=t_ns, wall_ns=WALL_NS, author="Ann", kind=kind, **fields)


def events() -> list[object]:
    """A talk of 30 s with everything that can happen in it."""
    at = lambda t_s: START_NS + round(t_s * S)  # noqa: E731
    own = {"label": OWN_LABEL, "probs": {OWN_LABEL: 0.7, "joy": 0.3}}
    return [
        greeting(),
        SessionState(session="talk", t_ns=at(0), recording=True, paused=False, purpose="research"),
        said(0, 1.0),
        said(1, 2.5, 3.0, speaker=1, label="joy", probs={"joy": 0.9, "neutral": 0.1}, shift=True),
        said(2, 7.0, speaker=2, text=f"{HOSTILE} ok", words=(), certain=False),
        said(3, 10.0, speaker=2, **own),
        said(4, 13.0, text="", words=(), skipped=True, face_coverage=0.1),
        said(5, 16.0, text="", words=()),
        annotation("mark", 8.0, text=f"remember {HOSTILE}"),
        annotation("name", 9.0, speaker=1, text="Akiko"),
        annotation("label", 9.5, utterance="u1", label="surprise"),
        Alert(session="talk", t_ns=at(11), rule="loud", on=True, text="anger of 明子 above 0.6", value=0.7, speaker=1),
        Overload(t_ns=at(12), level=1, step="words in provisional events", waiting_s=2.0),
        Overload(t_ns=at(15), level=0, step="words in provisional events", waiting_s=0.0),
        WorkerLost(t_ns=at(18), worker="tracker", reason="killed", consequence="goes on", restarts=1, lost=0),
        Relabel(t_ns=at(19), dialogue="d", moved=("u5",), voice="v", speaker_name="ليلى", cause="correction"),
        said(5, 16.0, speaker=2, text="", words=(), revision=1),
        SessionState(session="talk", t_ns=at(20), recording=True, paused=True),
        SessionState(session="talk", t_ns=at(24), recording=True, paused=False),
        Gap(source="mic-0", t_start_ns=at(20), t_end_ns=at(24), lost=125, cause="paused"),
        Gap(source="mic-1", t_start_ns=at(26), t_end_ns=at(27), lost=31, cause="device"),
        SessionEnd(session="talk", t_ns=at(30), utterances=6, reason="stopped"),
    ]


def tone(source: str, t_s: float, length_s: float, hz: float) -> list[AudioChunk]:
    samples = round(length_s * SAMPLE_RATE_HZ)
    pcm = (8000 * np.sin(2 * np.pi * hz * np.arange(samples) / SAMPLE_RATE_HZ)).astype(np.int16)
    begin_ns = START_NS + round(t_s * S)
    return [
        AudioChunk(source=source, t_ns=begin_ns + n * 62_500, pcm=pcm[n : n + CHUNK_SAMPLES])
        for n in range(0, samples, CHUNK_SAMPLES)
    ]


def sound() -> list[AudioChunk]:
    """Of two microphones, from 0 to 30 s, with a hole."""
    return [
        *tone("mic-0", 0, 20, 220),
        *tone("mic-0", 24, 6, 220),
        *tone("mic-1", 0, 26, 330),
        *tone("mic-1", 27, 3, 330),
    ]


def begin(folder: Path) -> Recorder:
    sources = [RecordedSource(name=f"mic-{n}", kind="audio", speaker=NAMES[n]) for n in range(2)]
    return Recorder(folder, new_manifest("talk", START_NS, WALL_NS, sources, {}))


def record(folder: Path, messages: Iterable[object]) -> Path:
    with begin(folder) as recorder:
        for message in messages:
            recorder.write(message)
    return folder


def long_talk(minutes: float) -> list[object]:
    """Two people, 3 s of talk each, a pause of half a second: 150 words a minute, seven probabilities."""
    probs = dict(zip(LABELS, (0.411, 0.202, 0.103, 0.104, 0.085, 0.056, 0.039), strict=True))
    turns = range(int(minutes * 60 / 3.5))
    rich = {"label": "neutral", "probs": probs, "text_confidence": 0.812, "face_coverage": 0.9}
    words = [said(n, n * 3.5, 3.0, speaker=n % 2, shift=False, **rich) for n in turns]
    return [greeting(), *words]


def cut_off(recorder: Recorder) -> None:
    """What the system does with the files of a process that was killed."""
    recorder._close_logs()
    os.close(recorder._lock._descriptor)

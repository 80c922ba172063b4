"""What real engines give is plain Python: every message that comes of it survives the codec, and is equal after it."""

import shutil
from dataclasses import fields, is_dataclass

import examples
import numpy as np
import pytest
from msgspec import structs

from erc_live.live.config import Config, ModelsSection, TranscriberSection, VisualSection
from erc_live.live.perception.front_end import InlineExecutor
from erc_live.live.perception.vad import SileroVad
from erc_live.live.session import launch
from erc_live.live.session.engines import front_end, load_engines
from erc_live.live.session.in_process import recorded
from erc_live.live.session.spec import SessionSpec
from erc_live.live.session.totals import SessionTotals
from erc_live.live.tracking.tracker import SessionStart, Tracker
from erc_live.live.vision.detector import open_face_finder
from erc_live.models import checkpoint
from erc_live.models.weights import weight
from erc_live.streams import codec
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import (
    EmotionEvent,
    Relabel,
    SourceEnd,
    UtteranceFeatures,
    VideoFrame,
    seconds_to_samples,
)
from erc_live.streams.replay import due_ns

HEARD_S = 8.0  # a sentence of each of the two


def session(heard_s, config):
    """The voices and faces of the demo, to `heard_s`; nobody says whose microphone it is."""
    sources, _ = launch.demo_sources()
    return SessionSpec(session="s", config=config, sources=tuple(structs.replace(s, speaker=None) for s in sources))


def played(asked, heard_s):
    """What capture would send, then its ends."""
    for message in recorded(asked):
        if due_ns(message) > heard_s * 1e9:
            break
        yield message
    for source in asked.sources:
        yield SourceEnd(source=source.name, t_ns=int(heard_s * 1e9), reason="stopped")


def plain(value):
    """Raise AssertionError at the first value in dataclasses, structs and tuples that is a scalar of numpy."""
    assert not isinstance(value, np.generic), f"{value!r} in the answer of an engine"
    if is_dataclass(value):
        for field in fields(value):
            plain(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        for inner in value:
            plain(inner)


class Inspected(InlineExecutor):
    """Answers of engines hold values of plain Python alone."""

    def submit(self, fn, /, *args, **kwargs):
        future = super().submit(fn, *args, **kwargs)
        plain(future.result())
        return future


def published(asked, end_s):
    """Everything that perception and tracker publish, of every kind of request."""
    engines = load_engines(asked.config)
    clock = ManualClock()
    core = front_end(asked, engines, clock, executor=Inspected())
    tracker = Tracker(checkpoint.load(asked.config.tracker.weights), SessionStart("s", 0, 0), clock)
    yield tracker.hello()
    for message in played(asked, end_s):
        clock.sleep_until(due_ns(message))
        yield message
        core.feed(message)
        for result in core.poll(clock.now_ns()):
            yield result
            if isinstance(result, Relabel):
                tracker.go_back(result)
            else:
                yield tracker.observe(result)
    yield SessionTotals("s", []).end(clock.now_ns(), "end of media")


def assert_it_crosses_the_border(asked, heard_s):
    """Returns the final features and events."""
    finals = []
    for message in published(asked, heard_s):
        assert examples.same(codec.decode(codec.encode(message)), message)
        assert examples.same(codec.from_json(codec.to_json(message)), message)
        if isinstance(message, UtteranceFeatures | EmotionEvent) and message.final:
            finals.append(message)
    return finals


@pytest.mark.real
def test_words_times_and_confidences_of_faster_whisper_and_all_vectors(tiny_en, tmp_path):
    choice = TranscriberSection(engine="faster-whisper", model=str(tiny_en))
    config = Config(
        transcriber=choice, visual=VisualSection(face_finder="haar"), models=ModelsSection(folder=str(tmp_path))
    )
    finals = assert_it_crosses_the_border(session(HEARD_S, config), HEARD_S)
    features = [message for message in finals if isinstance(message, UtteranceFeatures)]
    assert features
    for said in features:
        assert said.words
        assert all(type(w.t_start_ns) is int and type(w.confidence) is float for w in said.words)
        assert "text" in said.vectors
        assert "audio" in said.vectors
        assert said.voice
    assert any("visual" in said.vectors for said in features)


@pytest.mark.parametrize("finder", ["haar", "yunet"])
def test_words_of_pocketsphinx_and_faces_of_both_finders(finder, request, tmp_path):
    pytest.importorskip("pocketsphinx")
    if finder == "yunet":
        (tmp_path / "yunet").mkdir()
        source = request.getfixturevalue("shared_data") / "weights" / "face_detection_yunet.onnx"
        shutil.copy(source, tmp_path / "yunet" / weight("yunet").files[0].path)
    config = Config(
        transcriber=TranscriberSection(engine="pocketsphinx"),
        visual=VisualSection(face_finder=finder),
        models=ModelsSection(folder=str(tmp_path)),
    )
    finals = assert_it_crosses_the_border(session(HEARD_S, config), HEARD_S)
    features = [message for message in finals if isinstance(message, UtteranceFeatures)]
    assert features
    assert features[0].words
    assert any("visual" in said.vectors for said in features)
    find = open_face_finder(config.visual, tmp_path).find
    sights = [find(m.jpeg) for m in played(session(HEARD_S, config), HEARD_S) if isinstance(m, VideoFrame)]
    faces = [face for sight in sights for face in sight.faces]
    assert faces
    plain(faces)


def test_the_speech_detector_gives_a_plain_probability():
    noise = np.random.default_rng(0).normal(0, 3000, seconds_to_samples(0.032)).astype(np.int16)
    assert type(SileroVad()(noise)) is float

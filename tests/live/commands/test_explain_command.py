"""`erc-live explain` on recorded sessions: the table, the drawing, and each bad input in one line."""

import json
import xml.etree.ElementTree as ElementTree

import msgspec
import numpy as np
import pytest
from commands import run
from examples import event
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.commands.explain import explain
from erc_live.live.commands.report import report
from erc_live.live.explanation.heat_maps import svg
from erc_live.live.explanation.influence import Explanation, Influence
from erc_live.live.explanation.recorded_dialogues import drawings, recorded_dialogues
from erc_live.live.tracking.tracker import SessionStart, Tracker
from erc_live.models import checkpoint
from erc_live.streams.annotating import annotate
from erc_live.streams.annotations import Annotation
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import Recogniser, UtteranceFeatures
from erc_live.streams.record import Recorder
from erc_live.streams.session import new_manifest

NAMESPACE = "{http://www.w3.org/2000/svg}"


def features(number: int, loaded: checkpoint.Checkpoint, revision: int = 0) -> UtteranceFeatures:
    random = np.random.default_rng([number, revision])
    return UtteranceFeatures(
        dialogue="main", utterance=f"mic-0:{number}", source="mic-0", speaker_name=f"Ann <{number % 2}>",
        text=f"words {number}", engine=Recogniser(name="fake"), face_coverage=None, final=True, revision=revision,
        words=(), text_confidence=None, skipped=False, t_start_ns=number, t_end_ns=number + 1, t_closed_ns=number + 2,
        closed_by="silence", t_text_ns=number + 3, t_features_ns=number + 4,
        vectors={"text": random.standard_normal(16).astype(np.float32)}, encoders=dict(loaded.card.encoders),
    )  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tiny_world):
    return checkpoint.load(tiny_world["tracker.weights"])


@pytest.fixture
def bundle(tmp_path, tiny_world, loaded):
    """Six utterances; the fourth was analysed again."""
    manifest = new_manifest("s", 0, 0, [], {"tracker": {"weights": tiny_world["tracker.weights"]}})
    tracker = Tracker(loaded, SessionStart("s", 0, 0), ManualClock(0))
    corrected = features(3, loaded, revision=1)
    with Recorder(tmp_path / "talk", manifest) as recorder:
        for number in range(6):
            if number == 3:
                recorder.write(features(3, loaded))
            observed = corrected if number == 3 else features(number, loaded)
            recorder.write(observed)
            recorder.write(tracker.observe(observed))
    return tmp_path / "talk"


def test_a_report_carries_the_drawing(bundle, tmp_path):
    assert run(report, bundle, "-o", tmp_path / "page.html", "--why", "3")[0] == 0
    assert '"why":{"mic-0:3":{"svg":"\\u003csvg' in (tmp_path / "page.html").read_text("utf-8")


def test_the_estimate_is_that_of_the_session(bundle, loaded):
    code, text = run(explain, bundle, "--json")
    assert code == 0, text
    found = msgspec.json.decode(text, type=Explanation)
    assert (found.index, found.utterance) == (5, "mic-0:5")
    assert found.recorded == pytest.approx(found.probability, abs=1e-6)  # so the correction counted
    assert [influence.index for influence in found.influences] == [0, 1, 2, 3, 4, 5]


def test_an_utterance_has_a_number_and_an_id(bundle):
    by_number, by_id = (run(explain, bundle, "--utterance", name) for name in ("2", "mic-0:2"))
    assert by_number == by_id
    code, text = by_number
    assert code == 0
    assert text.startswith("Utterance 2, Ann <0>: words 2\nEstimate: ")
    assert "itself: words 2" in text
    assert "the 2 utterances before it" in text
    assert "words 3" not in text


def test_speakers_have_the_names_that_people_gave_them(bundle):
    before = json.loads(run(explain, bundle, "--json")[1])
    given = {"t_ns": 0, "wall_ns": 1, "author": "Eve", "kind": "name", "speaker": 0, "text": "Zoë"}
    annotate(bundle, [Annotation(session="s", **given)])
    after = json.loads(run(explain, bundle, "--json")[1])
    assert [each["speaker_name"] for each in after["influences"]] == ["Zoë", "Ann <1>"] * 3
    assert [each["whole"] for each in after["influences"]] == [each["whole"] for each in before["influences"]]


def test_an_utterance_without_features_is_one_line(bundle):
    log = bundle / "features.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    code, line = run(explain, bundle, "--utterance", "5")
    assert (code, "holds no features of utterance mic-0:5" in line) == (4, True)


def test_the_drawing_is_whole_and_says_what_the_numbers_say(bundle, tmp_path, loaded):
    assert run(explain, bundle, "-o", tmp_path / "why.svg")[0] == 0
    root = ElementTree.fromstring((tmp_path / "why.svg").read_text())
    texts = [node.text for node in root.iter(f"{NAMESPACE}text")]
    assert "Ann <1>: words 5" in " ".join(filter(None, texts))
    (drawn,) = drawings(recorded_dialogues(bundle), ["mic-0:5"], loaded).values()
    assert drawn == (tmp_path / "why.svg").read_text()
    assert (tmp_path / "why.svg").stat().st_mode & 0o077 == 0  # words are in it


def test_only_an_earlier_drawing_is_replaced(bundle, tmp_path):
    for _ in range(2):
        assert run(explain, bundle, "-o", tmp_path / "why.svg")[0] == 0
    (tmp_path / "mine.txt").write_text("mine")
    code, line = run(explain, bundle, "-o", tmp_path / "mine.txt")
    assert (code, "is there already" in line, (tmp_path / "mine.txt").read_text()) == (2, True, "mine")


def test_numbers_are_those_of_the_session_also_where_its_first_features_are_gone(bundle):
    log = bundle / "features.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[2:]))
    found = json.loads(run(explain, bundle, "--utterance", "3", "--json")[1])
    assert (found["index"], found["utterance"]) == (3, "mic-0:3")
    assert [each["index"] for each in found["influences"]] == [2, 3]


def test_the_report_says_why_of_the_utterances_that_are_named(bundle, tmp_path, loaded):
    code, text = run(report, bundle, "-o", tmp_path / "page.html", "--why", "2", "--why", "mic-0:5")
    assert code == 0, text
    page = (tmp_path / "page.html").read_text()
    assert page.count("What moved the estimate") >= 2
    assert run(report, bundle, "-o", tmp_path / "page.html", "--why", "9")[0] == 2


anything = st.text(max_size=80)
nats = st.floats(-30, 30)
shares = st.floats(0, 1)


@st.composite
def explanations(draw):
    layers = draw(st.integers(0, 3))
    rows = [
        Influence(
            utterance=draw(anything),
            index=number,
            speaker_name=draw(anything),
            text=draw(anything),
            itself=False,
            whole=draw(nats),
            modalities=draw(st.dictionaries(st.sampled_from(["text", "audio", "visual"]), nats)),
            attention=tuple(draw(shares) for _ in range(layers)) if draw(st.booleans()) else (),
        )
        for number in range(draw(st.integers(1, 5)))
    ]
    return Explanation(
        utterance="u", index=0, speaker_name=draw(anything), text=draw(anything), label=draw(anything),
        probability=draw(shares), recorded=None, model="m", influences=tuple(rows), bounded=False,
    )  # fmt: skip


@given(explanations())
def test_whatever_was_said_the_drawing_is_one_that_a_browser_reads(explanation):
    text = svg(explanation)
    root = ElementTree.fromstring(text)
    rows = sum(1 + len(i.modalities) + len(i.attention) for i in explanation.influences)
    assert len([*root.iter(f"{NAMESPACE}rect")]) == rows
    assert {node.tag.removeprefix(NAMESPACE) for node in root.iter()} <= {"svg", "title", "style", "text", "rect"}


def test_bad_input_is_one_clear_line(bundle, tmp_path, tiny_world, loaded):
    code, line = run(explain, bundle, "--utterance", "99")
    assert (code, line.startswith("--utterance 99: there is none of this number or id")) == (2, True)
    code, line = run(explain, bundle, "-o", bundle / "why.svg")
    assert (code, "is inside the recorded session" in line) == (2, True)
    assert run(explain, tmp_path / "nothing")[0] == 4
    code, line = run(explain, bundle, "--weights", "default")
    assert code == 5
    assert f"was labelled by the weights {loaded.fingerprint}" in line
    code, line = run(explain, bundle, "-o", tmp_path / "no" / "why.svg")
    assert code == 2
    assert "cannot be written" in line
    with Recorder(tmp_path / "empty", new_manifest("s", 0, 0, [], {})) as recorder:
        recorder.write(event(0))
    code, line = run(explain, tmp_path / "empty")
    assert (code, "holds no features" in line) == (4, True)


def test_a_session_that_was_cut_off_is_explained_as_far_as_it_goes(bundle):
    log = bundle / "features.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    code, text = run(explain, bundle, "--json")
    assert code == 0, text
    assert json.loads(text)["index"] == 4

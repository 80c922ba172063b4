"""The tracker: order, identity and causality, on tiny random weights."""

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from erc_live.live.tracking.tracker import SessionStart, Tracker
from erc_live.models import checkpoint
from erc_live.models.card import Confidence
from erc_live.models.dimensions import expected
from erc_live.models.errors import WeightsError
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import RELABEL_REACH, Recogniser, Relabel, UtteranceFeatures


@pytest.fixture(scope="module")
def loaded(tiny_world):
    return checkpoint.load(tiny_world["tracker.weights"])


@pytest.fixture
def tracker(loaded):
    return Tracker(loaded, SessionStart("s", 5, 7), ManualClock(100))


@pytest.fixture
def utterance(loaded):
    def make(number, source="mic-0", speaker=None, dialogue="main", **changes):
        random = np.random.default_rng(number)
        features = UtteranceFeatures(
            dialogue=dialogue,
            utterance=f"{source}:{number}",
            source=source,
            speaker_name=speaker,
            text="well",
            engine=Recogniser(name="fake"),
            face_coverage=None,
            final=True,
            revision=0,
            words=(),
            text_confidence=None,
            skipped=False,
            t_start_ns=number,
            t_end_ns=number + 1,
            t_closed_ns=number + 2,
            closed_by="silence",
            t_text_ns=number + 3,
            t_features_ns=number + 4,
            vectors={
                "text": random.standard_normal(16).astype(np.float32),
                "audio": random.standard_normal(15).astype(np.float32),
            },
            encoders=dict(loaded.card.encoders),
        )
        return msgspec.structs.replace(features, **changes)

    return make


def without(features, *modalities):
    left = {name: vector for name, vector in features.vectors.items() if name not in modalities}
    return msgspec.structs.replace(features, vectors=left)


def probs(event):
    return tuple(event.probs.values())


def test_an_event_is_a_distribution_over_the_labels_of_the_card(tracker, utterance, loaded):
    event = tracker.observe(utterance(1))
    assert tuple(event.probs) == loaded.card.labels
    assert math.isclose(sum(probs(event)), 1.0)
    assert event.probs[event.label] == max(probs(event))
    assert math.isclose(event.entropy, -sum(p * math.log(p) for p in probs(event)))
    assert (event.t_closed_ns, event.t_text_ns, event.t_features_ns, event.t_logits_ns) == (3, 4, 5, 100)
    assert event.modalities == ("text", "audio")


def test_valence_and_arousal_are_those_of_the_distribution(loaded, utterance):
    event = Tracker(loaded, SessionStart("s", 0, 0), ManualClock()).observe(utterance(1))
    assert (event.valence, event.arousal) == expected(event.probs, {})
    own = {"joy": (-1.0, 1.0)}
    moved = Tracker(loaded, SessionStart("s", 0, 0), ManualClock(), coordinates=own).observe(utterance(1))
    assert (moved.valence, moved.arousal) == expected(event.probs, own)
    card = replace(loaded.card, labels=("neutral", "smug", "anger"))
    strange = Tracker(replace(loaded, card=card), SessionStart("s", 0, 0), ManualClock()).observe(utterance(1))
    assert (strange.valence, strange.arousal) == (None, None)


def test_seq_counts_the_stream_and_index_the_dialogue(tracker, utterance):
    events = [tracker.observe(utterance(i, dialogue="ab"[i % 2])) for i in range(6)]
    assert [e.seq for e in events] == [0, 1, 2, 3, 4, 5]
    assert [e.index for e in events] == [0, 0, 1, 1, 2, 2]


def test_speakers_are_numbered_by_first_appearance_in_each_dialogue(tracker, utterance):
    said = [("mic-1", "Ben"), ("mic-0", "Ada"), ("mic-1", "Ben"), ("mic-2", None)]
    events = [tracker.observe(utterance(i, source, name)) for i, (source, name) in enumerate(said)]
    assert [e.speaker for e in events] == [0, 1, 0, 2]
    assert [e.speaker_name for e in events] == ["Ben", "Ada", "Ben", "Speaker 3"]


def test_shift_compares_with_the_speaker_s_own_last_label(tracker, utterance):
    last = {}
    for i in range(30):
        name = "AB"[i % 2]
        event = tracker.observe(utterance(i, name, name))
        assert event.shift == (None if name not in last else last[name] != event.label)
        last[name] = event.label


def test_a_provisional_event_leaves_no_trace(loaded, utterance):
    plain, hasty = (Tracker(loaded, SessionStart("s", 0, 0), ManualClock()) for _ in range(2))
    for i in range(5):
        hasty.observe(utterance(i + 100, speaker="Eve", final=False))
        assert probs(hasty.observe(utterance(i))) == probs(plain.observe(utterance(i)))


def test_the_past_matters_and_dialogues_do_not_mix(loaded, utterance):
    fresh, busy = (Tracker(loaded, SessionStart("s", 0, 0), ManualClock()) for _ in range(2))
    for i in range(3):
        busy.observe(utterance(i + 50))
        busy.observe(utterance(i + 70, dialogue="other"))
    assert probs(busy.observe(utterance(9, dialogue="third"))) == pytest.approx(probs(fresh.observe(utterance(9))))
    assert probs(busy.observe(utterance(9))) != pytest.approx(probs(fresh.observe(utterance(9, dialogue="new"))))


@pytest.mark.parametrize("missing", ["text", "audio", "both"])
def test_a_missing_modality_never_stops_events(tracker, utterance, missing):
    absent = ("text", "audio") if missing == "both" else (missing,)
    event = tracker.observe(without(utterance(1), *absent))
    assert math.isclose(sum(probs(event)), 1.0)
    assert len(event.modalities) == 2 - len(absent)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_spoilt_vector_counts_as_missing(tracker, utterance, value):
    spoilt = {**utterance(1).vectors, "text": np.full(16, value, np.float32)}
    event = tracker.observe(utterance(1, vectors=spoilt))
    assert event.modalities == ("audio",)
    assert math.isclose(sum(probs(event)), 1.0)
    assert tracker.spoilt == 1


def test_prosody_may_hold_what_was_not_measured(tracker, utterance):
    sound = np.array([1.0, 60.0, 5.0, np.nan, np.nan, np.nan, 4.0, *[np.nan] * 8], np.float32)
    assert tracker.observe(utterance(1, vectors={**utterance(1).vectors, "audio": sound})).modalities == (
        "text",
        "audio",
    )
    assert tracker.spoilt == 0


def test_features_of_another_encoder_are_refused(tracker, utterance):
    for modality in ("text", "audio", "visual"):
        with pytest.raises(WeightsError, match=f"expects {modality} vectors of encoder"):
            tracker.observe(utterance(1, encoders={modality: "other"}))


def test_a_modality_that_the_model_was_not_trained_on_is_left_out(loaded, utterance):
    encoders = {name: encoder for name, encoder in loaded.card.encoders.items() if name != "visual"}
    blind = replace(loaded, card=replace(loaded.card, encoders=encoders))
    seen = {
        "vectors": {**utterance(1).vectors, "visual": np.ones(8, np.float32)},
        "encoders": {"visual": "faces"},
    }
    event = Tracker(blind, SessionStart("s", 0, 0), ManualClock()).observe(utterance(1, **seen))
    assert event.modalities == ("text", "audio")
    assert probs(event) == probs(Tracker(loaded, SessionStart("s", 0, 0), ManualClock()).observe(utterance(1)))


def test_an_answer_below_the_threshold_of_the_card_is_marked_as_uncertain(loaded, utterance):
    for threshold in (0.0, 0.4, 1.0):
        strict = replace(loaded, card=replace(loaded.card, abstain_below=threshold))
        tracker = Tracker(strict, SessionStart("s", 0, 0), ManualClock())
        for number in range(5):
            event = tracker.observe(utterance(number))
            assert event.certain == (max(probs(event)) >= threshold)


def test_what_rests_on_the_voice_alone_is_as_sure_as_the_card_says_of_voices(loaded, utterance):
    card = replace(loaded.card, by_modalities={"a": Confidence(temperature=4.0, abstain_below=0.9)})

    def observe(one, card):
        return Tracker(replace(loaded, card=card), SessionStart("s", 0, 0), ManualClock()).observe(one)

    voice, words = without(utterance(1), "text"), utterance(1)
    before, after = probs(observe(voice, loaded.card)), probs(observe(voice, card))
    roots = [p**0.25 for p in before]
    assert after == pytest.approx([root / sum(roots) for root in roots])
    assert not observe(voice, card).certain
    assert observe(words, card) == observe(words, loaded.card)
    misheard = utterance(1, text_confidence=0.25)
    mixed = [0.25 * a + 0.75 * b for a, b in zip(probs(observe(words, card)), after, strict=True)]
    assert probs(observe(misheard, card)) == pytest.approx(mixed)
    surely = replace(card, by_modalities={"a": Confidence(4.0, 0.0)})
    assert not observe(misheard, card).certain
    assert observe(misheard, surely).certain


def test_words_count_by_the_confidence_that_they_were_heard_right(loaded, utterance):
    def at(confidence, *absent):
        core = Tracker(loaded, SessionStart("s", 0, 0), ManualClock())
        first = core.observe(without(utterance(1, text_confidence=confidence), *absent))
        return first, core.observe(utterance(2))

    (sure, after_sure), (wordless, after_wordless) = at(None), at(None, "text")
    for confidence in (0.0, 0.3, 0.5, 0.9, 1.0):
        event, after = at(confidence)
        mixed = [confidence * a + (1 - confidence) * b for a, b in zip(probs(sure), probs(wordless), strict=True)]
        assert probs(event) == pytest.approx(mixed)
        assert event.text_confidence == confidence
        assert probs(after) == pytest.approx(probs(after_sure if confidence >= 0.5 else after_wordless))


def test_an_utterance_that_was_not_heard_well_is_not_certain(loaded, utterance):
    def observe(confidence, threshold):
        card = replace(loaded.card, abstain_below=threshold)
        core = Tracker(replace(loaded, card=card), SessionStart("s", 0, 0), ManualClock())
        return core.observe(utterance(5, text_confidence=confidence))

    sure, doubted = (max(probs(observe(confidence, 0.0))) for confidence in (None, 0.4))
    assert doubted < sure
    threshold = (sure + doubted) / 2
    assert observe(None, threshold).certain
    assert not observe(0.4, threshold).certain


def relabel(*moved, voice="mic-0#1"):
    return Relabel(t_ns=0, dialogue="d", moved=moved, voice=voice, speaker_name=None, cause="merge")


def test_going_back_gives_what_would_have_been_known_from_the_start(loaded, utterance):
    """Two voices that turn out to be one: what follows is as if that had been known, number of the speaker included."""
    corrected, right = (Tracker(loaded, SessionStart("s", 0, 0), ManualClock()) for _ in range(2))
    voices = ["mic-0#0", "mic-0#1", "mic-0#2", "mic-0#1"]
    said = [utterance(i, speaker=None, dialogue="d", utterance=f"u{i}", voice=voice) for i, voice in enumerate(voices)]
    for features in said:
        corrected.observe(features)
    merged = [msgspec.structs.replace(f, voice="mic-0#1" if f.voice == "mic-0#2" else f.voice) for f in said]
    expected = [right.observe(features) for features in merged]
    corrected.go_back(relabel("u2"))
    again = [corrected.observe(msgspec.structs.replace(f, revision=1)) for f in merged[2:]]
    assert [probs(e) for e in again] == [probs(e) for e in expected[2:]]
    assert [(e.index, e.speaker, e.revision) for e in again] == [(2, 1, 1), (3, 1, 1)]
    assert [e.seq for e in again] == [4, 5]


def test_a_speaker_keeps_the_number_when_one_before_turns_out_to_be_nobody(loaded, utterance):
    tracker = Tracker(loaded, SessionStart("s", 0, 0), ManualClock())
    said = [utterance(i, speaker=None, dialogue="d", utterance=f"u{i}", voice=f"mic-0#{i}") for i in range(3)]
    for features in said:
        tracker.observe(features)
    tracker.go_back(relabel("u1", voice="mic-0#0"))
    again = [tracker.observe(msgspec.structs.replace(said[1], voice="mic-0#0")), tracker.observe(said[2])]
    assert [event.speaker for event in again] == [0, 2]


def test_what_lies_too_far_back_stays(loaded, utterance):
    tracker = Tracker(loaded, SessionStart("s", 0, 0), ManualClock())
    for i in range(RELABEL_REACH + 1):
        tracker.observe(utterance(i, dialogue="d", utterance=f"u{i}"))
    tracker.go_back(relabel("u0", "nobody"))
    assert tracker.observe(utterance(0, dialogue="d")).index == RELABEL_REACH + 1
    tracker.go_back(relabel("u0", "u2"))
    assert tracker.observe(utterance(0, dialogue="d")).index == 2


def test_it_says_what_it_is(tracker):
    hello = tracker.hello()
    assert (hello.session, hello.t_ns, hello.wall_ns) == ("s", 5, 7)


def test_who_takes_another_s_place_goes_on_as_that_one_would_have(loaded, utterance):
    said = [utterance(i, dialogue="d", utterance=f"u{i}", text_confidence=0.3) for i in range(6)]
    one = Tracker(loaded, SessionStart("s", 0, 0), ManualClock())
    expected = [one.observe(features) for features in said]
    other = Tracker(loaded, SessionStart("s", 0, 0), ManualClock())
    other.go_on(4)
    for features in said[:4]:
        other.remember(msgspec.structs.replace(features, final=False))
        other.remember(features)
    assert [other.observe(features) for features in said[4:]] == expected[4:]

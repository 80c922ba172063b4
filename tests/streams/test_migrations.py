"""What earlier versions wrote reads as what today's would have written."""

import json

import numpy as np
import pytest

from erc_live.streams import codec
from erc_live.streams.errors import BadMessage
from erc_live.streams.messages import SCHEMA, EmotionEvent, Recogniser, UtteranceFeatures

EVENT = {
    "type": "EmotionEvent", "schema": "erc.event/1", "seq": 3, "session": "s", "dialogue": "main", "utterance": "u",
    "index": 2, "source": "mic-0", "speaker": 1, "speaker_name": "Ben", "text": "well", "label": "joy",
    "probs": {"joy": 0.75, "anger": 0.25}, "entropy": 0.56, "shift": None, "modalities": ["text", "audio"],
    "face_coverage": 0.5, "final": True, "revision": 1, "model": "m", "engine": "faster-whisper tiny.en int8 on cpu",
    "t_start_ns": 1, "t_end_ns": 2, "t_closed_ns": 3, "t_text_ns": 4, "t_features_ns": 5, "t_logits_ns": 6,
}  # fmt: skip
FEATURES = {
    "type": "UtteranceFeatures", "dialogue": "main", "utterance": "u", "source": "mic-0", "speaker_name": None,
    "text": "well", "engine": "e", "t_start_ns": 1, "t_end_ns": 2, "t_closed_ns": 3, "closed_by": "silence",
    "t_text_ns": 4, "t_features_ns": 5, "encoders": "text=a@1 audio=b/2",
    "text_vec": {"dtype": "float32", "shape": [2], "base64": "AACAPwAAAEA="}, "audio_vec": None,
}  # fmt: skip


def read(fields):
    return codec.from_json(json.dumps(fields).encode())


def test_an_event_of_before_there_was_anything_but_what_it_must_have():
    event = read(EVENT)
    assert isinstance(event, EmotionEvent)
    assert (event.schema, event.engine) == (SCHEMA, Recogniser(name="faster-whisper tiny.en int8 on cpu"))
    assert (event.certain, event.words, event.skipped, event.text_confidence) == (True, (), False, None)
    assert (event.probs, event.face_coverage, event.revision) == ({"joy": 0.75, "anger": 0.25}, 0.5, 1)


@pytest.mark.parametrize(
    ("engine", "recogniser"),
    [
        ("whisper, not asked", Recogniser(name="whisper", asked=False)),
        ("whisper, not asked: the machine is too slow", Recogniser(name="whisper", asked=False)),
        ("whisper, words in de, fr", Recogniser(name="whisper", languages=("de", "fr"))),
        ("", Recogniser(name="")),
    ],
)
def test_what_the_name_of_the_recogniser_told_has_fields_of_its_own(engine, recogniser):
    assert read({**EVENT, "engine": engine}).engine == recogniser


def test_features_have_vectors_and_fingerprints_by_modality():
    features = read(FEATURES)
    assert isinstance(features, UtteranceFeatures)
    assert features.encoders == {"text": "a@1", "audio": "b/2"}
    assert features.vectors.keys() == {"text"}
    np.testing.assert_array_equal(features.vectors["text"], np.array([1, 2], np.float32))
    assert (features.final, features.revision) == (True, 0)


@pytest.mark.parametrize("broken", [{"seq": -1}, {"probs": {"joy": 2.0}}, {"label": None}, {"engine": 5}])
def test_a_broken_message_of_before_is_as_broken_as_one_of_today(broken):
    with pytest.raises(BadMessage):
        read(EVENT | broken)

"""A conversation reads what a corpus of the same words is read with, forgets drafts, and can take back a voice."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from examples import same
from fakes import answer, chunks
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import TALK, asked, endpointer
from tiny_bert import make_tiny_bert

from erc_live.live.asr.transcribers import TimedWord, Transcript
from erc_live.live.perception.conversation import Conversation
from erc_live.live.requests import RequestKind, VoicePart
from erc_live.live.speakers.clustering import SpeakerClustering
from erc_live.live.vision.expression import Appearance
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.encoders.turns import turns
from erc_live.streams import codec
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import Relabel, UtteranceFeatures

(REQUEST, *_) = [r for r in asked(endpointer("mic-0"), chunks("mic-0", TALK)) if r.kind == RequestKind.FINAL]
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return TextEncoder.load(make_tiny_bert(tmp_path_factory.mktemp("bert")))


def conversation(encoder, speakers=None, start_ns=0):
    return Conversation(encoder, speakers, ManualClock(9), start_ns)


def analysis(text, speaker=None, *, number=0, kind=RequestKind.FINAL, embedding=None, revision=0):
    """One utterance of two seconds, ten seconds after the one before."""
    t_ns = number * 10 * SECOND
    request = replace(
        REQUEST, kind=kind, utterance=f"mic-0:{t_ns // 10**6}", t_start_ns=t_ns, t_end_ns=t_ns + 2 * SECOND,
        revision=revision, speech=replace(REQUEST.speech, speaker_name=speaker),
    )  # fmt: skip
    said = answer(request)
    return replace(said, parts=(replace(said.parts[0], transcript=Transcript(text), embedding=embedding),))


def described(conversation, *args, **kwargs):
    (features,) = conversation.describe(analysis(*args, **kwargs))
    return features


def vector(features: UtteranceFeatures) -> torch.Tensor:
    assert "text" in features.vectors
    return torch.tensor(features.vectors["text"])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["Ada", "Ben"]), st.sampled_from(["oh no", "well", "yes!", "", " "]))))
def test_live_reads_what_a_corpus_reads(encoder: TextEncoder, spoken: list[tuple[str, str]]) -> None:
    live = conversation(encoder)
    speakers, texts = [who for who, _ in spoken], [text for _, text in spoken]
    (expected,) = encoder.encode([turns(speakers, texts)])
    for (speaker, text), row in zip(spoken, expected, strict=True):
        features = described(live, text, speaker)
        if text.strip():
            torch.testing.assert_close(vector(features), row, atol=1e-5, rtol=0.0)
            assert features.t_features_ns == 9
        else:
            assert "text" not in features.vectors


def test_a_draft_reads_the_past_and_leaves_no_trace(encoder: TextEncoder) -> None:
    hasty, plain = conversation(encoder), conversation(encoder)
    described(hasty, "oh no", "Ada")
    described(plain, "oh no", "Ada")
    draft = described(hasty, "well", "Ben", kind=RequestKind.PARTIAL)
    assert not draft.final
    for text in ("well", "yes"):
        assert torch.equal(vector(described(hasty, text, "Ben")), vector(described(plain, text, "Ben")))
    assert torch.equal(vector(draft), vector(described(conversation_after(encoder, "oh no"), "well", "Ben")))


def conversation_after(encoder, text):
    live = conversation(encoder)
    described(live, text, "Ada")
    return live


def test_each_voice_of_a_stretch_is_an_utterance_and_the_first_keeps_the_name(encoder: TextEncoder) -> None:
    whole = analysis("", number=3)
    parts = [VoicePart(30 * SECOND + a, 30 * SECOND + b, Transcript(text, speaker=who), None) for a, b, text, who in (
        (0, SECOND, "well", "Ada"), (SECOND, 2 * SECOND, "yes", "Ben"))]  # fmt: skip
    one, two = conversation(encoder).describe(replace(whole, parts=tuple(parts)))
    assert (one.utterance, two.utterance) == (whole.request.utterance, "mic-0:31000")
    assert (one.speaker_name, two.speaker_name) == ("Ada", "Ben")
    assert (one.closed_by, two.closed_by) == ("voice", whole.request.closed_by)
    assert one.t_closed_ns == two.t_closed_ns == whole.request.t_closed_ns
    assert (one.t_end_ns, two.t_start_ns) == (31 * SECOND, 31 * SECOND)


def test_what_was_no_speech_is_no_utterance(encoder: TextEncoder) -> None:
    assert conversation(encoder).describe(replace(analysis("well"), parts=())) == []


def test_words_get_the_time_of_the_session(encoder: TextEncoder) -> None:
    said = analysis("oh no", number=1)
    words = (TimedWord("oh", 0.0, 0.2, 0.9), TimedWord("no", 0.3, 0.5, None))
    part = replace(said.parts[0], transcript=Transcript("oh no", words=words))
    (features,) = conversation(encoder).describe(replace(said, parts=(part,)))
    assert [(w.text, w.t_start_ns, w.t_end_ns, w.confidence) for w in features.words] == [
        ("oh", 10 * SECOND, 10 * SECOND + 200_000_000, 0.9),
        ("no", 10 * SECOND + 300_000_000, 10 * SECOND + 500_000_000, None),
    ]


@given(st.floats(-0.1, 1.1))
def test_a_probability_that_was_rounded_loses_no_utterance(encoder: TextEncoder, confidence: float) -> None:
    said = analysis("", number=1)
    words = (TimedWord("oh", 0.0, 0.2, confidence),)
    part = replace(said.parts[0], transcript=Transcript("", words=words))
    (features,) = conversation(encoder).describe(replace(said, parts=(part,)))
    assert same(codec.decode(codec.encode(features)), features)


def test_the_face_of_who_speaks_is_taken(encoder: TextEncoder) -> None:
    said = analysis("well", "Ada")
    faces = tuple(
        Appearance("camera-0", np.full(8, motion, np.float32), (at, 0.5), 0.1, motion, None, coverage=1.0)
        for at, motion in ((0.2, 0.02), (0.8, 0.1))
    )
    part = replace(said.parts[0], appearances=faces, face_coverage=1.0)
    (features,) = conversation(encoder).describe(replace(said, parts=(part,)))
    assert "visual" in features.vectors
    assert features.vectors["visual"][0] == np.float32(0.1)
    assert features.face_coverage == 1.0


def test_a_voice_that_was_another_one_gives_its_face_back(encoder: TextEncoder) -> None:
    """Two voices in two places turn out to be one: what the second said is said again, with the face that
    the corrected past has there.
    """
    live = conversation(encoder, SpeakerClustering())
    left, right, unclear = (
        tuple(
            Appearance("camera-0", np.full(8, at, np.float32), (at, 0.5), 0.1, motion, None, coverage=1.0)
            for at, motion in ((0.2, mine), (0.8, other))
        )
        for mine, other in ((0.1, 0.02), (0.02, 0.1), (0.05, 0.05))
    )
    prints = [*[voice_print(0.0)] * 3, voice_print(1.2), voice_print(1.2), *[voice_print(0.5)] * 8]
    out = []
    for number, print_ in enumerate(prints):
        said = analysis("yes", number=number, embedding=print_)
        faces = (left, left, left, right, unclear, *[left] * 8)[number]
        out += live.describe(replace(said, parts=(replace(said.parts[0], appearances=faces),)))
    told = next(message for message in out if isinstance(message, Relabel))
    last = [f for f in out if isinstance(f, UtteranceFeatures) and f.utterance == out[4].utterance]
    assert last[0].vectors["visual"][0] == np.float32(0.8), "where the second voice was seen"
    assert last[0].utterance in told.moved
    assert "visual" not in last[-1].vectors, "the voice they are was seen here and there"


def voice_print(angle: float) -> np.ndarray:
    vector = np.zeros(256, np.float32)
    vector[:2] = np.cos(angle), np.sin(angle)
    return vector


class HalfSure(SpeakerClustering):
    """Is 0.5 sure of every voice."""

    def assign(self, *segment):
        return replace(super().assign(*segment), confidence=0.5)

    def guess(self, *segment):
        return replace(super().guess(*segment), confidence=0.25)


def test_how_sure_a_voice_is_stands_where_nobody_else_says_who_speaks(encoder: TextEncoder) -> None:
    live = conversation(encoder, HalfSure())
    draft = described(live, "well", kind=RequestKind.PARTIAL, embedding=voice_print(0.0))
    final = described(live, "well", embedding=voice_print(0.0))
    named = described(live, "well", "Ada", number=1, embedding=voice_print(0.0))
    assert (draft.speaker_confidence, final.speaker_confidence, named.speaker_confidence) == (0.25, 0.5, None)
    assert described(conversation(encoder), "well").speaker_confidence is None


def test_voices_that_turn_out_to_be_one_take_back_what_was_said_since(encoder: TextEncoder) -> None:
    """Two voices, unlike at first; then one is heard that is like both. Everything from the first utterance that moves
    is said again: with the right voice, a higher revision, and the text vector of the corrected past.
    """
    live = conversation(encoder, SpeakerClustering())
    first, second = voice_print(0.0), voice_print(1.2)
    out = []
    for number, (text, print_) in enumerate(
        [("oh no", first), ("well", second), ("yes", first), ("well yes", voice_print(0.6)), ("no", voice_print(0.6))]
        + [("yes", voice_print(0.6))] * 6
    ):
        out += live.describe(analysis(text, number=number, embedding=print_))
    assert {f.voice for f in out[:2]} == {"mic-0#1", "mic-0#2"}
    at = next(i for i, message in enumerate(out) if isinstance(message, Relabel))
    relabel = out[at]
    assert relabel.moved[0] == out[1].utterance
    again = [message for message in out[at + 1 :] if isinstance(message, UtteranceFeatures) and message.revision]
    assert again[0].utterance == relabel.moved[0]
    assert {message.voice for message in again if message.utterance in relabel.moved} == {relabel.voice}
    texts = ["oh no", "well"]
    torch.testing.assert_close(vector(again[0]), encoder.encode([turns("AA", texts)])[0][-1])

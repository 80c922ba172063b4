"""The text vectors of a conversation are those that a corpus of the same words would have."""

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_bert import DIM, make_tiny_bert

from erc_live.live.context import TextContext
from erc_live.models.encoders.text import TextEncoder, turns
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import UtteranceFeatures


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return TextEncoder.load(make_tiny_bert(tmp_path_factory.mktemp("bert")))


def said(text: str, speaker: str | None = None, source: str = "mic-0", **changes: object) -> UtteranceFeatures:
    features = UtteranceFeatures(
        dialogue="main",
        utterance="u",
        source=source,
        speaker_name=speaker,
        text=text,
        engine="fake",
        t_start_ns=1,
        t_end_ns=2,
        t_closed_ns=3,
        closed_by="silence",
        t_text_ns=4,
        t_features_ns=5,
        audio_vec=np.zeros(15, np.float32),
    )
    return msgspec.structs.replace(features, **changes)


def vector(features: UtteranceFeatures) -> torch.Tensor:
    assert features.text_vec is not None
    return torch.tensor(features.text_vec)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["Ada", "Ben"]), st.sampled_from(["oh no", "well", "yes!", "", " "]))))
def test_live_reads_what_a_corpus_reads(encoder: TextEncoder, spoken: list[tuple[str, str]]) -> None:
    context = TextContext(encoder, ManualClock(9))
    speakers, texts = [who for who, _ in spoken], [text for _, text in spoken]
    expected = encoder.encode(texts, turns(speakers, texts))
    for (speaker, text), row in zip(spoken, expected, strict=True):
        described = context.describe(said(text, speaker))
        if text.strip():
            torch.testing.assert_close(vector(described), row, atol=1e-5, rtol=0.0)
            assert described.t_features_ns == 9
        else:
            assert described.text_vec is None


def test_a_voice_without_a_name_is_its_microphone_and_dialogues_do_not_mix(encoder: TextEncoder) -> None:
    context = TextContext(encoder, ManualClock())
    context.describe(said("oh no", source="mic-0"))
    context.describe(said("well", dialogue="other"))
    same, other = (context.describe(said("yes", source=source, final=False)) for source in ("mic-0", "mic-1"))
    expected = encoder.encode(["yes", "yes"], [turns(pair, ["oh no", "yes"])[1] for pair in ("AA", "AB")])
    torch.testing.assert_close(torch.stack([vector(same), vector(other)]), expected)


def test_a_provisional_utterance_is_not_remembered(encoder: TextEncoder) -> None:
    hasty, plain = TextContext(encoder, ManualClock()), TextContext(encoder, ManualClock())
    hasty.describe(said("oh n", final=False))
    for text in ("oh no", "well"):
        assert torch.equal(vector(hasty.describe(said(text))), vector(plain.describe(said(text))))
    assert vector(plain.describe(said("yes"))).shape == (DIM,)

"""Senders of features and the server's end, over a real socket."""

import tempfile
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from msgspec import structs

from erc_live.streams.errors import BadMessage
from erc_live.streams.feature_channel import FRAME_BYTES, FeatureInlet, FeatureMessage, FeatureSender, Receipt
from erc_live.streams.messages import Recogniser, UtteranceFeatures

WAIT_S = 10.0
UTTERANCE = UtteranceFeatures(
    dialogue="desk-4",
    utterance="u0",
    source="generated",
    text="nobody said this",
    engine=Recogniser(name="generated"),
    t_start_ns=0,
    t_end_ns=1,
    t_closed_ns=2,
    t_text_ns=3,
    t_features_ns=4,
    face_coverage=None,
    final=True,
    revision=0,
    words=(),
    text_confidence=None,
    skipped=False,
    speaker_name="Ann",
    closed_by="silence",
    vectors={},
    encoders={},
)


@pytest.fixture
def inlet() -> Iterator[FeatureInlet]:
    with tempfile.TemporaryDirectory(prefix="erc-") as place, closing(FeatureInlet(f"ipc://{place}/in")) as server:
        yield server


def test_what_is_too_large_is_told_its_sender_and_is_not_sent_again_and_again(inlet: FeatureInlet) -> None:
    with closing(FeatureSender(inlet.endpoint)) as sender:
        wide = structs.replace(UTTERANCE, vectors={"text": np.zeros(FRAME_BYTES // 4 + 1, np.float32)})
        with pytest.raises(BadMessage, match=f"{FRAME_BYTES} at most"):
            sender.send(wide)
        assert sender.waiting == 0


def test_one_utterance_of_a_dialogue_is_on_its_way_until_its_receipt_comes(inlet: FeatureInlet) -> None:
    with closing(FeatureSender(inlet.endpoint)) as sender:
        for name in ("u1", "u2"):
            sender.send(structs.replace(UTTERANCE, utterance=name))
        for name, left in (("u1", 1), ("u2", 0)):
            (arrived,) = received(inlet, sender)
            assert isinstance(arrived.message, UtteranceFeatures)
            assert arrived.message.utterance == name
            stored = Receipt(dialogue=UTTERANCE.dialogue, utterance=name, revision=UTTERANCE.revision, verdict="stored")
            inlet.answer(arrived.sender, stored)
            assert sender.poll(WAIT_S) == [stored]
            assert sender.waiting == left


def test_what_the_server_cannot_read_is_given_up_and_what_follows_is_sent(inlet: FeatureInlet) -> None:
    with closing(FeatureSender(inlet.endpoint)) as sender:
        wrong = structs.replace(UTTERANCE, revision=-1)  # a revision counts from 0
        for utterance in (wrong, structs.replace(UTTERANCE, utterance="u1")):
            sender.send(utterance)
        (arrived,) = received(inlet, sender)
        assert arrived.message is None
        assert arrived.refusal is not None
        inlet.answer(arrived.sender, arrived.refusal)
        (receipt,) = sender.poll(WAIT_S)
        assert (receipt.dialogue, receipt.utterance, receipt.revision) == ("desk-4", "u0", -1)
        assert receipt.verdict == "refused"
        assert "revision" in receipt.why
        assert sender.waiting == 1
        (following,) = received(inlet, sender)
        assert isinstance(following.message, UtteranceFeatures)
        assert following.message.utterance == "u1"


def test_a_receipt_of_what_nobody_awaits_any_more_is_passed_on(inlet: FeatureInlet) -> None:
    with closing(FeatureSender(inlet.endpoint)) as sender:
        sender.send(structs.replace(UTTERANCE, revision=-1))
        (arrived,) = received(inlet, sender)
        assert arrived.refusal is not None
        inlet.answer(arrived.sender, arrived.refusal)
        assert len(sender.poll(WAIT_S)) == 1
        inlet.answer(arrived.sender, arrived.refusal)  # it had been sent twice
        assert sender.poll(WAIT_S) == [arrived.refusal]


def test_who_has_gone_gets_no_receipt_and_the_others_do(inlet: FeatureInlet) -> None:
    with closing(FeatureSender(inlet.endpoint)) as gone:
        gone.send(UTTERANCE)
        (left,) = received(inlet, gone)
    with closing(FeatureSender(inlet.endpoint)) as stays:
        stays.send(UTTERANCE)
        (arrived,) = received(inlet, stays)
        stored = Receipt(dialogue=UTTERANCE.dialogue, utterance="u0", revision=0, verdict="stored")
        inlet.answer(left.sender, stored)
        inlet.answer(arrived.sender, stored)
        assert stays.poll(WAIT_S) == [stored]


def received(inlet: FeatureInlet, sender: FeatureSender) -> list[FeatureMessage]:
    while not inlet.wait(0.01):
        sender.poll()
    return list(inlet.receive(9))

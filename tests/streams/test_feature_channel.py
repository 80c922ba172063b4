"""Senders of features and the server's end, over a real socket."""

import tempfile
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from msgspec import structs

from erc_live.streams.errors import BadMessage
from erc_live.streams.feature_channel import FRAME_BYTES, FeatureInlet, FeatureSender, Receipt
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
            while not inlet.wait(0.01):
                sender.poll()
            (arrived,) = inlet.receive(9)
            assert isinstance(arrived.message, UtteranceFeatures)
            assert arrived.message.utterance == name
            stored = Receipt(dialogue=UTTERANCE.dialogue, utterance=name, revision=UTTERANCE.revision, verdict="stored")
            inlet.answer(arrived.sender, stored)
            assert sender.poll(WAIT_S) == [stored]
            assert sender.waiting == left


def test_what_the_server_cannot_read_is_told_its_sender(inlet: FeatureInlet) -> None:
    with closing(FeatureSender(inlet.endpoint)) as sender:
        sender.send(UTTERANCE)
        while not inlet.wait(0.01):
            sender.poll()
        (arrived,) = inlet.receive(9)
        unreadable = Receipt(dialogue="", utterance="", revision=0, verdict="refused", why="no message of ours")
        inlet.answer(arrived.sender, unreadable)
        assert sender.poll(WAIT_S) == [unreadable]

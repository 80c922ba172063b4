"""Annotations that are added later stand in the bundle like any other, and it stays whole."""

import msgspec
import pytest
from bundles import SECOND, conversation, manifest, record
from examples import event, hello
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.streams.annotating import annotate
from erc_live.streams.annotations import NOTE_LENGTH, Annotation
from erc_live.streams.bundle_lock import BundleLock
from erc_live.streams.conversation_view import conversation_view
from erc_live.streams.errors import BadMessage, SessionError
from erc_live.streams.journal import Log
from erc_live.streams.record import Recorder
from erc_live.streams.recovery import recover, verify
from erc_live.streams.session import open_session


def label(name: str = "anger", utterance: str = "u0") -> Annotation:
    return Annotation(session="s1", t_ns=0, wall_ns=1, author="Ann", kind="label", utterance=utterance, label=name)


@pytest.fixture
def bundle(tmp_path):
    record(tmp_path / "s", [hello(), event(0), *conversation(1)])
    return tmp_path / "s"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=3))
def test_it_is_there_and_the_bundle_is_whole(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("annotated") / "s"
    record(folder, [hello(), event(0)])
    before = open_session(folder)
    annotate(folder, [label(name) for name in names])
    assert verify(folder) == []
    after = open_session(folder)
    assert after.events == (*before.events, *(label(name) for name in names))
    assert after.manifest == before.manifest
    assert conversation_view(after).utterances[0].label_annotated == names[-1]


def test_a_bundle_that_is_not_whole_is_left_alone(bundle):
    (bundle / "events.jsonl").write_bytes(b"")
    with pytest.raises(SessionError, match=r"events.jsonl: changed: 'erc-live session recover"):
        annotate(bundle, [label()])
    assert (bundle / "events.jsonl").read_bytes() == b""


def test_a_bundle_that_is_being_recorded_is_left_alone(tmp_path, bundle):
    with Recorder(tmp_path / "t", manifest()), pytest.raises(SessionError, match="being recorded"):
        annotate(tmp_path / "t", [label()])
    with BundleLock(bundle), pytest.raises(SessionError, match="being recorded"):
        annotate(bundle, [label()])


def test_what_no_reader_would_take_is_not_written(bundle):
    before = (bundle / "events.jsonl").read_bytes()
    with pytest.raises(BadMessage, match="author"):
        annotate(bundle, [label(), msgspec.structs.replace(label(), author="x" * (NOTE_LENGTH + 1))])
    assert (bundle / "events.jsonl").read_bytes() == before
    assert verify(bundle) == []


def test_a_full_disk_loses_nothing(bundle, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Log, "append", full)
        with pytest.raises(SessionError, match="cannot be annotated: No space left"):
            annotate(bundle, [label()])
    assert verify(bundle) == ["the session was not closed"]
    recover(bundle)
    assert verify(bundle) == []
    assert len(open_session(bundle).segments) == 2
    assert open_session(bundle).t_first_ns == 7 * SECOND

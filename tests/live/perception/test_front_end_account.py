"""What was taken in and not given on, and why a session has nothing to show."""

import numpy as np
import pytest
from fakes import answer, chunks, speech
from hypothesis import given
from hypothesis import strategies as st
from listening import TALK, endpointer

from erc_live.live.asr.transcript_file import Cue
from erc_live.live.perception.front_end import QUIET_DB, Account
from erc_live.live.requests import RequestKind
from erc_live.streams.messages import SourceEnd, samples_to_ns


def heard(*pcms, reason="end of file", speakers=(None,)):
    """An account of microphones that heard this, and no utterance."""
    account = Account({f"mic-{i}": speakers[i % len(speakers)] for i in range(len(pcms))})
    for i, pcm in enumerate(pcms):
        for chunk in chunks(f"mic-{i}", pcm):
            account.take(chunk)
        account.take(SourceEnd(source=f"mic-{i}", t_ns=samples_to_ns(len(pcm)), reason=reason))
    return account


def noise(level):
    return np.random.default_rng(0).normal(0, level, 16_000).astype(np.int16)


@pytest.mark.parametrize(
    ("pcm", "reason", "says"),
    [
        (np.zeros(16_000, np.int16), "end of file", "no utterance: mic-0 delivered 1.0 s of sound that is all zero"),
        (np.full(16_000, 300, np.int16), "end of file", "all zero"),  # a converter's offset is no sound
        (noise(20), "end of file", "mic-0 is too quiet (-64 dB at the loudest of 1.0 s of sound): raise its level"),
        (noise(3000), "end of file", "mic-0 heard no speech in 1.0 s of sound (-20 dB at the loudest)"),
        (np.zeros(0, np.int16), "stopped", "mic-0 delivered no sound"),
        (noise(3000), "a.wav breaks off after 1.0 s", ", and it ended early: a.wav breaks off after 1.0 s"),
    ],
)
def test_a_session_without_an_utterance_says_why(pcm, reason, says):
    assert says in heard(pcm, reason=reason).note()


def test_each_microphone_has_its_reason():
    note = heard(np.zeros(16_000, np.int16), noise(3000)).note()
    assert note.count("no utterance") == 1
    assert "mic-0 delivered 1.0 s" in note
    assert "mic-1 heard no speech of its own in 1.0 s" in note


@given(st.floats(0, 4.5))
def test_every_level_has_a_reason_and_only_quiet_ones_are_to_be_raised(power):
    pcm = np.random.default_rng(1).normal(0, 10**power, 3200).clip(-32768, 32767).astype(np.int16)
    note = heard(pcm).note()
    assert note.startswith("no utterance: mic-0 ")
    windows = pcm[:3072].reshape(-1, 512).astype(float)
    loudest = max(np.sqrt((windows**2).mean(1)).max(), np.sqrt((pcm[3072:].astype(float) ** 2).mean()), 1.0)
    if pcm.any():
        assert ("raise its level" in note) == (20 * np.log10(loudest / 32768) < QUIET_DB)


def listened(account, core, pcm):
    """Feed everything; returns the closed requests, unanswered."""
    finals = []
    for chunk in chunks("mic-0", pcm):
        account.take(chunk)
        requests = core.feed(chunk)
        account.ask(requests)
        finals += [request for request in requests if request.kind == RequestKind.FINAL]
    return finals


def test_what_would_be_lost_is_counted_until_it_is_given_on():
    account, core = Account({"mic-0": None}), endpointer("mic-0")
    assert account.waiting == 0
    requests = listened(account, core, TALK)
    assert account.waiting == account.closed == len(requests)
    for request in requests:
        account.answer(answer(request))
    assert (account.waiting, account.closed) == (0, len(requests))
    assert account.note() == ""


def test_before_what_time_everything_is_worked_off_is_known_at_any_moment():
    core, released = endpointer("mic-0"), []
    for chunk in chunks("mic-0", TALK):
        before = core.since_ns["mic-0"]
        finals = [request for request in core.feed(chunk) if request.kind == RequestKind.FINAL]
        since_ns = core.since_ns["mic-0"]
        assert before <= since_ns <= chunk.t_end_ns
        assert all(since_ns <= request.t_start_ns for request in finals)
        for request in finals:
            core.accept(answer(request))
        released += core.poll(chunk.t_end_ns)
        assert all(analysis.request.t_end_ns <= core.since_ns["mic-0"] for analysis in released)
    assert released


def test_who_begins_where_all_is_worked_off_hears_the_same_utterances():
    whole = endpointer("mic-0")
    expected, since = [], {}
    for chunk in chunks("mic-0", TALK):
        expected += [r for r in whole.feed(chunk) if r.kind == RequestKind.FINAL]
        for request in expected[len(since) :]:
            whole.accept(answer(request))
            whole.poll(chunk.t_end_ns)
            since[request.utterance] = whole.since_ns
    for number, request in enumerate(expected):
        core = endpointer("mic-0")
        core.go_on(since[request.utterance])
        later = [c for c in chunks("mic-0", TALK) if c.t_end_ns > since[request.utterance]["mic-0"]]
        heard = [r for chunk in later for r in core.feed(chunk) if r.kind == RequestKind.FINAL]
        assert [r.utterance for r in heard] == [r.utterance for r in expected[number + 1 :]]


def test_what_is_being_said_counts_once_and_a_guess_that_closes_is_the_same_utterance():
    account, core = Account({"mic-0": None}), endpointer("mic-0")
    assert listened(account, core, speech((True, 60))) == []
    assert account.waiting == 1
    (final,) = core.feed(SourceEnd(source="mic-0", t_ns=0, reason="stopped"))
    account.ask([final])
    assert account.waiting == 1
    account.answer(answer(final))
    assert account.waiting == 0


CUES = (
    Cue(0.2, 0.8, "hello", speaker="Ada"),
    Cue(0.2, 0.8, "you too", speaker="Ben"),
    Cue(5.0, 6.0, "later", speaker="Ada"),
    Cue(0.2, 0.8, "elsewhere", source="mic-9"),
)


def test_cues_that_were_never_used_are_counted_by_their_reason():
    note = heard(noise(3000), speakers=("Ada",)).note(CUES, 7)
    assert "4 of 7 cues of the transcript were never used (" in note
    for reason in (
        "1 where no speech was heard",
        "1 of Ben, whom no microphone belongs to",
        "1 after the end of the sound at 1.0 s",
        "1 of mic-9, which is not heard here",
    ):
        assert reason in note


def test_who_stops_a_session_is_not_told_of_the_cues_that_would_have_come():
    assert "transcript" not in heard(noise(3000), reason="stopped", speakers=("Ada",)).note(CUES[2:3], 7)


def test_a_shared_microphone_may_hear_anybody():
    assert "1 where no speech was heard" in heard(noise(3000)).note(CUES[1:2], 7)

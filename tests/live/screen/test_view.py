import conversation
from examples import event, hello, messages, session_end
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.screen import view as bounds
from erc_live.live.screen.view import SessionView, reduce
from erc_live.streams.messages import EmotionEvent, Gap, Hello, SessionEnd, WorkerStatus

ANY = messages(EmotionEvent, Gap, Hello, SessionEnd, WorkerStatus)
REVISIONS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1), st.booleans(), st.integers(0, 3), st.sampled_from(("joy", "anger")))
)


def viewed(*received):
    return conversation.viewed(iter(received))


def revisions(drawn):
    """Events of few utterances in an order in which no sane publisher would send them."""
    for seq, (number, speaker, final, revision, label) in enumerate(drawn):
        said = {"utterance": f"u{number}", "speaker": speaker, "label": label, "t_start_ns": seq, "t_end_ns": seq + 5}
        yield event(seq, final=final, revision=revision, **said)


@given(st.lists(ANY))
def test_a_message_heard_twice_counts_once(received):
    assert viewed(*received) == viewed(*(message for message in received for _ in range(2)))


@given(REVISIONS)
def test_events_heard_again_after_a_reconnection_change_nothing(drawn):
    events = list(revisions(drawn))
    once = viewed(hello(last_seq=len(events)), *events)
    assert viewed(hello(last_seq=len(events)), *events, hello(last_seq=len(events)), *events) == once


@given(REVISIONS)
def test_a_final_event_stands_over_drafts_and_the_highest_revision_over_lower_ones(drawn):
    events = list(revisions(drawn))
    shown = viewed(*events).utterances
    expected = {}
    for name in dict.fromkeys(e.utterance for e in events):
        of_it = [e for e in events if e.utterance == name]
        expected[name] = max(of_it, key=lambda e: (e.final, e.revision))
    assert {e.utterance: e for e in shown} == expected
    assert [e.utterance for e in shown] == list(expected)


@given(REVISIONS)
def test_every_decided_utterance_counts_once_in_its_speakers_statistics(drawn):
    view = viewed(*revisions(drawn))
    finals = sum(e.final for e in view.utterances)
    assert sum(sum(s.counts.values()) for s in view.speakers) == finals
    assert sum(len(s.trend) for s in view.speakers) == finals
    assert sum(s.talk_ns for s in view.speakers) == finals * 5


def said_again(seq, speaker, at_s, revision):
    return event(seq, utterance="u", speaker=speaker, revision=revision, t_logits_ns=at_s * conversation.S)


def test_a_change_of_speaker_is_remembered_and_what_is_taken_back_is_none():
    first, second, third = (said_again(n, n, n + 1, n) for n in range(3))
    (change,) = viewed(first, second).changes
    assert (change.before, change.t_ns) == (first, 2 * conversation.S)
    (change,) = viewed(first, second, third).changes  # within the time that a change is marked
    assert change.before == first
    assert viewed(first, second, said_again(2, 0, 3, 2)).changes == ()
    (change,) = viewed(first, second, said_again(2, 0, 60, 2)).changes
    assert change.before.speaker == second.speaker


def test_a_correction_is_no_latency():
    before = said_again(0, 0, 1, 0)
    (shown,) = viewed(before, said_again(1, 1, 60, 1)).utterances
    assert (shown.speaker, shown.t_logits_ns) == (1, before.t_logits_ns)
    draft = event(0, utterance="u", final=False, t_logits_ns=1)
    (shown,) = viewed(draft, said_again(1, 0, 60, 1)).utterances
    assert shown.t_logits_ns == 60 * conversation.S


def test_what_was_provisional_changes_nobody():
    draft = event(0, utterance="u", speaker=0, final=False)
    assert viewed(draft, event(1, utterance="u", speaker=1)).changes == ()


def test_everything_that_is_kept_is_bounded():
    view = viewed(
        *(event(i, utterance=f"u{i}", speaker=i % 100, text="x" * 5000) for i in range(2000)),
        *(event(i, utterance=f"u{i}", speaker=0) for i in range(2000, 2100)),
        *(conversation.status(f"w{i}") for i in range(200)),
        *(Gap(source="mic", t_start_ns=i, t_end_ns=i, lost=2, cause="bus") for i in range(100)),
    )
    again = viewed(
        *(event(i, utterance=f"u{i}", speaker=i % 2) for i in range(150)),
        *(event(150 + i, utterance=f"u{i}", speaker=2, revision=1) for i in range(150)),
    )
    assert len(again.changes) == bounds.MAX_CHANGES
    assert len(view.utterances) == bounds.MAX_UTTERANCES
    assert max(len(e.text) for e in view.utterances) == bounds.MAX_TEXT
    assert len(view.speakers) == bounds.MAX_SPEAKERS
    assert max(len(s.trend) for s in view.speakers) == bounds.MAX_TREND
    assert len(view.workers) == bounds.MAX_WORKERS
    assert len(view.recent_gaps) == bounds.MAX_GAPS
    assert (view.gaps, view.lost) == (100, 200)


def test_a_pause_is_no_trouble():
    gap = Gap(source="mic", t_start_ns=1, t_end_ns=2, lost=0, cause="paused")
    assert reduce(SessionView(), gap) == SessionView()


def test_a_gap_that_several_workers_report_is_one_gap():
    one, other = (Gap(source=name, t_start_ns=1, t_end_ns=2, lost=3, cause="bus") for name in ("mic-0", "mic-1"))
    view = viewed(one, other, one, other)
    assert (view.gaps, view.lost) == (2, 6)


def test_another_session_begins_with_an_empty_view():
    before = viewed(*conversation.messages())
    after = reduce(before, hello(session="next"))
    assert after == SessionView(hello=hello(session="next"), workers=before.workers)


def test_a_publisher_that_started_anew_is_heard():
    view = viewed(hello(last_seq=-1), event(7, utterance="u7"), hello(last_seq=-1), event(0, utterance="u8"))
    assert [e.seq for e in view.utterances] == [7, 0]


def test_what_the_workers_tell_about_the_session():
    view = viewed(*conversation.messages())
    assert view.recording
    assert not view.finishing
    assert [w.worker for w in view.devices] == ["mic-0", "mic-1", "camera-0"]
    for device in view.devices:
        view = reduce(view, conversation.status(device.worker, phase="done"))
    assert view.finishing
    assert reduce(view, session_end()).end == session_end()

"""What a session did and lost, counted."""

from examples import event

from erc_live.live.session.totals import SessionTotals
from erc_live.streams.messages import Gap, WorkerLost

LOST = WorkerLost(t_ns=0, worker="perception", reason="died", consequence="the end", restarts=0, lost=2)


def gap(source, cause, lost=0, seconds=1):
    return Gap(source=source, t_start_ns=0, t_end_ns=seconds * 1_000_000_000, lost=lost, cause=cause)


def test_losses_are_counted_as_what_they_are():
    totals = SessionTotals("s", ["mic-0"])
    messages = [gap("perception", "overload", 3), gap("mic-0", "device", 40, 2), gap("camera-0", "worker", 9, 5), LOST]
    for message in messages:
        totals.take(message)
    end = totals.end(7, "done", "why")
    assert (end.lost, end.deaths, end.gaps, end.gaps_ns, end.note) == (5, 1, 3, 2_000_000_000, "why")
    assert totals.losses == "5 utterances were lost, 2.0 s of sound were lost"
    assert totals.lost_by_deaths == 2


def test_an_utterance_that_is_said_again_counts_once():
    totals = SessionTotals("s", [])
    events = [event(n, index=index, final=n > 0, skipped=index == 0) for n, index in enumerate((0, 0, 1, 0))]
    for message in events:
        totals.take(message)
    end = totals.end(0, "done")
    assert (end.utterances, end.skipped) == (2, 1)
    assert totals.losses == ""

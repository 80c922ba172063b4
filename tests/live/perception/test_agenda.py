"""One thing at a time, the right one first, and nothing that was closed is lost or done twice."""

from fakes import answer, chunks, speech
from hypothesis import given
from hypothesis import strategies as st
from listening import TALK, asked, perception

from erc_live.live.perception.agenda import Agenda


def requests(pcm=TALK, source="mic-0"):
    return asked(perception(source), chunks(source, pcm))


EARLY, FINAL = (next(r for r in requests() if r.kind == kind) for kind in ("early", "final"))
DRAFT, LONGER = [r for r in requests(speech((True, 60), (False, 20))) if r.kind == "draft"][:2]


def test_closed_utterances_come_before_guesses_and_guesses_before_drafts():
    agenda = Agenda()
    other = requests(source="mic-1")
    for request in (DRAFT, *[r for r in other if r.kind != "draft"]):
        agenda.add(request)
    finals = [r for r in other if r.kind == "final"]
    taken = []
    while request := agenda.next():
        taken.append(request)
        agenda.finish(answer(request))
    assert taken == [*finals, DRAFT]


def test_a_guess_that_was_right_is_the_answer():
    agenda = Agenda()
    agenda.add(EARLY)
    assert agenda.next() == EARLY
    assert agenda.finish(answer(EARLY, "hello")) is None
    reply = agenda.add(FINAL)
    assert reply is not None
    assert (reply.request, reply.parts[0].transcript.text) == (FINAL, "hello")
    assert agenda.next() is None


def test_a_guess_that_is_being_worked_on_becomes_the_answer():
    agenda = Agenda()
    agenda.add(EARLY)
    agenda.next()
    assert agenda.add(FINAL) is None
    reply = agenda.finish(answer(EARLY))
    assert reply is not None
    assert reply.request == FINAL
    assert agenda.next() is None


def test_a_guess_that_was_wrong_is_dropped():
    agenda = Agenda()
    agenda.add(EARLY)
    agenda.next()
    agenda.finish(answer(EARLY))
    later = [r for r in requests() if r.kind == "final"][1]
    assert agenda.add(later) is None
    assert agenda.next() == later


def test_of_drafts_only_the_newest_is_worked_on_and_none_once_the_utterance_has_ended():
    agenda = Agenda()
    agenda.add(DRAFT)
    agenda.add(LONGER)
    assert agenda.next() == LONGER
    assert agenda.finish(answer(LONGER)) is not None
    agenda.add(DRAFT)
    agenda.add(FINAL)
    assert agenda.next() == FINAL
    agenda.finish(answer(FINAL))
    assert agenda.next() is None


@given(st.lists(st.booleans(), min_size=200, max_size=200), st.lists(st.booleans(), min_size=200, max_size=200))
def test_whoever_is_slow_every_closed_utterance_is_answered_once_and_in_order(work, start):
    agenda, running, answered = Agenda(), None, []
    asked = sorted(requests() + requests(source="mic-1"), key=lambda r: (r.t_closed_ns, r.source))
    plan = zip(work, start, strict=True)

    def turn(done, begin):
        nonlocal running
        if running is not None and done:
            reply, running = agenda.finish(answer(running)), None
            answered.extend([reply] if reply else [])
        if running is None and begin:
            running = agenda.next()

    for request in asked:
        reply = agenda.add(request)
        answered.extend([reply] if reply else [])
        turn(*next(plan))
    for _ in range(2 * len(asked)):
        turn(True, True)
    finals = [r for r in asked if r.kind == "final"]
    got = [a.request for a in answered if a.request.kind == "final"]
    assert sorted(r.utterance for r in got) == sorted(r.utterance for r in finals)

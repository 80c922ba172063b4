"""The real cores with a recogniser that is too slow, in virtual time: what is given up, in which order, and when."""

from concurrent.futures import Executor, Future
from dataclasses import dataclass

import pytest
from fakes import LoudnessDetector, answer, chunks, speech

from erc_live.live.perception.endpointing import Microphone, Perception, Settings, Timing
from erc_live.live.perception.load_shedding import EACH_S, FIRST_S, Effort, Ladder, steps
from erc_live.live.perception.scheduler import Desk
from erc_live.streams.messages import CHUNK_SAMPLES, AudioChunk, Overload, SourceEnd, samples_to_ns
from erc_live.streams.segmenter import SegmenterConfig

S = 1_000_000_000
TICK_NS = samples_to_ns(CHUNK_SAMPLES)
WINDOWS_PER_S = S // TICK_NS
FEATURES_S = 0.1
RUNGS = steps(spare=True)
CONFIG = SegmenterConfig(end_silence_min_s=0.3, end_silence_s=0.3)


class Paced(Executor):
    """Finishes each thing `seconds(speech, effort)` after it was begun."""

    def __init__(self, seconds):
        self._seconds = seconds
        self._running = None
        self.now_ns = 0

    def submit(self, call, request, effort):
        future = Future()
        due_ns = self.now_ns + int(self._seconds(request, effort) * S)
        self._running = due_ns, future, call(request, effort)
        return future

    def work(self):
        if self._running and self._running[0] <= self.now_ns:
            _, future, result = self._running
            self._running = None
            future.set_result(result)


@dataclass
class Outcome:
    """Closed utterances, those that were released, every step with its time in s, and the longest wait for release."""

    closed: list[str]
    released: list[str]
    steps: list[Overload]
    worst_s: float


def session(messages, seconds, until_s, rungs=RUNGS):
    """As in the perception worker: feed, take, accept, poll, observe; a tick is a window of sound."""
    core = Perception([Microphone("mic-0")], LoudnessDetector, Settings(CONFIG, Timing(0.2, 1.0), 5), start_ns=0)
    executor, ladder = Paced(seconds), Ladder(rungs)
    desk = Desk(executor, lambda request, effort: answer(request), lambda: ladder.effort)
    outcome, coming = Outcome([], [], [], 0.0), list(messages)[::-1]
    for now_ns in range(0, int(until_s * S), TICK_NS):
        executor.now_ns = now_ns
        while coming and coming[-1][0] <= now_ns:
            requests = core.feed(coming.pop()[1])
            outcome.closed += [request.utterance for request in requests if request.kind == "final"]
            desk.take(requests, now_ns)
        executor.work()
        for done in desk.answers(now_ns):
            core.accept(done)
        for done in core.poll(now_ns):
            if done.request.kind == "final":
                outcome.released.append(done.request.utterance)
                outcome.worst_s = max(outcome.worst_s, (now_ns - done.request.t_closed_ns) / S)
        if step := ladder.observe(desk.waiting_s(now_ns), now_ns):
            outcome.steps.append(step)
    assert core.ended
    return outcome


def said(pcm, start_ns=0):
    """Sound that arrives when it was said."""
    return [(chunk.t_end_ns, chunk) for chunk in chunks("mic-0", pcm, start_ns)]


def to_the_end(heard):
    return [*heard, (heard[-1][0], SourceEnd(source="mic-0", t_ns=heard[-1][0], reason="end of file"))]


def talk(utterances, speech_s, pause_s):
    """Loud and quiet in turn."""
    one = [(True, int(speech_s * WINDOWS_PER_S)), (False, int(pause_s * WINDOWS_PER_S))]
    return speech(*one * utterances)


def length_s(request):
    return len(request.speech.pcm) / 16_000


def words(times_real_time):
    """What an analysis costs where recognition takes so many times as long as the speech."""

    def seconds(request, effort: Effort):
        asked = effort.words and request.kind != "draft"
        return FEATURES_S + asked * length_s(request) * (0.2 if effort.small else 1.0) * times_real_time(request)

    return seconds


@pytest.mark.parametrize("spare", [True, False])
def test_a_recogniser_that_is_too_slow_costs_one_thing_after_the_other_and_no_utterance(spare: bool) -> None:
    slow_until_ns = 120 * S
    cost = words(lambda request: 6.0 if request.t_start_ns < slow_until_ns else 0.1)
    rungs = steps(spare=spare)
    outcome = session(to_the_end(said(talk(80, 2.5, 1.5))), cost, 420, rungs)
    assert outcome.released == outcome.closed
    assert len(outcome.closed) == 80
    levels = [step.level for step in outcome.steps]
    assert levels[: len(rungs)] == [*range(1, len(rungs) + 1)]
    assert all(abs(b - a) == 1 for a, b in zip([0, *levels], levels, strict=False))
    assert levels[-1] == 0
    for step in outcome.steps[: len(rungs)]:
        assert step.waiting_s >= FIRST_S + (step.level - 1) * EACH_S
        assert rungs[step.level - 1].lost in step.step
    assert outcome.worst_s < FIRST_S + len(rungs) * EACH_S + 3 * 6 * 2.9


def test_long_speech_that_is_keeping_up_is_no_overload() -> None:
    """Each utterance takes half of its own length, 7 s, and is done before the next one closes."""
    outcome = session(to_the_end(said(talk(1, 178, 3))), words(lambda request: 0.5), 220)
    assert outcome.steps == []
    assert len(outcome.closed) >= 11
    assert outcome.released == outcome.closed
    assert outcome.worst_s > FIRST_S + EACH_S


@pytest.mark.parametrize("stalled_s", [5, 30])
def test_a_microphone_that_stalls_in_the_middle_of_speech_is_no_overload(stalled_s: int) -> None:
    """The utterance is closed, long after it was said, when sound comes again."""
    heard = said(talk(3, 2.5, 1.5)[: 9 * WINDOWS_PER_S * CHUNK_SAMPLES])
    again = said(talk(3, 2.5, 1.5), heard[-1][0] + stalled_s * S)
    outcome = session(to_the_end([*heard, *again]), words(lambda request: 0.1), 60 + stalled_s)
    assert outcome.worst_s >= stalled_s  # what `Perception.lag_s` tells
    assert outcome.steps == []
    assert outcome.released == outcome.closed


def test_sound_that_was_held_up_somewhere_and_comes_all_at_once_is_no_overload_for_long() -> None:
    """As after the whole machine slept: nothing of it is lost, and what it costs to catch up is all that is waited."""
    heard = said(talk(12, 2.5, 1.5))
    late = [(max(due_ns, 30 * S), message) for due_ns, message in heard]
    outcome = session(to_the_end(late), words(lambda request: 0.05), 90)
    assert outcome.steps == []
    assert outcome.released == outcome.closed
    assert len(outcome.closed) == 12


def test_nothing_is_kept_of_what_was_answered() -> None:
    executor, now_ns = Paced(lambda request, effort: 0.01), 0
    core = Perception([Microphone("mic-0")], LoudnessDetector, Settings(CONFIG, Timing(0.2, 1.0), 5), start_ns=0)
    desk = Desk(executor, lambda request, effort: answer(request), Effort)
    for now_ns, message in said(talk(50, 1.0, 1.0)):
        executor.now_ns = now_ns
        assert isinstance(message, AudioChunk)
        desk.take(core.feed(message), now_ns)
        executor.work()
        desk.answers()
    assert desk.waiting_s(now_ns) == 0.0
    assert not desk._since_ns

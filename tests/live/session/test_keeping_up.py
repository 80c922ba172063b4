"""The real cores with a recogniser that is too slow, in virtual time: what is given up, in which order, and when."""

from concurrent.futures import Executor, Future
from dataclasses import dataclass

import pytest
from fakes import LoudnessDetector, answer, chunks, speech

from erc_live.live.perception.endpointing import Endpointer, Settings
from erc_live.live.perception.front_end import Account, FrontEnd
from erc_live.live.perception.load_shedding import EACH_S, FIRST_S, Budget, levels
from erc_live.live.requests import RequestKind
from erc_live.streams.messages import CHUNK_SAMPLES, Overload, SourceEnd, samples_to_ns
from erc_live.streams.segmenter import SegmenterConfig

S = 1_000_000_000
TICK_NS = samples_to_ns(CHUNK_SAMPLES)
WINDOWS_PER_S = S // TICK_NS
FEATURES_S = 0.1
LEVELS = levels(spare=True)
CONFIG = SegmenterConfig(end_silence_min_s=0.3, end_silence_s=0.3)


class Paced(Executor):
    """Finishes each thing `seconds(speech, budget)` after it was begun."""

    def __init__(self, seconds):
        self._seconds = seconds
        self._running = None
        self.now_ns = 0

    def submit(self, call, request, budget):
        future = Future()
        due_ns = self.now_ns + int(self._seconds(request, budget) * S)
        self._running = due_ns, future, call(request, budget)
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


class Released:
    """In place of the conversation: hands on the requests of what was said."""

    def describe(self, analysis):
        return [analysis.request] if analysis.request.kind == RequestKind.FINAL else []


def front_end(executor, shed=LEVELS):
    settings = Settings(CONFIG, 5, 0.2, 1.0)
    analyse = lambda request, budget: answer(request)  # noqa: E731
    endpointer = Endpointer({"mic-0": None}, LoudnessDetector, settings, start_ns=0)
    return FrontEnd(endpointer, Account({"mic-0": None}), Released(), analyse, executor, shed)


def closed(messages):
    """Every utterance that is closed, however slow the recogniser is."""
    core = Endpointer({"mic-0": None}, LoudnessDetector, Settings(CONFIG, 5, 0.2, 1.0), start_ns=0)
    requests = [request for _, message in messages for request in core.feed(message)]
    return [request.utterance for request in requests if request.kind == RequestKind.FINAL]


def session(messages, seconds, until_s, shed=LEVELS):
    """As in the perception worker; a tick is a window of sound."""
    executor, coming = Paced(seconds), list(messages)[::-1]
    core, outcome = front_end(executor, shed), Outcome(closed(messages), [], [], 0.0)
    for now_ns in range(0, int(until_s * S), TICK_NS):
        executor.now_ns = now_ns
        while coming and coming[-1][0] <= now_ns:
            core.feed(coming.pop()[1], now_ns)
        executor.work()
        for result in core.poll(now_ns, now_ns):
            if isinstance(result, Overload):
                outcome.steps.append(result)
            else:
                outcome.released.append(result.utterance)
                outcome.worst_s = max(outcome.worst_s, (now_ns - result.t_closed_ns) / S)
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

    def seconds(request, budget: Budget):
        asked = budget.words and request.kind != RequestKind.PARTIAL
        return FEATURES_S + asked * length_s(request) * (0.2 if budget.small else 1.0) * times_real_time(request)

    return seconds


@pytest.mark.parametrize("spare", [True, False])
def test_a_recogniser_that_is_too_slow_costs_one_thing_after_the_other_and_no_utterance(spare: bool) -> None:
    slow_until_ns = 120 * S
    cost = words(lambda request: 6.0 if request.t_start_ns < slow_until_ns else 0.1)
    shed = levels(spare=spare)
    outcome = session(to_the_end(said(talk(80, 2.5, 1.5))), cost, 420, shed)
    assert outcome.released == outcome.closed
    assert len(outcome.closed) == 80
    reached = [step.level for step in outcome.steps]
    assert reached[: len(shed)] == [*range(1, len(shed) + 1)]
    assert all(abs(b - a) == 1 for a, b in zip([0, *reached], reached, strict=False))
    assert reached[-1] == 0
    for step in outcome.steps[: len(shed)]:
        assert step.waiting_s >= FIRST_S + (step.level - 1) * EACH_S
        assert shed[step.level - 1].lost in step.step
    assert outcome.worst_s < FIRST_S + len(shed) * EACH_S + 3 * 6 * 2.9


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
    assert outcome.worst_s >= stalled_s  # what `FrontEnd.lag_s` tells
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


def test_nothing_is_stored_of_what_was_answered() -> None:
    executor, now_ns = Paced(lambda request, budget: 0.01), 0
    core = front_end(executor)
    for now_ns, message in said(talk(50, 1.0, 1.0)):
        executor.now_ns = now_ns
        core.feed(message, now_ns)
        executor.work()
        list(core.poll(now_ns, now_ns))
    assert core.account.waiting == 0
    assert core.lag_s(now_ns) == 0.0
    assert not core._scheduler._final


def test_an_analysis_that_never_comes_back_is_known_by_how_long_it_runs() -> None:
    executor = Paced(lambda request, budget: 1e6)
    core = front_end(executor)
    assert core.running_s(5 * S) == 0.0
    begun_ns = None
    for now_ns, message in said(talk(2, 1.0, 1.0)):
        core.feed(message, now_ns)
        list(core.poll(now_ns, now_ns))
        begun_ns = now_ns if begun_ns is None and core.busy else begun_ns
    assert core.running_s(begun_ns + 7 * S) == 7.0

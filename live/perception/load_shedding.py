"""What is given up, and in which order, when the machine does not keep up: levels of degradation, pure.

The signal is how long the oldest closed utterance has waited until somebody works on it, for a queue that only grows
is what people feel. What costs least to lose goes first; words go last; and no utterance is ever dropped: without
words it is classified by voice and face alone. Each step, up and down, is a message of its own.

What may wait: from `FIRST_S` on, another `EACH_S` per step. Words that come late are better than none, so what is
worked off in the next pause keeps them: they are given up of those utterances alone that have waited `LATE_S`, which
then cost their features only, a small part of real time. The queue is therefore bounded by those 10 s of speech and
what is said while the recogniser finishes the utterance that it has begun, which nothing interrupts.

Recordings have no hurry (`SessionSpec.hurry`): of them nothing is ever given up.
"""

from dataclasses import dataclass

from erc_live.streams.messages import Overload

FIRST_S = 3.0  # about three times what an utterance takes on a machine that keeps up
EACH_S = 1.5
LATE_S = 10.0  # from which on an utterance is left without words
EASY_S = 2.0  # shorter waiting is calm
CALM_S = 10.0  # of it before a step down; a calm that did not last makes the next one twice as long,
LONGEST_CALM_S = 160.0  # up to this


@dataclass(frozen=True)
class Budget:
    """What an analysis may cost.

    `partial_words`, `words`: of what is provisional, and at all. `max_frames`: pictures per utterance; None: all that
    were sampled. `partial_every`: of how many partial requests one is worked on. `small`: words from the smaller model,
    where there is one. `words` false: none for what has waited `LATE_S`.
    """

    partial_words: bool = True
    max_frames: int | None = None
    partial_every: int = 1
    small: bool = False
    words: bool = True


FULL = Budget()


@dataclass(frozen=True)
class Level:
    """What may be spent there, and what it gives up, in words that fit after "without" and "again with"."""

    budget: Budget
    lost: str


_PROVISIONAL_WORDS = Level(Budget(partial_words=False), "words in provisional events")
_FRAMES = Level(Budget(partial_words=False, max_frames=5), "most pictures")
_RATE = Level(Budget(partial_words=False, max_frames=5, partial_every=3), "two of three provisional events")
_MODEL = Level(Budget(partial_words=False, max_frames=5, partial_every=3, small=True), "the larger recogniser")
_WORDS = Level(
    Budget(partial_words=False, max_frames=5, partial_every=3, small=True, words=False),
    f"words of what waits over {LATE_S:.0f} s",
)


def levels(*, quick: bool = True, video: bool = True, spare: bool = False) -> tuple[Level, ...]:
    """What there is to give up, in order. `quick`: provisional events have words; `video`: there is a camera;
    `spare`: a smaller recogniser is loaded.
    """
    there = {_PROVISIONAL_WORDS: quick, _FRAMES: video, _RATE: True, _MODEL: spare, _WORDS: True}
    return tuple(level for level, is_there in there.items() if is_there)


class LoadShedder:
    """`observe` how long the oldest utterance waits, several times a second; `budget` is what may be spent now."""

    def __init__(self, levels: tuple[Level, ...]) -> None:
        self._levels = levels
        self._level = 0
        self._calm_s = CALM_S
        self._calm_since_ns: int | None = None
        self._was_down = False  # the last move was down

    @property
    def budget(self) -> Budget:
        """What an analysis that begins now may cost."""
        return self._levels[self._level - 1].budget if self._level else FULL

    def observe(self, waiting_s: float, now_ns: int) -> Overload | None:
        """The step that is taken now, if any: one at a time. `now_ns` never goes back."""
        if waiting_s >= EASY_S:
            self._calm_since_ns = None
        elif self._calm_since_ns is None:
            self._calm_since_ns = now_ns
        if self._level < len(self._levels) and waiting_s >= self._too_long_s:
            return self._up(waiting_s, now_ns)
        if self._calm_since_ns is not None and now_ns - self._calm_since_ns >= self._calm_s * 1e9:
            return self._down(waiting_s, now_ns)
        return None

    @property
    def _too_long_s(self) -> float:
        """Waiting at which the next step is taken."""
        return FIRST_S + self._level * EACH_S if self._levels[self._level].budget.words else LATE_S

    def _up(self, waiting_s: float, now_ns: int) -> Overload:
        if self._was_down:
            self._calm_s = min(2 * self._calm_s, LONGEST_CALM_S)
        self._was_down = False
        self._level += 1
        return self._change(f"without {self._levels[self._level - 1].lost}", waiting_s, now_ns)

    def _down(self, waiting_s: float, now_ns: int) -> Overload | None:
        self._calm_since_ns = now_ns
        if not self._level:
            self._calm_s, self._was_down = CALM_S, False  # all has been well for long
            return None
        self._was_down = True
        self._level -= 1
        return self._change(f"again with {self._levels[self._level].lost}", waiting_s, now_ns)

    def _change(self, step: str, waiting_s: float, now_ns: int) -> Overload:
        return Overload(t_ns=now_ns, level=self._level, step=step, waiting_s=waiting_s)

"""What a server decides of what a session feeds it: an utterance is done when its event is here.

So the session hears of each utterance in the order that a tracker of its own keeps: first its event, then that all
until there is classified. The past is told by the stream of the dialogue itself: what comes before its `Hello` is in
what follows that, too.
The rule of this file: no socket and no clock but what is handed in. An event that does not come is told, and holds
nothing up for longer than `MISSING_S`; then utterances are done when they are stored, until events come again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from erc_live.live.session.dialogue_feed import Settled
from erc_live.streams.feature_channel import DialogueInput, MessageKey
from erc_live.streams.messages import RELABEL_REACH, EmotionEvent, Gap, Hello, UtteranceFeatures

MISSING_S = 3.0  # without the event of an utterance that is stored, after which people are told


class ServerEvents:
    """`take` what the stream of the dialogue says, and `release` what is done. `labels`: those of the session. `lines`:
    what people are to be told since the last look. `held`: what is stored, and waits for its event.
    """

    def __init__(self, labels: Sequence[str], now_s: Callable[[], float]) -> None:
        self.lines: list[str] = []
        self._labels, self._now_s = tuple(labels), now_s
        self._place = ""
        self._greeted = False
        self._missing = True  # nothing is waited for
        self._came: deque[MessageKey] = deque(maxlen=RELABEL_REACH)
        self._waiting: deque[tuple[Settled, float]] = deque()

    @property
    def held(self) -> int:
        return len(self._waiting)

    def begin(self, place: str) -> None:
        """From now on the stream there is read."""
        self._place, self._greeted, self._missing = place, False, False

    def fail(self, why: str) -> None:
        """It cannot be read."""
        self._missing = True
        self.lines.append(f"what the server decides cannot be shown here: {why}")

    def take(self, messages: Iterable[object]) -> list[EmotionEvent]:
        """The events among them, to be published."""
        events = []
        for message in messages:
            if isinstance(message, Hello):
                self._greet(message)
            elif isinstance(message, EmotionEvent) and self._greeted:
                events.append(message)
        self._came.extend((event.utterance, event.revision) for event in events if event.final)
        if events and self._missing:
            self._missing = False
            self.lines.append(f"events come again from {self._place}")
        return events

    def release(self, settled: Iterable[Settled]) -> list[DialogueInput | Gap]:
        """What is done by now, in order."""
        self._waiting.extend((one, self._now_s()) for one in settled)
        released = []
        while self._waiting and not self._is_awaited(*self._waiting[0]):
            released.append(self._waiting.popleft()[0].message)
        return released

    def _greet(self, hello: Hello) -> None:
        self._greeted = hello.labels == self._labels
        if not self._greeted:
            self.fail(
                f"its labels are {', '.join(hello.labels)}, here they are {', '.join(self._labels)}; name its weights "
                "here, too (--set tracker.weights=FOLDER)"
            )

    def _is_awaited(self, one: Settled, since_s: float) -> bool:
        """Whether its event is to come yet."""
        message = one.message
        if self._missing or not (one.decided and isinstance(message, UtteranceFeatures)):
            return False
        if (message.utterance, message.revision) in self._came:
            return False
        if self._now_s() - since_s <= MISSING_S:
            return True
        self.fail(f"no event of utterance {message.utterance} came from {self._place} within {MISSING_S:g} s")
        return False

"""What perception says of a session, on its way to a dialogue of a server (`erc-live serve`): one message at a time.

The server answers each with a receipt. What it has stored is done; where it is full, the same is offered again; what it
never takes is given up with a line that says why, and what follows goes on. A correction that it cannot make leaves the
dialogue as it was, so what would be said again because of it is left out, too.
The rule of this file: no socket and no clock but what is handed in; nothing final is given up without a line.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from msgspec import structs

from erc_live.live.session.spec import Feed
from erc_live.streams.feature_channel import DialogueInput, Receipt
from erc_live.streams.messages import RELABEL_REACH, Gap, Relabel, SourceEnd, UtteranceFeatures

RETRY_S = 2.0  # before the same is offered again to a server that is full
SILENCE_S = 3.0  # without a receipt, after which people are told
LAST_S = 20.0  # without a receipt, after which a session that ends gives up: a server starts in that time


class Sender(Protocol):
    """As `FeatureSender`."""

    @property
    def waiting(self) -> int: ...

    def send(self, features: UtteranceFeatures) -> None: ...

    def relabel(self, relabel: Relabel) -> None: ...

    def end(self, dialogue: str, t_ns: int, reason: str = "stopped") -> None: ...

    def poll(self, timeout_s: float = 0.0) -> list[Receipt]: ...


class Settled(NamedTuple):
    """What is done, as it was taken, or the `Gap` before an utterance that is lost. `decided`: an utterance of which
    the server publishes an event.
    """

    message: DialogueInput | Gap
    decided: bool = False


class DialogueFeed:
    """`take` what perception says, and `poll` often. `lines`: what people are to be told since the last look. `stored`:
    utterances; `waiting`: what has no receipt. `events`: where the server says that it publishes.
    """

    def __init__(self, sender: Sender, feed: Feed, now_s: Callable[[], float]) -> None:
        self.lines: list[str] = []
        self.stored = 0
        self.events = ""
        self._sender, self._feed, self._now_s = sender, feed, now_s
        self._queue: deque[DialogueInput] = deque()
        self._newest: deque[str] = deque(maxlen=RELABEL_REACH)  # utterances that are done
        self._uncorrected = False  # the last correction was refused
        self._due_s = 0.0  # when the first of the queue is offered again
        self._moved_s = now_s()
        self._silent = False

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def silent_s(self) -> float:
        """For how long what waits has got no receipt."""
        return self._now_s() - self._moved_s if self._queue else 0.0

    def remember(self, message: DialogueInput) -> None:
        """It was done before, by another process."""
        if isinstance(message, UtteranceFeatures) and message.final:
            self._newest.append(message.utterance)

    def take(self, message: DialogueInput) -> None:
        """An utterance, a correction, or (`SourceEnd`) the end of all."""
        if not self._queue:
            self._moved_s = self._now_s()
        if not isinstance(message, UtteranceFeatures) or message.final:
            self._queue.append(message)
        elif not self._queue:
            self._offer(message)

    def poll(self, timeout_s: float = 0.0) -> list[Settled]:
        """What is done since the last call, in order."""
        done: list[Settled] = []
        for receipt in self._sender.poll(timeout_s):
            self._settle(receipt, done)
        while self._queue and self._is_left_out(self._queue[0]):
            done.append(Settled(self._queue.popleft()))
        if self._queue and not self._sender.waiting and self._now_s() >= self._due_s:
            self._offer(self._queue[0])
        if self.silent_s > SILENCE_S and not self._silent:
            self._silent = True
            self.lines.append(
                f"no answer from the server at {self._feed.endpoint} for {SILENCE_S:g} s: {self._name(self._queue[0])} "
                "and what follows wait here, and are sent again until it answers"
            )
        return done

    def give_up(self, t_ns: int) -> list[Gap]:
        """Nothing is waited for any longer; what is lost."""
        lost = [message for message in self._queue if isinstance(message, UtteranceFeatures)]
        since_ns = lost[0].t_start_ns if lost else t_ns
        return [_gap(since_ns, max(t_ns, since_ns), len(lost))] if lost else []

    def _offer(self, message: DialogueInput) -> None:
        """Send it as one of the dialogue of the server."""
        dialogue = self._feed.dialogue
        match message:
            case UtteranceFeatures():
                self._sender.send(structs.replace(message, dialogue=dialogue))
            case Relabel():
                self._sender.relabel(structs.replace(message, dialogue=dialogue))
            case SourceEnd():
                self._sender.end(dialogue, message.t_ns, message.reason)

    def _settle(self, receipt: Receipt, done: list[Settled]) -> None:
        """The first of the queue has a receipt."""
        self._moved_s = self._now_s()
        self.events = receipt.events
        if self._silent:
            self._silent = False
            self.lines.append(f"the server at {self._feed.endpoint} answers again: {self.waiting} wait")
        if receipt.verdict == "full":
            self._due_s = self._now_s() + RETRY_S
            self._warn(f"{self._name(self._queue[0])} waits here, and is offered again: {receipt.why}")
            return
        message = self._queue.popleft()
        if receipt.verdict == "refused":
            self._warn(f"{self._name(message)} was refused by the server at {self._feed.endpoint}: {receipt.why}")
            if isinstance(message, UtteranceFeatures):
                done.append(Settled(_gap(message.t_start_ns, message.t_end_ns, 1)))
        elif isinstance(message, UtteranceFeatures):
            self.stored += message.utterance not in self._newest
        if isinstance(message, Relabel):
            self._uncorrected = receipt.verdict == "refused"
        self.remember(message)
        done.append(Settled(message, isinstance(message, UtteranceFeatures) and receipt.verdict == "stored"))

    def _is_left_out(self, message: DialogueInput) -> bool:
        """Whether it is said again because of a correction that was refused."""
        if not self._uncorrected or not isinstance(message, UtteranceFeatures):
            return False
        self._uncorrected = message.utterance in self._newest
        return self._uncorrected

    def _warn(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)

    def _name(self, message: DialogueInput) -> str:
        match message:
            case UtteranceFeatures():
                return f"utterance {message.utterance} of {self._feed.dialogue}"
            case Relabel():
                return f"a correction of {len(message.moved)} utterances of {self._feed.dialogue}"
            case SourceEnd():
                return f"the end of {self._feed.dialogue}"


def _gap(t_start_ns: int, t_end_ns: int, lost: int) -> Gap:
    return Gap(source="server", t_start_ns=t_start_ns, t_end_ns=t_end_ns, lost=lost, cause="overload")

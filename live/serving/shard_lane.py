"""What is on its way to one shard: what waits for the next turn, and the turns that are in flight.

    put, ask -> wait at most 3 ms -> a turn of what waits -> up to two turns in flight -> replies, in order

Where the shard's process is lost, all that it did not answer waits again, and goes to the next one: what that one finds
in its log it knows again, and says what of it was never published; what is not there it takes. So nobody has to send
again, nothing is taken twice, and no event is missing between others.
The rule of this file: no socket, no Ray, and no clock but the given one.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from erc_live.live.serving.shard_actor import Room, ShardOpened, ShardQuestion, ShardReply
from erc_live.streams.feature_channel import FeatureFrames

TURN = 256  # messages in a turn
FULL = 64  # messages that wait for nothing: a step takes no more dialogues
WAIT_S = 0.003  # for others to join a turn
FLYING = 2  # turns at once: one is computed, the next one is there already
MOST = 1024  # messages that wait here; more wait with those who send them
HUNG_S = 30.0  # without a reply to a turn: a disk that is slow to sync takes less
OPENED_S = 300.0  # without one to `open`: it may have to load everything first


class ShardLost(Exception):
    """The process of a shard has died, or does not answer."""


class ShardProcess(Protocol):
    """The process of a shard, wherever it runs. Each call is answered in order; or its future raises ShardLost, as all
    later ones do. Whoever waits is woken when one is done.
    """

    def open(self, folder: Path, room: Room | None, since: int | None) -> "Future[ShardOpened]": ...

    def turn(
        self, messages: list[FeatureFrames], questions: list[ShardQuestion], elsewhere: int
    ) -> "Future[ShardReply]": ...

    def kill(self) -> None:
        """End it, if it still can be; it is heard no more in any case."""
        ...


class TurnDone(NamedTuple):
    """A reply, to so many messages, and how long it took."""

    reply: ShardReply
    messages: int
    seconds: float


@dataclass(frozen=True)
class _OpenQuestion:
    question: ShardQuestion
    reply: Callable[..., None]


@dataclass(frozen=True)
class _TurnInFlight:
    future: "Future[ShardReply]"
    messages: Sequence[FeatureFrames]
    asked: Sequence[_OpenQuestion]
    begun_s: float


class ShardLane:
    """`serve` by a process, then `put`, `ask`, `send` and `replies`."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.monotonic, room: Room | None = None) -> None:
        self.folder = folder
        self.losses = 0  # since its last reply
        self._now = now
        self._waiting: dict[tuple[bytes, bytes], tuple[FeatureFrames, float]] = {}  # what comes twice waits once
        self._asked: deque[_OpenQuestion] = deque()
        self._flying: deque[_TurnInFlight] = deque()
        self._process: ShardProcess | None = None
        self._opening: Future[ShardOpened] | None = None
        self._begun_s = 0.0
        self._end: int | None = None  # of the log, up to which all is published
        self._room = room  # None: as its first process measures it, for later ones load while others work

    def __len__(self) -> int:
        """Messages that wait, or are in flight."""
        return len(self._waiting) + sum(len(turn.messages) for turn in self._flying)

    @property
    def is_opening(self) -> bool:
        """Whether its process has not recovered it yet."""
        return self._opening is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return not (self._opening or self._waiting or self._asked or self._flying)

    @property
    def age_s(self) -> float:
        """For how long the longest waiting message waits."""
        return self._now() - next(iter(self._waiting.values()))[1] if self._waiting else 0.0

    @property
    def due_s(self) -> float:
        """In how many s `send` should be called."""
        if self._opening or len(self._flying) >= FLYING or not (self._waiting or self._asked):
            return 1.0  # whoever waits is woken
        return 0.0 if self._asked or len(self._waiting) >= FULL else max(0.0, WAIT_S - self.age_s)

    def serve(self, process: ShardProcess) -> None:
        """From now on this process is the shard."""
        self._process = process
        self._opening, self._begun_s = process.open(self.folder, self._room, self._end), self._now()

    def opened(self) -> ShardOpened | None:
        """Once, when the process has recovered the shard; publish what it says. Raises ShardLost, and SessionError."""
        if self._opening is None:
            return None
        if not self._opening.done():
            if self._now() - self._begun_s > OPENED_S:
                raise ShardLost(f"did not recover its dialogues within {OPENED_S:g} s")
            return None
        opened = self._opening.result()
        self._room, self._end = opened.room, opened.end
        self._opening = None
        return opened

    def put(self, message: FeatureFrames, final: bool) -> bool:
        """Whether there was room for it. A provisional one is given up before others wait."""
        if len(self._waiting) >= (MOST if final else FULL):
            return False
        key = message.sender, message.frames[0] if message.frames else b""
        self._waiting.setdefault(key, (message, self._now()))
        return True

    def ask(self, question: ShardQuestion, reply: Callable[..., None]) -> None:
        """`reply` is called with the answer."""
        self._asked.append(_OpenQuestion(question, reply))

    def send(self, elsewhere: int = 0) -> None:
        """Begin a turn, if one is due. `elsewhere`: dialogues of others that take of its room."""
        if self.due_s > 0 or self._process is None:
            return
        keys = list(self._waiting)[:TURN]
        messages = [self._waiting.pop(key)[0] for key in keys]
        asked, self._asked = list(self._asked), deque()
        future = self._process.turn(messages, [one.question for one in asked], elsewhere)
        self._flying.append(_TurnInFlight(future, messages, asked, self._now()))

    def replies(self) -> Iterator[TurnDone]:
        """Of the turns that are done, in order; the questions are answered when the caller
        has published what came before. Raises ShardLost, also where the process does not answer, and SessionError.
        """
        while self._flying and self._flying[0].future.done():
            turn = self._flying[0]
            reply = turn.future.result()
            self._flying.popleft()
            self.losses, self._end = 0, reply.end
            yield TurnDone(reply, len(turn.messages), self._now() - turn.begun_s)
            for one, answer in zip(turn.asked, reply.answers, strict=True):
                one.reply(answer)
        if self._flying and self._now() - self._flying[0].begun_s > HUNG_S:
            raise ShardLost(f"gave no answer for {HUNG_S:g} s")

    def lost(self) -> None:
        """What the process did not answer waits again, before all else."""
        self.losses += 1
        self.end()
        self._opening = None
        unanswered = [message for turn in self._flying for message in turn.messages]
        waiting, self._waiting = self._waiting, {}
        for message in unanswered:
            self.put(message, final=True)
        self._waiting |= waiting
        self._asked.extendleft(reversed([one for turn in self._flying for one in turn.asked]))
        self._flying.clear()

    def end(self) -> None:
        """Its process is no more."""
        if self._process:
            self._process.kill()
        self._process = None

"""Load: many dialogues speak into a real server over real sockets, which is killed at random; what subscribers got is
compared with what they would have got.

Utterances are generated, always the same for one seed, and sent when they are due; one that waits for its dialogue's
last receipt waits here, and its wait counts. The reference is a tracker that nobody killed. The rule of this file: what
is measured is what a sender, a subscriber and the operating system see.
"""

import random
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from erc_live.live.bench.load_servers import LoadServer, ShardedServer, SingleServer
from erc_live.live.serving.serving_capacity import generated
from erc_live.live.tracking.tracker import Bounds, SessionStart, Tracker
from erc_live.models.checkpoint import Checkpoint
from erc_live.streams.clock import ManualClock
from erc_live.streams.event_stream import EventReceiver
from erc_live.streams.feature_channel import FeatureSender
from erc_live.streams.messages import EmotionEvent, UtteranceFeatures, UtteranceFields

PATIENCE_S = 120.0  # for the last receipts
SAME = 1e-4  # of a probability: batches of other sizes round otherwise
ASKED = 40  # dialogues that one connection asks the past of
ANSWER_S, SILENCE_S = 20.0, 0.5  # in which it is told; and after which it is told no more

Identity = tuple[str, str, int]  # dialogue, utterance, revision


@dataclass
class LoadResult:
    """What was seen. `lost`: not refused, and found nowhere; `repeated`: told with two contents; `wrong`: not as the
    reference says; `live`: told without asking. `recovery_s`: from a kill to the next receipt. `differing`: utterances
    that a restarted server computed otherwise than it had published them.
    """

    dialogues: int
    rate_hz: float
    utterances: int = 0
    seconds: float = 0.0
    kills: int = 0
    stored: int = 0
    live: int = 0
    lost: int = 0
    repeated: int = 0
    wrong: int = 0
    holes: int = 0
    refused: int = 0
    refusal: str = ""  # why, of the first
    differing: int = 0
    decision_ms: list[float] = field(default_factory=list)
    delivery_ms: list[float] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    kb_per_dialogue: float = 0.0


@dataclass
class _Collected:
    """Events by identity, the first content of each, and how many came with another one; and what was refused."""

    events: dict[Identity, EmotionEvent] = field(default_factory=dict)
    refused: dict[Identity, str] = field(default_factory=dict)  # and why
    repeated: int = 0

    def take(self, event: EmotionEvent) -> None:
        self.repeated += self.events.setdefault(_identity(event), event) != event


@dataclass(frozen=True)
class LoadPlan:
    """`rate_hz`: utterances of all dialogues together, for so many `seconds` at least; `kills`: of the server, whose
    `log` is a new one ("": in the folder), or of a process of one of its `shards`, if it has any.
    """

    dialogues: int
    rate_hz: float
    seconds: float
    kills: int
    seed: int
    log: str = ""
    shards: int = 0

    def script(self, checkpoint: Checkpoint) -> Iterator[UtteranceFeatures]:
        """What is said, in order, without end: everybody in turn, each time in another order."""
        dice = random.Random(self.seed)
        for number in count():
            for dialogue in dice.sample(range(self.dialogues), self.dialogues):
                yield generated(checkpoint, f"load-{dialogue}", number, self.seed + dialogue)


def bench_load(
    plan: LoadPlan, checkpoint: Checkpoint, folder: Path, sets: Sequence[str], on_news: Callable[[str], None]
) -> LoadResult:
    """Run the server in `folder`, which must have a short path. Raises WorkerError where it does not start."""
    features, events = f"ipc://{folder}/f", f"ipc://{folder}/e"
    command = [sys.executable, "-m", "erc_live.live.cli", "serve", "--log", plan.log or str(folder / "log")]
    command += ["--dialogues", str(plan.dialogues), "--features", features]
    command += [part for item in (*sets, f"events.endpoint={events}") for part in ("--set", item)]
    result = LoadResult(plan.dialogues, plan.rate_hz)
    server: LoadServer = (
        ShardedServer([*command, "--ray", "local", "--shards", str(plan.shards)], plan.shards, on_news)
        if plan.shards
        else SingleServer(command, plan.kills > 0, on_news)
    )
    try:
        before = server.bytes()
        follower = EventReceiver(events, ["event."])
        sender = FeatureSender(features)
        received = _Collected()
        said = _speak(plan, plan.script(checkpoint), server, (sender, follower), received, result)
        result.utterances = len(said)
        result.kb_per_dialogue = (server.bytes() - before) / 1e3 / plan.dialogues
        result.live = len(received.events)
        _ask(events, said, received)
        follower.close()
        sender.close()
    finally:
        server.close()
    result.differing, result.cpu_s, result.repeated = server.differing, server.used_s, received.repeated
    result.refused, result.refusal = len(received.refused), next(iter(received.refused.values()), "")
    _compare([one for one in said if _identity(one) not in received.refused], received, checkpoint, result)
    return result


def _speak(
    plan: LoadPlan,
    script: Iterator[UtteranceFeatures],
    server: LoadServer,
    wires: tuple[FeatureSender, EventReceiver],
    received: _Collected,
    result: LoadResult,
) -> list[UtteranceFeatures]:
    """Send what is due, take what comes, kill now and then, until the time is up, everybody who is to be killed has
    been, and every utterance has its receipt; returns what was sent.
    """
    (sender, follower), assassin = wires, _Assassin(plan, server, result)
    sent: list[UtteranceFeatures] = []
    begun_s = last_s = time.monotonic()
    while True:
        now_s = time.monotonic()
        speaking = now_s - begun_s < plan.seconds or not assassin.done
        while speaking and len(sent) / plan.rate_hz <= now_s - begun_s:
            sent.append(next(script))
            sender.send(structs.replace(sent[-1], t_features_ns=time.monotonic_ns()))
        if receipts := sender.poll(0.001):
            last_s = now_s
            result.stored += sum(receipt.verdict == "stored" for receipt in receipts)
            received.refused |= {
                (one.dialogue, one.utterance, one.revision): one.why for one in receipts if one.verdict != "stored"
            }
        assassin.look(now_s, [receipt.dialogue for receipt in receipts])
        _receive(follower, received, result)
        if not speaking and (not sender.waiting or now_s - last_s > PATIENCE_S):
            break
    result.seconds = time.monotonic() - begun_s
    for _ in range(20):
        _receive(follower, received, result, 0.01)
    return sent


class _Assassin:
    """Kills the server when another one stands by, at random, and measures until it answers again."""

    def __init__(self, plan: LoadPlan, server: LoadServer, result: LoadResult) -> None:
        self._kills, self._server, self._result = plan.kills, server, result
        self._dice = random.Random(plan.seed)
        self._at_s = time.monotonic() + self._dice.uniform(0, 1)
        self._killed_s: float | None = None

    @property
    def done(self) -> bool:
        return self._result.kills >= self._kills and self._killed_s is None

    def look(self, now_s: float, answered: Sequence[str]) -> None:
        """`answered`: dialogues of which the server has just given receipts."""
        if self._killed_s is not None:
            if any(map(self._server.is_back, answered)):
                self._result.recovery_s.append(now_s - self._killed_s)
                self._killed_s = None
                self._at_s = now_s + self._dice.uniform(0, 1)
        elif self._result.kills < self._kills and now_s >= self._at_s and self._server.spare_stands_by:
            self._server.kill(self._dice)
            self._killed_s = time.monotonic()
            self._result.kills += 1


def _receive(follower: EventReceiver, received: _Collected, result: LoadResult, timeout_s: float = 0.0) -> None:
    for event in follower.receive(timeout_s):
        if isinstance(event, EmotionEvent):
            result.decision_ms.append((event.t_logits_ns - event.t_features_ns) / 1e6)
            result.delivery_ms.append((time.monotonic_ns() - event.t_features_ns) / 1e6)
            received.take(event)


def _ask(endpoint: str, script: Sequence[UtteranceFeatures], received: _Collected) -> None:
    """Of dialogues of which something is missing, ask for the past, as a subscriber does that lost its connection."""
    missing = sorted({one.dialogue for one in script if _identity(one) not in received.events})
    for first in range(0, len(missing), ASKED):
        topics = [f"snapshot.{uuid.uuid4().hex[:8]}.{dialogue}" for dialogue in missing[first : first + ASKED]]
        receiver = EventReceiver(endpoint, topics)
        silent_s = time.monotonic()
        asked = {_identity(one) for one in script if one.dialogue in missing[first : first + ASKED]}
        while time.monotonic() - silent_s < (SILENCE_S if asked <= received.events.keys() else ANSWER_S):
            for event in receiver.receive(0.1):
                silent_s = time.monotonic()
                if isinstance(event, EmotionEvent):
                    received.take(event)
        receiver.close()


def _compare(
    script: Sequence[UtteranceFeatures], received: _Collected, checkpoint: Checkpoint, result: LoadResult
) -> None:
    """Count what is missing, what is not as the reference says, and numbers that are missing between others."""
    numbers = defaultdict(set)
    for event in received.events.values():
        numbers[event.dialogue].add(event.seq)
    result.holes = sum(max(seqs) + 1 - len(seqs) for seqs in numbers.values())
    for wanted in reference(script, checkpoint):
        found = received.events.get(_identity(wanted))
        if found is None:
            result.lost += 1
        else:
            result.wrong += any(abs(found.probs[label] - p) > SAME for label, p in wanted.probs.items())


def reference(script: Sequence[UtteranceFeatures], checkpoint: Checkpoint) -> list[EmotionEvent]:
    """What a tracker says of it that nobody kills."""
    names = {one.dialogue for one in script}
    tracker = Tracker(checkpoint, SessionStart("", 0, 0), ManualClock(), bounds=Bounds(max(64, len(names)), reach=0))
    events: list[EmotionEvent] = []
    batch: dict[str, UtteranceFeatures] = {}
    for one in script:
        if one.dialogue in batch or len(batch) == 64:
            events += tracker.observe_all(list(batch.values()))
            batch = {}
        batch[one.dialogue] = one
    return events + (tracker.observe_all(list(batch.values())) if batch else [])


def _identity(utterance: UtteranceFields) -> Identity:
    return utterance.dialogue, utterance.utterance, utterance.revision


def plain(result: LoadResult) -> dict[str, Any]:
    """The result for programs, and for a table."""

    def percentiles(values: Sequence[float]) -> dict[str, float]:
        return {f"p{p}": round(float(np.percentile(values, p)), 2) for p in (50, 99)} if values else {}

    counts = {name: value for name, value in vars(result).items() if isinstance(value, int)}
    return counts | {
        "refusal": result.refusal,
        "rate_hz": result.rate_hz,
        "seconds": round(result.seconds, 1),
        "decision_ms": percentiles(result.decision_ms),
        "delivery_ms": percentiles(result.delivery_ms),
        "recovery_s": percentiles(result.recovery_s),
        "utterances_per_core_s": round(result.stored / result.cpu_s, 1) if result.cpu_s else None,
        "kb_per_dialogue": round(result.kb_per_dialogue, 1),
    }

"""A shard and its load in one process: the loop of the server, its steps, its log and its public stream, and features
that are there when they are due.

Utterances come as a Poisson process, which waits for nobody: their latency counts from when they were due, whatever
the shard did then. A subscriber in another process stamps when events arrive. At the end the shard is recovered from
its log, and each state is compared bit by bit.
The rule of this file: nothing of the shard is imitated; only the sockets of senders are left out.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from erc_live.live.bench.load_subscriber import LoadSubscriber
from erc_live.live.config import Config
from erc_live.live.serving.admission import Room
from erc_live.live.serving.log_place import FolderPlace
from erc_live.live.serving.serve_loop import Opened, PresentShard, Serving, ShardParts, load_shard, open_shard, turn
from erc_live.live.serving.serve_metrics import ServeMetrics
from erc_live.live.serving.serving_capacity import generated
from erc_live.live.serving.shard import DialogueShard
from erc_live.live.serving.shard_recovery import ShardRecovery
from erc_live.models import checkpoint
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.state import to_bytes
from erc_live.streams.dialogue_outlet import DialogueOutlet
from erc_live.streams.feature_channel import FeatureMessage, Receipt
from erc_live.streams.messages import UtteranceFeatures

MADE = 256  # utterances that differ; more would measure how they are made
SETTLE_S = 1.0  # before the first: the subscriber connects
PATIENCE_S = 60.0  # for the last receipts


@dataclass(frozen=True)
class ShardPlan:
    """`rate_hz`: utterances of all dialogues together, for so many `seconds`."""

    dialogues: int
    rate_hz: float
    seconds: float
    seed: int = 0


@dataclass
class ShardLoadResult:
    """What was seen; latencies from when an utterance was due. `decision_ms`: to its probabilities; `stored_ms`: to its
    receipt, which follows its event; `delivery_ms`: to the subscriber, who has decoded the event. `lost`: without a
    receipt, or of which the subscriber was told nothing. `busy`: share of one core. `kb_per_dialogue`: growth of the
    process, from before the shard was made. Recovered: `replayed` utterances, of which `differing` came out otherwise;
    `unequal` dialogues had other bits than before.
    """

    plan: ShardPlan
    utterances: int = 0
    stored: int = 0
    refused: int = 0
    delivered: int = 0
    seconds: float = 0.0
    decision_ms: list[float] = field(default_factory=list)
    stored_ms: list[float] = field(default_factory=list)
    delivery_ms: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    kb_per_dialogue: float = 0.0
    recovery_s: float = 0.0
    replayed: int = 0
    differing: int = 0
    unequal: int = 0

    @property
    def lost(self) -> int:
        return self.utterances - self.refused - min(self.stored, self.delivered)

    def plain(self) -> dict[str, Any]:
        """For programs, and for a table."""
        counts = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        latencies = {
            name: {f"p{p}": round(float(np.percentile(value, p)), 1) for p in (50, 99, 99.9)} if value else {}
            for name, value in vars(self).items()
            if isinstance(value, list)
        }
        return {
            "dialogues": self.plan.dialogues,
            "rate_hz": self.plan.rate_hz,
            **counts,
            "lost": self.lost,
            **latencies,
            "utterances_per_s": round(self.stored / self.seconds, 1),
            "utterances_per_core_s": round(self.stored / self.cpu_s, 1),
            "busy": round(self.cpu_s / self.seconds, 2),
            "kb_per_dialogue": round(self.kb_per_dialogue, 1),
            "recovery_s": round(self.recovery_s, 1),
        }


class DueFeatures:
    """An `FeatureSource` of made utterances, each there when it is due; every dialogue speaks once in each round."""

    endpoint = "made"

    def __init__(self, plan: ShardPlan, weights: Checkpoint, result: ShardLoadResult) -> None:
        self._plan, self._result = plan, result
        self._made = [generated(weights, "made", number, plan.seed) for number in range(MADE)]
        self._due = self._schedule()
        self._next_ns, self._next = next(self._due)
        self._sent_ns: dict[tuple[str, str], int] = {}  # of what has no receipt yet

    @property
    def done(self) -> bool:
        return self._next is None and not self._sent_ns

    def wait(self, timeout_s: float) -> bool:
        wait_s = (self._next_ns - time.monotonic_ns()) / 1e9
        if wait_s > 0:
            time.sleep(min(wait_s, timeout_s))
        return self._next_ns <= time.monotonic_ns()

    def receive(self, most: int) -> Iterator[FeatureMessage]:
        for _ in range(most):
            if self._next is None or self._next_ns > time.monotonic_ns():
                return
            said = self._next
            self._sent_ns[said.dialogue, said.utterance] = self._next_ns
            self._result.utterances += 1
            yield FeatureMessage(b"made", said)
            self._next_ns, self._next = next(self._due)

    def answer(self, sender: bytes, receipt: Receipt) -> None:
        due_ns = self._sent_ns.pop((receipt.dialogue, receipt.utterance))
        if receipt.verdict == "stored":
            self._result.stored += 1
            self._result.stored_ms.append((time.monotonic_ns() - due_ns) / 1e6)
        else:
            self._result.refused += 1

    def _schedule(self) -> Iterator[tuple[int, UtteranceFeatures | None]]:
        """What is said, and when; None at the end."""
        dice, plan = random.Random(self._plan.seed), self._plan
        begin_s = now_s = time.monotonic() + SETTLE_S
        number = 0
        while True:
            for dialogue in dice.sample(range(plan.dialogues), plan.dialogues):
                now_s += dice.expovariate(plan.rate_hz)
                if now_s > begin_s + plan.seconds:
                    while True:
                        yield 1 << 62, None
                due_ns = int(now_s * 1e9)
                said = self._made[(number + dialogue) % MADE]
                names = {"dialogue": f"load-{dialogue}", "utterance": f"u{number}"}
                yield due_ns, structs.replace(said, **names, t_features_ns=due_ns)
            number += 1


def bench_shard(
    plan: ShardPlan, config: Config, places: tuple[Path, Path], on_news: Callable[[str], None]
) -> ShardLoadResult:
    """Run it; `places`: a folder with a short path, for a socket, and the folder of the log. Raises SessionError where
    that takes no log.
    """
    folder, log = places
    result = ShardLoadResult(plan)
    weights = checkpoint.load(config.tracker.weights)
    before = _bytes()
    serving = Serving(config, "", FolderPlace(log), plan.dialogues)
    parts = load_shard(serving)._replace(room=Room(plan.dialogues))  # as many as are wanted, not as many as advisable
    with ExitStack() as stack:
        shard, found = _opened(serving, parts, stack)
        endpoint = f"ipc://{folder}/e"
        outlet = DialogueOutlet(endpoint, PresentShard(shard))
        stack.callback(outlet.close)
        subscriber = LoadSubscriber(endpoint)
        stack.callback(subscriber.close)
        inlet = DueFeatures(plan, weights, result)
        on_news(f"{plan.dialogues} dialogues speak for {plan.seconds:g} s")
        _speak(Opened(shard, inlet, outlet, found, parts.room, ServeMetrics()), inlet, result)
        result.decision_ms, result.delivery_ms = subscriber.latencies()
        result.delivered = len(result.delivery_ms)
        result.kb_per_dialogue = (_bytes() - before) / 1e3 / plan.dialogues
        states = _states(shard)
    on_news("recovering")
    _recover(serving, states, result)
    return result


def _speak(opened: Opened, inlet: DueFeatures, result: ShardLoadResult) -> None:
    begun_s, cpu_s = time.monotonic() + SETTLE_S, time.process_time()
    end_s = begun_s + result.plan.seconds + PATIENCE_S
    while not inlet.done and time.monotonic() < end_s:
        turn(opened)
    result.seconds, result.cpu_s = time.monotonic() - begun_s, time.process_time() - cpu_s


def _opened(serving: Serving, parts: ShardParts, stack: ExitStack) -> tuple[DialogueShard, ShardRecovery]:
    log = serving.place.open()
    stack.callback(log.close)
    return open_shard(serving.config, parts, log, serving.place, stack)


def _recover(serving: Serving, states: dict[str, bytes], result: ShardLoadResult) -> None:
    parts = load_shard(serving)._replace(room=Room(serving.dialogues))
    begun_s = time.monotonic()
    with ExitStack() as stack:
        shard, found = _opened(serving, parts, stack)
        result.recovery_s = time.monotonic() - begun_s
        result.replayed, result.differing = found.replayed, found.differing
        again = _states(shard)
        result.unequal = sum(again.get(name) != state for name, state in states.items()) + len(again.keys() - states)


def _states(shard: DialogueShard) -> dict[str, bytes]:
    """All that is known of each dialogue, to the last bit."""
    return {
        name: to_bytes(shard.tracker.state(name)) + repr((known.session, known.next_seq, known.identities)).encode()
        for name, known in shard.dialogues.items()
    }


def _bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)

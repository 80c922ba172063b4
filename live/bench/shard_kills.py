"""Kills, a thousand of them: the process of a shard dies at any instant, and what comes back is compared bit by bit.

A template process loads everything once, and is copied (fork) for each life of the shard: a life begins with the log
that the last one left. It is killed by the system, within milliseconds, wherever it is: in a step, in the append, in
its answer. What had no receipt is sent again. After each turn a life says what its states are; the next one says what
it has recovered.
The rule of this file: the shard is that of `shard_actor.py`, and nothing is asked of it that the gateway does not ask.
"""

import hashlib
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from erc_live.live.bench.load import SAME, reference
from erc_live.live.config import Config
from erc_live.live.errors import WorkerError
from erc_live.live.serving.serving_capacity import generated
from erc_live.live.serving.shard_actor import Published, ShardActor, ShardOpened, ShardReply
from erc_live.models import checkpoint
from erc_live.models.state import to_bytes
from erc_live.streams import codec
from erc_live.streams.feature_channel import FeatureFrames
from erc_live.streams.messages import EmotionEvent, UtteranceFeatures

TURN = 16  # utterances in a turn, at most
LIFE_S = 0.06  # of a shard that has recovered, at most: some turns
READY_S = 300.0  # in which it has loaded, and in which a life has recovered
_LIVES = "lives"  # the socket where they report

Bits = dict[str, tuple[int, bytes]]  # by dialogue, how many events it has had, and a digest of all that is known of it


class _Life(NamedTuple):
    process: int
    opened: ShardOpened
    bits: Bits


@dataclass
class KillResult:
    """What was seen. `lost`: has a receipt, and was never told; `repeated`: told with two contents; `wrong`: not as
    a tracker says that nobody killed; `holes` between numbers; `differing`: came out otherwise when it was computed
    again; `unequal`: dialogues recovered with other bits than they had; `compared`: dialogues of which that is known.
    """

    kills: int = 0
    utterances: int = 0
    lost: int = 0
    repeated: int = 0
    wrong: int = 0
    holes: int = 0
    differing: int = 0
    unequal: int = 0
    compared: int = 0
    published_late: int = 0  # by the next life: they stood in the log, and the last one died before it told them
    recovery_s: list[float] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.repeated or self.wrong or self.holes or self.differing or self.unequal)

    def plain(self) -> dict[str, Any]:
        """For programs, and for a table."""
        percentiles = {f"p{p}": round(float(np.percentile(self.recovery_s, p)), 3) for p in (50, 99)}
        return vars(self) | {"recovery_s": percentiles}


def bench_kills(
    kills: int, dialogues: int, config: Config, folder: Path, on_news: Callable[[str], None], seed: int = 0
) -> KillResult:
    """Kill it so often; `folder` has a short path. Raises WorkerError where it does not start."""
    spawn = get_context("spawn")
    with socket.socket(socket.AF_UNIX) as lives:
        lives.bind(str(folder / _LIVES))
        lives.listen()
        lives.settimeout(READY_S)
        template = spawn.Process(target=_template, args=(config, dialogues, folder), daemon=True)
        template.start()
        try:
            weights = checkpoint.load(config.tracker.weights)
            driver = _Driver(lives, [f"kill-{number}" for number in range(dialogues)], weights, seed)
            for _ in range(kills):
                driver.live(kill=True)
                on_news(f"{driver.result.kills} of {kills} kills, {driver.result.utterances} utterances")
            driver.live(kill=False)
        finally:
            template.terminate()
            template.join()
    return driver.judged()


class _Driver:
    """Who speaks, subscribes, and kills."""

    def __init__(self, lives: socket.socket, dialogues: list[str], weights: Any, seed: int) -> None:
        self.result = KillResult()
        self._lives, self._weights, self._dice = lives, weights, random.Random(seed)
        self._number = dict.fromkeys(dialogues, 0)  # of the next utterance, which has no receipt yet
        self._stored: list[UtteranceFeatures] = []  # what has a receipt
        self._published: dict[tuple[str, str], bytes] = {}
        self._bits: Bits = {}
        self._end: int | None = None

    def live(self, kill: bool) -> None:
        """A life, to its kill; or one of a turn of everybody, and its end."""
        begun_s = time.monotonic()
        with self._born() as life:
            life.send(self._end)
            process = self._begin(life)
            self.result.recovery_s.append(time.monotonic() - begun_s)
            if not kill:
                self._turn(life, list(self._number), READY_S)
                return
            self._speak(life, time.monotonic() + self._dice.uniform(0, LIFE_S))
            os.kill(process, signal.SIGKILL)
            self.result.kills += 1
            with suppress(EOFError, OSError):  # what it had said before it died is not lost on the way here
                self._take(life.recv())

    def judged(self) -> KillResult:
        """All that was told, against a tracker that nobody killed."""
        events = [codec.from_json(data) for data in self._published.values()]
        found = {(e.dialogue, e.utterance): e for e in events if isinstance(e, EmotionEvent)}
        numbers = {name: {e.seq for e in found.values() if e.dialogue == name} for name in self._number}
        self.result.holes = sum(max(seqs) + 1 - len(seqs) for seqs in numbers.values() if seqs)
        for wanted in reference(self._stored, self._weights):
            event = found.get((wanted.dialogue, wanted.utterance))
            if event is None:
                self.result.lost += 1
            else:
                self.result.wrong += any(abs(event.probs[label] - p) > SAME for label, p in wanted.probs.items())
        return self.result

    def _born(self) -> Connection:
        try:
            return Connection(self._lives.accept()[0].detach())
        except TimeoutError as error:
            raise WorkerError(f"a shard did not start within {READY_S:g} s: what it says above is why") from error

    def _begin(self, life: Connection) -> int:
        if not life.poll(READY_S):
            raise WorkerError(f"a shard did not recover within {READY_S:g} s")
        process, opened, bits = life.recv()
        self._receive(opened.published)
        self._end = opened.end
        self.result.published_late += len(opened.published)
        self.result.differing += opened.differing
        for name, (events, known) in self._bits.items():
            if bits[name][0] == events:  # else it died after an append, and before it said what came of it
                self.result.compared += 1
                self.result.unequal += bits[name][1] != known
        self._bits = bits
        return int(process)

    def _speak(self, life: Connection, until_s: float) -> None:
        while (left_s := until_s - time.monotonic()) > 0:
            names = self._dice.sample(list(self._number), self._dice.randint(1, min(TURN, len(self._number))))
            if not self._turn(life, names, left_s):
                return

    def _turn(self, life: Connection, names: Iterable[str], timeout_s: float) -> bool:
        """Whether it answered in time."""
        said = [generated(self._weights, name, self._number[name], sum(name.encode())) for name in names]
        life.send([FeatureFrames(b"", codec.encode(one)) for one in said])
        if not life.poll(timeout_s):
            return False
        self._take(life.recv())
        return True

    def _take(self, answer: tuple[ShardReply, Bits]) -> None:
        reply, bits = answer
        self._receive(reply.published)
        self._bits |= bits
        self._end = reply.end
        for _, receipt in reply.receipts:
            assert receipt.verdict == "stored", receipt
            name, number = receipt.dialogue, self._number[receipt.dialogue]
            assert receipt.utterance == f"u{number}"
            self._stored.append(generated(self._weights, name, number, sum(name.encode())))
            self._number[name] += 1
            self.result.utterances += 1

    def _receive(self, published: Iterable[Published]) -> None:
        for topic, _, data in published:
            if topic == "event":
                event = codec.from_json(data)
                assert isinstance(event, EmotionEvent)
                self.result.repeated += self._published.setdefault((event.dialogue, event.utterance), data) != data


def _template(config: Config, dialogues: int, folder: Path) -> None:
    """Load, then be copied for one life after the other."""
    actor = ShardActor()
    actor.load(config, dialogues, folder)
    while True:
        life = os.fork()
        if not life:
            try:
                _live(actor, dialogues, folder)
            finally:
                os._exit(0)  # it is a copy: nothing of the template is to be ended by it
        os.waitpid(life, 0)


def _live(actor: ShardActor, dialogues: int, folder: Path) -> None:
    with Client(str(folder / _LIVES), "AF_UNIX") as driver:
        since = driver.recv()
        opened = actor.open(folder / "shard", (dialogues, "all"), since)
        driver.send(_Life(os.getpid(), opened, _bits(actor, actor.shard.dialogues)))
        with suppress(EOFError):
            while True:
                messages = driver.recv()
                reply = actor.turn(messages, [])
                touched = {receipt.dialogue for _, receipt in reply.receipts}
                driver.send((reply, _bits(actor, touched)))


def _bits(actor: ShardActor, names: Iterable[str]) -> Bits:
    bits = {}
    for name in names:
        known, memory = actor.shard.dialogues[name], actor.shard.tracker.memory(name)
        places = (known.session, known.next_seq, known.places, known.identities, known.names, known.inputs, memory)
        digest = hashlib.blake2b(to_bytes(actor.shard.tracker.state(name)) + repr(places).encode()).digest()
        bits[name] = known.next_seq, digest
    return bits

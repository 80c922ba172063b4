"""The gateway of a server of several shards: the sockets of `serve_loop.py`, and behind them processes that Ray keeps.

A message goes, unread but for its head, to the shard of its dialogue; what comes back is sent on. The gateway holds
nothing that counts: each shard's log is the truth of its dialogues, in a folder of its own, and which shards there are
is in the record of generations.
The rule of this file: it opens and closes what the gateway needs, and its loop takes, sends, publishes; what is on its
way is kept in `shard_lane.py`.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from erc_live.live.config import Config
from erc_live.live.errors import WorkerError
from erc_live.live.privacy import purpose
from erc_live.live.serving.generation_record import Generation, shard_folder
from erc_live.live.serving.generations import Generations, take_up
from erc_live.live.serving.ray_cluster import RayCluster, RayShard
from erc_live.live.serving.serve_metrics import ServeMetrics, ShardLoad, serve_metrics
from erc_live.live.serving.shard_actor import ShardOpened, ShardQuestion, ShardReply
from erc_live.live.serving.shard_lane import ShardLane, ShardLost
from erc_live.streams.bundle_lock import BundleLock
from erc_live.streams.dialogue_outlet import DialogueOutlet
from erc_live.streams.errors import SessionError
from erc_live.streams.feature_channel import FeatureInlet, head
from erc_live.streams.journal import make_private

POLL_S = 0.02  # in which subscribers are looked after
TAKEN = 256  # messages taken in one turn of the loop
READY_S = 300.0  # in which a process has loaded: torch and the weights, on a machine that does something else
END_S = 60.0  # for what is on its way, at the end
LOSSES = 5  # in a row, after which a shard is given up
SPARE_CPUS = 2  # of Ray's count beyond the shards: the spare, and one in place of a process that hangs
SILENCE_S = 60.0  # in which a shard without messages, too, ends who is silent for too long
_SILENCE = ShardQuestion("alive", "")


class ShardedServing(NamedTuple):
    """What the gateway is to do. `address`: of a Ray cluster, or "local"; `shards`: for new dialogues; 0: as many as
    the newest generation has, or 2; the rest as of `Serving`.
    """

    config: Config
    features: str
    folder: Path
    dialogues: int
    address: str
    shards: int = 0


class GatewayNews(NamedTuple):
    """Who is told what. `older`: so many dialogues of an older generation are open; `ready`: where features come in and
    events go out; `opened`: a shard, and what it found; `lost`: a shard (None: the spare), and why; `spare`: another
    process stands by; `closed`: the last dialogue of a generation has ended.
    """

    older: Callable[[Generation, int], None]
    ready: Callable[[str, str], None]
    opened: Callable[[int, ShardOpened], None]
    lost: Callable[[int | None, str], None]
    spare: Callable[[int], None]
    closed: Callable[[Generation], None]


@dataclass
class Gateway:
    """A server of several shards. `lanes`: by their numbers; `spare`: a process of the newest weights."""

    serving: ShardedServing
    generations: Generations
    cluster: RayCluster
    news: GatewayNews
    metrics: ServeMetrics
    lanes: dict[int, ShardLane] = field(default_factory=dict)
    spare_stands_by: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._names = count()
        self._silence_s = time.monotonic() + SILENCE_S
        newest = self.generations.newest
        for generation in self.generations.generations:
            room = None if generation is newest else (0, f"new ones begin in generation {newest.number}")
            for number in generation.numbers:
                self.lanes[number] = ShardLane(shard_folder(self.serving.folder, number), room=room)

    def past(self, dialogue: str, reply: Callable[[Sequence[bytes]], None]) -> None:
        self.lane(dialogue).ask(ShardQuestion("past", dialogue), reply)

    def alive(self, dialogue: str, reply: Callable[[bytes], None]) -> None:
        self.lane(dialogue).ask(ShardQuestion("alive", dialogue), reply)

    def lane(self, dialogue: str) -> ShardLane:
        return self.lanes[self.generations.shard(dialogue)]

    def load(self) -> None:
        """Every process loads, and then takes over its shard. Raises WorkerError, and what kept one from loading."""
        for one in self.generations.older:
            self.news.older(one, sum(len(self.generations.begun[number]) for number in one.numbers))
        numbered = [(number, one) for one in self.generations.generations for number in one.numbers]
        processes = [self.start(generation) for _, generation in numbered]
        self.spare = self.start(self.generations.newest)
        done, waiting = wait([process.loaded for process in processes], READY_S)
        _check(done)
        if waiting:
            raise WorkerError(
                f"of {len(processes)} processes of shards, {len(waiting)} did not load within {READY_S:g} s: has Ray "
                f"{len(processes) + 1} CPUs free?"
            )
        for (number, _), process in zip(numbered, processes, strict=True):
            self.lanes[number].serve(process)

    def start(self, generation: Generation) -> RayShard:
        """A process that loads, and is no shard yet."""
        serving = self.serving
        name, share = f"{serving.folder.name}-{next(self._names)}", room(serving.dialogues, generation.shards)
        tracker = structs.replace(serving.config.tracker, weights=generation.weights)
        return self.cluster.start(name, structs.replace(serving.config, tracker=tracker), share, serving.folder)

    def look_after(self, outlet: DialogueOutlet) -> None:
        """What processes say of themselves. Raises WorkerError, and what kept one from loading or recovering."""
        for number, lane in self.lanes.items():
            try:
                if opened := lane.opened():
                    self.generations.opened(number, opened.dialogues)
                    for published in opened.published:
                        outlet.publish(*published)
                    self.metrics.recovered(number, opened.replayed)
                    self.news.opened(number, opened)
            except ShardLost as error:
                self.replace(number, error)
        self._look_after_spare()
        if time.monotonic() >= self._silence_s:
            self._silence_s = time.monotonic() + SILENCE_S
            for lane in self.lanes.values():
                lane.ask(_SILENCE, lambda _: None)

    def _look_after_spare(self) -> None:
        if not self.spare_stands_by and self.spare.loaded.done():
            try:
                self.news.spare(self.spare.loaded.result())
                self.spare_stands_by = True
            except ShardLost as error:
                self.news.lost(None, str(error))
                self.spare = self.start(self.generations.newest)

    def replace(self, number: int, error: ShardLost) -> None:
        """The spare is this shard from now on, and another one is started; where the shard has older weights, another
        one itself, which has to load them first. Raises WorkerError.
        """
        lane = self.lanes[number]
        lane.lost()
        self.metrics.lost(number)
        self.news.lost(number, str(error))
        if lane.losses > LOSSES:
            raise WorkerError(f"shard {number} was lost {lane.losses} times in a row, the last time: {error}")
        generation, newest = self.generations.of(number), self.generations.newest
        if generation.fingerprint != newest.fingerprint:
            lane.serve(self.start(generation))
            return
        lane.serve(self.spare)
        self.spare, self.spare_stands_by = self.start(newest), False

    def close_what_is_over(self) -> None:
        """The processes of generations of which no dialogue is open end. Raises SessionError."""
        for generation in self.generations.over():
            if all(self.lanes[number].is_idle for number in generation.numbers):
                self.generations.close(generation)
                for number in generation.numbers:
                    self.lanes.pop(number).end()
                    self.metrics.closed(number)
                self.generations.remove_closed()
                self.news.closed(generation)


def serve(serving: ShardedServing, news: GatewayNews, stopped: Callable[[], bool]) -> Counter[str]:
    """Serve until `stopped`; what was taken until then is stored and answered. Counts are named as in `ShardCounts`.

    Raises:
        ConfigError: the setting forbids it.
        EngineError: Ray does not start.
        WeightsError: there are no such weights.
        AddressError: an endpoint cannot be used.
        SessionError: a log cannot be used or written, or another server has it.
        WorkerError: a shard dies again and again, or does not load.
    """
    purpose.check(serving.config.session)
    with ExitStack() as stack:
        generations = _taken(serving, stack)
        metrics = stack.enter_context(serve_metrics(serving.config.metrics))
        inlet = FeatureInlet(serving.features)
        stack.callback(inlet.close)
        shards = sum(generation.shards for generation in generations.generations)
        cluster = stack.enter_context(RayCluster(serving.address, shards + SPARE_CPUS, inlet.wake))
        gateway = Gateway(serving, generations, cluster, news, metrics)
        gateway.load()
        outlet = DialogueOutlet(serving.config.events.endpoint, gateway, keyless=serving.config.events.keyless)
        stack.callback(outlet.close)
        inlet.events = outlet.endpoint
        _until_open(gateway, outlet, stopped)
        news.ready(inlet.endpoint, outlet.endpoint)
        while not stopped():
            turn(gateway, inlet, outlet)
        _finish(gateway, inlet, outlet)
        return gateway.counts


def room(dialogues: int, shards: int) -> int:
    """Dialogues of one shard: its share, and four standard deviations more, for they fall like dice."""
    share = dialogues / shards
    return dialogues if shards == 1 else min(dialogues, math.ceil(share + 4 * math.sqrt(share)))


def _taken(serving: ShardedServing, stack: ExitStack) -> Generations:
    """The folder is this gateway's; what lies in it goes on. Raises SessionError, WeightsError."""
    folder = serving.folder
    try:
        make_private(folder)
        stack.enter_context(BundleLock(folder))
        if any(folder.glob("*.log")):
            raise SessionError(
                f"{folder}: is the log of a server without shards: serve it without --ray, or name another --log folder"
            )
    except OSError as error:
        raise SessionError(f"{folder}: cannot be used: {error}") from error
    return take_up(folder, serving.shards, serving.config.tracker.weights)


def _check(loaded: "set[Future[int]]") -> None:
    try:
        for future in loaded:
            future.result()
    except ShardLost as error:
        raise WorkerError(f"the process of a shard died while it loaded: {error}") from error


def _until_open(gateway: Gateway, outlet: DialogueOutlet, stopped: Callable[[], bool]) -> None:
    while not stopped() and any(lane.is_opening for lane in gateway.lanes.values()):
        gateway.look_after(outlet)
        time.sleep(POLL_S)


def turn(gateway: Gateway, inlet: FeatureInlet, outlet: DialogueOutlet) -> None:
    """Take what has come, send what is due, hand out what is done."""
    if inlet.wait(min(POLL_S, *(lane.due_s for lane in gateway.lanes.values()))):
        for message in inlet.receive_frames(TAKEN):
            found = head(message.frames)
            if not gateway.lane(found.dialogue or found.source).put(message, found.final):
                gateway.counts["dropped"] += not found.final  # a final one is sent again
    _exchange(gateway, inlet, outlet)
    outlet.poll()


def _exchange(gateway: Gateway, inlet: FeatureInlet, outlet: DialogueOutlet) -> None:
    gateway.look_after(outlet)
    elsewhere = gateway.generations.elsewhere
    for number, lane in gateway.lanes.items():
        lane.send(elsewhere)
        try:
            for done in lane.replies():
                gateway.generations.ended(number, done.reply.ended)
                _hand_out(done.reply, inlet, outlet)
                gateway.counts.update(done.reply.counts)
                gateway.metrics.turn(number, done.messages, done.seconds, gateway.counts)
                gateway.metrics.load(number, ShardLoad(done.reply.dialogues, len(lane), lane.age_s))
        except ShardLost as error:
            gateway.replace(number, error)
    gateway.close_what_is_over()


def _hand_out(reply: ShardReply, inlet: FeatureInlet, outlet: DialogueOutlet) -> None:
    for published in reply.published:
        outlet.publish(*published)
    for sender, receipt in reply.receipts:
        inlet.answer(sender, receipt)


def _finish(gateway: Gateway, inlet: FeatureInlet, outlet: DialogueOutlet) -> None:
    """What is on its way arrives; what does not, its sender keeps."""
    end_s = time.monotonic() + END_S
    while any(map(len, gateway.lanes.values())) and time.monotonic() < end_s:
        inlet.wait(POLL_S)
        _exchange(gateway, inlet, outlet)

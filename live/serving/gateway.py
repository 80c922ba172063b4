"""The gateway of a server of several shards: the sockets of `serve_loop.py`, and behind them processes that Ray keeps.

A message goes, unread but for its head, to the shard of its dialogue; what comes back is sent on. The gateway knows no
dialogue and holds nothing that counts: each shard's log is the truth of its dialogues, in a folder of its own.
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

from erc_live.live.config import Config
from erc_live.live.errors import WorkerError
from erc_live.live.privacy import purpose
from erc_live.live.serving.ray_cluster import RayCluster, RayShard
from erc_live.live.serving.rendezvous import shard_of
from erc_live.live.serving.serve_metrics import ServeMetrics, ShardLoad, serve_metrics
from erc_live.live.serving.shard_actor import ShardOpened, ShardQuestion, ShardReply
from erc_live.live.serving.shard_lane import ShardLane, ShardLost
from erc_live.streams.bundle_lock import BundleLock
from erc_live.streams.dialogue_outlet import DialogueOutlet
from erc_live.streams.errors import SessionError
from erc_live.streams.feature_channel import FeatureInlet, head
from erc_live.streams.journal import make_private, read_whole, write_whole

POLL_S = 0.02  # in which subscribers are looked after
TAKEN = 256  # messages taken in one turn of the loop
READY_S = 300.0  # in which a process has loaded: torch and the weights, on a machine that does something else
END_S = 60.0  # for what is on its way, at the end
LOSSES = 5  # in a row, after which a shard is given up
SPARE_CPUS = 2  # of Ray's count beyond the shards: the spare, and one in place of a process that hangs
_SHARDS = "shards"  # the file with their number


class ShardedServing(NamedTuple):
    """What the gateway is to do. `address`: of a Ray cluster, or "local"; `shards`: 0: as many as the log has, 2 of a
    new one; the rest as of `Serving`.
    """

    config: Config
    features: str
    folder: Path
    dialogues: int
    address: str
    shards: int = 0


class GatewayNews(NamedTuple):
    """Who is told what. `ready`: where features come in and events go out; `opened`: a shard, and what it found;
    `lost`: a shard (None: the spare), and why; `spare`: another process stands by.
    """

    ready: Callable[[str, str], None]
    opened: Callable[[int, ShardOpened], None]
    lost: Callable[[int | None, str], None]
    spare: Callable[[int], None]


@dataclass
class Gateway:
    """A server of several shards that is ready."""

    serving: ShardedServing
    cluster: RayCluster
    news: GatewayNews
    lanes: list[ShardLane]
    names: Callable[[], str]
    spare: RayShard
    metrics: ServeMetrics
    spare_stands_by: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def past(self, dialogue: str, reply: Callable[[Sequence[bytes]], None]) -> None:
        self.lane(dialogue).ask(ShardQuestion("past", dialogue), reply)

    def alive(self, dialogue: str, reply: Callable[[bytes], None]) -> None:
        self.lane(dialogue).ask(ShardQuestion("alive", dialogue), reply)

    def lane(self, dialogue: str) -> ShardLane:
        return self.lanes[shard_of(dialogue, len(self.lanes))]

    def start(self) -> RayShard:
        """A process that loads, and is no shard yet."""
        serving, share = self.serving, room(self.serving.dialogues, len(self.lanes))
        return self.cluster.start(self.names(), serving.config, share, serving.folder)

    def look_after(self, outlet: DialogueOutlet) -> None:
        """What processes say of themselves. Raises WorkerError, and what kept one from loading or recovering."""
        for number, lane in enumerate(self.lanes):
            try:
                if opened := lane.opened():
                    for published in opened.published:
                        outlet.publish(*published)
                    self.metrics.recovered(number, opened.replayed)
                    self.news.opened(number, opened)
            except ShardLost as error:
                self.replace(number, error)
        if not self.spare_stands_by and self.spare.loaded.done():
            try:
                self.news.spare(self.spare.loaded.result())
                self.spare_stands_by = True
            except ShardLost as error:
                self.news.lost(None, str(error))
                self.spare = self.start()

    def replace(self, number: int, error: ShardLost) -> None:
        """The spare is this shard from now on, and another one is started. Raises WorkerError."""
        lane = self.lanes[number]
        lane.lost()
        self.metrics.lost(number)
        self.news.lost(number, str(error))
        if lane.losses > LOSSES:
            raise WorkerError(f"shard {number} was lost {lane.losses} times in a row, the last time: {error}")
        lane.serve(self.spare)
        self.spare, self.spare_stands_by = self.start(), False


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
        shards = _taken(serving, stack)
        metrics = stack.enter_context(serve_metrics(serving.config.metrics))
        inlet = FeatureInlet(serving.features)
        stack.callback(inlet.close)
        cluster = stack.enter_context(RayCluster(serving.address, shards + SPARE_CPUS, inlet.wake))
        gateway = _started(serving, cluster, news, shards, metrics)
        outlet = DialogueOutlet(serving.config.events.endpoint, gateway, keyless=serving.config.events.keyless)
        stack.callback(outlet.close)
        inlet.events = outlet.endpoint
        _until_open(gateway, outlet, stopped)
        news.ready(inlet.endpoint, outlet.endpoint)
        while not stopped():
            _turn(gateway, inlet, outlet)
        _finish(gateway, inlet, outlet)
        return gateway.counts


def room(dialogues: int, shards: int) -> int:
    """Dialogues of one shard: its share, and four standard deviations more, for they fall like dice."""
    share = dialogues / shards
    return dialogues if shards == 1 else min(dialogues, math.ceil(share + 4 * math.sqrt(share)))


def _taken(serving: ShardedServing, stack: ExitStack) -> int:
    """The folder is this gateway's; how many shards lie in it. Raises SessionError."""
    folder, path = serving.folder, serving.folder / _SHARDS
    try:
        make_private(folder)
        stack.enter_context(BundleLock(folder))
        if any(folder.glob("*.log")):
            raise SessionError(
                f"{folder}: is the log of a server without shards: serve it without --ray, or name another --log folder"
            )
        there = int(read_whole(path, 10)) if path.exists() else 0
        if not there:
            there = serving.shards or 2
            write_whole(path, b"%d" % there)
    except (OSError, ValueError) as error:
        raise SessionError(f"{folder}: cannot be used: {error}") from error
    if serving.shards not in (0, there):
        raise SessionError(
            f"{folder}: is the log of {there} shards, and dialogues do not move between them: serve it with --shards "
            f"{there} until they have ended, or name another --log folder"
        )
    return there


def _started(
    serving: ShardedServing, cluster: RayCluster, news: GatewayNews, shards: int, metrics: ServeMetrics
) -> Gateway:
    """Every process loads, and takes over its shard as soon as it has."""
    lanes = [ShardLane(serving.folder / f"shard-{number}") for number in range(shards)]
    numbers = count()

    def name() -> str:
        return f"{serving.folder.name}-{next(numbers)}"

    share = room(serving.dialogues, shards)
    processes = [cluster.start(name(), serving.config, share, serving.folder) for _ in range(shards + 1)]
    *active, spare = processes
    done, waiting = wait([process.loaded for process in active], READY_S)
    _check(done)
    if waiting:
        raise WorkerError(f"of {shards} processes of shards, {len(waiting)} did not load within {READY_S:g} s: has Ray "
                          f"{shards + 1} CPUs free?")  # fmt: skip
    for lane, process in zip(lanes, active, strict=True):
        lane.serve(process)
    return Gateway(serving, cluster, news, lanes, name, spare, metrics)


def _check(loaded: "set[Future[int]]") -> None:
    try:
        for future in loaded:
            future.result()
    except ShardLost as error:
        raise WorkerError(f"the process of a shard died while it loaded: {error}") from error


def _until_open(gateway: Gateway, outlet: DialogueOutlet, stopped: Callable[[], bool]) -> None:
    while not stopped() and any(lane.is_opening for lane in gateway.lanes):
        gateway.look_after(outlet)
        time.sleep(POLL_S)


def _turn(gateway: Gateway, inlet: FeatureInlet, outlet: DialogueOutlet) -> None:
    if inlet.wait(min(POLL_S, *(lane.due_s for lane in gateway.lanes))):
        for message in inlet.receive_frames(TAKEN):
            found = head(message.frames)
            if not gateway.lane(found.dialogue or found.source).put(message, found.final):
                gateway.counts["dropped"] += not found.final  # a final one is sent again
    _exchange(gateway, inlet, outlet)
    outlet.poll()


def _exchange(gateway: Gateway, inlet: FeatureInlet, outlet: DialogueOutlet) -> None:
    gateway.look_after(outlet)
    for number, lane in enumerate(gateway.lanes):
        lane.send()
        try:
            for done in lane.replies():
                _hand_out(done.reply, inlet, outlet)
                gateway.counts.update(done.reply.counts)
                gateway.metrics.turn(number, done.messages, done.seconds, gateway.counts)
                gateway.metrics.load(number, ShardLoad(done.reply.dialogues, len(lane), lane.age_s))
        except ShardLost as error:
            gateway.replace(number, error)


def _hand_out(reply: ShardReply, inlet: FeatureInlet, outlet: DialogueOutlet) -> None:
    for published in reply.published:
        outlet.publish(*published)
    for sender, receipt in reply.receipts:
        inlet.answer(sender, receipt)


def _finish(gateway: Gateway, inlet: FeatureInlet, outlet: DialogueOutlet) -> None:
    """What is on its way arrives; what does not, its sender keeps."""
    end_s = time.monotonic() + END_S
    while any(map(len, gateway.lanes)) and time.monotonic() < end_s:
        inlet.wait(POLL_S)
        _exchange(gateway, inlet, outlet)

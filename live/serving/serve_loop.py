"""The server: sockets around a shard. Features come in, receipts and the public streams go out.

The rule of this file: it opens and closes what a server needs, and its loop takes, flushes, sends; what is decided is
decided in `shard.py`. A receipt and an event leave when they are on the disk.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from erc_live.live.config import Config
from erc_live.live.privacy import purpose
from erc_live.live.privacy.notice import introduced
from erc_live.live.serving.admission import Room
from erc_live.live.serving.log_place import LogPlace
from erc_live.live.serving.serve_metrics import ServeMetrics, ShardLoad, serve_metrics
from erc_live.live.serving.serving_capacity import CapacityMeasure, measured
from erc_live.live.serving.shard import BATCH, DialogueShard, Keeping
from erc_live.live.serving.shard_outcome import ShardCounts
from erc_live.live.serving.shard_recovery import ShardRecovery, recover
from erc_live.live.tracking.tracker import Bounds, SessionStart, Tracker
from erc_live.models.checkpoint import Checkpoint, load
from erc_live.streams.clock import SessionClock
from erc_live.streams.dialogue_outlet import DialogueOutlet
from erc_live.streams.errors import SessionError
from erc_live.streams.feature_channel import FeatureInlet, FeatureMessage, Receipt
from erc_live.streams.segmented_log import RecordLog

ROWS = 1 << 14  # dialogues whose states lie ready, where these take no more memory than `slots.py` allows
TURN = 256  # messages taken in one turn
POLL_S = 0.02  # in which subscribers are looked after
DEAD_LETTERS = 64 << 20  # bytes of them that are kept


class Serving(NamedTuple):
    """What `serve` is to do. `features`: where they come in; `place`: of the log, closed at the end; `dialogues`: at
    once, at most. `standby`: wait, with everything loaded, until the server that has the log has gone. `drain`: take no
    new dialogues, and end when none is open.
    """

    config: Config
    features: str
    place: LogPlace
    dialogues: int
    standby: bool = False
    drain: bool = False


class FeatureSource(Protocol):
    """Where features come in, as of `FeatureInlet`."""

    endpoint: str

    def wait(self, timeout_s: float) -> bool: ...

    def receive(self, most: int) -> Iterator[FeatureMessage]: ...

    def answer(self, sender: bytes, receipt: Receipt) -> None: ...


@dataclass(frozen=True)
class Opened:
    """A server that is ready."""

    shard: DialogueShard
    inlet: FeatureSource
    outlet: DialogueOutlet
    recovery: ShardRecovery
    room: Room
    metrics: ServeMetrics


def serve(
    serving: Serving, standing_by: Callable[[], None], ready: Callable[[Opened], None], stopped: Callable[[], bool]
) -> ShardCounts:
    """Serve until `stopped`; what was taken until then is stored and answered. `standing_by` is called when all is
    loaded and another server has the log, `ready` when the first message is taken.

    Raises:
        ConfigError: the setting forbids it.
        WeightsError: there are no such weights.
        AddressError: an endpoint cannot be used.
        SessionError: the log cannot be used or written, is lost, or another server has it.
    """
    purpose.check(serving.config.session)
    with ExitStack() as stack:
        stack.callback(serving.place.close)
        metrics = stack.enter_context(serve_metrics(serving.config.metrics))
        loaded = load_shard(serving)
        log = _take_over(serving, standing_by, stopped)
        if log is None:
            return ShardCounts()
        stack.callback(log.close)
        opened = _open(serving, loaded, log, metrics, stack)
        ready(opened)
        while not (stopped() or (serving.drain and not opened.shard.dialogues)):
            turn(opened)
        while opened.shard.waiting:
            _flush(opened)
        return opened.shard.counts


class ShardParts(NamedTuple):
    """What a shard needs beside its log."""

    checkpoint: Checkpoint
    tracker: Tracker
    clock: SessionClock
    room: Room


def load_shard(serving: Serving) -> ShardParts:
    """What takes time, and needs no dialogues; for a process that does nothing but serve."""
    torch.set_num_threads(1)  # a step is small: threads take twice the CPU, and round otherwise where others recover it
    config, clock = serving.config.tracker, SessionClock()
    checkpoint = load(config.weights)
    start = SessionStart("", clock.now_ns(), time.time_ns())
    bounds = Bounds(max(BATCH, min(serving.dialogues, ROWS)), reach=0)
    tracker = Tracker(checkpoint, start, clock, config.device, config.coordinates, bounds)
    with serving.place.scratch() as scratch:
        measure = measured(tracker, checkpoint, scratch)
    room = Room(0, "--drain: new ones begin elsewhere") if serving.drain else _room(serving.dialogues, measure)
    gc.collect()
    gc.freeze()  # what is here stays: to look through all of torch for garbage stops the server for 0.2 s
    return ShardParts(checkpoint, tracker, clock, room)


def _take_over(serving: Serving, standing_by: Callable[[], None], stopped: Callable[[], bool]) -> RecordLog | None:
    """The log, when nobody else has it; None where that was waited for in vain."""
    notified = False
    while serving.standby and serving.place.taken():
        if not notified:
            standing_by()
            notified = True
        if stopped():
            return None
        time.sleep(POLL_S)
    return serving.place.open()


def open_shard(
    config: Config, loaded: ShardParts, log: RecordLog, place: LogPlace, stack: ExitStack
) -> tuple[DialogueShard, ShardRecovery]:
    """A shard of the log of a place, as it was. Raises SessionError."""
    dead_letters = place.open("dead-letters")
    stack.callback(dead_letters.close)
    dead_letters.forget(dead_letters.end - DEAD_LETTERS)
    _check_weights(place, loaded.checkpoint, new=log.end == 0)
    visual = "visual" in loaded.checkpoint.card.encoders
    shard = DialogueShard(
        loaded.tracker,
        Keeping(log, dead_letters, config.events.history),
        loaded.clock,
        loaded.room,
        lambda hello: introduced(hello, config.session, recorded=True, visual=visual),
    )
    return shard, recover(shard)


class PresentShard(NamedTuple):
    """A shard in this process replies at once."""

    shard: DialogueShard

    def past(self, dialogue: str, reply: Callable[[Sequence[bytes]], None]) -> None:
        reply(self.shard.past(dialogue))

    def alive(self, dialogue: str, reply: Callable[[bytes], None]) -> None:
        reply(self.shard.alive(dialogue))


def _open(serving: Serving, loaded: ShardParts, log: RecordLog, metrics: ServeMetrics, stack: ExitStack) -> Opened:
    config = serving.config
    shard, recovery = open_shard(config, loaded, log, serving.place, stack)
    outlet = DialogueOutlet(config.events.endpoint, PresentShard(shard), keyless=config.events.keyless)
    stack.callback(outlet.close)
    inlet = FeatureInlet(serving.features)
    stack.callback(inlet.close)
    inlet.events = outlet.endpoint
    metrics.recovered(0, recovery.replayed)
    return Opened(shard, inlet, outlet, recovery, loaded.room, metrics)


def turn(opened: Opened) -> None:
    """Take what has come, flush if that is due, and look after subscribers. Raises SessionError."""
    shard, inlet = opened.shard, opened.inlet
    shard.keeping.log.check()
    if inlet.wait(min(POLL_S, shard.due_s)) and shard.space:
        for sender, message, refusal in inlet.receive(min(TURN, shard.space)):
            answer = refusal if message is None else shard.take(sender, message)
            if answer is not None:
                inlet.answer(sender, answer)
    if shard.due_s <= 0:
        _flush(opened)
    opened.outlet.poll()


def _flush(opened: Opened) -> None:
    shard, begun_s, messages = opened.shard, time.perf_counter(), len(opened.shard)
    opened.metrics.load(0, ShardLoad(len(shard.dialogues), messages, shard.age_s))
    outcome = shard.flush()
    opened.metrics.turn(0, messages, time.perf_counter() - begun_s, vars(shard.counts))
    for published in outcome.published:
        opened.outlet.publish(*published)
    for sender, receipt in outcome.receipts:
        opened.inlet.answer(sender, receipt)


def _room(dialogues: int, measure: CapacityMeasure) -> Room:
    if measure.dialogues >= dialogues:
        return Room(dialogues)
    return Room(measure.dialogues, f"measured here: {measure.utterances_per_s:.0f} utterances per s")


def _check_weights(place: LogPlace, checkpoint: Checkpoint, new: bool) -> None:
    """A log goes on with the weights that it began with. Raises SessionError."""
    there = place.labelled(checkpoint.fingerprint, new)
    if there != checkpoint.fingerprint:
        raise SessionError(
            f"{place}: was written with the weights {there}, these are {checkpoint.fingerprint}: name the folder of "
            "those (--set tracker.weights=FOLDER), or another --log"
        )

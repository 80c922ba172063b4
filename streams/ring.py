"""What a publisher has sent and may be asked for again: numbered messages, and the place of each reader among them.

It is a log with consumers: messages are numbered as they come; each reader has a cursor of its own, says how far it has
read, and gets no more than a window beyond that. So no queue of a socket overflows, a slow reader costs nobody else
anything, and who takes the place of a reader that died is sent what that one had not worked off.

How long a message is kept follows from who publishes it. Of a device, for so many seconds: it cannot wait, so what a
reader misses for longer is lost, and the reader is told, with the very times. Of a recording, until no reader needs it
any more: it can wait, and does (`full`). Of the session's own log, to the end, but for what is only passing.
The rule of this file: no socket and no clock of its own.
"""

import io
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from erc_live.streams.messages import Gap

WINDOW = 256  # messages on their way to one reader: 8 s of sound, a quarter of the queue of a socket
FULL = 2048  # messages that wait for readers: a minute of sound
FULL_BYTES = 64 << 20
END = "end"  # topic of the end of a source
RESEND_S = 1.0  # a reader that gets nothing for so long while something is on its way is sent that again


class Entry(NamedTuple):
    """One message: its topic and source, when it was, and its frames; `place`: where they are in the spool."""

    topic: str
    source: str
    t_start_ns: int
    t_end_ns: int
    frames: tuple[bytes, ...]
    place: tuple[int, tuple[int, ...]] | None = None  # offset, and the size of each frame


@dataclass(frozen=True)
class Retention:
    """How long a publisher keeps its messages: all for `keep_s` (a device), or until `readers` need them no more
    (`keep_s` None). With a `spool` all are kept in it, but for passing ones, which are kept for `keep_s`.
    """

    readers: Collection[str] = ()
    keep_s: float | None = None
    spool: BinaryIO | None = None


@dataclass
class _Reader:
    instance: int
    topics: Collection[str]
    next: int  # number that is looked at next
    # By source: what ended before is never asked for again. None: what it has read.
    since_ns: Mapping[str, int] | None
    progress_s: float
    in_flight: deque[int] = field(default_factory=deque)  # numbers that were sent and not yet read
    missed: dict[tuple[str, str], Gap] = field(default_factory=dict)

    def unread(self, number: int) -> bool:
        return number >= (self.in_flight[0] if self.in_flight else self.next)

    def needs(self, number: int, entry: Entry) -> bool:
        """Whether it, or who takes its place, may still ask for the message."""
        if entry.topic not in self.topics:
            return False
        if self.since_ns is None:
            return self.unread(number)
        if entry.topic == END:
            return True  # never worked off: who takes its place waits for it, too
        return entry.t_end_ns > self.since_ns.get(entry.source, -1)


class Ring:
    """`append` messages, take what readers `ask`, and send each what is `due`."""

    def __init__(self, retention: Retention) -> None:
        self.end = 0  # number of the next message
        self._retention = retention
        self._stored: dict[int, Entry] = {}  # in order
        self._passing: deque[int] = deque()
        self._readers: dict[str, _Reader] = {}
        self._awaited = set(retention.readers)
        self._gone: dict[tuple[str, str], Entry] = {}  # by topic and source, the last that is kept no more
        self._bytes = 0

    def append(self, entry: Entry, *, passing: bool = False) -> int:
        """Number and keep a message, and let go of older ones; returns the number."""
        number, self.end = self.end, self.end + 1
        spool = self._retention.spool
        if spool is not None and not passing:
            place = spool.seek(0, io.SEEK_END), tuple(len(frame) for frame in entry.frames)
            spool.write(b"".join(entry.frames))
            entry = entry._replace(frames=(), place=place)
        self._stored[number] = entry
        self._bytes += _size(entry)
        if passing:
            self._passing.append(number)
        self._let_go(entry.t_end_ns)
        return number

    def ask(
        self,
        name: str,
        instance: int,
        topics: Collection[str],
        awaited: int | None,
        since_ns: Mapping[str, int] | None,
        now_s: float,
    ) -> list[Gap]:
        """A reader says which number it awaits, None if it has heard nothing yet, and what it needs no more.

        Another `instance` of a name takes the place of the one before. Returns what it asks for and is kept no more.
        """
        reader = self._readers.get(name)
        if reader is None or reader.instance != instance:
            reader = _Reader(instance, topics, awaited or 0, since_ns, now_s)
            self._readers[name] = reader
            return [] if awaited is not None else self._begin(reader)
        reader.since_ns = since_ns
        read = False
        while reader.in_flight and awaited is not None and reader.in_flight[0] < awaited:
            reader.in_flight.popleft()
            read = True
        if read or not reader.in_flight:
            reader.progress_s = now_s
        elif now_s - reader.progress_s > RESEND_S:
            reader.next, reader.progress_s = reader.in_flight[0], now_s
            reader.in_flight.clear()
        self._let_go(None)
        return []

    def due(self, name: str) -> Iterator[tuple[int, Entry]]:
        """What may be sent to a reader now; what was taken counts as sent."""
        reader = self._readers[name]
        if self._stored and reader.next < self.end:
            reader.next = max(reader.next, next(iter(self._stored)))
        while reader.next < self.end and len(reader.in_flight) < WINDOW:
            number, reader.next = reader.next, reader.next + 1
            entry = self._stored.get(number)
            if entry is not None and entry.topic in reader.topics:
                reader.in_flight.append(number)
                yield number, self._loaded(entry)

    def missed(self, name: str) -> list[Gap]:
        """What a reader was too slow for since it could be told last: now, if something may be sent to it."""
        reader = self._readers[name]
        if len(reader.in_flight) >= WINDOW:
            return []
        gaps = list(reader.missed.values())
        reader.missed.clear()
        return gaps

    @property
    def readers(self) -> dict[str, int]:
        """Who has asked, and which instance of it did last."""
        return {name: reader.instance for name, reader in self._readers.items()}

    def awaited_by(self, name: str) -> int:
        """The number of the first message that a reader has not read; that of the next one if nobody has this name."""
        reader = self._readers.get(name)
        if reader is None:
            return self.end
        return reader.in_flight[0] if reader.in_flight else reader.next

    def excuse(self, name: str) -> None:
        """Wait for this reader no more: it is dead, and nobody takes its place."""
        self._awaited.discard(name)
        self._readers.pop(name, None)
        self._let_go(None)

    @property
    def full(self) -> bool:
        """Whether as much waits for readers as may wait."""
        return len(self._stored) >= FULL or self._bytes >= FULL_BYTES

    @property
    def settled(self) -> bool:
        """Whether every reader has read everything."""
        return all(reader.next == self.end and not reader.in_flight for reader in self._readers.values())

    def _begin(self, reader: _Reader) -> list[Gap]:
        """Place a new reader before the first message that it needs; the gaps where such a one is gone."""
        reader.next = next((n for n, entry in self._stored.items() if reader.needs(n, entry)), self.end)
        gaps = []
        for (topic, source), last in self._gone.items():
            since_ns = (reader.since_ns or {}).get(source)
            if since_ns is not None and last.t_end_ns > since_ns and topic in reader.topics:
                each_ns = last.t_end_ns - last.t_start_ns
                lost = round((last.t_end_ns - since_ns) / each_ns) if each_ns else 0
                gaps.append(Gap(source=source, t_start_ns=since_ns, t_end_ns=last.t_end_ns, lost=lost, cause="worker"))
        return gaps

    def _let_go(self, newest_ns: int | None) -> None:
        keep_s, spooled = self._retention.keep_s, self._retention.spool is not None
        if keep_s is None:
            while self._stored and not self._is_needed(number := next(iter(self._stored))):
                self._forget(number)
        elif newest_ns is not None:
            ages = self._passing if spooled else self._stored
            while ages and self._stored[number := next(iter(ages))].t_end_ns < newest_ns - keep_s * 1e9:
                self._forget(number)
                if spooled:
                    self._passing.popleft()

    def _is_needed(self, number: int) -> bool:
        entry = self._stored[number]
        return any(
            name not in self._readers or self._readers[name].needs(number, entry) for name in self._awaited
        ) or any(reader.unread(number) for reader in self._readers.values())

    def _forget(self, number: int) -> None:
        entry = self._stored.pop(number)
        self._bytes -= _size(entry)
        if self._retention.spool is not None:
            return  # what is only passing is no loss
        key = entry.topic, entry.source
        self._gone[key] = entry._replace(frames=())
        for reader in self._readers.values():
            if number >= reader.next and entry.topic in reader.topics:
                before = reader.missed.get(key)
                reader.missed[key] = Gap(
                    source=entry.source,
                    t_start_ns=before.t_start_ns if before else entry.t_start_ns,
                    t_end_ns=max(before.t_end_ns, entry.t_end_ns) if before else entry.t_end_ns,
                    lost=(before.lost if before else 0) + 1,
                    cause="bus",
                )

    def _loaded(self, entry: Entry) -> Entry:
        if entry.place is None or self._retention.spool is None:
            return entry
        spool, (offset, sizes) = self._retention.spool, entry.place
        spool.seek(offset)
        return entry._replace(frames=tuple(spool.read(size) for size in sizes), place=None)


def _size(entry: Entry) -> int:
    return sum(map(len, entry.frames))

"""A `RecordLog` in a stream of NATS JetStream, which may lie on other machines and in several copies.

A record is one message, or several where it is long; what is appended at once is one atomic batch, so nobody ever reads
a part of it. Each message says where its first byte stands, counted as in a file with a byte behind each record: so
places and sizes mean here what they mean in a `FileLog`.
The rule of this file: an owner appends behind what it knows, or not at all. Whoever opens the log puts a message of its
own at the end, and from then on the server takes nothing from an owner before (`Nats-Expected-Last-Sequence`).
"""

import asyncio
import uuid
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from erc_live.streams.errors import SessionError
from erc_live.streams.nats_connection import PATIENCE_S, NatsConnection
from erc_live.streams.segmented_log import SEGMENT, LogRecord

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js.api import PubAck, StreamConfig

PART = 512 << 10  # bytes of a message: a NATS server takes 1 MB at most, unless it is told otherwise
FETCHED = 64  # messages at once
_IDLE_S = 600.0  # after which the server forgets a reader that does not ask any more
_OFFSET, _LEFT, _OWNER = "Erc-Offset", "Erc-Left", "Erc-Owner"  # headers; `_LEFT`: messages of the same record behind
_SIZE, _EXPECTED = "Nats-Msg-Size", "Nats-Expected-Last-Sequence"
_WRONG_LAST_SEQUENCE = 10071  # error code of JetStream


class _RecordPart(NamedTuple):
    offset: int
    left: int
    data: bytes


class NatsLog:
    """The log `name` on a server, of one owner at a time: the one that opened it last. Raises SessionError where it
    cannot be used.
    """

    def __init__(self, connection: NatsConnection, name: str, segment: int = SEGMENT) -> None:
        self._connection, self._name, self._segment = connection, name, segment
        self._subject = f"erc-live.log.{name}"
        self._config = self._opened()
        claim = connection.call(connection.streams.publish(self._subject, headers={_OWNER: uuid.uuid4().hex}))
        self._last = claim.seq
        self._starts, self._sequences = array("Q"), array("Q")  # of records
        self._end = self._index()

    @property
    def begin(self) -> int:
        return self._starts[0] if self._starts else self._end

    @property
    def end(self) -> int:
        return self._end

    @property
    def label(self) -> str:
        """What the log was labelled with, "" if with nothing."""
        return (self._config.metadata or {}).get("label", "")

    @label.setter
    def label(self, label: str) -> None:
        config = replace(self._config, metadata={**(self._config.metadata or {}), "label": label})
        self._config = self._connection.call(self._connection.streams.update_stream(config)).config

    def append(self, *data: bytes) -> list[int]:
        """Raises SessionError when the server does not take them, or another owner has appended."""
        offsets: list[int] = []
        parts: list[_RecordPart] = []
        end = self._end
        for one in data:
            offsets.append(end)
            parts += _parts(end, one)
            end += len(one) + 1
        ack = self._connection.call(self._published(parts))
        first = ack.seq - len(parts) + 1
        for number, part in enumerate(parts, first):
            if part.offset in offsets:
                self._starts.append(part.offset)
                self._sequences.append(number)
        self._last, self._end = ack.seq, end
        return offsets

    def read(self, offset: int, length: int) -> bytes:
        """Raises SessionError if it is not there any more."""
        return self.read_all([(offset, length)])[0]

    def read_all(self, parts: Sequence[tuple[int, int]]) -> list[bytes]:
        """Asked for at once. Raises SessionError if one is not there any more."""

        async def gathered() -> list[bytes]:
            return await asyncio.gather(*(self._read(offset, length) for offset, length in parts))

        return self._connection.call(gathered())

    def records(self) -> Iterator[LogRecord]:
        """Raises SessionError where the server cannot give all of them."""
        parts: list[bytes] = []
        for message in self._messages(headers_only=False):
            parts.append(message.data)
            offset, left = _where(message)
            if not left:
                yield LogRecord(offset - sum(map(len, parts[:-1])), b"".join(parts))
                parts = []

    def forget(self, before: int) -> None:
        """What makes up a segment goes, and never the newest record."""
        kept = bisect_right(self._starts, before) - 1
        if kept > 0 and self._starts[kept] - self._starts[0] >= self._segment:
            self._connection.call(self._connection.streams.purge_stream(self._name, seq=self._sequences[kept]))
            del self._starts[:kept], self._sequences[:kept]

    def check(self) -> None:
        """Raises SessionError where the connection is lost: another owner may have it by now."""
        if self._connection.lost:
            raise SessionError(
                f"{self._connection.place}: the connection to the NATS server is lost: start again when it is there; "
                "what was acknowledged is in its stream"
            )

    def close(self) -> None:
        """The connection stays."""

    def _opened(self) -> "StreamConfig":
        """The stream, which is made where there is none. Nobody but an owner removes a message from it."""
        from nats.js.api import DiscardPolicy, StreamConfig

        config = StreamConfig(name=self._name, subjects=[self._subject], discard=DiscardPolicy.NEW, allow_atomic=True)
        there = self._connection.call(self._got_or_added(config))
        if not there.allow_atomic or there.discard != DiscardPolicy.NEW or there.max_age:
            raise SessionError(
                f"{self._connection.place}: the stream {self._name} must have allow_atomic (NATS 2.12 or newer), "
                "discard new and no greatest age: name another one, which is made as it must be"
            )
        return there

    async def _read(self, offset: int, length: int) -> bytes:
        record = bisect_right(self._starts, offset) - 1
        if record < 0:
            raise SessionError(f"{self._connection.place}: cannot read {self._name} at {offset}: forgotten")
        part, skipped = divmod(offset - self._starts[record], PART)
        data = b""
        while len(data) < skipped + length:
            message = await self._connection.streams.get_msg(self._name, self._sequences[record] + part)
            data += message.data or b""
            part += 1
        return data[skipped : skipped + length]

    async def _got_or_added(self, config: "StreamConfig") -> "StreamConfig":
        from nats.js.errors import NotFoundError

        try:
            return (await self._connection.streams.stream_info(self._name)).config
        except NotFoundError:
            return (await self._connection.streams.add_stream(config)).config

    async def _published(self, parts: Sequence[_RecordPart]) -> "PubAck":
        """All of them or none, behind what is known to be the last."""
        from nats.js.errors import APIError

        batch = uuid.uuid4().hex
        for number, part in enumerate(parts, 1):
            headers = {_OFFSET: str(part.offset), _LEFT: str(part.left)}
            if number == 1:
                headers[_EXPECTED] = str(self._last)
            if len(parts) > 1:
                headers |= {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
            if number < len(parts):
                await self._connection.client.publish(self._subject, part.data, headers=headers)
        if len(parts) > 1:
            headers["Nats-Batch-Commit"] = "1"
        try:
            return await self._connection.streams.publish(self._subject, part.data, headers=headers)
        except APIError as error:
            if error.err_code != _WRONG_LAST_SEQUENCE:
                raise
            raise SessionError(
                f"{self._connection.place}: another server has taken the log {self._name}, and goes on with it: end "
                "this one"
            ) from error

    def _index(self) -> int:
        """Note where each record begins; returns where the last one ends."""
        end = left = 0
        for message in self._messages(headers_only=True):
            begins = not left
            offset, left = _where(message)
            if begins:
                self._starts.append(offset)
                self._sequences.append(message.metadata.sequence.stream)
            end = offset + int((message.headers or {})[_SIZE]) + 1
        return end

    def _messages(self, headers_only: bool) -> "Iterator[Msg]":
        """All that hold a part of a record, in order, up to the last one that is known."""
        from nats.js.api import AckPolicy, ConsumerConfig

        call, streams = self._connection.call, self._connection.streams
        sequence = call(streams.stream_info(self._name)).state.first_seq - 1
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, headers_only=headers_only, inactive_threshold=_IDLE_S)
        reader = call(streams.pull_subscribe(self._subject, stream=self._name, config=config))
        last = self._last
        while sequence < last:
            for message in call(reader.fetch(min(FETCHED, last - sequence), timeout=PATIENCE_S)):
                sequence = message.metadata.sequence.stream
                if _OWNER not in (message.headers or {}):
                    yield message
        call(reader.unsubscribe())


def _parts(offset: int, data: bytes) -> list[_RecordPart]:
    """A record in messages."""
    starts = range(0, max(1, len(data)), PART)
    return [_RecordPart(offset + at, len(starts) - number, data[at : at + PART]) for number, at in enumerate(starts, 1)]


def _where(message: "Msg") -> tuple[int, int]:
    """Of its first byte; and how many messages of the same record follow."""
    headers = message.headers or {}
    return int(headers[_OFFSET]), int(headers[_LEFT])

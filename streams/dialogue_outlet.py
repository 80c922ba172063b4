"""The public streams of many dialogues over one socket: each has topics of its own, `event.<dialogue>` and so on.

To who subscribes to one dialogue it looks like the stream of a session: `Hello`, the last events, what happens, a sign
of life, `SessionEnd`. What a late subscriber is told is asked of who knows the dialogue, when it is needed; nothing of
a dialogue is held here. Who wants all dialogues subscribes to `event.` and is told no past.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from erc_live.streams.address import public_endpoint
from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.event_stream import HEARTBEAT_S, check_publishable
from erc_live.streams.public_outlet import SNAPSHOT, PublicOutlet
from erc_live.streams.snapshot_queue import SnapshotQueue

CONNECTIONS = 1024  # subscribers; each takes four descriptors and a fixed amount of memory
DIALOGUES_OF_ONE = 256  # snapshots that one connection is owed: it may follow so many dialogues at once
AWAITING = 4096  # subscribers to dialogues that have not begun
_QUEUE = 20_000  # messages held for each slow reader: of all dialogues, some 30 MB
_HEARTBEAT = "heartbeat"


class DialogueSource(Protocol):
    """Who knows the dialogues. It replies now or later; then between what it has published before and after that."""

    def past(self, dialogue: str, reply: Callable[[Sequence[bytes]], None]) -> None:
        """What a late subscriber is told, `Hello` first, as JSON; [] where there is no dialogue of that name."""
        ...

    def alive(self, dialogue: str, reply: Callable[[bytes], None]) -> None:
        """The sign of life, as JSON; b"" likewise."""
        ...


class DialogueOutlet:
    """Where many dialogues are published. `publish` what happens, and `poll` often. Raises AddressError as
    `EventPublisher` does.

    Args:
        endpoint: as of `EventPublisher`, `keys` and `keyless` too.
        source: who is asked what late subscribers to a dialogue are told.
    """

    def __init__(
        self,
        endpoint: str,
        source: DialogueSource,
        *,
        keys: KeyFolder | None = None,
        keyless: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        endpoint, keys = public_endpoint(endpoint), keys or KeyFolder()
        check_publishable(endpoint, keys, keyless=keyless)
        guarded = endpoint.startswith("tcp:") and not keyless
        self._outlet = PublicOutlet(
            endpoint, _QUEUE, keys if guarded else None, private=not keyless, connections=CONNECTIONS
        )
        self.endpoint = self._outlet.endpoint
        self._source, self._now = source, now
        self._snapshots = SnapshotQueue(now, DIALOGUES_OF_ONE)
        self._awaiting: dict[bytes, str] = {}  # topics that wait for a dialogue to begin, and which
        self._heartbeat_at = now() + HEARTBEAT_S

    def publish(self, topic: str, dialogue: str, data: bytes) -> None:
        """Send a message, as JSON, to every subscriber of the dialogue. Who came before it began is told from the
        `Hello` on; what is said of one that does not begin, they are told, too.
        """
        if self._awaiting:
            for waiting in [topic for topic, awaited in self._awaiting.items() if awaited == dialogue]:
                self._answer(waiting, dialogue, [data])
        self._outlet.send([f"{topic}.{dialogue}".encode(), data])

    def poll(self) -> None:
        """Answer the next who asked for a snapshot, one in each call, and give signs of life when they are due."""
        self._snapshots.add(self._outlet.requests())
        if self._snapshots:
            topic = self._snapshots.pop()
            self._answer(topic, _dialogue(topic), [])
        if self._now() >= self._heartbeat_at:
            self._heartbeat_at = self._now() + HEARTBEAT_S
            self._outlet.look_after()
            for dialogue in self._outlet.dialogues(_HEARTBEAT):
                self._source.alive(dialogue, partial(self._beat, dialogue))

    def _beat(self, dialogue: str, data: bytes) -> None:
        if data:
            self.publish(_HEARTBEAT, dialogue, data)

    def _answer(self, topic: bytes, dialogue: str, otherwise: Sequence[bytes]) -> None:
        """The past of a dialogue on that topic; if there is none yet, what is told `otherwise`, and the past later."""
        self._awaiting.pop(topic, None)
        self._source.past(dialogue, partial(self._reply, topic, dialogue, otherwise))

    def _reply(self, topic: bytes, dialogue: str, otherwise: Sequence[bytes], past: Sequence[bytes]) -> None:
        if not past and dialogue:
            self._awaiting[topic] = dialogue
            if len(self._awaiting) > AWAITING:
                del self._awaiting[next(iter(self._awaiting))]
        for data in past or otherwise:
            self._outlet.send([topic, data])

    def close(self) -> None:
        """Let what was published leave, and stop listening."""
        self.poll()
        self._outlet.close()


def _dialogue(topic: bytes) -> str:
    """Of which dialogue a snapshot is asked for."""
    return topic.decode("ascii", "replace").removeprefix(SNAPSHOT).partition(".")[2]

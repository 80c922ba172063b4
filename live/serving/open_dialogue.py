"""A dialogue that is open on a server: its number of events, and what is needed to know an utterance again.

The rule of this file: small. A thousand dialogues rest here; their words and events rest on the disk.
"""

import hashlib
from array import array
from dataclasses import dataclass, field

from erc_live.live.serving.dialogue_records import EventHead, Snapshot
from erc_live.streams.messages import EmotionEvent

IDENTITIES = 64  # final utterances of a dialogue that are known again


@dataclass(slots=True)
class OpenDialogue:
    """`session`: the id of its stream, in which events are numbered. `t_ns`: of its last final utterance. `places`: of
    its newest events in the log, oldest first; `identities`: of its newest final utterances; `names` of its speakers.
    """

    session: str
    t_ns: int
    next_seq: int = 0
    places: "array[int]" = field(default_factory=lambda: array("Q"))
    identities: "array[int]" = field(default_factory=lambda: array("Q"))
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, snapshot: Snapshot, t_ns: int) -> "OpenDialogue":
        """As it was when the snapshot was taken."""
        places, identities = array("Q", snapshot.places), array("Q", snapshot.identities)
        return cls(snapshot.session, t_ns, snapshot.next_seq, places, identities, snapshot.names)

    def stored(self, event: EventHead | EmotionEvent, place: int, history: int) -> None:
        """An event stands in the log; the newest `history` are told to late subscribers."""
        self.places.append(place)
        del self.places[:-history]
        if event.speaker >= len(self.names) or self.names[event.speaker] != event.speaker_name:
            blank = ("",) * (event.speaker - len(self.names))
            self.names = (*self.names[: event.speaker], *blank, event.speaker_name, *self.names[event.speaker + 1 :])
        if event.final:
            self.identities.append(identity(event.utterance, event.revision))
            del self.identities[:-IDENTITIES]

    def knows(self, utterance: str, revision: int) -> bool:
        """Whether this is one of the newest final utterances."""
        return identity(utterance, revision) in self.identities


def identity(utterance: str, revision: int) -> int:
    """A final utterance of a dialogue, in 64 bits."""
    digest = hashlib.blake2b(f"{revision}:{utterance}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")

"""A dialogue that is open on a server: its number of events, and what is needed to know an utterance again.

The rule of this file: small. A thousand dialogues rest here; their words and events rest on the disk.
"""

import hashlib
from array import array
from dataclasses import dataclass, field

from erc_live.live.serving.dialogue_records import EventHead, Snapshot
from erc_live.live.tracking.tracker import DialogueMemory
from erc_live.streams.messages import RELABEL_REACH, EmotionEvent

IDENTITIES = 64  # final utterances of a dialogue that are known again
APART = 16  # utterances between snapshots that are remembered
INPUTS = RELABEL_REACH + 64  # final utterances whose features are remembered: to a snapshot before what can move


@dataclass(slots=True)
class OpenDialogue:
    """`session`: the id of its stream, in which events are numbered. `t_ns`: of its last final utterance. `places`: of
    its newest events in the log, oldest first; `identities`: of its newest final utterances; `names` of its speakers.
    `inputs`: places of the features of its newest final utterances; `snapshots`: after how many utterances one was
    taken, and its place: with these it can go back (`going_back.py`).
    """

    session: str
    t_ns: int
    next_seq: int = 0
    places: "array[int]" = field(default_factory=lambda: array("Q"))
    identities: "array[int]" = field(default_factory=lambda: array("Q"))
    names: tuple[str, ...] = ()
    inputs: "array[int]" = field(default_factory=lambda: array("Q"))
    snapshots: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, snapshot: Snapshot, t_ns: int) -> "OpenDialogue":
        """As it was when the snapshot was taken."""
        places, identities = array("Q", snapshot.places), array("Q", snapshot.identities)
        known = cls(snapshot.session, t_ns, snapshot.next_seq, places, identities, snapshot.names)
        known.inputs, known.snapshots = array("Q", snapshot.inputs), list(snapshot.snapshots)
        return known

    def snapshot(self, dialogue: str, memory: DialogueMemory, state: bytes) -> Snapshot:
        """Inverse of `of`, with what the tracker knows of it."""
        return Snapshot(
            dialogue=dialogue,
            session=self.session,
            next_seq=self.next_seq,
            names=self.names,
            places=self.places.tolist(),
            identities=self.identities.tolist(),
            utterances=memory.utterances,
            speakers=memory.speakers,
            last_label=dict(memory.last_label),
            state=state,
            inputs=self.inputs.tolist(),
            snapshots=self.snapshots,
        )

    def snapshot_stored(self, utterances: int, place: int) -> None:
        """A snapshot after so many utterances stands in the log; of those close together the first is remembered."""
        if not self.snapshots or utterances - self.snapshots[-1][0] >= APART:
            begin = utterances - len(self.inputs)
            self.snapshots = [*(one for one in self.snapshots if one[0] >= begin), (utterances, place)]

    def stored(self, event: EventHead | EmotionEvent, place: int, history: int, features: int | None = None) -> None:
        """An event stands in the log; the newest `history` are told to late subscribers. `features`: the place of
        those that it came from, if it is final.
        """
        self.places.append(place)
        del self.places[:-history]
        if event.speaker >= len(self.names) or self.names[event.speaker] != event.speaker_name:
            blank = ("",) * (event.speaker - len(self.names))
            self.names = (*self.names[: event.speaker], *blank, event.speaker_name, *self.names[event.speaker + 1 :])
        if event.final:
            self.remember(event.utterance, event.revision)
        if features is not None:
            self.inputs.append(features)
            del self.inputs[:-INPUTS]

    def remember(self, utterance: str, revision: int) -> None:
        """It is known again from now on."""
        self.identities.append(identity(utterance, revision))
        del self.identities[:-IDENTITIES]

    def knows(self, utterance: str, revision: int) -> bool:
        """Whether this is one of the newest final utterances."""
        return identity(utterance, revision) in self.identities


def identity(utterance: str, revision: int) -> int:
    """A final utterance of a dialogue, in 64 bits."""
    digest = hashlib.blake2b(f"{revision}:{utterance}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")

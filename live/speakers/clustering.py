"""Whose voice it is: stretches of speech from one shared microphone to voices, while people talk.

A stretch goes to the voice it is most like, or founds a new one when it is long enough to tell and like nobody. Voices
are the means of what they said, weighted by time; short stretches are told apart by them, but do not move them. Two
voices that have grown alike were one, and a stretch that is now clearly more like another voice was given to the wrong
one: `changes` says so, and the dialogue can be told anew. Voices of one time are never one voice.

Vectors are those of `live/speakers/embedding.py`; likeness is their dot product (the reason is there).
The rules of this file: only what was heard counts, in the order in which it was given; no clock and no I/O; memory is
bounded, and holds no more than the session needs.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

# Of pairs of stretches of the AMI excerpts and the call, 3 % are on the wrong side of 0.64; of acted emotions 17 % at
# best (RAVDESS, actors 13 to 20). Voices that were one can be merged, but two people who are taken for one stay one.
# These and the lengths were chosen on AMI and the call: what is measured there flatters them.
NEW = 0.64  # likeness to every voice below which a stretch founds another, if it is of `LONG_S` ...
LONG_S = 2.0
DOUBT = 0.1  # ... less by this for each second that it is shorter
ONE = 0.67  # likeness of two voices above which they are one
CLEARLY = 0.05  # more like another voice than like its own: a stretch was given to the wrong one
SURE_S = 1.0  # shorter stretches found no voice and move none
KNOWN_S = 15.0  # the weight of somebody who was enrolled
MEMORY = 256  # stretches of one microphone that can still change hands
MOST = 20  # voices of one microphone, where nobody says how many people there are


@dataclass(frozen=True)
class Voice:
    """Whose voice a stretch is. `voice` tells the voices of a microphone apart; `speaker_name` only if enrolled."""

    voice: str
    speaker_name: str | None


@dataclass(frozen=True)
class Change:
    """The utterances `moved`, in the order in which they came, are now known to be of `voice`."""

    moved: tuple[str, ...]
    voice: str
    speaker_name: str | None
    cause: Literal["merge", "correction"]


class Speakers:
    """The voices of the shared microphones of one session.

    Args:
        known: people who agreed to be recognised, and their vectors.
        most: how many people share a microphone, at most; 0 when nobody knows.
    """

    def __init__(self, known: Mapping[str, np.ndarray] | None = None, most: int = 0) -> None:
        self._known = dict(known or {})
        self._most = most or MOST
        self._rooms: dict[str, _Room] = {}
        self._changes: list[Change] = []

    def assign(
        self, source: str, utterance: str, embedding: np.ndarray | None, t_start_ns: int, t_end_ns: int
    ) -> Voice:
        """Whose voice the next utterance is, as far as is known now. Voices are numbered as they are first heard.

        Shapes: embedding (256,) float32, None where nothing can be told from it.
        """
        if source not in self._rooms:
            self._rooms[source] = _Room(source, self._known, self._most)
        room = self._rooms[source]
        room.place(_Stretch(utterance, embedding, t_start_ns, t_end_ns))
        self._changes += room.settle()
        return room.latest

    def guess(self, source: str, embedding: np.ndarray | None) -> Voice:
        """Whose voice something unfinished is, as far as is known now. Leaves no trace."""
        room = self._rooms.get(source) or _Room(source, self._known, self._most)
        return room.guess(embedding)

    def count(self, source: str) -> int:
        """How many voices of this microphone are told apart now."""
        return self._rooms[source].count if source in self._rooms else 0

    def changes(self) -> list[Change]:
        """What has become known since the last call about utterances that had been given out, oldest first."""
        changes, self._changes = self._changes, []
        return changes


@dataclass(frozen=True)
class _Stretch:
    """What there is to know of an utterance."""

    utterance: str
    vector: np.ndarray | None
    t_start_ns: int
    t_end_ns: int

    @property
    def seconds(self) -> float:
        return (self.t_end_ns - self.t_start_ns) / 1e9

    @property
    def sure(self) -> bool:
        return self.vector is not None and self.seconds >= SURE_S

    @property
    def unlike(self) -> float:
        """Likeness to every voice below which this founds another: the shorter it is, the more it varies."""
        return NEW - DOUBT * max(LONG_S - self.seconds, 0.0)

    def overlaps(self, other: "_Stretch") -> bool:
        return self.t_start_ns < other.t_end_ns and other.t_start_ns < self.t_end_ns


@dataclass(eq=False)
class _Person:
    """A voice. `number` is None until it is heard; `mean` until something sure was."""

    name: str | None = None
    number: int | None = None
    mean: np.ndarray | None = None
    seconds: float = 0.0
    apart: "set[_Person]" = field(default_factory=set)  # those who were heard at the same time

    def learn(self, vector: np.ndarray, seconds: float) -> None:
        """Take something into the mean; out of it again, where `seconds` is negative."""
        total = self.seconds + seconds
        self.mean = vector if self.mean is None else (self.mean * self.seconds + vector * seconds) / total
        self.seconds = total


@dataclass
class _Given:
    """A stretch, whose it is, and whose it was said to be; None: not yet said."""

    stretch: _Stretch
    person: _Person
    told: Voice | None = None


class _Room:
    """The voices of one microphone."""

    def __init__(self, source: str, known: Mapping[str, np.ndarray], most: int) -> None:
        self._source = source
        self._most = most
        self._founded = 0
        self._people = [_Person(name=name, mean=vector, seconds=KNOWN_S) for name, vector in known.items()]
        self._given: deque[_Given] = deque(maxlen=MEMORY)

    @property
    def count(self) -> int:
        """Voices that were heard."""
        return sum(person.number is not None for person in self._people)

    @property
    def latest(self) -> Voice:
        """Whose the latest stretch is."""
        return self._voice(self._given[-1].person)

    def place(self, stretch: _Stretch) -> None:
        """Decide whose voice the next stretch is."""
        barred = self._meanwhile(stretch)
        person = self._choose(stretch, [p for p in self._people if p not in barred])
        if person.number is None:
            self._founded += 1
            person.number = self._founded
        if stretch.vector is not None and stretch.sure:
            person.learn(stretch.vector, stretch.seconds)
        for other in barred - {person}:
            other.apart.add(person)
            person.apart.add(other)
        self._given.append(_Given(stretch, person))

    def guess(self, vector: np.ndarray | None) -> Voice:
        """The voice that is most like it; without one the last that was heard, or the first that will be."""
        heard = [p for p in self._people if p.number is not None]
        latest = self._given[-1].person if self._given else _Person(number=1)
        best = _most_like(vector, heard)
        return self._voice(best or latest)

    def settle(self) -> list[Change]:
        """Put right what is now known to be wrong, and say what."""
        while pair := self._alike():
            self._merge(*pair)
        merged = list(self._tell("merge"))
        self._correct()
        return merged + list(self._tell("correction"))

    def _voice(self, person: _Person) -> Voice:
        return Voice(f"{self._source}#{person.number}", person.name)

    def _meanwhile(self, stretch: _Stretch) -> set[_Person]:
        return {given.person for given in self._given if given.stretch.overlaps(stretch)}

    def _choose(self, stretch: _Stretch, free: list[_Person]) -> _Person:
        """The person among `free`, or a new one; one who is not free only where there are as many as there may be."""
        full = self.count >= self._most
        best = _most_like(stretch.vector, free)
        if (
            best is not None
            and _likeness(stretch.vector, best) >= stretch.unlike
            and not (full and best.number is None)
        ):
            return best
        heard = [p for p in (free or self._people if full else free) if p.number is not None]
        unlearned = [p for p in heard if p.mean is None]
        if stretch.sure and unlearned:
            return unlearned[0]  # what was too short to tell came, as far as is known, from whom is heard next
        if not heard or (stretch.sure and not full):
            self._people.append(_Person())
            return self._people[-1]
        latest = next((g.person for g in reversed(self._given) if g.person in heard), heard[0])
        return _most_like(stretch.vector, heard) or latest

    def _alike(self) -> tuple[_Person, _Person] | None:
        """Two voices that are one: the most alike."""
        pairs = [
            (like, one, other)
            for number, one in enumerate(self._people)
            for other in self._people[number + 1 :]
            if (like := _likeness(one.mean, other)) >= ONE and _may_be_one(one, other)
        ]
        return max(pairs, key=lambda pair: pair[0])[1:] if pairs else None

    def _merge(self, one: _Person, other: _Person) -> None:
        """What was the one's and the other's is now of whom was heard first."""
        kept, gone = sorted((one, other), key=lambda p: p.number or self._founded + 1)
        assert gone.mean is not None
        kept.learn(gone.mean, gone.seconds)
        kept.name = kept.name or gone.name
        self._people.remove(gone)
        for third in gone.apart:
            third.apart.discard(gone)
            third.apart.add(kept)
            kept.apart.add(third)
        for given in self._given:
            if given.person is gone:
                given.person = kept

    def _correct(self) -> None:
        """Give stretches to another voice that they are clearly more like. The one that founded a voice stays."""
        heard = [p for p in self._people if p.number is not None and p.mean is not None]
        for given in self._doubtful(heard):
            stretch, own, best = given.stretch, given.person, _most_like(given.stretch.vector, heard)
            if best is None or _likeness(stretch.vector, best) <= _likeness(stretch.vector, own) + CLEARLY:
                continue  # since another was given back
            if best in own.apart and best in self._meanwhile(stretch):
                continue
            if stretch.vector is not None and stretch.sure:
                if own.seconds - stretch.seconds < SURE_S:
                    continue
                own.learn(stretch.vector, -stretch.seconds)
                best.learn(stretch.vector, stretch.seconds)
            given.person = best

    def _doubtful(self, heard: list[_Person]) -> list[_Given]:
        """Stretches that are clearly more like another voice than like their own."""
        given = [g for g in self._given if g.person in heard and g.stretch.vector is not None]
        if len(heard) < 2 or not given:
            return []
        like = np.array([g.stretch.vector for g in given]) @ np.array([p.mean for p in heard]).T
        own = like[np.arange(len(given)), [heard.index(g.person) for g in given]]
        return [given[row] for row in np.flatnonzero(like.max(1) > own + CLEARLY)]

    def _tell(self, cause: Literal["merge", "correction"]) -> Iterator[Change]:
        """What has changed hands, or its name, since it was said whose it is."""
        moved: dict[Voice, list[str]] = {}
        for given in self._given:
            voice = self._voice(given.person)
            if given.told is not None and given.told != voice:
                moved.setdefault(voice, []).append(given.stretch.utterance)
            given.told = voice
        for voice, utterances in moved.items():
            yield Change(tuple(utterances), voice.voice, voice.speaker_name, cause)


def _likeness(vector: np.ndarray | None, person: _Person) -> float:
    return -1.0 if vector is None or person.mean is None else float(vector @ person.mean)


def _most_like(vector: np.ndarray | None, people: list[_Person]) -> _Person | None:
    """Whose mean is most like the vector; None without vector or means."""
    likely = [p for p in people if p.mean is not None]
    return max(likely, key=lambda p: _likeness(vector, p)) if vector is not None and likely else None


def _may_be_one(one: _Person, other: _Person) -> bool:
    """Two who were enrolled, or who spoke at one time, are two; so are two who were never heard."""
    heard = one.number is not None or other.number is not None
    return heard and not (one.name and other.name) and other not in one.apart

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
    """Whose voice a stretch is. `voice` tells the voices of a microphone apart; `speaker_name` only if enrolled.

    `confidence`: how sure that is, 0 to 1; None where nothing was measured. It makes no other voice of it.
    """

    voice: str
    speaker_name: str | None
    confidence: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Change:
    """The utterances `moved`, in the order in which they came, are now known to be of `voice`."""

    moved: tuple[str, ...]
    voice: str
    speaker_name: str | None
    cause: Literal["merge", "correction"]


class SpeakerClustering:
    """The voices of the shared microphones of one session.

    Args:
        known: people who agreed to be recognised, and their vectors.
        most: how many people share a microphone, at most; 0 when nobody knows.
    """

    def __init__(self, known: Mapping[str, np.ndarray] | None = None, most: int = 0) -> None:
        self._known = dict(known or {})
        self._most = most or MOST
        self._microphones: dict[str, _MicrophoneClusters] = {}
        self._changes: list[Change] = []

    def assign(
        self, source: str, utterance: str, embedding: np.ndarray | None, t_start_ns: int, t_end_ns: int
    ) -> Voice:
        """Whose voice the next utterance is, as far as is known now. Voices are numbered as they are first heard.

        Shapes: embedding (256,) float32, None where nothing can be told from it.
        """
        if source not in self._microphones:
            self._microphones[source] = _MicrophoneClusters(source, self._known, self._most)
        clusters = self._microphones[source]
        clusters.place(_EmbeddedSegment(utterance, embedding, t_start_ns, t_end_ns))
        self._changes += clusters.settle()
        return clusters.latest

    def guess(self, source: str, embedding: np.ndarray | None) -> Voice:
        """Whose voice something unfinished is, as far as is known now. Leaves no trace."""
        clusters = self._microphones.get(source) or _MicrophoneClusters(source, self._known, self._most)
        return clusters.guess(embedding)

    def count(self, source: str) -> int:
        """How many voices of this microphone are told apart now."""
        return self._microphones[source].count if source in self._microphones else 0

    def changes(self) -> list[Change]:
        """What has become known since the last call about utterances that had been given out, oldest first."""
        changes, self._changes = self._changes, []
        return changes


@dataclass(frozen=True)
class _EmbeddedSegment:
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

    def overlaps(self, other: "_EmbeddedSegment") -> bool:
        return self.t_start_ns < other.t_end_ns and other.t_start_ns < self.t_end_ns


@dataclass(eq=False)
class _Cluster:
    """A voice. `number` is None until it is heard; `mean` until something sure was."""

    name: str | None = None
    number: int | None = None
    mean: np.ndarray | None = None
    seconds: float = 0.0
    apart: "set[_Cluster]" = field(default_factory=set)  # those who were heard at the same time

    def learn(self, vector: np.ndarray, seconds: float) -> None:
        """Take something into the mean; out of it again, where `seconds` is negative."""
        total = self.seconds + seconds
        self.mean = vector if self.mean is None else (self.mean * self.seconds + vector * seconds) / total
        self.seconds = total


@dataclass
class _Assignment:
    """A segment, the cluster that it belongs to, and the voice it was published under; None: not yet."""

    segment: _EmbeddedSegment
    cluster: _Cluster
    published: Voice | None = None


class _MicrophoneClusters:
    """The voices of one microphone."""

    def __init__(self, source: str, known: Mapping[str, np.ndarray], most: int) -> None:
        self._source = source
        self._most = most
        self._numbered = 0
        self._clusters = [_Cluster(name=name, mean=vector, seconds=KNOWN_S) for name, vector in known.items()]
        self._assignments: deque[_Assignment] = deque(maxlen=MEMORY)

    @property
    def count(self) -> int:
        """Voices that were heard."""
        return sum(cluster.number is not None for cluster in self._clusters)

    @property
    def latest(self) -> Voice:
        """Whose the latest stretch is."""
        return self._voice(self._assignments[-1].cluster)

    def place(self, segment: _EmbeddedSegment) -> None:
        """Decide whose voice the next stretch is."""
        barred = self._meanwhile(segment)
        cluster = self._choose(segment, [p for p in self._clusters if p not in barred])
        if cluster.number is None:
            self._numbered += 1
            cluster.number = self._numbered
        if segment.vector is not None and segment.sure:
            cluster.learn(segment.vector, segment.seconds)
        for other in barred - {cluster}:
            other.apart.add(cluster)
            cluster.apart.add(other)
        self._assignments.append(_Assignment(segment, cluster))

    def guess(self, vector: np.ndarray | None) -> Voice:
        """The voice that is most like it; without one the last that was heard, or the first that will be."""
        numbered = [p for p in self._clusters if p.number is not None]
        latest = self._assignments[-1].cluster if self._assignments else _Cluster(number=1)
        best = _most_like(vector, numbered)
        return self._voice(best or latest)

    def settle(self) -> list[Change]:
        """Put right what is now known to be wrong, and say what."""
        while pair := self._alike():
            self._merge(*pair)
        merged = list(self._moves("merge"))
        self._correct()
        return merged + list(self._moves("correction"))

    def _voice(self, cluster: _Cluster) -> Voice:
        return Voice(f"{self._source}#{cluster.number}", cluster.name)

    def _meanwhile(self, segment: _EmbeddedSegment) -> set[_Cluster]:
        return {assignment.cluster for assignment in self._assignments if assignment.segment.overlaps(segment)}

    def _choose(self, segment: _EmbeddedSegment, free: list[_Cluster]) -> _Cluster:
        """The cluster among `free`, or a new one; one who is not free only where there are as many as there may be."""
        full = self.count >= self._most
        best = _most_like(segment.vector, free)
        if (
            best is not None
            and _likeness(segment.vector, best) >= segment.unlike
            and not (full and best.number is None)
        ):
            return best
        numbered = [p for p in (free or self._clusters if full else free) if p.number is not None]
        unlearned = [p for p in numbered if p.mean is None]
        if segment.sure and unlearned:
            return unlearned[0]  # what was too short to tell came, as far as is known, from whom is heard next
        if not numbered or (segment.sure and not full):
            self._clusters.append(_Cluster())
            return self._clusters[-1]
        latest = next((g.cluster for g in reversed(self._assignments) if g.cluster in numbered), numbered[0])
        return _most_like(segment.vector, numbered) or latest

    def _alike(self) -> tuple[_Cluster, _Cluster] | None:
        """Two voices that are one: the most alike."""
        pairs = [
            (like, one, other)
            for number, one in enumerate(self._clusters)
            for other in self._clusters[number + 1 :]
            if (like := _likeness(one.mean, other)) >= ONE and _may_be_one(one, other)
        ]
        return max(pairs, key=lambda pair: pair[0])[1:] if pairs else None

    def _merge(self, one: _Cluster, other: _Cluster) -> None:
        """What was the one's and the other's is now of whom was heard first."""
        stays, gone = sorted((one, other), key=lambda p: p.number or self._numbered + 1)
        assert gone.mean is not None
        stays.learn(gone.mean, gone.seconds)
        stays.name = stays.name or gone.name
        self._clusters.remove(gone)
        for third in gone.apart:
            third.apart.discard(gone)
            third.apart.add(stays)
            stays.apart.add(third)
        for assignment in self._assignments:
            if assignment.cluster is gone:
                assignment.cluster = stays

    def _correct(self) -> None:
        """Give stretches to another voice that they are clearly more like. The one that founded a voice stays."""
        numbered = [p for p in self._clusters if p.number is not None and p.mean is not None]
        for assignment in self._doubtful(numbered):
            segment, own, best = assignment.segment, assignment.cluster, _most_like(assignment.segment.vector, numbered)
            if best is None or _likeness(segment.vector, best) <= _likeness(segment.vector, own) + CLEARLY:
                continue  # since another was given back
            if best in own.apart and best in self._meanwhile(segment):
                continue
            if segment.vector is not None and segment.sure:
                if own.seconds - segment.seconds < SURE_S:
                    continue
                own.learn(segment.vector, -segment.seconds)
                best.learn(segment.vector, segment.seconds)
            assignment.cluster = best

    def _doubtful(self, numbered: list[_Cluster]) -> list[_Assignment]:
        """Stretches that are clearly more like another voice than like their own."""
        candidates = [g for g in self._assignments if g.cluster in numbered and g.segment.vector is not None]
        if len(numbered) < 2 or not candidates:
            return []
        like = np.array([g.segment.vector for g in candidates]) @ np.array([p.mean for p in numbered]).T
        own = like[np.arange(len(candidates)), [numbered.index(g.cluster) for g in candidates]]
        return [candidates[row] for row in np.flatnonzero(like.max(1) > own + CLEARLY)]

    def _moves(self, cause: Literal["merge", "correction"]) -> Iterator[Change]:
        """What has changed hands, or its name, since it was said whose it is."""
        moved: dict[Voice, list[str]] = {}
        for assignment in self._assignments:
            voice = self._voice(assignment.cluster)
            if assignment.published is not None and assignment.published != voice:
                moved.setdefault(voice, []).append(assignment.segment.utterance)
            assignment.published = voice
        for voice, utterances in moved.items():
            yield Change(tuple(utterances), voice.voice, voice.speaker_name, cause)


def _likeness(vector: np.ndarray | None, cluster: _Cluster) -> float:
    return -1.0 if vector is None or cluster.mean is None else float(vector @ cluster.mean)


def _most_like(vector: np.ndarray | None, clusters: list[_Cluster]) -> _Cluster | None:
    """Whose mean is most like the vector; None without vector or means."""
    likely = [p for p in clusters if p.mean is not None]
    return max(likely, key=lambda p: _likeness(vector, p)) if vector is not None and likely else None


def _may_be_one(one: _Cluster, other: _Cluster) -> bool:
    """Two who were enrolled, or who spoke at one time, are two; so are two who were never heard."""
    numbered = one.number is not None or other.number is not None
    return numbered and not (one.name and other.name) and other not in one.apart

"""Whose face belongs to a voice: the one whose mouth moves with it, now and whenever this voice spoke before.

Evidence that a face speaks, for or against, comes from each utterance (`_evidence`) and adds up, by voice, at the place
where the face is in the pictures of a camera; a place moves along with whoever is there. What is older counts less, so
a place that was given wrongly is lost again to better evidence. A voice that turns out to be another one takes its
evidence with it (`relabel`).

Pure, no clock; called once for each utterance, in the order of their release, so replay chooses as the live run did.
The rule of this file: rather no face than somebody else's: of several unclear ones none is taken. A wrong one puts one
person's expression into another's mouth; the dialogue graph has learnt to do without.
"""

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from erc_live.live.requests import Appearance
from erc_live.streams.messages import RELABEL_REACH

LEAST_COVERAGE = 0.25  # of the pictures that show the face: one that few of them show is nobody's, whatever else it has

_EACH_FOLD = 3.0  # evidence for a mouth that moves e times as much as any other that its camera sees, and as _REST;
_FOLDS = 1.0  # so many times at most: who laughs or chews shall not outweigh who moves in time
_REST = 0.03  # motion of the mouth of somebody who listens, or less
_FINEST = 0.005  # below which motion is noise of the picture
_IN_TIME = 1.5  # evidence for each standard deviation of synchrony,
_MOST_IN_TIME = 4.0  # at most, for or against
_ENOUGH = 1.5  # evidence from which on a face speaks,
_LEAD = 1.5  # if it has so much more than any other face of its camera
_FADES = 0.8  # of the evidence for a place that is left when its voice speaks again
_MOST = 3.0  # evidence of the past, for or against: an utterance that is clearer overrules it
_REACH = 1.5  # face widths from where a place was
_BYSTANDER = 0.5  # of the width of the face that fills most of the pictures
_PLACES = 64  # those used last: rooms are smaller


@dataclass
class _Place:
    """Where somebody is, as `Appearance.centre` and `width`, and the evidence for each voice that was there."""

    camera: str
    centre: tuple[float, float]
    width: float
    voices: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Observation:
    utterance: str
    voice: str
    faces: tuple[Appearance, ...]


class ActiveSpeaker:
    """`choose(voice, appearances)`; remembers who was where, by camera."""

    def __init__(self) -> None:
        self._places: list[_Place] = []  # those used last at the end
        self._past: deque[_Observation] = deque(maxlen=RELABEL_REACH)

    def choose(self, voice: str, appearances: Sequence[Appearance], utterance: str | None = None) -> Appearance | None:
        """The face that speaks with `voice` in an utterance, or None if that cannot be told.

        What is final has a name, `utterance`, and is remembered; one that is still being said may or may not be looked
        at. Faces that fewer than `LEAST_COVERAGE` of the pictures show are none. The face with clearly the most
        evidence, of now and of the past, is chosen; else the only one there is, unless another voice was seen there.
        """
        faces = tuple(face for face in appearances if face.coverage >= LEAST_COVERAGE)
        chosen = self._choice(voice, faces)
        if utterance is not None:
            self._past.append(_Observation(utterance, voice, faces))
            self._learn(self._past[-1])
        return chosen

    def relabel(self, moved: Collection[str], voice: str) -> dict[str, Appearance | None]:
        """These utterances were said by another voice. The places become what they had been if that had been known, as
        far back as utterances are remembered; returned is what of each of these had been chosen.
        """
        self._past = deque(
            (replace(said, voice=voice) if said.utterance in moved else said for said in self._past),
            maxlen=RELABEL_REACH,
        )
        self._places = []
        chosen = {}
        for said in self._past:
            chosen[said.utterance] = self._choice(said.voice, said.faces)
            self._learn(said)
        return chosen

    def _choice(self, voice: str, faces: Sequence[Appearance]) -> Appearance | None:
        return self._speaks(voice, faces) or self._alone(voice, faces)

    def _speaks(self, voice: str, faces: Sequence[Appearance]) -> Appearance | None:
        now = _evidence(faces)
        total = [now[i] + self._known(voice, face) for i, face in enumerate(faces)]
        clear = [
            i
            for i, face in enumerate(faces)
            if total[i] >= _ENOUGH
            and all(
                j == i or other.camera != face.camera or total[i] >= total[j] + _LEAD for j, other in enumerate(faces)
            )
        ]
        return faces[max(clear, key=lambda i: total[i])] if clear else None

    def _known(self, voice: str, face: Appearance) -> float:
        """Evidence of the past: none for a place for which another voice has more."""
        place = self._place(face, self._places)
        if place is None or voice not in place.voices:
            return 0.0
        mine = place.voices[voice]
        return mine if mine >= max(place.voices.values()) else min(mine, 0.0)

    def _alone(self, voice: str, faces: Sequence[Appearance]) -> Appearance | None:
        most = max((face.width * face.coverage for face in faces), default=0.0)
        near = [face for face in faces if face.width * face.coverage >= _BYSTANDER * most]
        if len(near) != 1:
            return None
        place = self._place(near[0], self._places)
        claims: Mapping[str, float] = place.voices if place is not None else {}
        claimed = any(evidence >= _ENOUGH for who, evidence in claims.items() if who != voice)
        return None if claimed or claims.get(voice, 0.0) <= -_ENOUGH else near[0]

    def _learn(self, utterance: _Observation) -> None:
        """Each face takes the nearest free place, or a new one, and its evidence is added there."""
        free = list(self._places)
        for face, evidence in zip(utterance.faces, _evidence(utterance.faces), strict=True):
            place = self._place(face, free)
            if place is None:
                place = _Place(face.camera, face.centre, face.width)
            else:
                free.remove(place)
                self._places.remove(place)
            place.centre, place.width = face.centre, face.width
            past = _FADES * place.voices.get(utterance.voice, 0.0)
            place.voices[utterance.voice] = _within(_MOST, past + evidence)
            self._places.append(place)
        del self._places[:-_PLACES]

    def _place(self, face: Appearance, places: Sequence[_Place]) -> _Place | None:
        """The nearest within reach."""
        near = [place for place in places if place.camera == face.camera and _apart(face, place) <= _REACH]
        return min(near, key=lambda place: _apart(face, place), default=None)


def _evidence(faces: Sequence[Appearance]) -> list[float]:
    """That each face speaks, in the manner of a logarithm of odds: how much more its mouth moves than any other that
    its camera sees, and how well in time with the sound. 0 where nothing is known.
    """
    out = []
    for face in faces:
        others = [other for other in faces if other is not face and other.camera == face.camera]
        in_time = _within(_MOST_IN_TIME, _IN_TIME * (face.synchrony or 0.0))
        rest = [_REST, *(o.motion for o in others if o.motion is not None)]
        folds = 0.0 if face.motion is None else math.log((face.motion + _FINEST) / (max(rest) + _FINEST))
        out.append(in_time + _EACH_FOLD * _within(_FOLDS, folds))
    return out


def _within(most: float, value: float) -> float:
    return max(-most, min(most, value))


def _apart(face: Appearance, place: _Place) -> float:
    """In face widths."""
    return math.dist(face.centre, place.centre) / max((face.width + place.width) / 2, 1e-6)

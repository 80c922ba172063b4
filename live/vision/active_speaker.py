"""Whose face belongs to a voice: the one whose mouth moves with it, now and whenever this voice spoke before.

Evidence that a face speaks, for or against, comes from each utterance (`_evidence`) and adds up, by voice, where the
face is: in a seat, a place in the picture of one camera that moves along with whoever is there. What is older counts
less, so a seat that was given wrongly is lost again to better evidence. A voice that turns out to be another one
takes its evidence with it (`relabel`).

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

_EACH_FOLD = 3.0  # evidence for a mouth that moves e times as much as that of any other face of its camera
_FOLDS = 1.0  # at most: a mouth that laughs or chews shall not outweigh one that moves in time
_REST = 0.03  # motion of the mouth of somebody who listens, at most in most pictures
_FINEST = 0.005  # below which motion is noise of the picture
_IN_TIME = 3.0  # standard deviations of synchrony at most, each counts 1
_ENOUGH = 1.5  # evidence from which on a face speaks,
_LEAD = 1.5  # if it has so much more than any other face of its camera
_FADES = 0.8  # of the evidence for a seat that is left when its voice speaks again
_MOST = 4.0  # evidence of the past, for or against: one clear utterance overrules it
_REACH = 1.5  # face widths from where a seat was
_BYSTANDER = 0.5  # of the width of the face that fills most of the pictures
_SEATS = 64  # those used last: rooms are smaller


@dataclass
class _Seat:
    """Where somebody is, as `Appearance.centre` and `width`, and the evidence for each voice that was there."""

    camera: str
    centre: tuple[float, float]
    width: float
    voices: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Utterance:
    utterance: str
    voice: str
    faces: tuple[Appearance, ...]


class ActiveSpeaker:
    """`choose(voice, appearances)`; remembers who was where, by camera."""

    def __init__(self) -> None:
        self._seats: list[_Seat] = []  # those used last at the end
        self._past: deque[_Utterance] = deque(maxlen=RELABEL_REACH)

    def choose(self, voice: str, appearances: Sequence[Appearance], utterance: str | None = None) -> Appearance | None:
        """The face that speaks with `voice` in an utterance, or None if that cannot be told.

        What is final has a name, `utterance`, and is remembered; one that is still being said may or may not be looked
        at. Faces that fewer than `LEAST_COVERAGE` of the pictures show are none. The face with clearly the most
        evidence, of now and of the past, is chosen; else the only one there is, unless another voice was seen there.
        """
        faces = tuple(face for face in appearances if face.coverage >= LEAST_COVERAGE)
        chosen = self._choice(voice, faces)
        if utterance is not None:
            self._past.append(_Utterance(utterance, voice, faces))
            self._learn(self._past[-1])
        return chosen

    def relabel(self, moved: Collection[str], voice: str) -> dict[str, Appearance | None]:
        """These utterances were said by another voice. The seats become what they had been if that had been known, as
        far back as utterances are remembered; returned is what of each of these had been chosen.
        """
        self._past = deque(
            (replace(said, voice=voice) if said.utterance in moved else said for said in self._past),
            maxlen=RELABEL_REACH,
        )
        self._seats = []
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
        """Evidence of the past: none for a seat for which another voice has more."""
        seat = self._seat(face, self._seats)
        if seat is None or voice not in seat.voices:
            return 0.0
        mine = seat.voices[voice]
        return mine if mine >= max(seat.voices.values()) else min(mine, 0.0)

    def _alone(self, voice: str, faces: Sequence[Appearance]) -> Appearance | None:
        most = max((face.width * face.coverage for face in faces), default=0.0)
        near = [face for face in faces if face.width * face.coverage >= _BYSTANDER * most]
        if len(near) != 1:
            return None
        seat = self._seat(near[0], self._seats)
        claims: Mapping[str, float] = seat.voices if seat is not None else {}
        claimed = any(evidence >= _ENOUGH for who, evidence in claims.items() if who != voice)
        return None if claimed or claims.get(voice, 0.0) <= -_ENOUGH else near[0]

    def _learn(self, utterance: _Utterance) -> None:
        """Each face takes the nearest free seat, or a new one, and its evidence is added there."""
        free = list(self._seats)
        for face, evidence in zip(utterance.faces, _evidence(utterance.faces), strict=True):
            seat = self._seat(face, free)
            if seat is None:
                seat = _Seat(face.camera, face.centre, face.width)
            else:
                free.remove(seat)
                self._seats.remove(seat)
            seat.centre, seat.width = face.centre, face.width
            past = _FADES * seat.voices.get(utterance.voice, 0.0)
            seat.voices[utterance.voice] = max(-_MOST, min(_MOST, past + evidence))
            self._seats.append(seat)
        del self._seats[:-_SEATS]

    def _seat(self, face: Appearance, seats: Sequence[_Seat]) -> _Seat | None:
        """The nearest within reach."""
        near = [seat for seat in seats if seat.camera == face.camera and _apart(face, seat) <= _REACH]
        return min(near, key=lambda seat: _apart(face, seat), default=None)


def _evidence(faces: Sequence[Appearance]) -> list[float]:
    """That each face speaks, in the manner of a logarithm of odds: how much more its mouth moves than any other that
    its camera sees, and how well in time with the sound. 0 where nothing is known.
    """
    out = []
    for face in faces:
        others = [other for other in faces if other is not face and other.camera == face.camera]
        in_time = 0.0 if face.synchrony is None else max(-_IN_TIME, min(_IN_TIME, face.synchrony))
        rest = [_REST, *(o.motion for o in others if o.motion is not None)]
        folds = 0.0 if face.motion is None else math.log((face.motion + _FINEST) / (max(rest) + _FINEST))
        out.append(in_time + _EACH_FOLD * max(-_FOLDS, min(_FOLDS, folds)))
    return out


def _apart(face: Appearance, seat: _Seat) -> float:
    """In face widths."""
    return math.dist(face.centre, seat.centre) / max((face.width + seat.width) / 2, 1e-6)

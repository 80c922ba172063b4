"""Whose face belongs to a voice: the one whose mouth moves, or the one that is where this voice was seen before.

Pure, no clock; called once for each utterance, in the order of their release, so replay chooses as the live run did.
The rule of this file: rather no face than somebody else's: of several unclear ones none is taken. A wrong one puts one
person's expression into another's mouth; the dialogue graph has learnt to do without.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from erc_live.live.requests import Appearance

# Two filmed people side by side, the lower face of one drawn open by recorded speech (no film of talk was at hand),
# 168 overlapping windows of 2 to 4 s, YuNet: 78 % clear and right, 1 % wrong; with the memory 92 % and 2 %.
_SPEAKS = 0.35  # of the loud moments the mouth moves, at least
_LEAD = 0.15  # by so much more than any other mouth that the same camera sees
_COVERED = 0.25  # of the pictures show the face, at least: a hit of the finder here and there is nobody
_REACH = 1.5  # face widths from where the voice was seen before
_BYSTANDER = 0.5  # of the width of the face that is seen most
_PLACES = 64  # of voices and cameras, those seen last: rooms are smaller


@dataclass(frozen=True)
class _Place:
    """Where a voice was seen, as `Appearance.centre` and `width`."""

    centre: tuple[float, float]
    width: float


class ActiveSpeaker:
    """`choose(voice, appearances)`; remembers where each voice was seen, by camera."""

    def __init__(self) -> None:
        self._places: OrderedDict[tuple[str, str], _Place] = OrderedDict()

    def choose(self, voice: str, appearances: Sequence[Appearance], *, remember: bool = True) -> Appearance | None:
        """The face that speaks with `voice` in an utterance, or None if that cannot be told.

        `remember` is for what is final; an utterance that is still being said may or may not be looked at. First the
        face that clearly speaks; else the one nearest to where this voice was seen; else the only one there
        is, unless another voice was seen there. Of several that are all unclear, none.
        """
        chosen = _clear(appearances) or self._known(voice, appearances)
        if chosen is not None:
            if remember:
                self._remember(voice, chosen)
            return chosen
        return self._alone(appearances)

    def _known(self, voice: str, appearances: Sequence[Appearance]) -> Appearance | None:
        """The face nearest to where the voice was seen, within reach, and not nearer to the place of another voice."""
        mine: list[tuple[float, int]] = []
        for index, face in enumerate(appearances):
            apart = {who: _apart(face, place) for (who, camera), place in self._places.items() if camera == face.camera}
            if apart.get(voice, math.inf) <= min(_REACH, *apart.values(), math.inf):
                mine.append((apart[voice], index))
        return appearances[min(mine)[1]] if mine else None

    def _alone(self, appearances: Sequence[Appearance]) -> Appearance | None:
        most = max((face.width * face.coverage for face in appearances), default=0.0)
        near = [face for face in appearances if face.width * face.coverage >= _BYSTANDER * most]
        if len(near) != 1 or any(
            camera == near[0].camera and _apart(near[0], place) <= _REACH for (_, camera), place in self._places.items()
        ):
            return None
        return near[0]

    def _remember(self, voice: str, face: Appearance) -> None:
        self._places[voice, face.camera] = _Place(face.centre, face.width)
        self._places.move_to_end((voice, face.camera))
        if len(self._places) > _PLACES:
            self._places.popitem(last=False)


def _clear(appearances: Sequence[Appearance]) -> Appearance | None:
    """The face that clearly speaks: compared with the others of its camera, since two may see the same person."""
    clear = [
        face
        for face in appearances
        if _score(face) >= _SPEAKS
        and all(
            other is face or other.camera != face.camera or _score(face) >= _score(other) + _LEAD
            for other in appearances
        )
    ]
    return max(clear, key=_score, default=None)


def _score(face: Appearance) -> float:
    return face.speaking if face.speaking is not None and face.coverage >= _COVERED else 0.0


def _apart(face: Appearance, place: _Place) -> float:
    """In face widths."""
    return math.dist(face.centre, place.centre) / max((face.width + place.width) / 2, 1e-6)

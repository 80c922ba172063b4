"""When the packets of a media file belong: stamps that begin anew, jump or are wrong, as one time that only goes on.

Files that were joined end to end, as recorders of television and of the network do it, count from the start again in
their second part, and counters of 33 bits run over. Sound and pictures are read one after the other, so what is decided
here follows from the packets of all streams, in the order of the file: both readers decide the same, and what belongs
together stays together. A hole is no jump: nothing was recorded there, and it keeps its length.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_BACK_S = 0.1  # stamps are rounded and jitter
_UNSORTED_S = 5.0  # where only the time of showing is known: packets come in the order of decoding
_NEAR_S = 0.5  # what follows within this is of the same part
_LATE_S = 2.0  # by so much a stream may reach a new part later than another: packets are woven with that care
_HOLE_S = 300.0  # forward, in broadcast streams, whose stamps begin anywhere: of two parts hardly ever less
_BROADCAST = ("mpegts", "mpeg")
_EDITED = "mov"  # its stamps follow a list of edits: what is decoded only to begin between key pictures goes back
_LONGEST_S = Fraction(1)  # duration of a packet that is believed


@dataclass
class _Part:
    """What is added to the stamps of one part of the file, in s."""

    offset_s: Fraction


@dataclass
class _StreamPosition:
    """One stream: the part it is in and the one before, and the last of its packets."""

    part: _Part
    before: _Part
    last_s: Fraction
    due_s: Fraction


class Timeline:
    """`mend` the stamps of the packets of a file, in its order. `form`: the format as libavformat names it."""

    def __init__(self, form: str) -> None:
        self._edited = _EDITED in form.split(",")
        self._hole_s = _HOLE_S if form in _BROADCAST else float("inf")
        self._newest = _Part(Fraction(0))
        self._tracks: dict[int, _StreamPosition] = {}

    def mend(self, packet: Any) -> None:
        """Write into a packet of sound or pictures the times that it has in the file as a whole."""
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None or self._edited:
            return
        raw_s = stamp * packet.time_base
        track = self._tracks.get(packet.stream.index)
        if track is None:
            track = _StreamPosition(self._newest, self._newest, raw_s, raw_s)
            self._tracks[packet.stream.index] = track
        else:
            self._follow(track, raw_s, _BACK_S if packet.dts is not None else _UNSORTED_S)
        duration_s = min((packet.duration or 0) * packet.time_base, _LONGEST_S)
        track.last_s = raw_s + track.part.offset_s
        track.due_s = max(track.due_s, track.last_s + duration_s)
        shift = round(track.part.offset_s / packet.time_base)
        if shift:
            packet.pts = None if packet.pts is None else packet.pts + shift
            packet.dts = None if packet.dts is None else packet.dts + shift

    def _follow(self, track: _StreamPosition, raw_s: Fraction, back_s: float) -> None:
        """Choose the part of the file that the next stamp of a stream is in."""

        def ahead_s(part: _Part) -> float:
            return float(raw_s + part.offset_s - track.last_s)

        if -back_s <= ahead_s(track.part) <= _NEAR_S:
            return
        wrong_stamp = track.before is not track.part and -back_s <= ahead_s(track.before) <= _NEAR_S
        if wrong_stamp:  # it only looked like another part
            track.part, track.before = track.before, track.part
        elif not -back_s <= ahead_s(track.part) <= self._hole_s:
            if self._newest is track.part or not -_LATE_S <= ahead_s(self._newest) <= _HOLE_S:
                end_s = max(each.due_s for each in self._tracks.values())
                self._newest = _Part(end_s - raw_s)
            track.part, track.before = self._newest, track.part
            early_s = track.due_s - (raw_s + track.part.offset_s)
            track.part.offset_s += max(early_s, Fraction(0))  # this stream ended later, or begins before the others

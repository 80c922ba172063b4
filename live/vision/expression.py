"""The faces of an utterance: its pictures in, one `Appearance` per face out, and with it how its mouth moves.

In each picture faces are found, cut out (`crops.py`) and read; what is read of a picture depends on nothing else, and
is remembered, since a running utterance is described again and again. A face is followed from picture to picture
(`tracks.py`). Its views count alike, but those that are far more blurred than its clearest, or turned far aside, only
if there is nothing better. Who of them speaks is left to `live/vision/active_speaker.py`.

The rule of this file: the same pictures and sound give the same answer. What does not move is no living face: a
photograph, or a camera that hangs. Faces smaller than `visual.min_face_px` are not found at all.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from erc_live.live import config
from erc_live.live.requests import Appearance
from erc_live.live.vision.crops import CROP, crop, mouth_patch, sharpness, turned
from erc_live.live.vision.detector import FaceFinder, open_face_finder
from erc_live.live.vision.mouth import MouthMotion, mouth_motion
from erc_live.live.vision.tracks import FaceTrack, FaceView, follow, is_still
from erc_live.models.encoders.face import FaceEncoder
from erc_live.streams.messages import VideoFrame

RECIPE = f"{CROP} tracks/1 mouth/2"  # to be counted up with every change that moves a number

_MOST = 4  # faces of a picture, the largest: what a crowd may cost
_REMEMBERED = 256  # pictures: a minute of one camera
_BLURRED = 0.25  # of the sharpness of the clearest view: out of focus by about 1.3 px of 48
_TURNED = 0.3  # of FER+ dev, 83 % of the faces turned less are read rightly, and 64 % of those turned further


class FaceReader:
    """`describe` of one utterance; `fingerprint` names all that its answers depend on but pictures and sound."""

    def __init__(self, finder: FaceFinder, encoder: FaceEncoder) -> None:
        self.finder = finder
        self.encoder = encoder
        self.fingerprint = f"{encoder.fingerprint} {RECIPE} {finder.name}"
        self._views = lru_cache(_REMEMBERED)(self._look)  # by its bytes: two clips may have the same name and times

    def describe(
        self, frames: Sequence[VideoFrame], pcm: np.ndarray, t_start_ns: int
    ) -> tuple[tuple[Appearance, ...], float | None]:
        """The faces, those first that fill most of the pictures, and the share of the pictures that show any.

        The share is None without pictures; a picture that cannot be decoded, or is the one before again, shows none.
        Shapes: pcm (n,) int16 at `SAMPLE_RATE_HZ`, its first sample at `t_start_ns`.
        """
        if not frames:
            return (), None
        found: list[Appearance] = []
        shown = 0
        for camera in sorted({frame.source for frame in frames}):
            taken = [frame for frame in frames if frame.source == camera]
            seen = [(frame.t_ns, self._views(frame.jpeg)) for frame in _moving(taken)]
            tracks = [track for track in follow(seen) if not is_still(track)]
            shown += len({glimpse.t_ns for track in tracks for glimpse in track})
            found += [_appearance(camera, track, len(taken), mouth_motion(track, pcm, t_start_ns)) for track in tracks]
        found.sort(key=lambda appearance: appearance.width * appearance.coverage, reverse=True)
        return tuple(found), shown / len(frames)

    def _look(self, jpeg: bytes) -> tuple[FaceView, ...]:
        """The largest faces of a picture, read."""
        sight = self.finder.find(jpeg)
        if sight is None or not sight.faces:
            return ()
        faces = sight.faces[:_MOST]
        grey = cv2.cvtColor(sight.picture, cv2.COLOR_BGR2GRAY)
        cuts = [crop(grey, face) for face in faces]
        wide = grey.shape[1]
        return tuple(
            FaceView(
                x=(face.x + face.width / 2) / wide,
                y=(face.y + face.height / 2) / wide,
                width=face.width / wide,
                cut=cut,
                mouth=mouth_patch(grey, face),
                row=row,
                sharpness=sharpness(cut),
                turned=turned(face),
            )
            for face, cut, row in zip(faces, cuts, self.encoder(np.stack(cuts)), strict=True)
        )


def open_face_reader(choice: config.VisualSection, models_folder: Path, weights: Path) -> FaceReader | None:
    """Reads faces with the weights in a folder; None when no face finder is wanted or there.

    Raises:
        EngineError: the face finder cannot run.
        WeightsError: the weights cannot be read.
    """
    finder = open_face_finder(choice, models_folder)
    return None if finder is None else FaceReader(finder, FaceEncoder.load(weights))


def _moving(frames: Sequence[VideoFrame]) -> Iterator[VideoFrame]:
    """The pictures of a camera without those that are, byte for byte, the one before; none if all are the same."""
    fresh = [after for before, after in pairwise(frames) if after.jpeg != before.jpeg]
    if fresh or len(frames) == 1:
        yield frames[0]
    yield from fresh


def _appearance(camera: str, track: FaceTrack, pictures: int, mouth: MouthMotion) -> Appearance:
    views = [glimpse.view for glimpse in track]
    clear = _BLURRED * max(view.sharpness for view in views)
    sharp = [view for view in views if view.sharpness >= clear]
    rows = [view.row for view in sharp if view.turned <= _TURNED] or [view.row for view in sharp]
    mean = np.logaddexp.reduce(np.stack(rows).astype(np.float64), axis=0) - math.log(len(rows))
    x, y, width = np.median([(view.x, view.y, view.width) for view in views], axis=0).tolist()
    return Appearance(
        camera=camera,
        vector=mean.astype(np.float32),
        centre=(x, y),
        width=width,
        motion=mouth.motion,
        synchrony=mouth.synchrony,
        coverage=len(track) / pictures,
    )

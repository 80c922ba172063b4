"""The faces of an utterance: its pictures in, one `Appearance` per face out, and with it how its mouth moves.

In each picture faces are found, cut out (`crops.py`) and read; what is read of a picture depends on nothing else, and
is remembered, since a running utterance is described again and again. A face is followed from picture to picture
(`tracks.py`). Its views count alike, but those that are far more blurred than its clearest, or turned far aside, only
if there is nothing better. Who of them speaks is left to `live/vision/active_speaker.py`.

With `visual.faces = "all"` the rule is that of VisExtNet, which makes the visual vectors of MultiEMO (Shi and Huang
2023): of the pictures that show a face at most 20, evenly apart, and the mean over all faces in them, as one. So
bystanders count as much as who speaks. It is here to compare with; averaged are probabilities, not VisExtNet's vectors.

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
from erc_live.live.vision.tracks import FaceTrack, FaceView, Glimpse, follow, is_still
from erc_live.models.encoders.face import FaceEncoder
from erc_live.streams.messages import VideoFrame

RECIPE = f"{CROP} tracks/1 mouth/2"  # to be counted up with every change that moves a number

_EVENLY = 20  # pictures, of VisExtNet
_MOST = 4  # faces of a picture, the largest: what a crowd may cost
_REMEMBERED = 256  # pictures: a minute of one camera
_BLURRED = 0.25  # of the sharpness of the clearest view: out of focus by about 1.3 px of 48
_TURNED = 0.3  # of FER+ dev, 83 % of the faces turned less are read rightly, and 64 % of those turned further


class FaceReader:
    """`describe` of one utterance; `fingerprint` names all that its answers depend on but pictures and sound, `vectors`
    the encoder and whose faces they are: by that, weights know what they learnt from.
    """

    def __init__(self, finder: FaceFinder, encoder: FaceEncoder, faces: config.Faces = "speaker") -> None:
        self.finder = finder
        self.encoder = encoder
        self.vectors = vector_fingerprint(encoder, faces)
        self.fingerprint = f"{self.vectors} {RECIPE} {finder.name}"
        self._together = faces == "all"
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
        every: list[Glimpse] = []
        shown = 0
        for camera in sorted({frame.source for frame in frames}):
            taken = [frame for frame in frames if frame.source == camera]
            seen = [(frame.t_ns, self._views(frame.jpeg)) for frame in _moving(taken)]
            tracks = [track for track in follow(seen) if not is_still(track)]
            shown += len({glimpse.t_ns for track in tracks for glimpse in track})
            if self._together:
                every += [glimpse for track in tracks for glimpse in track]
                continue
            found += [_appearance(camera, track, len(taken), mouth_motion(track, pcm, t_start_ns)) for track in tracks]
        if every:
            found = [_all_faces(frames[0].source, every, shown / len(frames))]
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
    return None if finder is None else FaceReader(finder, FaceEncoder.load(weights), choice.faces)


def vector_fingerprint(encoder: FaceEncoder, faces: config.Faces) -> str:
    """What vectors are called that this encoder makes of these faces."""
    return encoder.fingerprint if faces == "speaker" else f"{encoder.fingerprint} of {faces} faces"


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
    x, y, width = np.median([(view.x, view.y, view.width) for view in views], axis=0).tolist()
    return Appearance(
        camera=camera,
        vector=_mean(rows),
        centre=(x, y),
        width=width,
        motion=mouth.motion,
        synchrony=mouth.synchrony,
        coverage=len(track) / pictures,
    )


def _all_faces(camera: str, glimpses: Sequence[Glimpse], coverage: float) -> Appearance:
    """The faces of a few pictures as one, whose mouth tells nothing."""
    times = sorted({glimpse.t_ns for glimpse in glimpses})
    chosen = set(times[:: max(1, len(times) // _EVENLY)][:_EVENLY])
    views = [glimpse.view for glimpse in glimpses if glimpse.t_ns in chosen]
    x, y, width = np.median([(view.x, view.y, view.width) for view in views], axis=0).tolist()
    return Appearance(
        camera=camera,
        vector=_mean([view.row for view in views]),
        centre=(x, y),
        width=width,
        motion=None,
        synchrony=None,
        coverage=coverage,
    )


def _mean(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The logarithms of mean probabilities. Shapes: n of (8,) logarithms -> (8,) float32"""
    mean = np.logaddexp.reduce(np.stack(rows).astype(np.float64), axis=0) - math.log(len(rows))
    return np.asarray(mean, np.float32)

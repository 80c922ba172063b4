"""Faces of an utterance: cut out as the network learnt them, averaged by one rule, and missing where there is none."""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live import config
from erc_live.live.engines.expression import FaceReader, crop, open_face_reader, sharpness
from erc_live.live.engines.faces import Face, Sight
from erc_live.models.card import PRETRAINED
from erc_live.models.corpora import ferplus
from erc_live.models.encoders.face import FACE_LABELS, FaceEncoder
from erc_live.models.weights import weight
from erc_live.streams.messages import VideoFrame

# Where FER+ has them, as shares of the side: eyes, nose, corners of the mouth.
MARKS = np.array([(0.32, 0.39), (0.68, 0.39), (0.50, 0.56), (0.36, 0.75), (0.64, 0.75)])
HAPPINESS, SADNESS = FACE_LABELS.index("happiness"), FACE_LABELS.index("sadness")


def jpeg(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def frames(*pictures: bytes) -> list[VideoFrame]:
    return [VideoFrame(source="cam", t_ns=i, width_px=1, height_px=1, jpeg=data) for i, data in enumerate(pictures)]


def face(x: int, y: int, side: int, points: np.ndarray | None = None) -> Face:
    return Face(x, y, side, side, 1.0, () if points is None else tuple((float(px), float(py)) for px, py in points))


@dataclass
class FakeFinder:
    """`sights` by picture."""

    sights: dict[bytes, Sight]
    name: str = "fake"
    undecodable: int = 0

    def find(self, data: bytes) -> Sight | None:
        return self.sights.get(data)


@dataclass
class FakeEncoder(FaceEncoder):
    """The brighter a face, the happier."""

    fingerprint: str = "fake"
    seen: list[np.ndarray] = field(default_factory=list)

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        self.seen.append(faces)
        return np.stack([answer(f) for f in faces])


def answer(cut: np.ndarray) -> np.ndarray:
    probs = np.full(8, 0.01)
    probs[HAPPINESS] = 0.01 + 0.92 * cut.mean() / 255
    probs[SADNESS] = 1.0 - probs.sum() + probs[SADNESS]
    return np.log(probs).astype(np.float32)


def checked(level: int, blur: float = 0.0, side: int = 200) -> np.ndarray:
    """Around a grey level, light from one side and small squares: something large and something sharp to see."""
    squares = np.kron(np.indices((side // 10, side // 10)).sum(0) % 2, np.ones((10, 10))) * 30 - 15
    picture = (level + squares + np.linspace(-40, 40, side)).astype(np.uint8)
    return cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture


def sight(*parts: np.ndarray) -> Sight:
    """Pictures of faces side by side, each a face that fills it."""
    height = max(part.shape[0] for part in parts)
    padded = [cv2.copyMakeBorder(p, 0, height - p.shape[0], 0, 0, cv2.BORDER_REPLICATE) for p in parts]
    lefts = np.cumsum([0, *(part.shape[1] for part in parts)])
    faces = [face(int(x), 0, part.shape[1]) for x, part in zip(lefts, parts, strict=False)]
    largest_first = tuple(sorted(faces, key=lambda f: f.width, reverse=True))
    return Sight(cv2.cvtColor(np.hstack(padded), cv2.COLOR_GRAY2BGR), largest_first)


def reading(*sights: Sight | None) -> tuple[np.ndarray | None, float | None, FakeEncoder]:
    names = [str(i).encode() for i in range(len(sights))]
    encoder = FakeEncoder()
    finder = FakeFinder({name: s for name, s in zip(names, sights, strict=True) if s is not None})
    vector, coverage = FaceReader(finder, encoder).describe(frames(*names))
    return vector, coverage, encoder


def happiness(*levels: int) -> float:
    return float(np.mean([np.exp(answer(np.full((48, 48), level)))[HAPPINESS] for level in levels]))


@given(
    side=st.floats(48.0, 320.0),
    x=st.floats(150.0, 350.0),
    y=st.floats(150.0, 350.0),
    roll=st.floats(-math.pi * 0.9, math.pi * 0.9),
)
@settings(max_examples=25, deadline=None)
def test_eyes_and_mouth_come_to_lie_where_the_network_learnt_them(side: float, x: float, y: float, roll: float) -> None:
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    points = (MARKS - 0.5) * side @ turn.T + (x, y)
    for index in (0, 1, 3, 4):
        picture = np.zeros((500, 500), np.uint8)
        centre = [round((float(at) - 0.5) * 16) for at in points[index]]  # OpenCV counts from the middle of a pixel
        cv2.circle(picture, centre, round(max(1.5, side / 24) * 16), 255, -1, shift=4)
        cut = crop(picture, face(0, 0, 1, points)).astype(float)
        if cut.sum() < 255:
            continue  # the point lies outside of the picture
        found = np.array([(cut.sum(axis) @ (np.arange(48) + 0.5)) / cut.sum() for axis in (0, 1)])
        inside = (points[index] > side / 20).all() and (points[index] < 500 - side / 20).all()
        assert not inside or np.abs(found - MARKS[index] * 48).max() < 1.2


def test_turning_the_head_changes_the_size_little() -> None:
    turned = MARKS.copy()
    turned[:, 0] = 0.5 + (turned[:, 0] - 0.5) * 0.5  # eyes half as far apart
    picture = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    wide, narrow = (crop(picture, face(0, 0, 1, marks * 100 + 50)) for marks in (MARKS, turned))
    ratio = np.diff(narrow.astype(float)).mean() / np.diff(wide.astype(float)).mean()
    assert ratio == pytest.approx(1.0, abs=0.08)


def test_without_points_the_box_is_what_is_cut_out() -> None:
    picture = np.zeros((300, 300), np.uint8)
    picture[100:200, 60:160] = 200
    assert crop(picture, face(60, 100, 100)).mean() > 190
    small = crop(picture, face(40, 80, 140))
    np.testing.assert_allclose((small > 100).mean(), (100 / 143) ** 2, atol=0.03)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), 70.0)])
def test_points_that_fall_together_are_not_used(points: np.ndarray) -> None:
    picture = checked(128)
    np.testing.assert_array_equal(crop(picture, face(20, 20, 100, points)), crop(picture, face(20, 20, 100)))


@given(x=st.integers(-400, 400), y=st.integers(-400, 400), side=st.integers(1, 3_000))
@settings(max_examples=40, deadline=None)
def test_any_box_and_any_picture_give_a_face_of_48_px(x: int, y: int, side: int) -> None:
    for shape in ((1, 1), (7, 300), (200, 200)):
        cut = crop(np.full(shape, 90, np.uint8), face(x, y, side))
        assert cut.shape == (48, 48)
        assert cut.dtype == np.uint8
        assert (cut == 90).all()  # beyond the edge, the edge goes on


def test_sharpness_is_that_of_the_picture_and_not_of_its_contrast() -> None:
    clear = crop(checked(128), face(0, 0, 200))
    dim = (clear.astype(float) * 0.5 + 30).round().astype(np.uint8)
    assert sharpness(dim) == pytest.approx(sharpness(clear), rel=0.05)
    assert sharpness(crop(checked(128, blur=12.0), face(0, 0, 200))) < 0.25 * sharpness(clear)
    assert sharpness(np.full((48, 48), 77, np.uint8)) == 0


def test_every_picture_counts_alike_and_so_does_every_face_in_it() -> None:
    vector, coverage, _ = reading(sight(checked(60), checked(120)), sight(checked(200)))
    assert vector is not None
    assert vector.shape == (8,)
    assert vector.dtype == np.float32
    expected = (happiness(60, 120) + happiness(200)) / 2
    assert math.exp(vector[HAPPINESS]) == pytest.approx(expected, abs=0.01)
    assert np.exp(vector).sum() == pytest.approx(1.0, abs=1e-4)
    assert coverage == 1.0


def test_bystanders_do_not_count() -> None:
    vector, _, encoder = reading(sight(checked(200), checked(60, side=80)))
    assert vector is not None
    assert len(encoder.seen[0]) == 1
    assert math.exp(vector[HAPPINESS]) == pytest.approx(happiness(200), abs=0.01)


def test_what_is_far_more_blurred_than_the_clearest_face_does_not_count() -> None:
    vector, coverage, encoder = reading(sight(checked(60, blur=12.0)), sight(checked(200)))
    assert vector is not None
    assert len(encoder.seen[0]) == 1
    assert math.exp(vector[HAPPINESS]) == pytest.approx(happiness(200), abs=0.01)
    assert coverage == 1.0  # the face was there
    alone, _, _ = reading(sight(checked(60, blur=12.0)))
    assert alone is not None


def test_faces_without_anything_to_see_still_count() -> None:
    vector, coverage, _ = reading(sight(np.full((100, 100), 90, np.uint8)))
    assert vector is not None
    assert coverage == 1.0


def test_missing_faces() -> None:
    nobody = Sight(np.zeros((10, 10, 3), np.uint8), ())
    assert reading()[:2] == (None, None)
    assert reading(nobody, None)[:2] == (None, 0.0)
    vector, coverage, _ = reading(nobody, None, sight(checked(100)), nobody)
    assert vector is not None
    assert coverage == 0.25


@pytest.fixture
def fetched(shared_data: Path, tmp_path: Path) -> Path:
    (tmp_path / "yunet").mkdir()
    shutil.copy(
        shared_data / "weights" / "face_detection_yunet.onnx", tmp_path / "yunet" / weight("yunet").files[0].path
    )
    return tmp_path


@pytest.fixture
def reader(fetched: Path) -> FaceReader:
    opened = open_face_reader(config.Visual(), fetched, PRETRAINED / "face")
    assert opened is not None
    return opened


def clip(path: Path, every: int = 10) -> list[np.ndarray]:
    with av.open(str(path)) as media:
        decoded = (frame.to_ndarray(format="bgr24") for frame in media.decode(video=0))
        return [picture for index, picture in enumerate(decoded) if index % every == 0][:20]


def test_without_a_finder_there_is_no_reader(tmp_path: Path) -> None:
    assert open_face_reader(config.Visual(face_finder="none"), tmp_path, PRETRAINED / "face") is None


def test_a_talking_head_is_read_in_nearly_every_picture(reader: FaceReader, shared_data: Path) -> None:
    for path in sorted((shared_data / "recordings" / "faces").glob("*.mp4")):
        pictures = [jpeg(picture) for picture in clip(path)]
        single = [reader(frames(picture)) for picture in pictures]
        assert sum(vector is not None for vector in single) >= 0.9 * len(pictures)
        vector, coverage = reader.describe(frames(*pictures))
        assert vector is not None
        assert coverage is not None
        assert coverage >= 0.9
        assert np.isfinite(vector).all()
        assert np.exp(vector).sum() == pytest.approx(1.0, abs=1e-4)


def smaller(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def grey(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)


def tilted(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return cv2.warpAffine(picture, cv2.getRotationMatrix2D((width / 2, height / 2), 20, 1.0), (width, height))


def brighter(picture: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(picture, alpha=1.0, beta=20)


@pytest.mark.parametrize("change", [smaller, grey, tilted, brighter])
def test_the_same_face_otherwise_taken_shows_much_the_same(
    reader: FaceReader, shared_data: Path, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    pictures = clip(shared_data / "recordings" / "faces" / "single_face.mp4")
    plain, other = (reader(frames(*map(jpeg, part))) for part in (pictures, map(change, pictures)))
    assert plain is not None
    assert other is not None
    assert 0.5 * np.abs(np.exp(plain) - np.exp(other)).sum() < 0.25  # total variation


@pytest.mark.parametrize("picture", [np.zeros((1, 1, 3)), np.zeros((2, 500, 3)), np.full((40, 40), 128)])
def test_small_odd_and_empty_pictures_have_no_face(reader: FaceReader, picture: np.ndarray) -> None:
    broken = [b"", b"no picture", jpeg(np.full((64, 64, 3), 99, np.uint8))[:100]]
    assert reader.describe(frames(jpeg(picture.astype(np.uint8)), *broken)) == (None, 0.0)


def test_faces_cut_out_here_are_read_as_well_as_those_of_the_corpus(reader: FaceReader, shared_data: Path) -> None:
    """FER+ faces, enlarged in a wider picture, found, and cut out anew."""
    found = ferplus.read(shared_data / "ferplus", "dev")
    pixels, labels = found.pixels[:160], found.majority()[:160]
    wide = [cv2.copyMakeBorder(cv2.resize(face, (144, 144)), 56, 56, 56, 56, cv2.BORDER_REPLICATE) for face in pixels]
    answers = [reader(frames(jpeg(picture))) for picture in wide]
    there = np.array([vector is not None for vector in answers])
    assert there.mean() >= 0.7
    again = np.array([np.argmax(vector) for vector in answers if vector is not None]) == labels[there]
    direct = reader.encoder(pixels[there]).argmax(1) == labels[there]
    assert again.mean() >= direct.mean() - 0.08

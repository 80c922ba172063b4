"""Banks of voices and faces for corpora that have none: what the shipped encoders make of held-out clips and pictures.

Held out twice: the encoders learnt from none of these voices and pictures, and those of a training bank are not those
of a dev bank. Voices are parted by people. Who stands in a picture nobody knows; but no picture, nor a near copy of it,
is in both banks or in what the face encoder learnt from. Each clip is heard clean and as a telephone, a room and noise
spoil it, each picture seen clean and blurred, dark and small. What the encoders answered is kept on disk, under the
name of the encoder and the corpus.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from erc_live.live.commands.places import cache_folder
from erc_live.live.errors import ConfigError
from erc_live.live.screen.progress import counting
from erc_live.models.card import PRETRAINED
from erc_live.models.corpora import ferplus, ravdess
from erc_live.models.encoders.face import FaceEncoder
from erc_live.models.encoders.voice import VoiceEncoder
from erc_live.models.errors import CorpusError
from erc_live.models.files import whole
from erc_live.models.training import face_images, sounds
from erc_live.models.training.composition import Bank, Banks
from erc_live.models.training.face_dataset import copied, pictures_alike
from erc_live.models.training.folds import grouped_folds
from erc_live.models.training.voice_folds import UNHEARD
from erc_live.streams.errors import MediaError
from erc_live.streams.media import audio_chunks

ACTORS = {"train": (17, 18), "dev": (19, 20)}  # of RAVDESS; the voice network was trained on 1 to 16
BY_DEV = "who chose the epoch and the temperature of the voice network"  # said on the card of a composed corpus
BY_FOLDS = "as networks of the folds heard them, which did not learn from them"
DARKER = ("blur", "dark", "small")
NOISIER = ("telephone", "noise", "room")
LABELS = {"happiness": "joy", "contempt": "disgust"}  # of FER+, where MELD has another word


@dataclass(frozen=True)
class LabelledVectors:
    """Vectors (N, D) and the label that each shows."""

    vectors: Tensor
    labels: tuple[str, ...]


def banks(options: Sequence[str], labels: tuple[str, ...]) -> tuple[Banks, Banks]:
    """The banks of train and dev, from `ravdess=DIR` and `ferplus=DIR`, for the labels of a corpus.

    Raises:
        ConfigError: an option is neither.
        CorpusError: there are no clips or pictures, or they do not show a label.
        WeightsError: an encoder cannot be read.
    """
    folders = _folders(options)
    found: dict[str, dict[str, Bank]] = {"train": {}, "dev": {}}
    for split, kinds in found.items():
        if "ravdess" in folders:
            shown = voices(folders["ravdess"], split)
            name = f"RAVDESS actors {ACTORS[split]}, {BY_FOLDS if _folds_of_voice() else BY_DEV}"
            kinds["voice"] = Bank.of(name, shown.vectors, shown.labels, labels)
        if "ferplus" in folders:
            shown = faces(folders["ferplus"], split)
            kinds["face"] = Bank.of(f"FER+ dev, half for {split}, without copies", shown.vectors, shown.labels, labels)
    train, dev = (Banks(kinds.get("voice"), kinds.get("face")) for kinds in found.values())
    return train, dev


def _folders(options: Sequence[str]) -> dict[str, Path]:
    pairs = [option.partition("=") for option in options]
    for option, (name, _, folder) in zip(options, pairs, strict=True):
        if name not in ("ravdess", "ferplus") or not folder:
            raise ConfigError(f"--compose {option}: write ravdess=FOLDER or ferplus=FOLDER")
    return {name: Path(folder) for name, _, folder in pairs}


def voices(folder: Path, split: str) -> LabelledVectors:
    """What the shipped voice encoder makes of the clips of two actors."""
    encoder = VoiceEncoder.load(PRETRAINED / "voice")
    clips = [clip for clip in ravdess.clips(folder, "dev") if clip.actor in ACTORS[split]]
    if not clips:
        raise CorpusError(f"{folder}: no clips of RAVDESS by actors {ACTORS[split]}")
    if path := _folds_of_voice():
        return answers_of_folds(path, {clip.path.stem: clip.label for clip in clips})
    files = [(clip.path.name, clip.path.stat().st_size if clip.path.is_file() else 0) for clip in clips]

    def encode_clips() -> LabelledVectors:
        vectors, labels = [], []
        with counting() as shown:
            for clip in shown.track(clips, description=f"voices for {split}"):
                pcm = _read(clip.path)
                for names in ((), *((name,) for name in NOISIER)):
                    vector = torch.from_numpy(encoder(sounds.degrade(pcm, names)))
                    if vector.isfinite().all():
                        vectors.append(vector)
                        labels.append(clip.label)
        return LabelledVectors(torch.stack(vectors), tuple(labels))

    return _cached(("voice", encoder.fingerprint, NOISIER, files), encode_clips)


def _folds_of_voice() -> Path | None:
    """What the folds of the shipped voice network said, if it was trained with folds."""
    path = PRETRAINED / "voice" / UNHEARD
    return path if path.is_file() else None


def answers_of_folds(path: Path, labels: dict[str, str]) -> LabelledVectors:
    """What networks that did not know them said of clips, where the encoder itself has learnt from everybody.

    `labels`: that of each clip, by its name.
    """
    with safe_open(path, "pt") as file:
        rows = {name: row for row, name in enumerate(json.loads(file.metadata()["clips"]))}
        chosen = [rows[name] for name in labels]
        vectors = torch.cat([file.get_tensor(condition)[chosen] for condition in file.keys()])  # noqa: SIM118 - no dict
    every = [*labels.values()] * (len(vectors) // len(chosen))
    said = torch.nonzero(vectors.isfinite().all(1))[:, 0].tolist()
    return LabelledVectors(vectors[said], tuple(every[row] for row in said))


def faces(folder: Path, split: str) -> LabelledVectors:
    """What the shipped face encoder makes of half of the pictures of FER+'s dev split that are not in train, too."""
    encoder = FaceEncoder.load(PRETRAINED / "face")
    found, learnt = ferplus.read(folder, "dev"), ferplus.read(folder, "train")
    content = hashlib.sha256(found.pixels.tobytes() + learnt.pixels.tobytes()).hexdigest()

    def encode_images() -> LabelledVectors:
        rows = half_of(torch.from_numpy(found.pixels), torch.from_numpy(learnt.pixels), split)
        pictures, classes = torch.from_numpy(found.pixels[rows]), found.majority()[rows]
        kept = [LABELS.get(ferplus.CLASSES[c], ferplus.CLASSES[c]) for c in classes]
        views = [face_images.degrade(pictures, names) for names in ((), *((name,) for name in DARKER))]
        with counting() as shown:
            vectors = [encoder(view.numpy()) for view in shown.track(views, description=f"faces for {split}")]
        return LabelledVectors(torch.from_numpy(np.concatenate(vectors)), tuple(kept * len(views)))

    return _cached(("face", encoder.fingerprint, DARKER, content, split), encode_images)


def half_of(images: Tensor, learnt: Tensor, split: str) -> np.ndarray:
    """Places of the images for a split: near copies stay together, and those of `learnt` ones are in neither.

    Shapes: (n, 48, 48) and (m, 48, 48) uint8 -> int64, about half of n
    """
    fresh = torch.nonzero(~copied(images, learnt))[:, 0].numpy()
    halves = np.array(grouped_folds(pictures_alike(images[fresh]), 2))
    places: np.ndarray = fresh[halves == ("train", "dev").index(split)]
    return places


def _cached(what: object, make: Callable[[], LabelledVectors]) -> LabelledVectors:
    """What was made of the same before, or is made now."""
    path = cache_folder() / f"bank-{hashlib.sha256(repr(what).encode()).hexdigest()[:24]}.safetensors"
    if path.is_file():
        try:
            with safe_open(path, "pt") as file:
                return LabelledVectors(file.get_tensor("vectors"), tuple(json.loads(file.metadata()["labels"])))
        except (SafetensorError, KeyError, TypeError, ValueError):
            path.unlink()  # damaged: what is only kept to save time is made again
    made = make()
    with whole(path) as part:
        save_file({"vectors": made.vectors.contiguous()}, part, {"labels": json.dumps(made.labels)})
    return made


def _read(clip: Path) -> np.ndarray:
    try:
        return np.concatenate([chunk.pcm for chunk in audio_chunks(clip, "", 0)])
    except MediaError as error:
        raise CorpusError(f"{error}: mend it, or take the clip out of the index") from error

"""Dialogues of a corpus as tensors, text still as words: what training, evaluation and prediction share.

An audio vector is the prosody followed by the log-probabilities of the voice network, NaN where something was not
measured; a visual vector is the log-probabilities of the faces, and absent where no face was seen. These are the
vectors that live use makes. Speakers become numbers in the order of their first appearance in the dialogue: a model
must not learn who is who.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.corpora.dialogue import PROSODY, Dialogue, Split, Utterance
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.encoders.turns import Turn, turns
from erc_live.models.errors import CorpusError
from erc_live.models.losses import UNLABELLED
from erc_live.models.state import widths
from erc_live.models.training.files import whole

VOICES = 7  # log-probabilities of the voice network, behind the prosody
AUDIO_DIM = len(PROSODY) + VOICES
VISUAL_DIM = 8  # log-probabilities of the faces
TOGETHER = 512  # texts whose vectors are kept in one file

Progress = Callable[[int, int], None]  # done, of all


@dataclass(frozen=True)
class Measured:
    """What was measured in the media of an utterance; None: nothing usable.

    Shapes: prosody (8,) in the order of `PROSODY`, NaN where not measured; voice (7,) and face (8,) log-probabilities.
    """

    prosody: Tensor | None = None
    voice: Tensor | None = None
    face: Tensor | None = None


@dataclass(frozen=True)
class Example:
    """One dialogue: its texts, its utterances (their text of width 0 until it is encoded) and its labels (T,)."""

    name: str
    texts: tuple[str, ...]
    utterances: UtteranceBatch
    labels: Tensor

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.texts)


def examples(
    split: Split, labels: tuple[str, ...], measured: Mapping[tuple[str, int], Measured] | None = None
) -> list[Example]:
    """Dialogues as tensors; labels are indices into `labels`, `UNLABELLED` where there is none.

    The prosody that the corpus brings goes before what was measured. A text without words is missing, as it is live.

    Args:
        split: of a corpus.
        labels: in the order of the classes of the model.
        measured: by name of the dialogue and index of the utterance.

    Raises:
        CorpusError: a label is none of `labels`.
    """
    return [_example(dialogue, split, labels, measured or {}) for dialogue in split.dialogues]


def _example(
    dialogue: Dialogue, split: Split, labels: tuple[str, ...], measured: Mapping[tuple[str, int], Measured]
) -> Example:
    spoken = dialogue.utterances
    for place, utterance in enumerate(spoken):
        if utterance.label is not None and utterance.label not in labels:
            raise CorpusError(
                f"{split.corpus}, {split.name}, dialogue {dialogue.name}, utterance {place}: label "
                f"{utterance.label!r} is none of {', '.join(labels)}: take a model or a corpus of the same labels"
            )
    found = [measured.get((dialogue.name, place), Measured()) for place in range(len(spoken))]
    audio = torch.stack([_audio(utterance, m) for utterance, m in zip(spoken, found, strict=True)])
    visual = torch.stack([torch.full((VISUAL_DIM,), nan) if m.face is None else m.face.float() for m in found])
    order = {name: number for number, name in enumerate(dict.fromkeys(u.speaker for u in spoken))}
    said = torch.tensor([bool(u.text.strip()) for u in spoken])
    utterances = UtteranceBatch(
        text=torch.zeros(len(spoken), 0),
        audio=audio,
        visual=visual,
        speakers=torch.tensor([order[u.speaker] for u in spoken]),
        present=torch.stack((said, audio.isfinite().any(1), visual.isfinite().all(1)), dim=1),
    )
    classes = [UNLABELLED if u.label is None else labels.index(u.label) for u in spoken]
    return Example(dialogue.name, tuple(u.text.strip() for u in spoken), utterances, torch.tensor(classes))


def _audio(utterance: Utterance, measured: Measured) -> Tensor:
    """Prosody and voice as one row. Infinities, as a damaged table may hold, were not measured either."""
    prosody = measured.prosody if utterance.prosody is None else torch.tensor(utterance.prosody)
    parts = (
        torch.full((len(PROSODY),), nan) if prosody is None else prosody.float(),
        torch.full((VOICES,), nan) if measured.voice is None else measured.voice.float(),
    )
    return torch.cat(parts).nan_to_num(nan, nan, nan)


def with_text(batch: Sequence[Example], vectors: Tensor) -> list[Example]:
    """The same dialogues with their text vectors. Shapes: vectors (N, D) of all utterances, one after the other."""
    parts = torch.split(vectors, [len(example) for example in batch])
    return [
        replace(example, utterances=replace(example.utterances, text=part))
        for example, part in zip(batch, parts, strict=True)
    ]


def encoded(
    batch: Sequence[Example], encoder: TextEncoder, cache: Path, progress: Progress = lambda _done, _total: None
) -> list[Example]:
    """The same dialogues with text vectors, which are kept in the folder `cache`: a second run is fast."""
    return with_text(batch, vectors(batch, encoder, cache, progress))


def read_with(batch: Sequence[Example]) -> tuple[list[str], list[tuple[Turn, ...]]]:
    """The texts of all utterances, one after the other, and what was said before each, as the encoder reads them."""
    texts = [text for example in batch for text in example.texts]
    before = [turns(example.utterances.speakers.tolist(), example.texts) for example in batch]
    return texts, [context for dialogue in before for context in dialogue]


def vectors(
    batch: Sequence[Example], encoder: TextEncoder, cache: Path, progress: Progress = lambda _done, _total: None
) -> Tensor:
    """Text vectors (N, D) of all utterances, read from the folder `cache` where this encoder has met these before.

    They are kept some hundred at a time, so whoever is interrupted does not begin anew.
    """
    texts, contexts = read_with(batch)
    found = [torch.empty(0, encoder.dim)]
    for start in range(0, len(texts), TOGETHER):
        part = slice(start, start + TOGETHER)
        found.append(_vectors(texts[part], contexts[part], encoder, cache))
        progress(min(start + TOGETHER, len(texts)), len(texts))
    return torch.cat(found)


def _vectors(texts: Sequence[str], contexts: Sequence[tuple[Turn, ...]], encoder: TextEncoder, cache: Path) -> Tensor:
    content = repr((encoder.fingerprint, list(texts), [[tuple(turn) for turn in context] for context in contexts]))
    key = hashlib.sha256(content.encode()).hexdigest()[:24]
    path = cache / f"text-{key}.safetensors"
    if path.is_file():
        try:
            return load_file(path)["vectors"]
        except (SafetensorError, KeyError):
            path.unlink()  # damaged: what is only kept to save time is made again
    made = encoder.encode(texts, contexts)
    with whole(path) as part:
        save_file({"vectors": made}, part)
    return made


def fitting(dialogues: Sequence[Example], model: Any) -> list[Example]:
    """Dialogues as the model takes them: a modality that it knows nothing of is left out."""
    dims = widths(model.config)
    return [replace(example, utterances=example.utterances.widened(dims)) for example in dialogues]


def collate(batch: Sequence[Example]) -> tuple[DialogueBatch, Tensor]:
    """Side by side. Shapes: -> a batch of B dialogues, labels (B, T) with `UNLABELLED` as padding."""
    labels = pad_sequence([example.labels for example in batch], batch_first=True, padding_value=UNLABELLED)
    return DialogueBatch.pad([example.utterances for example in batch]), labels

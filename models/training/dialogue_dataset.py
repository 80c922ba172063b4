"""Dialogues of a corpus as tensors, text still as words: what training, evaluation and prediction share.

An audio vector is the prosody followed by the log-probabilities of the voice network, NaN where something was not
measured; a visual vector is the log-probabilities of the faces, and absent where no face was seen. These are the
vectors that live use makes; those that a corpus brings take their place, as they are. Speakers become numbers in the
order of their first appearance in the dialogue: a model must not learn who is who.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from erc_live.models.batch import UtteranceBatch
from erc_live.models.card import BROUGHT
from erc_live.models.corpora.dialogue import GENDERS, PROSODY, Dialogue, Split, Utterance
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.encoders.turns import Turn, bare, turns
from erc_live.models.errors import CorpusError
from erc_live.models.losses import UNLABELLED
from erc_live.models.modalities import MODALITIES
from erc_live.models.state import widths
from erc_live.models.training.fold_encoders import FoldEncoders
from erc_live.models.training.text_vectors import Watch, stored

if TYPE_CHECKING:
    from erc_live.models.training.composition import Composition

VOICES = 7  # log-probabilities of the voice network, behind the prosody
AUDIO_DIM = len(PROSODY) + VOICES
VISUAL_DIM = 8  # log-probabilities of the faces
FEW = 200  # labels of dev: fewer choose nothing that holds elsewhere

Progress = Callable[[int, int], None]  # done, of all


TextReader = TextEncoder | FoldEncoders


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
    """One dialogue: its texts, its utterances (their text of width 0 until it is encoded) and its labels (T,). `group`
    is what must not be parted between what teaches and what scores; `genders` (T,) are those of the speakers, indices
    into `GENDERS`, None where the corpus names none; `ratings` (T, 2) are valence and arousal as people rated them, NaN
    where nobody did, None where the dialogue has none.
    """

    name: str
    texts: tuple[str, ...]
    utterances: UtteranceBatch
    labels: Tensor
    group: str = ""
    genders: Tensor | None = None
    ratings: Tensor | None = None

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
    media = [measured.get((dialogue.name, place), Measured()) for place in range(len(spoken))]
    brought = {modality: _brought(spoken, modality, kind.width) for modality, kind in dialogue.features.items()}
    text, audio, visual = (brought.get(modality) for modality in MODALITIES)
    if audio is None:
        audio = torch.stack([_audio(utterance, m) for utterance, m in zip(spoken, media, strict=True)])
    if visual is None:
        visual = torch.stack([torch.full((VISUAL_DIM,), nan) if m.face is None else m.face.float() for m in media])
    order = {name: number for number, name in enumerate(dict.fromkeys(u.speaker for u in spoken))}
    has_words = torch.tensor([bool(u.text.strip()) for u in spoken]) if text is None else text.isfinite().all(1)
    utterances = UtteranceBatch(
        text=torch.zeros(len(spoken), 0) if text is None else text,
        audio=audio,
        visual=visual,
        speakers=torch.tensor([order[u.speaker] for u in spoken]),
        present=torch.stack((has_words, audio.isfinite().any(1), visual.isfinite().all(1)), dim=1),
    )
    classes = [UNLABELLED if u.label is None else labels.index(u.label) for u in spoken]
    genders = [UNLABELLED if u.gender is None else GENDERS.index(u.gender) for u in spoken]
    return Example(
        dialogue.name,
        tuple(u.text.strip() for u in spoken),
        utterances,
        torch.tensor(classes),
        dialogue.group,
        torch.tensor(genders) if any(u.gender for u in spoken) else None,
        _ratings(spoken),
    )


def _ratings(spoken: Sequence[Utterance]) -> Tensor | None:
    rows = [[nan if rating is None else rating for rating in (u.valence, u.arousal)] for u in spoken]
    found = torch.tensor(rows)
    return found if found.isfinite().any() else None


def _audio(utterance: Utterance, measured: Measured) -> Tensor:
    """Prosody and voice as one row. Infinities, as a damaged table may hold, were not measured either."""
    prosody = measured.prosody if utterance.prosody is None else torch.tensor(utterance.prosody)
    parts = (
        torch.full((len(PROSODY),), nan) if prosody is None else prosody.float(),
        torch.full((VOICES,), nan) if measured.voice is None else measured.voice.float(),
    )
    return torch.cat(parts).nan_to_num(nan, nan, nan)


def _brought(spoken: Sequence[Utterance], modality: str, width: int) -> Tensor:
    """The vectors of a modality that the corpus brings, NaN where it has none. Shapes: -> (T, width)"""
    rows = torch.full((len(spoken), width), nan)
    for place, utterance in enumerate(spoken):
        if modality in utterance.vectors:
            rows[place] = torch.frombuffer(utterance.vectors[modality], dtype=torch.float32)
    return rows


def with_text(batch: Sequence[Example], vectors: Tensor) -> list[Example]:
    """The same dialogues with their text vectors. Shapes: vectors (N, D) of all utterances, one after the other."""
    parts = torch.split(vectors, [len(example) for example in batch])
    return [
        replace(example, utterances=replace(example.utterances, text=part))
        for example, part in zip(batch, parts, strict=True)
    ]


def encoded(batch: Sequence[Example], encoder: TextReader, cache: Path, watch: Watch = lambda _: None) -> list[Example]:
    """The same dialogues with text vectors: those that the corpus brought, or else those of the encoder, which are kept
    in the folder `cache`: a second run is fast.
    """
    if _has_vectors(batch):
        return list(batch)
    return with_text(batch, vectors(batch, encoder, cache, watch))


def encoded_twice(
    batch: Sequence[Example], encoder: TextReader, cache: Path, watch: Watch = lambda _: None
) -> tuple[list[Example], list[Tensor]]:
    """Dialogues with their text vectors, and the vectors of their bare texts. Those that a corpus brought are both."""
    if _has_vectors(batch):
        return list(batch), [example.utterances.text for example in batch]
    unmarked = [replace(example, texts=tuple(map(bare, example.texts))) for example in batch]
    plain = vectors(unmarked, encoder, cache, watch)
    return encoded(batch, encoder, cache, watch), list(torch.split(plain, [len(example) for example in batch]))


def _has_vectors(batch: Sequence[Example]) -> bool:
    """Whether the corpus brought text vectors."""
    return all(example.utterances.text.shape[1] for example in batch)


def spoken(example: Example) -> tuple[Turn, ...]:
    """A dialogue as a text encoder reads it."""
    return turns(example.utterances.speakers.tolist(), example.texts)


def vectors(batch: Sequence[Example], encoder: TextReader, cache: Path, watch: Watch = lambda _: None) -> Tensor:
    """Text vectors (N, D) of all utterances, read from the folder `cache` where their encoder has met them before."""
    if isinstance(encoder, TextEncoder):
        return stored([spoken(example) for example in batch], encoder, cache, watch)
    parts: list[Tensor] = [torch.empty(0, encoder.whole.dim)] * len(batch)
    readers = [encoder.of(example.group) for example in batch]
    for reader in dict.fromkeys(readers):
        places = [place for place, one in enumerate(readers) if one is reader]
        found = vectors([batch[place] for place in places], reader, cache, watch)
        for place, rows in zip(places, torch.split(found, [len(batch[place]) for place in places]), strict=True):
            parts[place] = rows
    return torch.cat([torch.empty(0, encoder.whole.dim), *parts])


def encoded_alone(texts: Sequence[str], encoder: TextEncoder, cache: Path, watch: Watch = lambda _: None) -> Tensor:
    """Text vectors (N, D) of sentences before which nothing was said, kept as those of `vectors` are."""
    return stored([(Turn("somebody", text),) for text in texts], encoder, cache, watch)


def fitting(dialogues: Sequence[Example], model: Any) -> list[Example]:
    """Dialogues as the model takes them: a modality that it knows nothing of is left out."""
    dims = widths(model.config)
    return [replace(example, utterances=example.utterances.widened(dims)) for example in dialogues]


@dataclass(frozen=True)
class DialogueDataset:
    """Labelled dialogues of both splits, all of whose labels are in `labels`; `corpora` are their names.

    `encoders` are the fingerprints of what the audio and visual vectors were measured with, and of vectors that the
    corpora brought. `composition` fills in the voices and faces that the corpus lacks.
    """

    corpora: tuple[str, ...]
    labels: tuple[str, ...]
    train: Sequence[Example]
    dev: Sequence[Example]
    encoders: Mapping[str, str]
    composition: "Composition | None" = None

    def check(self) -> list[str]:
        """What makes a poor corpus, in words. Raises CorpusError when nothing at all can be learnt from it."""
        notes = []
        for name, split in (("train", self.train), ("dev", self.dev)):
            counts = label_counts(split, len(self.labels))
            if not counts.any():
                raise CorpusError(f"{' and '.join(self.corpora)}: no utterance of {name} has a label")
            empty = [label for label, count in zip(self.labels, counts.tolist(), strict=True) if not count]
            if empty:
                notes.append(f"no utterance of {name} is labelled {', '.join(empty)}")
            if name == "dev" and counts.sum() < FEW:
                notes.append(
                    f"labelled utterances of dev: {int(counts.sum())}; epoch, seed, temperature and threshold are "
                    f"chosen on them, and fewer than {FEW} say little"
                )
            if len(split) == 1:
                notes.append(f"{name} is a single dialogue: its scores say little")
        return notes + ([] if self.composition is None else self.composition.shortcomings())

    def digest(self) -> str:
        """Names what is learnt from: 16 hex digits."""
        digest = hashlib.sha256(
            repr((self.labels, dict(self.encoders), self.composition and self.composition.for_card())).encode()
        )
        for example in (*self.train, *self.dev):
            more = [rows.tolist() for rows in (example.genders, example.ratings) if rows is not None]
            digest.update(repr((example.name, example.texts, example.labels.tolist(), *more)).encode())
            for vectors in example.utterances.vectors():
                digest.update(vectors.numpy().tobytes())
        return digest.hexdigest()[:16]

    def brought(self) -> tuple[str, ...]:
        """The modalities whose vectors the corpora brought."""
        return tuple(name for name, encoder in self.encoders.items() if encoder.startswith(BROUGHT))

    def only(self, modalities: Sequence[str]) -> "DialogueDataset":
        """The same without the other modalities. Raises CorpusError when none of these is in the corpus."""
        composition = self.composition and self.composition.only(modalities)
        fewer = replace(
            self, train=only(self.train, modalities), dev=only(self.dev, modalities), composition=composition
        )
        if not fewer.modalities():
            raise CorpusError(f"{' and '.join(self.corpora)}: no utterance of train has {' or '.join(modalities)}")
        return fewer

    def modalities(self) -> tuple[str, ...]:
        """The modalities that train has, composed ones included."""
        return modalities_of(self._composed_train())

    def encoded(
        self, encoder: TextReader, cache: Path, watch: Watch = lambda _: None, unmarked: bool = True
    ) -> "EncodedDialogues":
        """With the text vectors of an encoder that stays as it is, kept in the folder `cache`; those of train also as
        if they were written without marks, if that is wanted: it takes as long again.
        """
        if unmarked:
            train, bare_vectors = encoded_twice(self.train, encoder, cache, watch)
        else:
            train = encoded(self.train, encoder, cache, watch)
            bare_vectors = [example.utterances.text for example in train]
        return self.ready(train, bare_vectors, encoded(self.dev, encoder, cache, watch))

    def ready(
        self, train: Sequence[Example], bare_vectors: Sequence[Tensor] | None, dev: Sequence[Example]
    ) -> "EncodedDialogues":
        """With these text vectors, or with none yet."""
        composed = self._composed_train()
        return EncodedDialogues(
            labels=self.labels,
            modalities=modalities_of(composed),
            counts=label_counts(self.train, len(self.labels)),
            audio=torch.cat([example.utterances.audio for example in composed]),
            train=train,
            bare=bare_vectors,
            dev=[*dev, *([] if self.composition is None else self.composition.dev(dev))],
            composition=self.composition,
        )

    def _composed_train(self) -> list[Example]:
        """Train with voices and faces composed once."""
        if self.composition is None:
            return list(self.train)
        return self.composition.train(self.train, torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class EncodedDialogues:
    """What one network learns from and is scored on: dev as it is and, if there is a composition, once more with that.

    `bare` are the text vectors of train without punctuation, one row for each utterance; None where texts are encoded
    anew in each step, because their encoder is tuned. `counts` (C,) says how often each label occurs in train; `audio`
    (N, D) are all its audio vectors, composed once.
    """

    labels: tuple[str, ...]
    modalities: tuple[str, ...]
    counts: Tensor
    audio: Tensor
    train: Sequence[Example]
    bare: Sequence[Tensor] | None
    dev: Sequence[Example]
    composition: "Composition | None"


def only(dialogues: Sequence[Example], modalities: Sequence[str]) -> list[Example]:
    """The same dialogues with no other modality than these names of `MODALITIES`."""
    allowed = torch.tensor([name in modalities for name in MODALITIES])
    return [
        replace(example, utterances=replace(example.utterances, present=example.utterances.present & allowed))
        for example in dialogues
    ]


def modalities_of(dialogues: Sequence[Example]) -> tuple[str, ...]:
    """The modalities that any utterance has."""
    present = torch.stack([example.utterances.present.any(0) for example in dialogues]).any(0).tolist()
    return tuple(name for name, there in zip(MODALITIES, present, strict=True) if there)


def label_counts(dialogues: Sequence[Example], classes: int) -> Tensor:
    """How often each label occurs. Shapes: -> (classes,) int64"""
    labels = torch.cat([example.labels for example in dialogues])
    return torch.bincount(labels[labels >= 0], minlength=classes)

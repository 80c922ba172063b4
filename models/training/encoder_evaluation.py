"""What encoders of voices and faces are worth on labelled clips and pictures, also as live use would spoil them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from erc_live.models.encoders.face import FACE_LABELS, FaceEncoder
from erc_live.models.encoders.voice import VOICE_LABELS, VoiceEncoder
from erc_live.models.errors import CorpusError
from erc_live.models.training import face_images, sounds
from erc_live.models.training.calibration import calibration_error
from erc_live.models.training.face_dataset import FaceDataset
from erc_live.models.training.metrics import accuracy, confusion, macro_f1, recall_per_class, uar
from erc_live.models.training.voice_dataset import VoiceClip, classes_of


@dataclass(frozen=True)
class VoiceScores:
    """What the network reached on `clips`; `unusable` of them gave no answer, which counts as a wrong one (neutral, or
    surprise where neutral is right). `recall` has the labels that occur; `confusion` a row per label, a column per
    answer.
    """

    clips: int
    unusable: int
    uar: float
    accuracy: float
    recall: dict[str, float]
    calibration_error: float
    confusion: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, log_probs: Tensor, labels: Tensor) -> "VoiceScores":
        """Shapes: log_probs (n, 7), NaN where there is no answer; labels (n,), n > 0."""
        answered = log_probs.isfinite().all(1)
        answers = torch.where(answered, log_probs.nan_to_num(-math.inf).argmax(1), (labels == 0).long())
        counts = confusion(labels, answers, len(VOICE_LABELS))
        recalls = zip(VOICE_LABELS, recall_per_class(counts).tolist(), counts.sum(1).tolist(), strict=True)
        return cls(
            clips=len(labels),
            unusable=int((~answered).sum()),
            uar=uar(counts),
            accuracy=accuracy(counts),
            recall={label: recall for label, recall, support in recalls if support},
            calibration_error=calibration_error(log_probs[answered].double().exp(), labels[answered])
            if answered.any()
            else 0.0,
            confusion=tuple(tuple(row) for row in counts.tolist()),
        )


@dataclass(frozen=True)
class FaceScores:
    """What the network reached.

    `accuracy` is over all `faces`. `clear_accuracy` is over the `clear_faces`, on whose label more than half of the
    votes agree once single votes are dropped, the rule by which results on FER+ are published; None without any.
    `votes_nll` is the cross-entropy to the votes, in nats. `recall` has the labels that occur; `confusion` a row per
    label, a column per answer.
    """

    faces: int
    accuracy: float
    clear_faces: int
    clear_accuracy: float | None
    uar: float
    macro_f1: float
    recall: dict[str, float]
    calibration_error: float
    votes_nll: float
    confusion: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, logits: Tensor, faces: FaceDataset) -> "FaceScores":
        """Shapes: logits (n, 8) of the n faces, n > 0."""
        answers, n = logits.argmax(1), len(FACE_LABELS)
        counts = confusion(faces.labels, answers, n)
        right = (answers == faces.labels)[faces.clear]
        recalls = zip(FACE_LABELS, recall_per_class(counts).tolist(), counts.sum(1).tolist(), strict=True)
        return cls(
            faces=len(answers),
            accuracy=accuracy(counts),
            clear_faces=len(right),
            clear_accuracy=float(right.float().mean()) if len(right) else None,
            uar=uar(counts),
            macro_f1=macro_f1(counts),
            recall={label: recall for label, recall, support in recalls if support},
            calibration_error=calibration_error(logits.double().softmax(1), faces.labels),
            votes_nll=float(F.cross_entropy(logits, faces.shares)),
            confusion=tuple(tuple(row) for row in counts.tolist()),
        )


def voice_vectors(encoder: VoiceEncoder, clips: Sequence[VoiceClip], names: Sequence[str] = ()) -> Tensor:
    """What the encoder makes of clips, as they are or spoilt in the given ways one after the other.

    Shapes: N clips -> (N, 7) float32 log-probabilities, NaN where nothing is usable.
    """
    return torch.from_numpy(encoder.encode([sounds.degrade(clip.pcm, names) for clip in clips]))


def evaluate_voice(encoder: VoiceEncoder, clips: Sequence[VoiceClip], names: Sequence[str] = ()) -> VoiceScores:
    """Score clips, as they are or spoilt in the given ways one after the other. Raises CorpusError without any."""
    if not clips:
        raise CorpusError("there are no clips to score")
    return VoiceScores.of(voice_vectors(encoder, clips, names), classes_of(clips))


def evaluate_face(encoder: FaceEncoder, faces: FaceDataset, names: tuple[str, ...] = ()) -> FaceScores:
    """Score faces as they are, or spoilt in the given ways one after the other. Raises CorpusError without any."""
    if not len(faces.labels):
        raise CorpusError("there are no faces to score")
    return FaceScores.of(encoder.logits(face_images.degrade(faces.pictures, names)), faces)

"""The model card beside the weights: what the model is, and which files belong to it.

It can be read without loading a network: whoever needs only the text encoder does not load torch-geometric.
"""

import json
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from erc_live.models.errors import WeightsError
from erc_live.models.modalities import MODALITIES
from erc_live.models.weights import sha256

PRETRAINED = Path(__file__).parent / "pretrained"
FORMAT = "erc.model/2"
OLDER = ("erc.model/1",)
WEIGHTS, CARD = "model.safetensors", "card.json"
BROUGHT = "brought by the corpus: "  # begins what stands for the encoder of vectors that no encoder here makes
SHIPPED = ("default", "large")  # names of weights that come with the installation
ENCODERS = ("text", "voice", "face")  # names of folders: of the shipped encoders, and of those that a model brings


@dataclass(frozen=True)
class Confidence:
    """How far answers may be believed that rest on some modalities: their logits are divided by `temperature`, and
    under a highest probability of `abstain_below` an answer should be shown as uncertain (0: never).
    """

    temperature: float = 1.0
    abstain_below: float = 0.0


@dataclass(frozen=True)
class Card:
    """What a model is.

    `network` and `config` build it; `labels` are its classes in order. `encoders` maps each modality that it uses (of
    `MODALITIES`) to the fingerprint of the encoder whose vectors it was trained on. `scores` is what it reached,
    `training` where it comes from (data, command, seeds). Its probabilities are calibrated; under a highest probability
    of `abstain_below` its answer should be shown as uncertain (0: never). `by_modalities` refines both for utterances
    of which just these modalities are there, by their initials ("ta": text and audio); {} on cards of older versions.
    So many `members`, networks of these sizes, answer together.
    """

    network: str
    config: Mapping[str, Any]
    labels: tuple[str, ...]
    encoders: Mapping[str, str]
    scores: Mapping[str, Any]
    training: Mapping[str, Any]
    abstain_below: float = 0.0
    by_modalities: Mapping[str, Confidence] = field(default_factory=dict)
    members: int = 1

    def confidence(self, modalities: Container[str]) -> Confidence:
        """How far answers may be believed that rest on just these of `MODALITIES`."""
        there = "".join(name[0] for name in MODALITIES if name in modalities)
        return self.by_modalities.get(there) or Confidence(abstain_below=self.abstain_below)

    def learnt(self, corpus: str, split: str) -> bool:
        """Whether the weights have learnt from a split; those that were scored in folds learnt from train and dev."""
        return corpus in self.training.get("corpora", ()) and (
            split == "train" or (split == "dev" and "folds" in self.scores)
        )

    def check_encoders(self, encoders: Mapping[Any, str]) -> None:
        """Refuse vectors of other encoders than those of the training; a modality without an encoder is missing.

        Args:
            encoders: modality -> fingerprint, of what makes the vectors.

        Raises:
            WeightsError: a fingerprint is not the one on the card.
        """
        for modality, expected in self.encoders.items():
            given = encoders.get(modality, expected)
            if given != expected and expected.startswith(BROUGHT):
                raise WeightsError(
                    f"the model learnt from {modality} vectors {expected}: no encoder here makes them, so no session "
                    "can use it; `erc-live evaluate` and `erc-live predict` can, on a corpus that brings them"
                )
            if given != expected:
                raise WeightsError(
                    f"the model expects {modality} vectors of encoder {expected}, these are of {given}: "
                    "load the encoder that belongs to this model, or train a model for that encoder"
                )


@dataclass(frozen=True)
class Described:
    """A folder of weights whose files are those that its card describes."""

    folder: Path
    card: Card
    hashes: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """Of the weights."""
        return self.hashes[WEIGHTS][:12]

    def encoder_folder(self, name: str) -> Path:
        """The folder of an encoder (of `ENCODERS`) that belongs to the weights: their own, or else the shipped one."""
        own = any(file.startswith(f"{name}/") for file in self.hashes)
        return (self.folder if own else PRETRAINED) / name


def read(name: str) -> Described:
    """Read a card and compare its files: the name of shipped weights (of `SHIPPED`) or the path of a folder.

    Raises:
        WeightsError: it is not there, or a file differs from its card.
    """
    folder = PRETRAINED / name if (PRETRAINED / name / CARD).is_file() else Path(name)
    if not (folder / CARD).is_file():
        raise WeightsError(
            f"no {CARD} in {folder}: give the name of shipped weights ({', '.join(SHIPPED)}) or the folder of a run"
        )
    card, hashes = _parse(folder / CARD)
    for file, expected in hashes.items():
        if not (folder / file).is_file() or sha256(folder / file) != expected:
            raise WeightsError(f"{folder / file} is not the file that {CARD} describes: copy the folder again")
    return Described(folder, card, hashes)


def write(folder: Path, card: Card) -> None:
    """Write the card of the files that lie in `folder`, those of its own encoders included."""
    from erc_live.models.files import whole  # here: who only reads a card loads no library of tensors

    own = [path for name in ENCODERS for path in sorted((folder / name).glob("*"))]
    files = [folder / WEIGHTS, *(path for path in own if path.is_file())]
    hashes = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    content = {"format": FORMAT, **asdict(card), "sha256": hashes}
    with whole(folder / CARD) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _parse(path: Path) -> tuple[Card, Mapping[str, str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("format") in OLDER:
            raise WeightsError(f"{path} is of an older version of erc-live: train the model again with: erc-live train")
        hashes = content.pop("sha256")
        if content.pop("format") != FORMAT or WEIGHTS not in hashes:
            raise ValueError(f"not of format {FORMAT}")
        content["by_modalities"] = {k: Confidence(**one) for k, one in content.get("by_modalities", {}).items()}
        card = Card(**{**content, "labels": tuple(content["labels"])})
        _check(card)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is no model card of this version ({error}): copy the folder again") from error
    return card, hashes


def _check(card: Card) -> None:
    if not card.labels or len(set(card.labels)) < len(card.labels):
        raise ValueError(f"labels {', '.join(map(str, card.labels))}: each class needs one of its own")
    if type(card.members) is not int or card.members < 1:
        raise ValueError(f"{card.members!r} members: there must be 1 or more")
    if unknown := set(card.encoders) - set(MODALITIES):
        raise ValueError(f"encoders of {', '.join(sorted(unknown))}: there are only {', '.join(MODALITIES)}")
    for one in (Confidence(abstain_below=card.abstain_below), *card.by_modalities.values()):
        if not 0.0 <= one.abstain_below <= 1.0:
            raise ValueError(f"abstain_below {one.abstain_below} is no probability")
        if not 0.0 < one.temperature < inf:
            raise ValueError(f"temperature {one.temperature} is none: it must be above 0")

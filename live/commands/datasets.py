"""From the folders that a person names to what networks learn from and are scored on: corpora read, media measured.

The rule of this file: nothing heavy is loaded for a corpus without media.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from erc_live.live import config as configuration
from erc_live.live.commands.places import cache_folder
from erc_live.live.errors import ConfigError
from erc_live.live.extraction.features import measure, open_instruments
from erc_live.live.screen.console import err
from erc_live.live.screen.progress import counting
from erc_live.live.vision.expression import vector_fingerprint
from erc_live.models import card as cards
from erc_live.models.card import PRETRAINED
from erc_live.models.corpora import is_alone, read
from erc_live.models.corpora.dialogue import FeatureKind, Split
from erc_live.models.encoders.audio import ProsodyEncoder
from erc_live.models.encoders.audio_vector import audio_fingerprint
from erc_live.models.encoders.face import FaceEncoder
from erc_live.models.encoders.voice import VoiceEncoder
from erc_live.models.errors import CorpusError
from erc_live.models.training.composition import composition
from erc_live.models.training.dialogue_dataset import DialogueDataset, Example, examples


def dialogue_dataset(
    corpora: Sequence[Path], start: str | None, compose: Sequence[str], processes: int
) -> DialogueDataset:
    """What a run learns from: the train splits of all corpora, the dev split of the first.

    Args:
        corpora: folders or files; all of them with the same labels.
        start: weights to go on from, whose order of the labels is taken; None: that of the first corpus.
        compose: `ravdess=DIR`, `ferplus=DIR`, where voices and faces come from.
        processes: how many measure media side by side.

    Raises:
        ConfigError: labels or the vectors that they bring differ, or `compose` is not as above.
        CorpusError: a corpus cannot be read, or does not lend itself to it.
        WeightsError: start weights or encoders cannot be read.
    """
    if alone := [path for path in corpora if is_alone(path)]:
        raise CorpusError(
            f"{alone[0]} would choose the epoch on what it is trained on: put it into a folder as train.jsonl, and a "
            "tenth of its dialogues is dev; give the folder"
        )
    splits = [read(path, "train") for path in corpora]
    dev = read(corpora[0], "dev")
    own = tuple(dict.fromkeys((*splits[0].labels, *dev.labels)))
    labels = own if start is None else cards.read(start).card.labels
    features = _features([*splits, dev], compose)
    for split in (*splits, dev):
        if other := set(split.labels) - set(labels):
            raise ConfigError(
                f"{split.corpus}, {split.name}: {', '.join(sorted(other))} is none of the labels {', '.join(labels)}: "
                "rename with `erc-live corpus convert --map`"
            )
    parts = [measured(split, labels, processes=processes) for split in splits]
    train = [example for part in parts for example in part]
    judged = measured(dev, labels, processes=processes)
    composed = None
    if compose:
        from erc_live.live.commands.banks import banks

        composed = composition(train, judged, banks(compose, labels), len(labels))
    plain = DialogueDataset(tuple(split.corpus for split in splits), labels, train, judged, {}, composed)
    return replace(plain, encoders=fingerprints(plain.modalities(), features))


def _features(splits: Sequence[Split], compose: Sequence[str]) -> Mapping[str, FeatureKind]:
    """The vectors that all of them bring.

    Raises:
        ConfigError: they differ, or voices or faces are to be composed beside them.
        CorpusError: the dialogues of a split differ.
    """
    features = splits[0].features
    if other := [split for split in splits if split.features != features]:
        raise ConfigError(
            f"{other[0].corpus}, {other[0].name}: it does not bring the same vectors as {splits[0].corpus}, "
            f"{splits[0].name}: corpora that are learnt from together must"
        )
    if features and compose:
        raise ConfigError(f"--compose: {splits[0].corpus} brings vectors of its own, and none can be put beside them")
    return features


def text_folder(encoder: Path | None, start: str | None) -> Path:
    """Where the text encoder to begin with lies: the one that was named, that of the start weights, the shipped one."""
    if encoder is not None:
        return encoder
    return PRETRAINED / "text" if start is None else cards.read(start).encoder_folder("text")


def measured(
    split: Split, labels: tuple[str, ...], voice: Path | None = None, face: Path | None = None, processes: int = 1
) -> list[Example]:
    """The dialogues of a split with all that its media say, with a bar; text still as words.

    Broken media are named on standard error; their utterances lack the modality. Where the corpus brings the vectors of
    both, nothing is measured.

    Args:
        split: of a corpus.
        labels: in the order of the classes of the model.
        voice: folder of the voice encoder; None: the shipped one.
        face: folder of the face encoder; None: the shipped one.
        processes: how many work side by side.

    Raises:
        CorpusError: a label is none of `labels`.
        WeightsError: there are media, and an encoder cannot be read.
    """
    if {"audio", "visual"} <= split.features.keys():
        return examples(split, labels)
    opening = partial(open_instruments, voice or PRETRAINED / "voice", face or PRETRAINED / "face")
    with counting() as shown:
        task = shown.add_task(f"measuring {split.name}", total=None, visible=False)

        def show(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total, visible=True)

        found = measure(split, opening, cache_folder(), processes, show)
    if found.broken:
        err.print(f"warning: {found.complaint()}", style="yellow", markup=False, soft_wrap=True)
    return examples(split, labels, found.measured)


def media_modalities(split: Split) -> tuple[str, ...]:
    """The modalities that are measured of the media of a split: none of those whose vectors it brings."""
    there = {
        "audio": any(u.audio for dialogue in split.dialogues for u in dialogue.utterances),
        "visual": any(u.video for dialogue in split.dialogues for u in dialogue.utterances),
    }
    return tuple(name for name, found in there.items() if found and name not in split.features)


def fingerprints(
    modalities: Collection[str],
    features: Mapping[str, FeatureKind],
    voice: Path = PRETRAINED / "voice",
    face: Path = PRETRAINED / "face",
) -> dict[str, str]:
    """What makes the audio and visual vectors here, of the modalities that are there: the encoders of these folders, by
    the rule of `visual.faces`; of vectors that the corpus brings, their names.
    """
    found = {modality: kind.fingerprint for modality, kind in features.items() if modality in modalities}
    if "audio" in modalities and "audio" not in found:
        found["audio"] = audio_fingerprint(ProsodyEncoder().fingerprint, VoiceEncoder.load(voice).fingerprint)
    if "visual" in modalities and "visual" not in found:
        faces = configuration.load().config.visual.faces  # which the instruments measured by
        found["visual"] = vector_fingerprint(FaceEncoder.load(face), faces)
    return found

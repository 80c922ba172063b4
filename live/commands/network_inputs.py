"""What some weights read of a corpus: its media measured, its words encoded, all by the encoders that belong to them.

The rule of this file: the encoder of words is opened once, however often it is asked; of a long file `erc-live predict`
asks for some dialogues at a time.
"""

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

from rich.progress import Progress, TaskID
from torch import Tensor

from erc_live.live.commands.datasets import dialogue_dataset, fingerprints, measured, media_modalities
from erc_live.live.commands.places import cache_folder
from erc_live.live.screen.progress import counting
from erc_live.models import card as cards
from erc_live.models.card import BROUGHT
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.corpora.dialogue import Split
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.training.dialogue_dataset import Example, encoded, encoded_alone, fitting
from erc_live.models.training.text_vectors import TextsEncoded


class NetworkInputs:
    """Of the weights `loaded` that are called `name`; media are measured by so many `processes`."""

    def __init__(self, name: str, loaded: Checkpoint, processes: int = 1) -> None:
        self._name, self._loaded, self._processes = name, loaded, processes
        self._described = cards.read(name)

    def of(self, split: Split) -> list[Example]:
        """The dialogues of a split; what the weights do not know is left out.

        Raises:
            CorpusError: a label is none of the weights', or not all dialogues bring the same vectors.
            WeightsError: an encoder cannot be read, or is not the one that the weights were trained with; or faces are
                looked at otherwise here (`visual.faces`) than they were then.
        """
        needed = [name for name, encoder in self._loaded.card.encoders.items() if encoder.startswith(BROUGHT)]
        features = split.checked().features
        voice, face = (self._described.encoder_folder(name) for name in ("voice", "face"))
        given = fingerprints((*features, *media_modalities(split)), features, voice, face)  # before hours of measuring
        self._loaded.check_encoders({**dict.fromkeys(needed, "an encoder here"), **given})
        return self._encoded(measured(split, self._loaded.card.labels, voice, face, self._processes))

    def composed(self, corpus: Path, compose: Sequence[str]) -> list[Example]:
        """Dev with the voices and faces of other corpora, as `erc-live train --compose` composes it."""
        found = dialogue_dataset([corpus], self._name, compose, self._processes)
        assert found.composition is not None
        self._loaded.check_encoders(found.encoders)
        return self._encoded(found.composition.dev(found.dev))

    def alone(self, texts: Sequence[str]) -> Tensor:
        """The text vectors of sentences before which nothing was said. Shapes: -> (n, dim)"""
        with counting() as bars:
            watch = partial(_show, bars, bars.add_task("encoding sentences"))
            return encoded_alone(texts, self._text, cache_folder(), watch)

    @cached_property
    def _text(self) -> TextEncoder:
        text = TextEncoder.load(self._described.encoder_folder("text"))
        if not self._loaded.card.encoders.get("text", "").startswith(BROUGHT):
            self._loaded.check_encoders({"text": text.fingerprint})
        return text

    def _encoded(self, dialogues: list[Example]) -> list[Example]:
        with counting() as bars:
            watch = partial(_show, bars, bars.add_task("encoding texts"))
            return fitting(encoded(dialogues, self._text, cache_folder(), watch), self._loaded.model)


def _show(bars: Progress, task: TaskID, report: TextsEncoded) -> None:
    bars.update(task, completed=report.done, total=report.total)

"""The task of a dialogue network: whole dialogues in batches, the objective of the network, weighted F1 on dev.

If the text encoder before it is tuned, the two are one module. The encoder then runs in bfloat16 where that is
faster (`precision.py`), which costs it nothing that can be measured on dev; the graph, which is small and adds up many
terms, in float32.

Rare labels are favoured by tau log p(label) on the logits while they learn (Menon et al. 2021), and not by weights of
the loss: fear and disgust rise from nothing, weighted F1 rises with them, and after scaling probabilities are
probabilities still.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from erc_live.models import checkpoint
from erc_live.models.batch import DialogueBatch
from erc_live.models.blocks.heads import parted, shift_logits
from erc_live.models.dimensions import learnt_dimensions
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.ensemble import members_of
from erc_live.models.errors import CorpusError, WeightsError
from erc_live.models.losses import UNLABELLED
from erc_live.models.modalities import MODALITIES
from erc_live.models.networks import NETWORKS, Network
from erc_live.models.networks.dialogue_graph import DialogueGraph
from erc_live.models.state import widths
from erc_live.models.training.augment import augmented
from erc_live.models.training.class_statistics import from_train
from erc_live.models.training.dialogue_dataset import (
    EncodedDialogues,
    Example,
    spoken,
    with_text,
)
from erc_live.models.training.graph_config import TrainConfig
from erc_live.models.training.metrics import confusion, weighted_f1
from erc_live.models.training.precision import autocast
from erc_live.models.training.ratings import padded_ratings

LAST, NORM = "head.1.weight", "norm.weight"  # of a dialogue graph: (classes, width + text_dim), (width,)


class JointNetwork(nn.Module):
    """A network by its name in the registry; `encoder` is given if it is tuned, else texts are vectors already."""

    def __init__(self, name: str, sizes: dict[str, Any], encoder: TextEncoder | None) -> None:
        super().__init__()
        self.model = build(name, sizes)
        self.text: nn.Module | None = encoder.network if encoder else None
        self._encoder = encoder

    def inputs(self, batch: Sequence[Example]) -> tuple[DialogueBatch, Tensor]:
        """What the network is given, and the labels (B, T)."""
        device = next(self.model.parameters()).device
        if self._encoder is not None:
            with autocast(device):
                vectors = torch.cat(self._encoder.embed([spoken(example) for example in batch]))
            batch = with_text(batch, vectors)
        dialogues, labels = collate(batch, widths(self.model.config))
        return DialogueBatch(*(value.to(device) for value in vars(dialogues).values())), labels.to(device)


class GraphTask:
    """As `trainer.Task`; a batch is some dialogues. The offsets are in the biases of `network` already."""

    def __init__(self, network: JointNetwork, data: EncodedDialogues, config: TrainConfig) -> None:
        self.network: nn.Module = network
        self.groups = _groups(network, config)
        self._data, self._config, self._offsets = data, config, offsets(data, config)
        self._objective: Any = NETWORKS[config.network].objective

    def batches(self, epoch: int, generator: Generator) -> list[list[Example]]:
        """One epoch of train, composed and disturbed anew, in random order."""
        data, config = self._data, self._config
        dialogues = data.train if data.composition is None else data.composition.train(data.train, generator)
        dialogues = augmented(dialogues, data.bare, config.disturbance, generator)
        order = torch.randperm(len(dialogues), generator=generator).tolist()
        return list(by_utterances([dialogues[place] for place in order], config.batch_utterances))

    def loss(self, network: JointNetwork, batch: Sequence[Example], generator: Generator) -> Tensor:
        """That of the network's paper."""
        dialogues, labels = network.inputs(batch)
        sizes, told = network.model.config, list[Tensor]()
        if getattr(sizes, "genders", 0):
            told = [genders_of(batch).to(labels.device)]
        elif learnt_dimensions(sizes):
            told = [padded_ratings(batch).to(labels.device)]
        loss: Tensor = self._objective(network.model, dialogues, labels, *told)
        return loss

    def score(self, network: JointNetwork) -> dict[str, float]:
        """Without the offsets under which it learns."""
        model = copy.deepcopy(network.model)
        shift_logits(model, -self._offsets.to(next(model.parameters()).device))
        classes: int = model.config.classes
        counts = torch.zeros(classes, classes, dtype=torch.int64)
        for batch in by_utterances(self._data.dev, self._config.batch_utterances):
            dialogues, labels = network.inputs(batch)
            known = labels >= 0
            logits, _ = parted(model(dialogues)[known], model.config)
            counts += confusion(labels[known], logits.argmax(-1), classes).cpu()
        return {"W-F1": weighted_f1(counts)}


def genders_of(batch: Sequence[Example]) -> Tensor:
    """Those of the speakers. Shapes: -> (B, T), `UNLABELLED` where they are not known and as padding."""
    rows = [torch.full_like(one.labels, UNLABELLED) if one.genders is None else one.genders for one in batch]
    return pad_sequence(rows, batch_first=True, padding_value=UNLABELLED)


def new_network(data: EncodedDialogues, text: TextEncoder, config: TrainConfig) -> JointNetwork:
    """A network for some data, its scales those of the data, its weights those of `start` where these fit. A modality
    that train lacks is of width 0, for nothing can be learnt about it. Where the text encoder has been tuned on these
    labels, its answer is what a dialogue graph begins with.
    """
    text_dim, audio_dim, visual_dim = (vectors.shape[1] for vectors in data.train[0].utterances.vectors())
    widths_there = dict(zip(MODALITIES, (text_dim or text.dim, audio_dim, visual_dim), strict=True))
    dims = {f"{name}_dim": width if name in data.modalities else 0 for name, width in widths_there.items()}
    weigh = config.published is not None and config.published.weigh
    learnt = from_train(config.network, data, weigh=weigh)
    sizes = {"classes": len(data.labels), **dims, **learnt, **config.sizes}
    if sizes.get("genders") and all(example.genders is None for example in data.train):
        raise CorpusError("--size genders: the corpus names no gender of its speakers: leave it out, or add them")
    network = JointNetwork(config.network, sizes, text if config.tune_text else None)
    model = network.model
    if config.start is not None:
        _begin_from(model, checkpoint.load(config.start), data.labels, config)
    elif isinstance(model, DialogueGraph) and dims["text_dim"] and text.head and text.head.labels == data.labels:
        model.begin_with(text.head.weight, text.head.bias, still=not config.tune_text)
    model.fusion.scale.fit(data.audio[:, : model.config.audio_dim])
    shift_logits(model, offsets(data, config))
    return network


def offsets(data: EncodedDialogues, config: TrainConfig) -> Tensor:
    """Log frequencies of the labels, `balance` times (C,): with them on its logits while it learns, a network needs not
    learn them, and without them it favours rare labels (Menon et al. 2021, "Long-tail learning via logit adjustment").
    """
    counts = data.counts.clamp(min=1).float()
    return config.balance * (counts / counts.sum()).log()


def _groups(network: JointNetwork, config: TrainConfig) -> list[dict[str, Any]]:
    """Biases, norms and single vectors are not pulled to 0, nor is a weight that is to stand still in part. The head of
    valence and arousal learns apart, so that it cannot take the labels anything.
    """
    parts: list[tuple[nn.Module, float]] = [(network.model, config.rate)]
    if network.text is not None:
        parts.append((network.text, config.text_rate))
    still = getattr(network.model, "still_weight", None)
    head = getattr(network.model, "dimensions", None)
    apart = [] if head is None else list(head.parameters())
    groups = [
        {"params": chosen, "lr": rate, "weight_decay": decay}
        for part, rate in parts
        for decays, decay in ((True, config.weight_decay), (False, 0.0))
        if (chosen := [p for p in part.parameters() if not _among(p, apart) and _decays(p, still) == decays])
    ]
    if apart:
        groups.append({"params": apart, "lr": config.rate, "weight_decay": config.weight_decay, "apart": True})
    return groups


def _decays(parameter: Tensor, still: Tensor | None) -> bool:
    return parameter.ndim > 1 and parameter is not still


def _among(parameter: Tensor, several: Sequence[Tensor]) -> bool:
    return any(parameter is one for one in several)


def build(name: str, sizes: dict[str, Any]) -> Any:
    """A new network of the registry. Raises WeightsError when there is none of the name, or none of such sizes."""
    network = _named(name)
    try:
        return network.model(network.config(**sizes))
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{name} cannot have these sizes: {error}") from error


def sizes_of(name: str) -> dict[str, Any]:
    """The sizes that a network has where nobody asks for others. Raises WeightsError when there is none of the name."""
    return asdict(_named(name).config())


def _named(name: str) -> Network:
    if name not in NETWORKS:
        raise WeightsError(f"no network is called {name!r}: choose from {', '.join(NETWORKS)}")
    return NETWORKS[name]


def _begin_from(model: Any, start: checkpoint.Checkpoint, labels: tuple[str, ...], config: TrainConfig) -> None:
    """Take over what a run has learnt. A modality that it did not have is learnt from the beginning, as are dimensions
    of which it did not learn the same.
    """
    if (start.card.network, start.card.labels) != (config.network, labels):
        raise WeightsError(
            f"{config.start} is a {start.card.network} for {', '.join(start.card.labels)}, this run a {config.network} "
            f"for {', '.join(labels)}: they must be the same"
        )
    own = model.state_dict()
    first, *_ = members_of(start.model)
    theirs = _with_words(first.state_dict(), own, model)
    strange = [name for name, value in own.items() if name not in theirs or theirs[name].shape != value.shape]
    if other := [name for name in strange if not name.startswith(("fusion.", "dimensions."))]:
        raise WeightsError(f"{config.start} has other sizes than this run ({other[0]}): give the same with --size")
    model.load_state_dict(own | {name: value for name, value in theirs.items() if name in own and name not in strange})


def _with_words(theirs: dict[str, Tensor], own: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """What a start has learnt, for a dialogue graph whose text vectors are of another width, or of none on either side:
    of its head only the part of the graph; that of the words is learnt from the beginning.
    """
    if not isinstance(model, DialogueGraph) or theirs[LAST].shape == own[LAST].shape:
        return theirs
    width = model.config.width
    if theirs[NORM].shape != own[NORM].shape:
        return theirs  # of another width: no part of it fits
    last = own[LAST].clone()
    last[:, :width] = theirs[LAST][:, :width]
    return theirs | {LAST: last}


def by_utterances(dialogues: Sequence[Example], utterances: int) -> Iterator[list[Example]]:
    """Whole dialogues in their order, as many as it takes to have so many utterances; none without any label."""
    batch: list[Example] = []
    for dialogue in dialogues:
        if not (dialogue.labels >= 0).any():
            continue
        batch.append(dialogue)
        if sum(len(example.texts) for example in batch) >= utterances:
            yield batch
            batch = []
    if batch:
        yield batch


def collate(batch: Sequence[Example], dims: tuple[int, int, int]) -> tuple[DialogueBatch, Tensor]:
    """Side by side, for a network of these widths: a modality of width 0 is left out.

    Shapes: -> a batch of B dialogues, labels (B, T) with `UNLABELLED` as padding.
    """
    labels = pad_sequence([example.labels for example in batch], batch_first=True, padding_value=UNLABELLED)
    return DialogueBatch.pad([example.utterances.widened(dims) for example in batch]), labels

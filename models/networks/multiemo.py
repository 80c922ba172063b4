"""MultiEMO: a context encoder per modality, stacks of cross-modal attention, and losses for rare and similar emotions.

Paper: Shi and Huang, "MultiEMO: An Attention-Based Correlation-Aware Multimodal Fusion Framework for Emotion
Recognition in Conversations", ACL 2023. With m in {text, audio, visual} and o, p the two others in that order:

    c_m = relu(DialogueRNN(x_m)), or x_m for text unless `text_context`
    f_m = c_m;  f_m <- MultiAttn(f_m; c_o, c_p), `layers` times     the keys stay those of c: only the queries deepen
    z = W [f_t ; f_a ; f_v]       logits = W relu(W z)
    loss = (s SWFC(z) + h SoftHGR(f_t, f_a, f_v) + (1 - s - h) CE) / N,  all sums over the N labelled utterances

`causal=True`: DialogueRNN forward in time whatever `two_sided_context` says, and attention to `window` past utterances
and the utterance itself, with a learned preference for each distance (the published form has no positions). A step
costs O(layers x window): the newest query against cached keys and values.

`as_released=True` restores what the release computes where its paper says something else
- Soft-HGR of features that are not centred, with covariances of samples instead of features (`losses.py`).
- SWFC's class weights are scaled to sum to 1. Unscaled, as in the paper, those of MELD sum to about 200.

Other deviations from the release
- Padding is no key. There it is, so that results depend on batch mates.
- SWFC's class counts are those of the batch, as N is, unless `class_weights` are given: `--recipe published` takes
  those of the training part, as the release does. N is the labelled utterances.
- Modalities are projected by `Fusion`, which normalises text and visual vectors, knows missing ones, and passes
  prosody through a small network; there one linear layer each, and 512 acoustic functionals in place of the prosody.
- Speaker slots by first appearance, any number of speakers (`blocks/speaker_slots.py`); there 2 or 9 fixed ones.

| | paper / release IEMOCAP | paper / release MELD | here |
|---|---|---|---|
| parameters, 768 + 512 + 1000 inputs | 29.67 M, by calculation | 10.39 M | 29,872,086 and 10,593,751 |
| parameters, 768 + 8 + 1000 inputs | - | - | MELD 10,335,703 two-sided, 10,335,835 causal |
| width, attention heads, feedforward | 256, 4, 1024 | the same | the same |
| MultiAttn layers, hidden width of the head | 6, 256 | 2, 512 | defaults of MELD |
| DialogueRNN | text, audio, visual, two-sided | audio, visual, forward | `text_context`, `two_sided_context` |
| SWFC share, Soft-HGR share | 0.4, 0.4 | 0.3, 0.3 | defaults of MELD |
| alpha, gamma, temperature | 1.1, 2.4, 0.8 | 1.2, 2.0, 1.4 | defaults of MELD |
| optimiser | Adam 1e-4, decay 1e-5, 64 dialogues | the same, 100 dialogues | `--recipe published` |
| schedule | 100 epochs, 0.95 when dev stalls for 10 | 15 epochs, the same | `--recipe published` (`published.py`) |
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from erc_live.models import losses
from erc_live.models.batch import DialogueBatch, UtteranceBatch, pack, unpack
from erc_live.models.blocks.attention import MultiAttn, PastMask, dialogue_mask
from erc_live.models.blocks.context import DialogueRNN, DialogueRNNState
from erc_live.models.blocks.fusion import Fusion
from erc_live.models.blocks.heads import EmotionHead
from erc_live.models.losses import UNLABELLED
from erc_live.models.modalities import MODALITIES
from erc_live.models.state import require_causal, transform

OTHERS = ((1, 2), (0, 2), (0, 1))  # to whom each modality attends, in the order of MODALITIES


@dataclass(frozen=True)
class MultiEmoConfig:
    """Sizes and loss of a MultiEmo, MELD as published except for the prosody; `window` is that of the causal form.

    `speakers` is how many have a state of their own at a time. `class_weights` are N / n_c of SWFC; empty: those of
    each batch. A modality of width 0 is always missing.
    """

    classes: int = 7
    text_dim: int = 768
    audio_dim: int = 8
    visual_dim: int = 1000
    window: int = 32
    causal: bool = False
    width: int = 256
    layers: int = 2
    heads: int = 4
    feedforward: int = 1024
    hidden: int = 512
    speakers: int = 9
    text_context: bool = False
    two_sided_context: bool = False
    dropout: float = 0.0
    swfc_share: float = 0.3
    hgr_share: float = 0.3
    alpha: float = 1.2
    gamma: float = 2.0
    temperature: float = 1.4
    class_weights: tuple[float, ...] = ()
    as_released: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes of which no network can be built, and losses that are none."""
        sizes = (self.classes, self.window, self.width, self.layers, self.heads, self.feedforward, self.hidden)
        if min(*sizes, self.speakers) < 1:
            raise ValueError(f"sizes must be at least 1: {self}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        shares = (self.swfc_share, self.hgr_share)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(f"swfc_share and hgr_share must be at least 0 and at most 1 in sum: {shares}")
        if min(self.alpha, self.gamma) < 0 or self.temperature <= 0:
            raise ValueError(f"alpha and gamma must be at least 0 and temperature above 0: {self}")
        if len(self.class_weights) not in (0, self.classes):
            raise ValueError(f"{len(self.class_weights)} class weights for {self.classes} classes")


@dataclass(frozen=True)
class MultiEmoOutputs:
    """The logits and what the objective needs besides, of packed dialogues.

    Shapes: logits (B, T, classes), zeros behind the end of a dialogue; views (N, 3, width), the fused modalities;
    z (N, width), what is made of the three.
    """

    logits: Tensor
    views: Tensor
    z: Tensor


@dataclass(frozen=True)
class MultiEmoState:
    """What a dialogue leaves for its next utterance; its size does not depend on the length of the dialogue.

    Shapes: memory (B, 3 layers, 2, window, 2 width), the keys and values of each MultiAttn, oldest first; seen (B,) how
    many of the window, counted from the newest, are filled; context, that of the modalities that have a DialogueRNN,
    side by side: (B, modalities, ...).
    """

    memory: Tensor
    seen: Tensor
    context: DialogueRNNState


class MultiEmo(nn.Module):
    """The whole model; implements `Steppable[MultiEmoState]` if causal, and else needs `Replay` to step."""

    receptive_field: int | None = None  # the recurrent states carry the whole past

    def __init__(self, config: MultiEmoConfig) -> None:
        super().__init__()
        self.config = c = config
        self.fusion = Fusion((c.text_dim, c.audio_dim, c.visual_dim), c.width, c.dropout)
        self.contexts = nn.ModuleDict(
            {
                name: DialogueRNN(c.width, slots=c.speakers, causal=c.causal or not c.two_sided_context)
                for name in MODALITIES[0 if c.text_context else 1 :]
            }
        )
        self.stacks = nn.ModuleList(  # all layers of text, then of audio, then of visual
            MultiAttn(c.width, c.heads, c.feedforward, c.dropout) for _ in range(len(MODALITIES) * c.layers)
        )
        if c.causal:
            self.past = PastMask(c.window, c.heads)
        self.join = nn.Linear(len(MODALITIES) * c.width, c.width)
        self.head = EmotionHead(nn.Linear(c.width, c.hidden), nn.ReLU(), nn.Linear(c.hidden, c.classes))

    def forward(self, batch: DialogueBatch) -> Tensor:
        """Logits of every utterance. Shapes: -> (B, T, classes), zeros behind the end of a dialogue."""
        return self.outputs(batch).logits

    def outputs(self, batch: DialogueBatch) -> MultiEmoOutputs:
        """The logits and what the objective needs besides."""
        views = pack(self._fuse(*self._read(batch), None)[0], batch.lengths)
        z = self.join(views.flatten(1))
        return MultiEmoOutputs(unpack(self.head(z), batch.lengths, batch.speakers.shape[1]), views, z)

    def cross_attention(self, batch: DialogueBatch) -> Tensor:
        """How much each utterance takes of every other in the last layer of each stack, the mean of the heads.

        Shapes: -> (B, 3, 2, T, T), of each modality to its two `OTHERS`; a row is who asks, and sums to 1
        """
        contexts, mask = self._read(batch)
        stacks, found = cast("list[MultiAttn]", self.stacks), []
        for m, others in enumerate(OTHERS):
            own = contexts[:, :, m]
            for layer in stacks[m * self.config.layers :][: self.config.layers]:
                memory = layer.remember(contexts[:, :, others].transpose(1, 2))
                weights, own = layer.weights(own, memory, mask), layer(own, memory, mask)
            found.append(weights)
        return torch.stack(found, dim=1)

    def _read(self, batch: DialogueBatch) -> tuple[Tensor, Tensor]:
        """What the stacks attend to, (B, T, 3, width), and the mask that says who may."""
        utterances, lengths = batch.utterances(), batch.lengths
        streams = list(self.fusion.modalities(utterances).unbind(1))
        for m, context in self._contexts():
            streams[m] = functional.relu(context(streams[m], utterances.speakers, lengths))
        steps = int(lengths.max())
        mask = self.past(steps) if self.config.causal else dialogue_mask(lengths)
        return unpack(torch.stack(streams, dim=1), lengths, steps), mask

    def initial_state(self, dialogues: int = 1) -> MultiEmoState:
        """The state of dialogues in which nothing has been said; `ValueError` if the model is two-sided."""
        require_causal(self)
        c, like = self.config, self.fusion.missing
        return MultiEmoState(
            memory=like.new_zeros(dialogues, len(self.stacks), 2, c.window, 2 * c.width),
            seen=torch.zeros(dialogues, dtype=torch.int64, device=like.device),
            context=_side_by_side([context.initial_state(dialogues) for _, context in self._contexts()]),
        )

    def step(self, utterance: UtteranceBatch, state: MultiEmoState) -> tuple[Tensor, MultiEmoState]:
        """Classify the next utterance of each dialogue; `state` stays as it was. `ValueError` if two-sided.

        Shapes: utterance of B rows -> logits (B, classes), the state after it.
        """
        require_causal(self)
        streams = list(self.fusion.modalities(utterance).unbind(1))
        after = []
        for r, (m, context) in enumerate(self._contexts()):
            before = transform(itemgetter((slice(None), r)), state.context)
            emotion, left = context.step(streams[m], utterance.speakers, before)
            streams[m] = functional.relu(emotion)
            after.append(left)
        newest = torch.stack(streams, dim=1)[:, None]  # (B, 1, 3, width)
        fused, memory = self._fuse(newest, self.past.step(state.seen), state.memory)
        logits = self.head(self.join(fused.flatten(1)))
        seen = (state.seen + 1).clamp(max=self.config.window)
        return logits, MultiEmoState(torch.stack(memory, dim=1), seen, _side_by_side(after))

    def _contexts(self) -> Iterator[tuple[int, DialogueRNN]]:
        """The context encoders there are, with the index of their modality."""
        return ((m, cast(DialogueRNN, self.contexts[n])) for m, n in enumerate(MODALITIES) if n in self.contexts)

    def _fuse(self, contexts: Tensor, mask: Tensor, past: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """The stacks of all modalities; in step form, with the `past` memory, also that after the newest utterance.

        Shapes: contexts (B, T, 3, width), past as in `MultiEmoState` -> (B, T, 3, width), past layer by layer
        """
        fused, after = list(contexts.unbind(2)), list[Tensor]()
        for k, layer in enumerate(self.stacks):
            m = k // self.config.layers
            memory = cast(MultiAttn, layer).remember(contexts[:, :, OTHERS[m]].transpose(1, 2))
            if past is not None:
                memory = torch.cat((past[:, k], memory), dim=2)
                after.append(memory[:, :, 1:])
            fused[m] = layer(fused[m], memory, mask)
        return torch.stack(fused, dim=2), after


def objective(model: MultiEmo, batch: DialogueBatch, labels: Tensor) -> Tensor:
    """Contrast of the labels, correlation of the modalities and cross-entropy, in the shares of the configuration.

    The correlation is that of all utterances, labelled or not.

    Shapes: labels (B, T), `UNLABELLED` where there is none (padding included) -> ()
    """
    c, outputs = model.config, model.outputs(batch)
    labels = pack(labels, batch.lengths)
    known = labels != UNLABELLED
    y, count = labels[known], max(int(known.sum()), 1)
    weights = losses.sample_weights(y, c.classes, c.alpha)
    if c.class_weights:
        weights = weights.new_tensor(c.class_weights) ** c.alpha
    hgr = losses.soft_hgr
    if c.as_released:
        weights, hgr = functional.normalize(weights, p=1.0, dim=0), losses.soft_hgr_as_released
    contrast = losses.swfc(outputs.z[known], y, weights, c.gamma, c.temperature) / count
    correlation = hgr(outputs.views) / count
    entropy = losses.focal(pack(outputs.logits, batch.lengths)[known], y, gamma=0.0)
    return c.swfc_share * contrast + c.hgr_share * correlation + (1 - c.swfc_share - c.hgr_share) * entropy


def _side_by_side(states: Sequence[DialogueRNNState]) -> DialogueRNNState:
    return transform(lambda *parts: torch.stack(parts, dim=1), *states)

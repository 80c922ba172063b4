"""VUEMO: a virtual unified emotion node per utterance, made by gated graph convolutions, guides a local hypergraph.

Paper: "Hypergraph-based Global-Local Virtual Unified Emotion Fusion for Multimodal Emotion Recognition in
Conversations", Pattern Recognition; ancestor M3NET (CVPR 2023). Streams t, a, v are the projected modalities:

    t = GRU(t) + speaker, each stream + its modality's vector if `use_modal`
    h_0 = W [t, a, v]       h_k+1 = h_k + gated_k(h_k), edges in time and across t, a, v     k = 0..num_K-1
    g = W concat(h_0 + h_num_K), the virtual node         x = GAI([t, a, v, g])
    y_0 = W x               y_l+1 = hypergraph_l(y_l)                                        l = 0..num_L-1
    logits = W relu(dropout(concat(y_0 + y_num_L))), concat_DHT: the four streams side by side

Hyperedges: all t, all a, all v, all g; in each utterance tag tvg avg ag vg tg, so two real modalities meet only with
the virtual one. In the GAI each stream s asks the four means m_r over time of the enhanced streams e_r:

    e_s = norm(MLP(x_s));  z_s = sum_r softmax_r(e_s . W m_r / width^0.5) m_r;  x_s <- x_s + sigmoid(W [x_s ; z_s]) z_s

`causal=True`: edges from `window` past utterances, in-degree normalisation, means over the past (plain or decaying) in
GAI and hyperedges, GRU forward in time. A step costs O(layers x window).

Forms that the release names
- `use_speaker` (on) and `use_modal` (off), learned vectors per speaker and per modality, as its options of these names.
- Graph: `num_K`, `num_G` and `num_L` layers; `num_G=0` and `num_L=0` leave the global attention and the hypergraph out
  (one of them stays). Its `graph_type` has no other form that runs.
- Fusion: `head_virtual=True` classifies all four streams (`concat_DHT`), False the three real ones
  (`concat_subsequently`). Of `gated` and `concat` it holds no code for the hypergraph.

`as_released=True` restores what the released code computes although it says something else
- GAI: it pools over features and takes a softmax over one element, so z_s = x_s + one number per utterance (the sum of
  the feature means, 0 at the start), and nothing crosses utterances.
- Hyperedge and node weights stand in the denominators only.
- Focal loss: the focus is (1 - log p_y)^gamma, and -log p of every wrong class is added.

Other deviations from the release, which does not run as published
- Hyperedge and node weights by type and positive; there by position in the batch, so that batch mates matter.
- One text vector with LayerNorm; there four with BatchNorm, whose statistics hold padding and future. Prosody passes
  the small network of `Fusion`. One width for streams and graph, so text is projected for MELD too: the buffers of
  the release cannot hold the 1024 it names there.
- The GAI has one layer (`num_G`), its depth being unknown; the matrix W of the means is ours.
- An absent modality starts from a learned vector, has sources and is none: every subset of `avl` is the same model.
- Speaker slots by first appearance, any number of speakers (`blocks/speaker_slots.py`); there 2 or 9 fixed ones.
- Matrices that are never used are left out.

| | paper / release | here |
|---|---|---|
| parameters, 1024 + 1582 + 342 inputs, 2 speakers, 6 classes | cannot be built | 8.13 M two-sided |
| parameters, 1024 + 8 + 342 inputs, 9 speakers, 7 classes | - | 6.52 M two-sided, 7.31 M causal |
| streams, graph, GAI inside, head | 512 (MELD 1024), 512, 1024, 2048 | 512, 512, 1024, 2048 |
| num_K, num_L, dropout | 4, 8, 0.5 | the same |
| loss IEMOCAP | cross-entropy weighted by 1 / frequency | `focal=0`, `class_weights` |
| loss MELD | focal, gamma 2.5 | the same |
| optimiser | AdamW 1e-4 (MELD 2e-5), decay 3e-5, 16 dialogues, 100 epochs | `--recipe published` (`published.py`) |
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from erc_live.models.batch import DialogueBatch, UtteranceBatch, pack, unpack
from erc_live.models.blocks import convs
from erc_live.models.blocks.context import ContextGRU
from erc_live.models.blocks.fusion import Fusion
from erc_live.models.blocks.heads import EmotionHead
from erc_live.models.blocks.speaker_slots import SpeakerEmbedding
from erc_live.models.losses import UNLABELLED
from erc_live.models.modalities import MODALITIES
from erc_live.models.state import require_causal

STREAMS = (*MODALITIES, "virtual")
# Hyperedges inside an utterance: who of STREAMS takes part.
LOCAL = ((1, 1, 0, 1), (1, 0, 1, 1), (0, 1, 1, 1), (0, 1, 0, 1), (0, 0, 1, 1), (1, 0, 0, 1))


@dataclass(frozen=True)
class VuemoConfig:
    """Sizes of a Vuemo, MELD as published except for the prosody; `window` and `decay` are those of the causal form.

    `decay` is the weight of a mean's older part at each new utterance: 1 for a plain mean. A modality of width 0 is
    always missing. `use_speaker`, `use_modal` and `head_virtual` are the forms that the header names.
    """

    classes: int = 7
    text_dim: int = 1024
    audio_dim: int = 8
    visual_dim: int = 342
    window: int = 32
    causal: bool = False
    width: int = 512
    num_K: int = 4
    num_L: int = 8
    num_G: int = 1
    speakers: int = 9
    use_speaker: bool = True
    use_modal: bool = False
    head_virtual: bool = True
    decay: float = 0.97
    dropout: float = 0.5
    focal: float = 2.5
    class_weights: tuple[float, ...] = ()
    as_released: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes of which no network can be built."""
        sizes = (self.classes, self.window, self.width, self.num_K, self.num_L + self.num_G, self.speakers)
        if min(sizes) < 1 or min(self.num_L, self.num_G) < 0:
            raise ValueError(f"sizes must be at least 1, but for num_L or num_G: {self}")
        if not 0.0 < self.decay <= 1.0:
            raise ValueError(f"decay must be above 0 and at most 1, not {self.decay}")
        if self.focal < 0.0:
            raise ValueError(f"focal must not be negative: {self.focal}")
        if self.class_weights and len(self.class_weights) != self.classes:
            raise ValueError(f"{len(self.class_weights)} class weights for {self.classes} classes")


@dataclass(frozen=True)
class VuemoOutputs:
    """What the objective needs. Shapes: logits (B, T, classes)"""

    logits: Tensor


@dataclass(frozen=True)
class VuemoState:
    """What a dialogue leaves for its next utterance; its size does not depend on the length of the dialogue.

    Shapes: context (B, 2, width) of the GRU; speakers (B, 2, speakers), their slots; inputs (B, num_K, 3, window,
    width) of the gated layers, oldest first; present (B, 3, window) bool, which of these are sources; means (B,
    num_G + num_L, 4, width) over time, of each global attention and hypergraph layer; counts (B, 4), their weight.
    """

    context: Tensor
    speakers: Tensor
    inputs: Tensor
    present: Tensor
    means: Tensor
    counts: Tensor


class EmotionGenerator(nn.Module):
    """Adds the virtual node of each utterance to its three real ones; also gives the inputs of each gated layer.

    Shapes: streams (B, 3, T, width), past inputs (B, layers, 3, window, width) or None for the whole dialogue
    -> (B, 4, T, width), layers x (B, 3, T, width)
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, width)
        self.layers = nn.ModuleList(convs.GatedConv(width) for _ in range(layers))
        self.leave = nn.Linear(len(MODALITIES) * width, width)

    def forward(self, streams: Tensor, edges: convs.EdgeWeights, past: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        entered = nodes = self.enter(streams)
        inputs = []
        for k, layer in enumerate(self.layers):
            inputs.append(nodes)
            nodes = nodes + layer(nodes, nodes if past is None else past[:, k], edges)
        virtual = self.leave((entered + nodes).transpose(1, 2).flatten(2))
        return torch.cat((streams, virtual[:, None]), dim=1), inputs


class GlobalAttention(nn.Module):
    """One layer of the GAI, and the temporal means that it asked.

    Shapes: nodes (B, 4, T, width), past means (B, 4, width) or None for the whole dialogue -> both (B, 4, T, width)
    """

    def __init__(self, width: int, as_released: bool) -> None:
        super().__init__()
        self.enhance = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width), nn.LayerNorm(width)
        )
        self.key = None if as_released else nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(2 * width, width)

    def forward(self, nodes: Tensor, averages: convs.Averages, past: Tensor | None) -> tuple[Tensor, Tensor]:
        enhanced = self.enhance(nodes)
        means = averages.of(enhanced, past)
        if self.key is None:
            answer = nodes + enhanced.mean(-1, keepdim=True).sum(1, keepdim=True)
        else:
            scores = torch.einsum("bmtd,brtd->bmtr", enhanced, self.key(means)) / nodes.shape[-1] ** 0.5
            # a stream that was never present; the virtual one always is
            empty = ~averages.filled.transpose(1, 2)[:, None]
            answer = torch.einsum("bmtr,brtd->bmtd", scores.masked_fill(empty, -torch.inf).softmax(-1), means)
        return nodes + torch.sigmoid(self.gate(torch.cat((nodes, answer), dim=-1))) * answer, means


class Vuemo(nn.Module):
    """The whole model; implements `Steppable[VuemoState]` if causal."""

    receptive_field: int | None = None  # the GRU and the means carry the whole past

    def __init__(self, config: VuemoConfig) -> None:
        super().__init__()
        self.config = c = config
        self.fusion = Fusion((c.text_dim, c.audio_dim, c.visual_dim), c.width, dropout=0.0)
        self.context = ContextGRU(c.width, c.width, layers=2, dropout=c.dropout, causal=c.causal)
        self.speaker = SpeakerEmbedding(c.speakers, c.width)
        self.modal = nn.Parameter(torch.randn(len(MODALITIES), c.width)) if c.use_modal else None
        self.generator = EmotionGenerator(c.width, c.num_K)
        self.attentions = nn.ModuleList(GlobalAttention(c.width, c.as_released) for _ in range(c.num_G))
        self.enter = nn.Linear(c.width, c.width)
        self.hyperedges = convs.Hyperedges(torch.tensor(LOCAL), only_normalise=c.as_released)
        self.convolutions = nn.ModuleList(convs.HypergraphConv(c.width) for _ in range(c.num_L))
        classified = len(STREAMS) if c.head_virtual else len(MODALITIES)
        self.head = EmotionHead(nn.Dropout(c.dropout), nn.ReLU(), nn.Linear(classified * c.width, c.classes))

    def forward(self, batch: DialogueBatch) -> Tensor:
        """Logits of every utterance. Shapes: -> (B, T, classes), zeros behind the end of a dialogue."""
        return self.outputs(batch).logits

    def outputs(self, batch: DialogueBatch) -> VuemoOutputs:
        """The logits as `forward` gives them, by name."""
        c, lengths, steps = self.config, batch.lengths, batch.speakers.shape[1]
        utterances = batch.utterances()
        rows = self.fusion.modalities(utterances)  # (N, 3, width)
        voice = pack(self.speaker(batch.speakers), lengths)
        rows = self._streams(rows, self.context(rows[:, 0], lengths), voice)
        streams = unpack(rows, lengths, steps).transpose(1, 2)  # (B, 3, T, width)
        present = unpack(_with_virtual(utterances.present), lengths, steps).transpose(1, 2)  # (B, 4, T)
        real = present[:, : len(MODALITIES)]
        edges = convs.past_edges(real, c.window) if c.causal else convs.complete_edges(real)
        averages = convs.past_averages(present, c.decay) if c.causal else convs.complete_averages(present)
        mixing = self.hyperedges(present, averages.filled)
        nodes, _ = self.generator(streams, edges, None)
        logits, _ = self._classify(nodes, averages, mixing, None)
        return VuemoOutputs(unpack(pack(logits, lengths), lengths, steps))

    def _streams(self, rows: Tensor, text: Tensor, voice: Tensor) -> Tensor:
        """The three real streams. Shapes: rows (N, 3, width), text and voice (N, width) -> (N, 3, width)"""
        if self.config.use_speaker:
            text = text + voice
        streams = torch.cat((text[:, None], rows[:, 1:]), dim=1)
        return streams if self.modal is None else streams + self.modal

    def _classify(
        self, nodes: Tensor, averages: convs.Averages, mixing: convs.Mixing, past: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Global attention, hypergraph and head.

        Shapes: nodes (B, 4, T, width), past means (B, num_G + num_L, 4, width) or None for the whole dialogue
        -> logits (B, T, classes), the means of each layer (B, 4, T, width)
        """
        before = iter([None] * (self.config.num_G + self.config.num_L) if past is None else past.unbind(1))
        means = []
        for attention in self.attentions:
            nodes, mean = attention(nodes, averages, next(before))
            means.append(mean)
        entered = nodes = self.enter(nodes)
        for convolution in self.convolutions:
            means.append(averages.of(nodes, next(before)))
            nodes = convolution(nodes, means[-1], mixing)
        classified = entered + nodes
        if not self.config.head_virtual:
            classified = classified[:, : len(MODALITIES)]
        return self.head(classified.transpose(1, 2).flatten(2)), means

    def initial_state(self, dialogues: int = 1) -> VuemoState:
        """The state of dialogues in which nothing has been said.

        Raises:
            ValueError: the model is two-sided.
        """
        require_causal(self)
        c, like = self.config, self.fusion.missing
        return VuemoState(
            context=self.context.initial_state(dialogues),
            speakers=self.speaker.initial_state(dialogues),
            inputs=like.new_zeros(dialogues, c.num_K, len(MODALITIES), c.window, c.width),
            present=torch.zeros(dialogues, len(MODALITIES), c.window, dtype=torch.bool, device=like.device),
            means=like.new_zeros(dialogues, c.num_G + c.num_L, len(STREAMS), c.width),
            counts=like.new_zeros(dialogues, len(STREAMS)),
        )

    def step(self, utterance: UtteranceBatch, state: VuemoState) -> tuple[Tensor, VuemoState]:
        """Classify the next utterance of each dialogue; `state` stays as it was.

        Shapes: utterance of B rows -> logits (B, classes), the state after it.

        Raises:
            ValueError: the model is two-sided.
        """
        require_causal(self)
        rows = self.fusion.modalities(utterance)  # (B, 3, width)
        text, context = self.context.step(rows[:, 0], state.context)
        voice, speakers = self.speaker.step(utterance.speakers, state.speakers)
        streams = self._streams(rows, text, voice)[:, :, None]  # (B, 3, 1, width)
        present = _with_virtual(utterance.present)[..., None]  # (B, 4, 1)
        real = present[:, : len(MODALITIES)]
        averages, counts = convs.past_averages_step(state.counts, present, self.config.decay)
        mixing = self.hyperedges(present, averages.filled)
        nodes, inputs = self.generator(streams, convs.past_edges_step(state.present, real), state.inputs)
        logits, means = self._classify(nodes, averages, mixing, state.means)
        after = VuemoState(
            context=context,
            speakers=speakers,
            inputs=torch.cat((state.inputs[:, :, :, 1:], torch.stack(inputs, dim=1)), dim=3),
            present=torch.cat((state.present[:, :, 1:], real), dim=2),
            means=torch.stack(means, dim=1).squeeze(3),
            counts=counts,
        )
        return logits[:, 0], after


def _with_virtual(present: Tensor) -> Tensor:
    return torch.cat((present, torch.ones_like(present[:, :1])), dim=1)


def objective(model: Vuemo, batch: DialogueBatch, labels: Tensor) -> Tensor:
    """Focal loss, mean over the labelled utterances, weighted by class; `focal=0` makes it cross-entropy.

    Shapes: labels (B, T) with `UNLABELLED` where there is none (padding included) -> (); 0 if all are unlabelled
    """
    c = model.config
    labelled = labels != UNLABELLED
    target = labels[labelled]
    log_probs = model.outputs(batch).logits[labelled].log_softmax(-1)  # (n, classes)
    weights = torch.tensor(c.class_weights or [1.0] * c.classes, device=log_probs.device)[target]
    if c.as_released and c.focal > 0:
        hits = log_probs * functional.one_hot(target, c.classes)
        losses = -((1.0 - hits) ** c.focal * log_probs).mean(-1)
    else:
        own = log_probs.gather(1, target[:, None])[:, 0]
        away = -torch.expm1(own).clamp(max=-torch.finfo(own.dtype).tiny)  # 1 - p, never 0, for the slope of the power
        losses = -(away**c.focal) * own
    return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)

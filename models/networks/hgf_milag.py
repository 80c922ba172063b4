"""HGF-MiLaG: a hierarchy of graphs, first inside each modality, then over all of them; one logit head per level.

Paper: "HGF-MiLaG: Hierarchical Graph Fusion for Emotion Recognition in Conversation with Mid-Late Gender-Aware
Strategy", Sensors 2025, 25(4), 1182. With m in {text, audio, visual} and edges from `window` past and `future` later
utterances:

    c_m = GRU(x_m)                        s_m = TransformerConv(c_m)
    j = [s_t ; attend(s_t -> s_a) ; attend(s_t -> s_v)]      h = GraphConv(RGCN(j))
    logits = clf([c_t ; c_a ; c_v ; h]) + 0.7 clf_t(s_t) + 0.1 clf_a(s_a) + 0.2 clf_v(s_v)

`as_released=True` restores what the release computes
- Cross-modal attention lets each utterance attend to itself alone: a softmax over one key is 1, so the text has no say.
  Here it reads the window of the other modality.
- An utterance counts as later than itself: the RGCN averages its own edge with those of later utterances of its
  speaker. Here it is a relation of its own (in the causal form it is so either way, for nothing is later).
- Nothing is dropped before the context encoder.

Other deviations from the release
- Modalities are projected by `Fusion` to the context width before the GRU (the release feeds them raw), because they
  may be missing and prosody has gaps.
- Relations of the RGCN: same or other speaker, of earlier and later sources. The release has a relation for each pair
  of exactly two speakers; this works for any number.
- GRU as its documentation says; its training script takes an LSTM. Modules that it builds and never uses are left out.
- `window` is the past and `future` what follows. In the release they are the other way round: its edges lead from each
  utterance to its window, and messages follow edges. It uses 10 and 10, where that makes no difference.
- The middle gender heads are tested with the layer they were trained with.
- Causal: forward GRU, past window, and a mean in place of the sum in GraphConv, which would grow as the window fills.

| | paper / release (IEMOCAP) | here |
|---|---|---|
| parameters, inputs of 1024, 1582 and 342, 6 classes | 3,578,064 in use | 2,520,446 two-sided, 2,750,826 causal |
| context, graph, head width | 160, 100, 100 | the same |
| context layers, attention heads, RGCN bases, window | 2, 10, 10, 10 past + 10 future | the same |
| dropout, of attention weights | 0.4, 0.1 | the same |
| loss | 0.7 emotion + 0.3 gender | emotion alone unless `genders` |
| emotion loss | fused + 0.7 text + 0.2 visual + 0.1 audio | the same |
| gender loss | late + 0.7 text + 0.2 audio + 0.1 visual | the same |
| optimiser | Adam 3e-4, decay 1e-8, 32 dialogues in their order, 80 epochs | `--recipe published` (`published.py`) |

Gender is a sensitive attribute and unknown in a live call: its heads are off by default, learn only from a corpus that
names the genders of its speakers (IEMOCAP does), and never run in inference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch_geometric.nn import GraphConv, RGCNConv, TransformerConv
from torch_geometric.utils import scatter, softmax

from erc_live.models.batch import DialogueBatch, UtteranceBatch, unpack
from erc_live.models.blocks.context import ContextGRU
from erc_live.models.blocks.fusion import Fusion
from erc_live.models.blocks.graph_operators import built
from erc_live.models.blocks.heads import EmotionHead
from erc_live.models.graph import Edges, Relation, past_window_step, two_sided_window
from erc_live.models.losses import UNLABELLED, focal
from erc_live.models.modalities import MODALITIES
from erc_live.models.state import require_causal

LEVELS = ("fused", *MODALITIES)  # the order of the heads, of emotions as of genders


@dataclass(frozen=True)
class HgfMilagConfig:
    """Sizes of an HgfMilag. `window` counts past utterances, `future` later ones of the two-sided form; None: as many.

    `genders` is how many the auxiliary heads tell apart; with 0 there are none.
    """

    classes: int = 7
    text_dim: int = 384
    audio_dim: int = 8
    visual_dim: int = 0
    window: int = 10
    future: int | None = None
    causal: bool = False
    as_released: bool = False
    context_width: int = 160
    context_layers: int = 2
    graph_width: int = 100
    head_width: int = 100
    heads: int = 10
    bases: int = 10
    dropout: float = 0.4
    attention_dropout: float = 0.1  # of the weights across modalities
    genders: int = 0
    emotion_weights: tuple[float, ...] = (1.0, 0.7, 0.1, 0.2)  # in the order of LEVELS, in the logits and in the loss
    gender_weights: tuple[float, ...] = (1.0, 0.7, 0.2, 0.1)
    emotion_share: float = 0.7  # of the loss, if genders are given

    def __post_init__(self) -> None:
        """Refuse sizes of which no network can be built."""
        sizes = (self.classes, self.window, self.context_width, self.context_layers, self.graph_width, self.head_width)
        if min(*sizes, self.heads, self.bases) < 1:
            raise ValueError(f"sizes must be at least 1: {self}")
        if self.future is not None and self.future < 0:
            raise ValueError(f"future must not be negative: {self.future}")
        if self.context_width % self.heads or self.context_width % 2:
            raise ValueError(f"context_width {self.context_width} must be even and a multiple of heads {self.heads}")
        if not len(self.emotion_weights) == len(self.gender_weights) == len(LEVELS):
            raise ValueError(f"there must be {len(LEVELS)} weights of heads, for {', '.join(LEVELS)}: {self}")


@dataclass(frozen=True)
class HgfMilagOutputs:
    """All heads, zeros behind the end of a dialogue.

    Shapes: logits (B, T, classes), the weighted sum; heads (B, T, 4, classes) and genders (B, T, 4, genders), of the
    levels fused, text, audio, visual.
    """

    logits: Tensor
    heads: Tensor
    genders: Tensor


@dataclass(frozen=True)
class HgfMilagState:
    """What a dialogue leaves for its next utterance.

    Shapes: recurrent (B, 3, layers, context_width); the last inputs of each graph, oldest first: context (B, window,
    3 context_width), others (B, window, 2 context_width), joint (B, window, 3 context_width), related (B, window,
    graph_width); speakers (B, window); seen (B,) how many of the window, counted from the newest, are filled.
    """

    recurrent: Tensor
    context: Tensor
    others: Tensor
    joint: Tensor
    related: Tensor
    speakers: Tensor
    seen: Tensor


class EdgeAttention(nn.Module):
    """Multi-head attention along edges: each target asks, the sources of its edges answer.

    Shapes: targets (N, width), sources (S, width), index (2, E) -> (N, width)
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, targets: Tensor, sources: Tensor, index: Tensor) -> Tensor:
        query, key, value = self._split(self.query(targets)), self._split(self.key(sources)), self.value(sources)
        source, target = index
        score = (query[target] * key[source]).sum(-1) / query.shape[-1] ** 0.5  # (E, heads)
        weight = self.dropout(softmax(score, target, num_nodes=len(targets)))
        attended = scatter(weight[..., None] * self._split(value)[source], target, dim_size=len(targets), reduce="sum")
        result: Tensor = self.out(attended.flatten(1))
        return result

    def _split(self, rows: Tensor) -> Tensor:
        return rows.view(len(rows), self.heads, -1)


class HgfMilag(nn.Module):
    """The whole model; implements `Steppable[HgfMilagState]` if causal, and else needs `Replay` to step."""

    weights: Tensor
    receptive_field: int | None = None  # the GRUs carry the whole past

    def __init__(self, config: HgfMilagConfig) -> None:
        super().__init__()
        self.config = c = config
        wide, graph = c.context_width, c.graph_width
        self.fusion = Fusion((c.text_dim, c.audio_dim, c.visual_dim), wide, 0.0 if c.as_released else c.dropout)
        self.context = nn.ModuleList(
            ContextGRU(wide, wide, layers=c.context_layers, dropout=c.dropout, causal=c.causal) for _ in MODALITIES
        )
        self.inside = nn.ModuleList(built(TransformerConv, (wide, wide), wide) for _ in MODALITIES)
        self.across = EdgeAttention(wide, c.heads, c.attention_dropout)  # one for audio and visual, as released
        relations = 3 if c.causal else 4 if c.as_released else 5
        self.relate = built(RGCNConv, (3 * wide, 3 * wide), graph, relations, num_bases=c.bases)
        self.refine = built(GraphConv, (graph, graph), graph, aggr="mean" if c.causal else "sum")
        widths = (3 * wide + graph, wide, wide, wide)
        self.emotions = nn.ModuleList(
            EmotionHead(*_layers(width, c.head_width, c.classes, c.dropout)) for width in widths
        )
        if c.genders:
            self.genders = nn.ModuleList(
                nn.Sequential(*_layers(width, c.head_width, c.genders, c.dropout)) for width in widths
            )
        self.register_buffer("weights", torch.tensor(c.emotion_weights)[:, None], persistent=False)

    def forward(self, batch: DialogueBatch) -> Tensor:
        """Logits of every utterance. Shapes: -> (B, T, classes), zeros behind the end of a dialogue."""
        heads = _apply(self.emotions, self._levels_of(batch))
        return unpack((self.weights * heads).sum(1), batch.lengths, batch.speakers.shape[1])

    def outputs(self, batch: DialogueBatch) -> HgfMilagOutputs:
        """The logits with those of each head, for the objective."""
        levels, steps = self._levels_of(batch), batch.speakers.shape[1]
        heads = _apply(self.emotions, levels)
        genders = _apply(self.genders, levels) if self.config.genders else heads.new_zeros(len(heads), len(LEVELS), 0)
        rows = ((self.weights * heads).sum(1), heads, genders)
        return HgfMilagOutputs(*(unpack(row, batch.lengths, steps) for row in rows))

    def initial_state(self, dialogues: int = 1) -> HgfMilagState:
        """The state of dialogues in which nothing has been said; `ValueError` if the model is two-sided."""
        require_causal(self)
        c, like = self.config, self.fusion.missing
        return HgfMilagState(
            recurrent=like.new_zeros(dialogues, len(MODALITIES), c.context_layers, c.context_width),
            context=like.new_zeros(dialogues, c.window, 3 * c.context_width),
            others=like.new_zeros(dialogues, c.window, 2 * c.context_width),
            joint=like.new_zeros(dialogues, c.window, 3 * c.context_width),
            related=like.new_zeros(dialogues, c.window, c.graph_width),
            speakers=torch.zeros(dialogues, c.window, dtype=torch.int64, device=like.device),
            seen=torch.zeros(dialogues, dtype=torch.int64, device=like.device),
        )

    def step(self, utterance: UtteranceBatch, state: HgfMilagState) -> tuple[Tensor, HgfMilagState]:
        """Classify the next utterance of each dialogue; `state` stays as it was. `ValueError` if two-sided.

        Shapes: utterance of B rows -> logits (B, classes), the state after it.
        """
        require_causal(self)
        modalities = self.fusion.modalities(utterance)
        grus = cast("list[ContextGRU]", self.context)
        pairs = [gru.step(modalities[:, m], state.recurrent[:, m]) for m, gru in enumerate(grus)]
        context = torch.cat([rows for rows, _ in pairs], dim=1)
        edges = past_window_step(state.speakers, state.seen, utterance.speakers)
        window = _Window((state.context, state.others, state.joint, state.related))
        heads = _apply(self.emotions, self._levels(context, edges, window))
        after = HgfMilagState(
            recurrent=torch.stack([recurrent for _, recurrent in pairs], dim=1),
            speakers=torch.cat((state.speakers[:, 1:], utterance.speakers[:, None]), dim=1),
            seen=(state.seen + 1).clamp(max=self.config.window),
            **dict(zip(("context", "others", "joint", "related"), window.after, strict=True)),
        )
        return (self.weights * heads).sum(1), after

    def _levels_of(self, batch: DialogueBatch) -> list[Tensor]:
        utterances = batch.utterances()
        modalities = self.fusion.modalities(utterances)
        context = torch.cat([gru(modalities[:, m], batch.lengths) for m, gru in enumerate(self.context)], dim=1)
        c = self.config
        future = 0 if c.causal else c.window if c.future is None else c.future
        edges = two_sided_window(batch.lengths, utterances.speakers, c.window, future)
        return self._levels(context, edges, lambda rows: rows)

    def _levels(self, context: Tensor, edges: Edges, sources: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """The inputs of the heads; `sources` turns the newest inputs of a graph into all that its edges start from."""
        past = sources(context).chunk(3, dim=1)
        inside = [
            conv((past[m], newest), edges.index)
            for m, (conv, newest) in enumerate(zip(self.inside, context.chunk(3, dim=1), strict=True))
        ]
        index = edges.index[:, edges.distance == 0] if self.config.as_released else edges.index
        others = sources(torch.cat(inside[1:], dim=1)).chunk(2, dim=1)
        joint = torch.cat([inside[0], *(self.across(inside[0], other, index) for other in others)], dim=1)
        related = self.relate((sources(joint), joint), edges.index, self._relations(edges))
        graph = self.refine((sources(related), related), edges.index)
        return [torch.cat((context, graph), dim=1), *inside]

    def _relations(self, edges: Edges) -> Tensor:
        """Which matrix of the RGCN each edge goes through. Shapes: -> (E,)"""
        if self.config.as_released:
            return (edges.relation == Relation.OTHER_SPEAKER) + 2 * (edges.distance <= 0)
        return edges.relation + 2 * (edges.distance < 0)


class _Window:
    """The sources of each graph in a step, in the order of the calls: the cached rows and the newest one."""

    def __init__(self, past: Sequence[Tensor]) -> None:
        self._past = iter(past)
        self.after: list[Tensor] = []

    def __call__(self, newest: Tensor) -> Tensor:
        rows = torch.cat((next(self._past), newest[:, None]), dim=1)
        self.after.append(rows[:, 1:])
        return rows.flatten(0, 1)


def objective(model: HgfMilag, batch: DialogueBatch, labels: Tensor, genders: Tensor | None = None) -> Tensor:
    """Weighted cross-entropies of all heads; with `genders`, a share of theirs.

    Shapes: labels (B, T) and genders (B, T), `UNLABELLED` where there is none (padding included) -> ()

    Raises:
        ValueError: genders are given to a model without heads for them.
    """
    c, outputs = model.config, model.outputs(batch)
    emotion = _weighted(outputs.heads, labels, c.emotion_weights)
    if genders is None:
        return emotion
    if not c.genders:
        raise ValueError("genders are given, but the model was built with genders=0: build it with their number")
    return c.emotion_share * emotion + (1 - c.emotion_share) * _weighted(outputs.genders, genders, c.gender_weights)


def _weighted(heads: Tensor, labels: Tensor, weights: Sequence[float]) -> Tensor:
    known = labels != UNLABELLED
    losses = [weight * focal(heads[known][:, k], labels[known], gamma=0.0) for k, weight in enumerate(weights)]
    return torch.stack(losses).sum()


def _layers(inputs: int, width: int, classes: int, dropout: float) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, classes)


def _apply(heads: nn.ModuleList, levels: list[Tensor]) -> Tensor:
    return torch.stack([head(rows) for head, rows in zip(heads, levels, strict=True)], dim=1)

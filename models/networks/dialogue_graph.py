"""DialogueGraph, the default model: a causal graph over the utterances of a dialogue, advanced one utterance at a time.

    x_0 = fusion(text, audio, visual)
    x_k+1 = x_k + attend_k(norm(x_s) of the sources s in the past window; norm(x_k))      k = 0..layers-1
    logits = head(norm(x_layers), norm(text))          valence, arousal alike, where a corpus has ratings of them

The text vector reaches the head by a way of its own, and the graph's part of the head is 0 at first: what the words
alone say is the answer that the graph has to improve, as the vectors have been read with a past already
(`encoders/text.py`). While it learns, some utterances are answered without the graph, so that it stays a whole answer.

`attend` is the graph transformer operator of Shi et al. (2021, "Masked label prediction", PyTorch Geometric's
TransformerConv); its edge vectors say who spoke the source and how many utterances ago. `forward` is that operator over
all nodes. `step` runs its weights for the one new node, over keys and values that the state keeps: no graph to build,
no shape that depends on a value, and all that follows from weights alone worked into them beforehand
(`blocks/folded.py`). They are two implementations of one definition, and the contracts (`tests/contracts`) hold them
together.
The rule of this file: nothing reads the future. Edges end at the same or a later utterance, attention is normalised
over incoming edges, norms are per row; so a cached row never changes, and one step costs the same at any length of
dialogue. `causal=False` is the twin that shows what this rule costs: the same network with edges from the `window`
utterances after each, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import TransformerConv

from erc_live.models.batch import DialogueBatch, UtteranceBatch, unpack
from erc_live.models.blocks.derived import Derived
from erc_live.models.blocks.folded import ROOT, FoldedAttention, FoldedFusion, folded_linear
from erc_live.models.blocks.fusion import Fusion
from erc_live.models.blocks.graph_operators import built
from erc_live.models.blocks.heads import DimensionHead, EmotionHead, parted
from erc_live.models.dimensions import learnt_dimensions
from erc_live.models.graph import Edges, Relation, past_window, two_sided_window
from erc_live.models.losses import UNLABELLED, disagreement
from erc_live.models.state import require_causal


@dataclass(frozen=True)
class DialogueGraphConfig:
    """Sizes of a DialogueGraph. `window` counts past utterances and, two-sided, as many future ones; with 0 each
    utterance is alone. A modality of width 0 is always missing. `valence` and `arousal`: whether it learns them.
    """

    classes: int = 7
    text_dim: int = 384
    audio_dim: int = 8
    visual_dim: int = 0
    width: int = 128
    layers: int = 2
    heads: int = 4
    window: int = 10
    dropout: float = 0.3
    smoothing: float = 0.05  # of the labels, in the objective
    text_alone: float = 0.2  # share of the utterances that are answered without the graph while it learns
    causal: bool = True
    valence: bool = False
    arousal: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes of which no network can be built."""
        if min(self.classes, self.width, self.layers, self.heads) < 1 or self.window < 0:
            raise ValueError(f"sizes must be at least 1, window at least 0: {self}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")


@dataclass(frozen=True)
class DialogueState:
    """What a dialogue leaves for its next utterance; its size does not depend on the length of the dialogue.

    Shapes: memory (B, layers, 2, heads, window, width / heads), keys and values of the window of each layer as
    `FoldedAttention` carries them, oldest first; speakers (B, window); seen (B,) how many of the window, counted from
    the newest, are filled.
    """

    memory: Tensor
    speakers: Tensor
    seen: Tensor


class WindowAttention(nn.Module):
    """One layer: each target attends to the sources that have an edge to it.

    Shapes: sources (S, width), targets (N, width), both normalised -> (N, width), to be added to the targets

    Args:
        width: of the vectors.
        heads: of the attention.
        past: how many utterances before the target may be sources.
        future: how many after it; `step` is for none.
        dropout: on attention weights and on the result.
    """

    def __init__(self, width: int, heads: int, past: int, future: int, dropout: float) -> None:
        super().__init__()
        self.future = future
        self.relation = nn.Embedding(len(Relation), width)
        self.distance = nn.Embedding(future + past + 1, width)  # the last future utterance first
        self.attend: Any = built(
            TransformerConv,
            (width, width),
            width // heads,
            heads=heads,
            edge_dim=width,
            dropout=dropout,
            root_weight=True,
        )
        self.dropout = dropout

    def forward(self, sources: Tensor, targets: Tensor, edges: Edges) -> Tensor:
        kind = self.relation(edges.relation) + self.distance(edges.distance + self.future)
        attended: Tensor = self.attend((sources, targets), edges.index, kind)
        return functional.dropout(functional.gelu(attended), self.dropout, self.training)

    def kinds(self) -> Tensor:
        """What edges add to keys and values: those of a window if another one spoke the source, the newest last, and
        behind them what comes to it if the same one did, as whoever speaks the newest; `step` is for no future.

        Shapes: -> (window + 2, width)
        """
        itself, same, other = self.relation.weight  # in the order of `Relation`
        *past, newest = self.distance.weight.flip(0)
        more = same - other
        edges = [*(distance + other for distance in past), newest + itself - more, more]
        kinds: Tensor = self.attend.lin_edge(torch.stack(edges))  # which has no bias, so they may be added afterwards
        return kinds


@dataclass(frozen=True)
class _StepWeights:
    """The weights as `step` takes them.

    Shapes: kinds (layers, 1, heads, window + 1, d), what an edge adds to keys and values if another one spoke, and
    (layers, 1, heads, 1, d), what comes to it if the same one did; reach (window + 1, 1, window + 1), the mask by how
    many are filled; after (window + 1,), how many are then; answer (width + text_dim, A) and (A,), A being its numbers.
    """

    fusion: FoldedFusion
    layers: tuple[FoldedAttention, ...]
    kinds: tuple[Tensor, Tensor]
    reach: Tensor
    after: Tensor
    answer: tuple[Tensor, Tensor]


class DialogueGraph(nn.Module):
    """The whole model; implements `Steppable[DialogueState]` if causal, and else needs `Replay` to step."""

    def __init__(self, config: DialogueGraphConfig) -> None:
        super().__init__()
        self.config = config
        self.receptive_field = config.layers * config.window  # past utterances that can change an answer
        future = 0 if config.causal else config.window
        self.fusion = Fusion((config.text_dim, config.audio_dim, config.visual_dim), config.width, config.dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(config.layers))
        self.layers = nn.ModuleList(
            WindowAttention(config.width, config.heads, config.window, future, config.dropout)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.words = nn.LayerNorm(config.text_dim, elementwise_affine=False)
        last = nn.Linear(config.width + config.text_dim, config.classes)
        nn.init.zeros_(last.weight[:, : config.width])
        self.head = EmotionHead(nn.Dropout(config.dropout), last)
        learnt = len(learnt_dimensions(config))
        self.dimensions = DimensionHead(last.in_features, learnt) if learnt else None
        self.still = False
        self._derived: Derived[_StepWeights] = Derived()

    @torch.no_grad()
    def begin_with(self, weight: Tensor, bias: Tensor, still: bool) -> None:
        """Answer as a line on the normed text vector does; `still`: from then on only the graph's part is
        learnt, and no weight decay may act on `still_weight`, which holds both.

        Shapes: weight (classes, text_dim), bias (classes,)
        """
        last: Any = self.head[-1]
        last.weight[:, self.config.width :] = weight
        last.bias.copy_(bias)
        if still:
            learnt = torch.ones_like(last.weight)
            learnt[:, self.config.width :] = 0.0
            last.weight.register_hook(lambda gradient: gradient * learnt.to(gradient.device))
            self.still = True

    @property
    def still_weight(self) -> nn.Parameter | None:
        """The weight of which `begin_with` let a part stand still; None if it did not."""
        last: Any = self.head[-1]
        return last.weight if self.still else None

    def forward(self, batch: DialogueBatch) -> Tensor:
        """What it answers to every utterance. Shapes: -> (B, T, A), zeros behind the end of a dialogue."""
        utterances = batch.utterances()
        packed, window = (batch.lengths, utterances.speakers), self.config.window
        edges = past_window(*packed, window) if self.config.causal else two_sided_window(*packed, window, window)
        x = self.fusion(utterances)  # (N, width)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            normed = norm(x)
            x = x + layer(normed, normed, edges)
        return unpack(self._answer(x, utterances), batch.lengths, batch.speakers.shape[1])

    def initial_state(self, dialogues: int = 1) -> DialogueState:
        """The state of dialogues in which nothing has been said; `ValueError` if the model is two-sided."""
        require_causal(self)
        c, like = self.config, self.fusion.missing
        return DialogueState(
            memory=like.new_zeros(dialogues, c.layers, 2, c.heads, c.window, c.width // c.heads),
            speakers=torch.zeros(dialogues, c.window, dtype=torch.int64, device=like.device),
            seen=torch.zeros(dialogues, dtype=torch.int64, device=like.device),
        )

    def step(self, utterance: UtteranceBatch, state: DialogueState) -> tuple[Tensor, DialogueState]:
        """Classify the next utterance of each dialogue; `state` stays as it was. `ValueError` if two-sided.

        Shapes: utterance of B rows -> answers (B, A), the state after it.
        """
        answers, after, _ = self._advance(utterance, state)
        return answers, after

    def attention(self, utterance: UtteranceBatch, state: DialogueState) -> Tensor:
        """Whom the next utterance attends to: in each layer, by head, the utterances of the window and itself.

        Shapes: utterance of B rows -> (B, layers, heads, window + 1), the newest last; 0 where nothing was said yet
        """
        return torch.stack(self._advance(utterance, state)[2], dim=1)

    def train(self, mode: bool = True) -> Self:
        """As for every module; what was derived from the weights is forgotten."""
        self._derived.forget()
        return super().train(mode)

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        """As for every module; what was derived from the weights is forgotten."""
        self._derived.forget()
        return super().load_state_dict(*arguments, **options)

    def _apply(self, *arguments: Any, **options: Any) -> Self:  # what `to`, `cuda` and `double` call
        self._derived.forget()
        super()._apply(*arguments, **options)  # type: ignore[no-untyped-call]
        return self

    def _folded(self) -> _StepWeights:
        layers: Sequence[Any] = list(self.layers)  # of `WindowAttention`
        last: Any = self.head[-1]
        width, reach = self.config.width, self.config.window + 1
        place = torch.arange(reach, device=last.weight.device)
        weight, bias = last.weight, last.bias
        if self.dimensions is not None:
            weight, bias = torch.cat((weight, self.dimensions.weight)), torch.cat((bias, self.dimensions.bias))
        kinds = torch.stack([layer.kinds() * ROOT for layer in layers])  # (layers, window + 2, width)
        kinds = kinds.view(len(layers), reach + 1, 1, self.config.heads, -1).permute(0, 2, 3, 1, 4)
        of_graph, shift = folded_linear(self.norm, SimpleNamespace(weight=weight[:, :width], bias=bias))
        return _StepWeights(
            fusion=FoldedFusion.of(self.fusion),
            layers=tuple(
                FoldedAttention.of(*pair) for pair in zip(self.norms, (one.attend for one in layers), strict=True)
            ),
            kinds=(kinds[..., :-1, :].contiguous(), kinds[..., -1:, :]),
            reach=last.weight.new_zeros(()).where(place.flip(0) <= place[:, None, None], -torch.inf),
            after=torch.clamp_max(place + 1, self.config.window),
            answer=(torch.cat((of_graph, weight[:, width:].t())), shift),
        )

    def _advance(self, utterance: UtteranceBatch, state: DialogueState) -> tuple[Tensor, DialogueState, list[Tensor]]:
        require_causal(self)
        folded = self._derived.of(self, self._folded)
        speaker = utterance.speakers.unsqueeze(1)
        speakers = torch.cat((state.speakers, speaker), dim=1)
        same = (speakers == speaker).view(-1, 1, 1, 1, self.config.window + 1, 1)
        kinds = torch.addcmul(*folded.kinds, same)  # (B, layers, 1, heads, window + 1, d)
        reach = folded.reach.index_select(0, state.seen)
        inputs = folded.fusion.inputs(utterance)
        x = folded.fusion.joined(inputs)  # (B, width)
        memory, shares = [], []
        for layer, past, kind in zip(folded.layers, state.memory.unbind(1), kinds.unbind(1), strict=True):
            x, grown, share = layer.step(x, past, kind, reach)
            memory.append(grown)
            shares.append(share)
        after = DialogueState(
            memory=torch.stack(memory, dim=1).narrow(-2, 1, self.config.window),
            speakers=speakers.narrow(1, 1, self.config.window),
            seen=folded.after.index_select(0, state.seen),
        )
        weight, bias = folded.answer
        words = inputs[: bool(self.config.text_dim)]
        answered = torch.cat((torch.layer_norm(x, x.shape[1:]), *words), dim=1)
        answers = torch.addmm(bias, answered, weight)
        if self.dimensions is not None:
            logits, dimensions = answers[:, : self.config.classes], answers[:, self.config.classes :]
            answers = torch.cat((logits, dimensions.tanh()), dim=1)
        return answers, after, shares

    def _answer(self, x: Tensor, utterances: UtteranceBatch) -> Tensor:
        """Shapes: x (N, width) after the last layer -> (N, A)"""
        graph, text = self.norm(x), utterances.text
        if self.training:
            kept = torch.rand(len(x), 1, device=x.device) >= self.config.text_alone
            graph = graph * (kept | ~utterances.present[:, :1])
        if not text.shape[1]:
            text = x.new_zeros(len(x), self.config.text_dim)
        words = self.words(torch.where(utterances.present[:, :1], text, 0.0))  # a row of zeros stays one
        drop, last = self.head
        vector = drop(torch.cat((graph, words), dim=-1))
        logits: Tensor = last(vector)
        return logits if self.dimensions is None else torch.cat((logits, self.dimensions(vector)), dim=-1)


def objective(model: DialogueGraph, batch: DialogueBatch, labels: Tensor, ratings: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the labelled utterances, `smoothing` of the probability spread over all classes; to which
    comes, where there are ratings, how far the learnt dimensions disagree with them.

    Shapes: labels (B, T) with `UNLABELLED` where there is none (padding included), ratings (B, T, 2) with NaN -> ()
    """
    logits, dimensions = parted(model(batch).flatten(0, 1), model.config)
    smoothing = model.config.smoothing
    loss = functional.cross_entropy(logits, labels.flatten(), ignore_index=UNLABELLED, label_smoothing=smoothing)
    return loss if ratings is None else loss + disagreement(dimensions, ratings.flatten(0, 1))

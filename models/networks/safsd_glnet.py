"""SAFSD-GLNet: nine attentions between modalities (global), a gated graph over them (local), students and a teacher.

Paper: "A Global-Local Fusion Network with Similarity-Aware Focal Self-Distillation for Multimodal Emotion Recognition
in Conversations"; release furtherfurther/SAFSD-GLNetwork, derived from SDT and M3NET. For modalities m, r:

    x_m = project_m(u_m) + speaker + position
    y_mr = x_m + attend(x_m -> x_r);   z_mr = y_mr + FFN(LN(y_mr));   F_m = W_m [z_mr * sigmoid(V_mr z_mr) for each r]
    h_m <- h_m + sum_j e_ij tanh(w . [h_i ; h_j]) h_j over masked nodes, K times, from h_m = U F_m (text: + speaker)
    teacher = W ReLU([U F_m ; h_m for each m]);   students_m = W_m ReLU(F_m)
    loss = CE(teacher) + sum_m SAF(student_m) + sum_m KL(teacher || student_m)

`as_released=True` restores what the release computes; it is for the two-sided form
- It masks half of the features of each graph layer also when it answers, so its answers are random; here the mask is
  dropout, for training only.
- Its teacher learns from the students; here it is detached.
- Its SAF rewards look-alike classes as a soft label would; here it weighs an error more, the more of it went to
  look-alikes, which is what the paper is after.
- Its graph adds the speaker to F_text in place, after SAF has read F_text and before the distillation does: what the
  text student learns from the teacher it learns of F_text + speaker. Here both losses read the same student.

Other deviations from the release
- It also pairs each utterance's SAF with the similarities of all others in the batch (a shape slip) and counts padding
  as class 0. Neither is restored.
- `Fusion` projects, because modalities may be missing. Speaker vectors go by slots in the order of appearance, so that
  no identity is learned. One dropout per modality instead of one per pairing, none on attention weights. The frozen
  gates of MELD and the gate over modalities, whose output is not used, are left out.
- Similarities and alpha were released for IEMOCAP alone, and no rule for others. Training takes those for IEMOCAP's six
  labels, and else makes both from the train split (`training/class_statistics.py`).
- Causal: past window, a learned bias per distance instead of absolute positions, division by in-degree in the graph.

| | paper / release (IEMOCAP) | here |
|---|---|---|
| parameters, inputs of 1024, 1582 and 342, 6 classes | 79,720,476 in use | 82,397,896 two-sided, 82,398,160 causal |
| width, graph width, heads, num_K, dropout, mask | 1024, 1024, 8, 4, 0.5, 0.5 | the same |
| shares of the losses, focus gamma, temperature | 1, 1, 1; 2; 1 | the same |
| class weights of the teacher | 1 / frequency | with `--recipe published`; else the logits lean (`graph_task.py`) |
| optimiser | Adam 1e-4, L2 1e-5, 16 dialogues, 80 epochs | `--recipe published` (`training/published.py`) |
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from erc_live.models.batch import DialogueBatch, UtteranceBatch, pack, unpack
from erc_live.models.blocks import convs
from erc_live.models.blocks.attention import CrossAttention, PastMask, dialogue_mask
from erc_live.models.blocks.fusion import Fusion
from erc_live.models.blocks.heads import EmotionHead
from erc_live.models.blocks.speaker_slots import SpeakerEmbedding
from erc_live.models.losses import UNLABELLED, confusable_focal, distillation, similarity_focal
from erc_live.models.modalities import MODALITIES
from erc_live.models.state import require_causal

# The release's values for IEMOCAP, classes in the order happy, sad, neutral, angry, excited, frustrated.
IEMOCAP_SIMILARITY = (
    (1.0, 0.3, 0.4, 0.2, 0.6, 0.3),
    (0.3, 1.0, 0.4, 0.7, 0.4, 0.6),
    (0.2, 0.5, 1.0, 0.4, 0.5, 0.2),
    (0.2, 0.7, 0.4, 1.0, 0.3, 0.5),
    (0.6, 0.4, 0.5, 0.3, 1.0, 0.4),
    (0.3, 0.8, 0.3, 0.5, 0.4, 1.0),
)
IEMOCAP_ALPHA = (0.1807, 0.1707, 0.1585, 0.1667, 0.1725, 0.1506)


@dataclass(frozen=True)
class SafsdGlnetConfig:
    """Sizes of a SafsdGlnet. `window` counts the past utterances of the causal form; two-sided attends to the dialogue.

    Of the objective: `class_weights` of the teacher's cross-entropy, `alpha` (per class), `similarity` (row: true
    class), `gamma` and `sharpness` of SAF, `temperature` of the distillation, and the shares of these three. What is
    empty, and training does not fill, is 1 for each class, or no similarity: then SAF is focal loss.
    """

    classes: int = 7
    text_dim: int = 384
    audio_dim: int = 8
    visual_dim: int = 0
    window: int = 32
    causal: bool = False
    as_released: bool = False
    width: int = 1024
    graph_width: int = 1024
    heads: int = 8
    num_K: int = 4
    speakers: int = 9
    dropout: float = 0.5
    mask: float = 0.5
    shares: tuple[float, ...] = (1.0, 1.0, 1.0)
    class_weights: tuple[float, ...] = ()
    alpha: tuple[float, ...] = ()
    similarity: tuple[tuple[float, ...], ...] = ()
    gamma: float = 2.0
    sharpness: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Refuse sizes of which no network can be built."""
        sizes = (self.classes, self.window, self.width, self.graph_width, self.heads, self.num_K, self.speakers)
        if min(sizes) < 1:
            raise ValueError(f"sizes must be at least 1: {self}")
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width {self.width} must be even and a multiple of heads {self.heads}")
        if self.as_released and self.causal:
            raise ValueError("as_released is two-sided: set causal=False, or leave it out")
        for row in (self.class_weights, self.alpha, self.similarity, *self.similarity):
            if len(row) not in (0, self.classes):
                raise ValueError(f"{len(row)} values for {self.classes} classes: {row}")


@dataclass(frozen=True)
class SafsdGlnetOutputs:
    """What the objective reads; zeros behind the end.

    Shapes: logits (B, T, classes) of the teacher; students (B, T, 3, classes), those that learn from labels, and pupils
    (B, T, 3, classes), those that learn from the teacher: the same ones unless as released.
    """

    logits: Tensor
    students: Tensor
    pupils: Tensor


@dataclass(frozen=True)
class SafsdGlnetState:
    """What a dialogue leaves for its next utterance.

    Shapes: memory (B, 9, window, 2 width), keys and values of the pairings, inputs (B, num_K, 3, window, graph_width)
    of the graph layers, both oldest first; slots (B, 2, speakers) of the speakers; seen (B,) how many of the window,
    counted from the newest, are filled.
    """

    memory: Tensor
    inputs: Tensor
    slots: Tensor
    seen: Tensor


class Pairing(nn.Module):
    """One modality asks another, or itself: attention, feed-forward, gate.

    Shapes: targets (B, T, width), memory (B, S, 2 width) made by `attend.remember`, mask as for `CrossAttention`
    -> (B, T, width)
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attend = CrossAttention(width, heads)
        self.drop = nn.Dropout(dropout)
        self.feed = nn.Sequential(
            nn.LayerNorm(width, eps=1e-6),
            nn.Linear(width, width),
            nn.GELU(approximate="tanh"),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.Dropout(dropout),
        )
        self.gate = nn.Linear(width, width)

    def forward(self, targets: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        asked = targets + self.drop(self.attend(targets, memory, mask))
        fed = asked + self.feed(asked)
        gated: Tensor = fed * torch.sigmoid(self.gate(fed))
        return gated


class SafsdGlnet(nn.Module):
    """The whole model; implements `Steppable[SafsdGlnetState]` if causal, and else needs `Replay` to step."""

    def __init__(self, config: SafsdGlnetConfig) -> None:
        super().__init__()
        self.config = c = config
        self.receptive_field = (1 + c.num_K) * c.window  # if causal; but the slots remember who spoke
        modalities = len(MODALITIES)
        self.fusion = Fusion((c.text_dim, c.audio_dim, c.visual_dim), c.width, dropout=0.0)
        self.speaker = SpeakerEmbedding(c.speakers, c.width)
        self.drop = nn.Dropout(c.dropout)
        if c.causal:
            self.past = PastMask(c.window, c.heads)
        self.pairings = nn.ModuleList(Pairing(c.width, c.heads, c.dropout) for _ in range(modalities * modalities))
        self.reduce = nn.ModuleList(nn.Linear(modalities * c.width, c.width) for _ in MODALITIES)
        self.graph_speaker = SpeakerEmbedding(c.speakers, c.width)
        self.enter = nn.Linear(c.width, c.graph_width)
        self.layers = nn.ModuleList(convs.GatedConv(c.graph_width) for _ in range(c.num_K))
        self.head = EmotionHead(nn.Dropout(c.dropout), nn.ReLU(), nn.Linear(6 * c.graph_width, c.classes))
        self.students = nn.ModuleList(
            EmotionHead(nn.ReLU(), nn.Dropout(c.dropout), nn.Linear(c.width, c.classes)) for _ in MODALITIES
        )

    def forward(self, batch: DialogueBatch) -> Tensor:
        """Logits of every utterance. Shapes: -> (B, T, classes), zeros behind the end of a dialogue."""
        return _blank(self._teach(batch, self._fuse(batch)), batch.lengths)

    def outputs(self, batch: DialogueBatch) -> SafsdGlnetOutputs:
        """The logits with those of the students, for the objective."""
        fused = self._fuse(batch)
        students = pupils = self._study(fused)
        if self.config.as_released:
            pupils = self._study(_with_voice(fused, self.graph_speaker(batch.speakers)))
        logits = self._teach(batch, fused)
        return SafsdGlnetOutputs(*(_blank(rows, batch.lengths) for rows in (logits, students, pupils)))

    def initial_state(self, dialogues: int = 1) -> SafsdGlnetState:
        """The state of dialogues in which nothing has been said; `ValueError` if the model is two-sided."""
        require_causal(self)
        c, like = self.config, self.fusion.missing
        return SafsdGlnetState(
            memory=like.new_zeros(dialogues, len(self.pairings), c.window, 2 * c.width),
            inputs=like.new_zeros(dialogues, c.num_K, len(MODALITIES), c.window, c.graph_width),
            slots=self.speaker.initial_state(dialogues),
            seen=torch.zeros(dialogues, dtype=torch.int64, device=like.device),
        )

    def step(self, utterance: UtteranceBatch, state: SafsdGlnetState) -> tuple[Tensor, SafsdGlnetState]:
        """Classify the next utterance of each dialogue; `state` stays as it was. `ValueError` if two-sided.

        Shapes: utterance of B rows -> logits (B, classes), the state after it.
        """
        require_causal(self)
        mask, window = self.past.step(state.seen), self.config.window
        voice, slots = self.speaker.step(utterance.speakers, state.slots)
        graph_voice, _ = self.graph_speaker.step(utterance.speakers, state.slots)
        streams = self.drop(self.fusion.modalities(utterance) + voice[:, None])[:, :, None]  # (B, 3, 1, width)
        fused, memory = self._global(streams, mask, state.memory)
        filled = torch.arange(window, 0, -1, device=state.seen.device) <= state.seen[:, None]
        present = filled[:, None].expand(-1, len(MODALITIES), -1)
        edges = convs.past_edges_step(present, torch.ones_like(present[..., :1]))
        logits, inputs = self._local(fused, graph_voice[:, None], edges, state.inputs)
        after = SafsdGlnetState(
            memory=memory[:, :, 1:],
            inputs=torch.cat((state.inputs[:, :, :, 1:], inputs), dim=3),
            slots=slots,
            seen=(state.seen + 1).clamp(max=window),
        )
        return logits[:, 0], after

    def _fuse(self, batch: DialogueBatch) -> Tensor:
        lengths, steps = batch.lengths, batch.speakers.shape[1]
        streams = unpack(self.fusion.modalities(batch.utterances()), lengths, steps)  # (B, T, 3, width)
        streams = streams + self.speaker(batch.speakers)[:, :, None]
        if not self.config.causal:
            streams = streams + _positions(steps, streams)[:, None]
        mask = self.past(steps) if self.config.causal else dialogue_mask(lengths)
        return self._global(self.drop(streams).transpose(1, 2), mask, None)[0]

    def _study(self, fused: Tensor) -> Tensor:
        return torch.stack([student(fused[:, m]) for m, student in enumerate(self.students)], dim=2)

    def _teach(self, batch: DialogueBatch, fused: Tensor) -> Tensor:
        present = torch.arange(fused.shape[2], device=fused.device) < batch.lengths[:, None]
        present = present[:, None].expand(-1, len(MODALITIES), -1)
        c = self.config
        edges = convs.past_edges(present, c.window) if c.causal else convs.complete_edges(present)
        return self._local(fused, self.graph_speaker(batch.speakers), edges, None)[0]

    def _global(self, streams: Tensor, mask: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """All pairings, with what is cached of the `past` memory in front of their own.

        Shapes: streams (B, 3, T, width), past (B, 9, S, 2 width) -> fused (B, 3, T, width), memory (B, 9, S + T, ...)
        """
        answers, memories = [], []
        for p, pairing in enumerate(cast("list[Pairing]", self.pairings)):
            target, source = divmod(p, len(MODALITIES))
            memory = pairing.attend.remember(streams[:, source])
            memories.append(memory if past is None else torch.cat((past[:, p], memory), dim=1))
            answers.append(pairing(streams[:, target], memories[-1], mask))
        fused = [
            reduce(torch.cat(answers[len(MODALITIES) * m :][: len(MODALITIES)], dim=-1))
            for m, reduce in enumerate(self.reduce)
        ]
        return torch.stack(fused, dim=1), torch.stack(memories, dim=1)

    def _local(
        self, fused: Tensor, voice: Tensor, edges: convs.EdgeWeights, past: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Graph and head, with the cached `past` inputs of each graph layer in place of the dialogue's.

        Shapes: fused (B, 3, T, width), voice (B, T, width), past (B, num_K, 3, window, graph_width) -> logits (B, T,
        classes), inputs (B, num_K, 3, T, graph_width)
        """
        entered = nodes = self.enter(_with_voice(fused, voice))
        inputs = []
        for k, layer in enumerate(self.layers):
            inputs.append(nodes)
            masked = self._mask(nodes)
            nodes = nodes + layer(masked, masked if past is None else past[:, k], edges)
        logits: Tensor = self.head(torch.cat((entered, nodes), dim=-1).transpose(1, 2).flatten(2))
        return logits, torch.stack(inputs, dim=1)

    def _mask(self, nodes: Tensor) -> Tensor:
        if self.config.as_released:
            return nodes * (torch.rand_like(nodes) > self.config.mask)
        return functional.dropout(nodes, self.config.mask, self.training)


def objective(model: SafsdGlnet, batch: DialogueBatch, labels: Tensor) -> Tensor:
    """Cross-entropy of the teacher, similarity-aware focal loss of the students, and what they learn from the teacher.

    The last is a mean over all utterances, as it needs no label; the others over the labelled ones.

    Shapes: labels (B, T) with `UNLABELLED` where there is none (padding included) -> ()
    """
    c, outputs, known = model.config, model.outputs(batch), labels != UNLABELLED
    target, like = labels[known], outputs.logits
    weights, alpha = (like.new_tensor(row or (1.0,) * c.classes) for row in (c.class_weights, c.alpha))
    similarity = like.new_tensor(c.similarity) if c.similarity else torch.eye(c.classes).to(like)
    hard = functional.cross_entropy(outputs.logits[known], target, weights, reduction="sum")
    hard = hard / weights[target].sum().clamp(min=torch.finfo(like.dtype).tiny)
    focus, soft = like.new_zeros(()), like.new_zeros(())
    teacher = pack(outputs.logits, batch.lengths)
    for student, pupil in zip(outputs.students.unbind(2), outputs.pupils.unbind(2), strict=True):
        if c.as_released:
            focus = focus + similarity_focal(student[known], target, similarity, alpha, c.gamma)
        else:
            focus = focus + confusable_focal(student[known], target, similarity, alpha, (c.gamma, c.sharpness))
        learnt = pack(pupil, batch.lengths)
        soft = soft + distillation(learnt, teacher, c.temperature, through_teacher=c.as_released)
    return (like.new_tensor(c.shares) * torch.stack((hard, focus, soft))).sum()


def _with_voice(fused: Tensor, voice: Tensor) -> Tensor:
    """The speaker joins the text. Shapes: fused (B, 3, T, width), voice (B, T, width) -> (B, 3, T, width)"""
    return torch.cat((fused[:, :1] + voice[:, None], fused[:, 1:]), dim=1)


def _blank(logits: Tensor, lengths: Tensor) -> Tensor:
    return unpack(pack(logits, lengths), lengths, logits.shape[1])


def _positions(steps: int, like: Tensor) -> Tensor:
    """Sines and cosines of the place in the dialogue (Vaswani et al., 2017). Shapes: -> (steps, width)"""
    pairs = torch.arange(0, like.shape[-1], 2, device=like.device) / like.shape[-1]
    angles = torch.arange(steps, device=like.device)[:, None] / 10000.0**pairs
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).to(like)

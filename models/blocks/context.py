"""Context encoders: what comes before (and, two-sided, after) an utterance enters its vector.

The rule of this file: each encoder has a whole form over packed dialogues and, if it is causal, a step form that gives
the same numbers from a state of fixed size. Both forms run the same weights.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from erc_live.models.batch import pack, unpack
from erc_live.models.blocks.speaker_slots import free_slots, take_slot


class ContextGRU(nn.Module):
    """Gated recurrent units over the utterances of a dialogue.

    Causal: forward in time, `width` units per layer. Two-sided: `width / 2` units in each direction, concatenated.

    Shapes: rows (N, inputs) of packed dialogues, lengths (B,) -> (N, width)

    Args:
        inputs: width of the rows.
        width: width of the results; even if two-sided.
        layers: how many layers stand on each other.
        dropout: between the layers.
        causal: forward only.
    """

    def __init__(self, inputs: int, width: int, *, layers: int, dropout: float, causal: bool) -> None:
        super().__init__()
        if not causal and width % 2:
            raise ValueError(f"width {width} must be even to be shared by two directions")
        self.units = nn.GRU(
            inputs,
            width if causal else width // 2,
            num_layers=layers,
            dropout=dropout if layers > 1 else 0.0,
            bidirectional=not causal,
            batch_first=True,
        )

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        padded = unpack(rows, lengths, int(lengths.max()))
        sequence = pack_padded_sequence(padded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        context, _ = pad_packed_sequence(self.units(sequence)[0], batch_first=True)
        return pack(context, lengths)

    def initial_state(self, dialogues: int) -> Tensor:
        """Before the first utterance. Shapes: -> (B, layers, width)"""
        like = next(self.units.parameters())
        return like.new_zeros(dialogues, self.units.num_layers, self.units.hidden_size)

    def step(self, rows: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The next row of each dialogue, causal only. Shapes: rows (B, inputs), state (B, layers, width)"""
        context, after = self.units(rows[:, None], state.transpose(0, 1).contiguous())
        return context[:, 0], torch.transpose(after, 0, 1)


@dataclass(frozen=True)
class DialogueRNNState:
    """What a `DialogueRNN` knows of its dialogues.

    Shapes: recurrent (B, 3, width), the global state, the emotion and the mean of the past global states; mass (B,),
    the log of the sum of their weights; parties (B, slots, width), a state per speaker; slots (B, 2, slots) int64, who
    has which slot.
    """

    recurrent: Tensor
    mass: Tensor
    parties: Tensor
    slots: Tensor


class DialogueRNN(nn.Module):
    """Recurrent states of the dialogue, of each of its speakers and of the emotion (Majumder et al., AAAI 2019).

        g_t = GRU([x_t ; q_s], g_t-1)               s is the speaker of t
        c_t = sum over k < t of a_k g_k,            a = softmax of w . g_k
        q_s = GRU([x_t ; c_t], q_s)                 the other speakers stay as they are
        e_t = GRU(q_s, e_t-1)                       the result

    The scores of c do not depend on t, so a running mean and the log of its mass are all that it needs of the past.
    Two-sided: a second one reads the dialogue backwards, and a linear layer joins both.

    Shapes: rows (N, width) of packed dialogues, speakers (N,) int64, lengths (B,) -> (N, width)

    Args:
        width: width of the rows and of every state.
        slots: how many speakers have a state; a further one takes that of the one who has been silent for longest.
        causal: forward only.
    """

    def __init__(self, width: int, *, slots: int, causal: bool) -> None:
        super().__init__()
        self.past = _DialogueRNNCell(width, slots)
        self.causal = causal
        if not causal:
            self.future = _DialogueRNNCell(width, slots)
            self.join = nn.Linear(2 * width, width)

    def forward(self, rows: Tensor, speakers: Tensor, lengths: Tensor) -> Tensor:
        past = self.past.whole(rows, speakers, lengths)
        if self.causal:
            return past
        ends = lengths.cumsum(0)
        mirror = torch.repeat_interleave(2 * ends - lengths - 1, lengths) - torch.arange(len(rows), device=rows.device)
        future = self.future.whole(rows[mirror], speakers[mirror], lengths)[mirror]
        joined: Tensor = self.join(torch.cat((past, future), dim=-1))
        return joined

    def initial_state(self, dialogues: int) -> DialogueRNNState:
        """Before the first utterance."""
        return self.past.initial_state(dialogues)

    def step(self, rows: Tensor, speakers: Tensor, state: DialogueRNNState) -> tuple[Tensor, DialogueRNNState]:
        """The next row of each dialogue, causal only. Shapes: rows (B, width), speakers (B,) -> (B, width), state"""
        return self.past.step(rows, speakers, state)


class _DialogueRNNCell(nn.Module):
    def __init__(self, width: int, slots: int) -> None:
        super().__init__()
        self.width, self.slots = width, slots
        self.dialogue = nn.GRUCell(2 * width, width)
        self.party = nn.GRUCell(2 * width, width)
        self.emotion = nn.GRUCell(width, width)
        self.score = nn.Linear(width, 1, bias=False)

    def whole(self, rows: Tensor, speakers: Tensor, lengths: Tensor) -> Tensor:
        steps, results = int(lengths.max()), []
        state = self.initial_state(len(lengths))
        padded = zip(unpack(rows, lengths, steps).unbind(1), unpack(speakers, lengths, steps).unbind(1), strict=True)
        for newest, speaker in padded:
            emotion, state = self.step(newest, speaker, state)
            results.append(emotion)
        return pack(torch.stack(results, dim=1), lengths)

    def initial_state(self, dialogues: int) -> DialogueRNNState:
        like = self.score.weight
        return DialogueRNNState(
            recurrent=like.new_zeros(dialogues, 3, self.width),
            mass=like.new_full((dialogues,), -torch.inf),
            parties=like.new_zeros(dialogues, self.slots, self.width),
            slots=free_slots(dialogues, self.slots, like.device),
        )

    def step(self, rows: Tensor, speakers: Tensor, state: DialogueRNNState) -> tuple[Tensor, DialogueRNNState]:
        slot, slots = take_slot(speakers, state.slots)
        taken = torch.arange(self.slots, device=slot.device) == slot[:, None]  # (B, slots)
        known = (taken & (state.slots[:, 0] == speakers[:, None]))[..., None]
        party = torch.where(known, state.parties, 0.0).sum(1)  # a new speaker starts from 0
        before, emotion, context = state.recurrent.unbind(1)

        dialogue = self.dialogue(torch.cat((rows, party), dim=-1), before)
        party = self.party(torch.cat((rows, context), dim=-1), party)
        emotion = self.emotion(party, emotion)

        score = self.score(dialogue)[:, 0]
        share = torch.sigmoid(score - state.mass)[:, None]  # of the newest: exp(score) / (exp(mass) + exp(score))
        context = context + share * (dialogue - context)
        after = DialogueRNNState(
            recurrent=torch.stack((dialogue, emotion, context), dim=1),
            mass=torch.logaddexp(state.mass, score),
            parties=torch.where(taken[..., None], party[:, None], state.parties),
            slots=slots,
        )
        return emotion, after

"""The one door through which a dialogue model is used live, and what every state of such a model can do.

`forward` is the definition; `step` gives the same numbers one utterance at a time. The state is a value: `step` leaves
the given one as it was, so a provisional answer is a step whose new state is thrown away, and resuming is an
assignment. A state is a frozen dataclass of tensors (or of such dataclasses) whose first axis is the dialogue and whose
size does not grow; so the functions here need to know no network.
The rule of this file: nothing is written in place.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_bytes
from safetensors.torch import load as load_bytes
from safetensors.torch import save_file
from torch import Tensor, nn

from erc_live.models.batch import DialogueBatch, UtteranceBatch, unpack
from erc_live.models.errors import StateError

FORMAT = "erc.state/1"

State = TypeVar("State")


class Sizes(Protocol):
    """What the configuration of every network holds: its classes and the widths of its input vectors."""

    @property
    def classes(self) -> int: ...

    @property
    def text_dim(self) -> int: ...

    @property
    def audio_dim(self) -> int: ...

    @property
    def visual_dim(self) -> int: ...


class TwoSided(Protocol):
    """A model that answers for whole dialogues only: what it says of an utterance may depend on later ones."""

    @property
    def config(self) -> Sizes: ...

    def __call__(self, batch: DialogueBatch) -> Tensor:
        """Answers to every utterance. Shapes: -> (B, T, A); zeros behind the end of a dialogue."""
        ...


class Steppable(TwoSided, Protocol[State]):
    """A causal model of dialogues. Its states are frozen dataclasses of tensors whose first axis is the dialogue. An
    answer is A numbers, which `blocks/heads.py` parts into logits and learnt dimensions.
    """

    def forward(self, batch: DialogueBatch) -> Tensor:
        """Answers to every utterance. Shapes: -> (B, T, A); zeros behind the end of a dialogue."""
        ...

    def initial_state(self, dialogues: int = 1) -> State:
        """The state of dialogues in which nothing has been said."""
        ...

    def step(self, utterance: UtteranceBatch, state: State) -> tuple[Tensor, State]:
        """Classify the next utterance of each dialogue. Shapes: -> answers (B, A), the state after it."""
        ...


def require_causal(model: Any) -> None:
    """Refuse to step a network that reads the future. Raises ValueError, which says what to do instead."""
    if not model.config.causal:
        raise ValueError(
            f"{type(model).__name__} with causal=False reads the future: wrap it in Replay to step, or set causal"
        )


def tensors(state: object) -> dict[str, Tensor]:
    """Every tensor of a state by its dotted name, in the order of the fields."""
    stored: dict[str, Tensor] = {}
    for name, value in vars(state).items():
        inner = {"": value} if isinstance(value, Tensor) else tensors(value)
        stored |= {f"{name}.{path}".rstrip("."): tensor for path, tensor in inner.items()}
    return stored


def transform(function: Callable[..., Tensor], *states: State) -> State:
    """The state whose every tensor is `function` of the tensors at the same place of `states`."""

    def at(*values: Any) -> Any:
        return function(*values) if isinstance(values[0], Tensor) else transform(function, *values)

    fields = {name: at(*(vars(state)[name] for state in states)) for name in vars(states[0])}
    return cast(State, cast(Any, type(states[0]))(**fields))


def rows(state: State, index: Tensor | slice) -> State:
    """The states of the dialogues that `index` selects; a tensor of indices copies, a slice shares memory."""
    return transform(lambda tensor: tensor[index], state)


def join(states: Sequence[State]) -> State:
    """One state of all dialogues of `states`, in their order."""
    return transform(lambda *parts: torch.cat(parts), *states)


def to_device(state: State, device: str | torch.device) -> State:
    """The same state on another device; tensors that are there already are shared."""
    return transform(lambda tensor: tensor.to(device), state)


def nbytes(state: object) -> int:
    """Bytes of all tensors of a state."""
    return sum(tensor.nbytes for tensor in tensors(state).values())


def save(path: Path, state: object, model: str) -> None:
    """Write a state as safetensors; `model` is the fingerprint of the weights that made it."""
    save_file(_content(state), path, {"format": FORMAT, "model": model})


def to_bytes(state: object) -> bytes:
    """A state as safetensors; which weights made it, who keeps it must know."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors(state).items()}
    return save_bytes(arrays, {"format": FORMAT})


def load(path: Path, like: State, model: str) -> State:
    """Read a state that `save` wrote, onto the device of `like`, which is any state of the same network.

    Raises:
        StateError: there is no such file, it is no state, or other weights or another network made it.
    """
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise StateError(f"{path} cannot be read as the state of a dialogue: {' '.join(str(error).split())}") from error
    if header.get("format") != FORMAT:
        raise StateError(f"{path} is not of format {FORMAT}: give a file that holds the state of a dialogue")
    if header.get("model") != model:
        raise StateError(f"{path} was made by model {header.get('model')}, this is {model}: load it with those weights")
    return _like(stored, like, str(path))


def from_bytes(data: bytes, like: State) -> State:
    """Inverse of `to_bytes`, as `load`. Raises StateError."""
    try:
        stored = load_bytes(data)
    except (SafetensorError, ValueError) as error:
        raise StateError(f"cannot be read as the state of a dialogue: {' '.join(str(error).split())}") from error
    return _like(stored, like, "it")


def _content(state: object) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous().cpu().clone() for name, tensor in tensors(state).items()}


def _like(stored: dict[str, Tensor], like: State, what: str) -> State:
    differing = _differing(stored, tensors(like))
    if differing:
        raise StateError(f"{what} is the state of another network ({differing}): load it with the network that made it")
    names = iter(tensors(like))
    return transform(lambda tensor: stored[next(names)].to(tensor.device), like)


def _differing(stored: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    """What keeps `stored` from being a state like `expected`; empty if nothing does. They may differ in dialogues."""
    if stored.keys() != expected.keys():
        return f"it holds {', '.join(sorted(stored))}, not {', '.join(sorted(expected))}"
    for name, tensor in expected.items():
        mine = (tuple(stored[name].shape[1:]), stored[name].dtype)
        if mine != (tuple(tensor.shape[1:]), tensor.dtype):
            return f"{name} is {mine[0]} {mine[1]}, not {tuple(tensor.shape[1:])} {tensor.dtype}"
    return ""


class Replay(nn.Module):
    """Gives any network the door of `Steppable`: the whole network runs again over the last utterances.

    The answer for an utterance is the last row of `model` over it and the `window` - 1 utterances before it, in which
    speakers are numbered anew by first appearance, as `DialogueBatch` demands. This is what a two-sided network can say
    without the future, and the cost is that of the window at every utterance. The state holds the inputs themselves: a
    `DialogueBatch` of `window` rows whose `lengths` (0..window) count those that are filled.
    """

    def __init__(self, model: TwoSided, window: int) -> None:
        super().__init__()
        if window < 1:
            raise ValueError(f"window must be at least 1, not {window}")
        self.model = model
        self.window = window
        self.receptive_field = window - 1

    @property
    def config(self) -> Sizes:
        """The configuration of the network."""
        return self.model.config

    def forward(self, batch: DialogueBatch) -> Tensor:
        """What `step` says of every utterance, all windows side by side. Shapes: -> (B, T, A)"""
        steps = batch.speakers.shape[1]
        time = torch.arange(steps, device=batch.lengths.device)
        dialogue, last = torch.nonzero(time < batch.lengths[:, None], as_tuple=True)
        first = (last - self.window + 1).clamp(min=0)
        row = (first[:, None] + time[: self.window]).clamp(max=steps - 1)  # (N, window or fewer)
        windows = {name: value[dialogue[:, None], row] for name, value in vars(batch).items() if name != "lengths"}
        return unpack(self._last_rows(DialogueBatch(lengths=last - first + 1, **windows)), batch.lengths, steps)

    def initial_state(self, dialogues: int = 1) -> DialogueBatch:
        """The state of dialogues in which nothing has been said."""
        device = next(iter(self.parameters())).device
        text, audio, visual = (torch.zeros(dialogues, self.window, dim, device=device) for dim in widths(self.config))
        return DialogueBatch(
            text=text,
            audio=audio,
            visual=visual,
            lengths=torch.zeros(dialogues, dtype=torch.int64, device=device),
            speakers=torch.zeros(dialogues, self.window, dtype=torch.int64, device=device),
            present=torch.zeros(dialogues, self.window, 3, dtype=torch.bool, device=device),
        )

    def step(self, utterance: UtteranceBatch, state: DialogueBatch) -> tuple[Tensor, DialogueBatch]:
        """Classify the next utterance of each dialogue; `state` stays as it was.

        Shapes: utterance of B rows -> answers (B, A), the state after it.
        """
        new = vars(utterance.widened(widths(self.config)))
        full = state.lengths == self.window
        lengths = torch.where(full, state.lengths, state.lengths + 1)
        slot = torch.arange(self.window, device=lengths.device)
        # Row of (state, newest) that each slot takes: all move up in a full window, the newest comes last.
        row = torch.where(slot == lengths[:, None] - 1, self.window, slot + full[:, None].long())
        dialogue = torch.arange(len(lengths), device=lengths.device)[:, None]
        moved = {name: torch.cat((vars(state)[name], new[name][:, None]), 1)[dialogue, row] for name in new}
        filled = int(lengths.max())
        seen = DialogueBatch(lengths=lengths, **{name: value[:, :filled] for name, value in moved.items()})
        return self._last_rows(seen), DialogueBatch(lengths=lengths, **moved)

    def _last_rows(self, windows: DialogueBatch) -> Tensor:
        answers = self.model(replace(windows, speakers=_by_appearance(windows.speakers)))
        return answers[torch.arange(len(answers), device=answers.device), windows.lengths - 1]


def widths(config: Sizes) -> tuple[int, int, int]:
    """Widths of the input vectors in the order of `MODALITIES`."""
    return config.text_dim, config.audio_dim, config.visual_dim


def _by_appearance(speakers: Tensor) -> Tensor:
    """Number speakers from 0 in the order in which they first appear. Shapes: (B, T) -> (B, T)"""
    first = (speakers[:, :, None] == speakers[:, None, :]).int().argmax(2)  # where the speaker of the row spoke first
    opens = first == torch.arange(speakers.shape[1], device=speakers.device)
    return (opens.cumsum(1) - 1).gather(1, first)

"""Many dialogues on one device: gather the states of those that speak, step them together, scatter the states back.

States lie in rows that are allocated once. Dialogues join and leave at any step. One that has been idle too long, or
longest when rows run out, is parked in host memory and comes back bit for bit when it speaks again: the rows bound the
memory of the device, not the number of dialogues. On a GPU the kernels are recorded once as CUDA graphs, for batches of
fixed sizes (`SIZES`), and replayed, which takes the launch of some hundred kernels out of every step; what a call
leaves free of a batch works on a spare row then. Where they cannot be, the same code runs unrecorded, on as many rows
as there are.
The rule of this file: here alone is the state of a dialogue written in place. Not safe for threads: one owner calls it.
Owners of several may live in threads of one process: only one records at a time, and others may use the device.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from erc_live.models.batch import UtteranceBatch
from erc_live.models.blocks.heads import answer_width
from erc_live.models.modalities import MODALITIES
from erc_live.models.state import Sizes, State, Steppable, join, nbytes, rows, tensors, to_device, transform, widths
from erc_live.streams.clock import Clock

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
IDLE_S = 60.0  # a dialogue that rests longer is worth a copy to the host and back
ROWS_BYTES = 256 * 2**20  # of all rows; a step takes about twice as much again where all of them speak at once
WARM_UPS = 3  # steps before a recording, in which libraries choose kernels and take their workspaces

_log = logging.getLogger(__name__)
_recording = threading.Lock()


@dataclass
class _Seat:
    """The row of a dialogue, and when it was last stepped."""

    row: int
    t_ns: int


class Slots(Generic[State]):
    """Steps many dialogues of one model.

    Args:
        model: in evaluation mode; rows are allocated on its device.
        capacity: rows, the most dialogues whose state is on the device; fewer if their states need more than
            `rows_bytes`.
        clock: tells how long a dialogue has been idle.
        idle_s: seconds without a step after which a dialogue is parked.
        rows_bytes: the most memory that the rows may take; there is always one.
    """

    @torch.inference_mode(False)  # rows are written wherever `step` is called, and so are no tensors of inference mode
    def __init__(
        self,
        model: Steppable[State],
        capacity: int,
        clock: Clock,
        idle_s: float = IDLE_S,
        rows_bytes: int = ROWS_BYTES,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._clock = clock
        self._idle_ns = int(idle_s * 1e9)
        self._sizes: Sizes = model.config
        self._width = answer_width(model.config)
        self._fresh = to_device(model.initial_state(1), "cpu")
        capacity = min(capacity, max(1, rows_bytes // max(1, nbytes(self._fresh))))
        self._pool = model.initial_state(capacity + 1)
        self._spare = capacity  # the last row: nobody's state
        self._device = next(iter(tensors(self._pool).values())).device
        self._free = list(range(capacity))
        self._seated: OrderedDict[str, _Seat] = OrderedDict()  # longest idle first
        self._parked: dict[str, State] = {}
        needed = [size for size in SIZES if size < 2 * capacity]
        self._most = min(needed[-1], capacity)  # dialogues in one batch
        self._batches = {size: _Batch(model, self._pool, size) for size in needed}
        if self._device.type == "cuda" and has_fixed_shapes(model):
            self._record()

    @property
    def capacity(self) -> int:
        """Number of rows."""
        return self._spare

    def __contains__(self, dialogue: str) -> bool:
        return dialogue in self._seated or dialogue in self._parked

    def __len__(self) -> int:
        """Number of dialogues, parked ones included."""
        return len(self._seated) + len(self._parked)

    @property
    def parked(self) -> frozenset[str]:
        """Dialogues without a row: their state is in host memory, or they have not spoken yet."""
        return frozenset(self._parked)

    @torch.inference_mode(False)
    def join(self, dialogue: str, state: State | None = None) -> None:
        """Begin a dialogue, or go on with one whose state (of one dialogue, on any device) comes from elsewhere.

        Raises:
            ValueError: it is here already.
        """
        if dialogue in self:
            raise ValueError(f"dialogue {dialogue} is here already: let it leave first")
        self._parked[dialogue] = self._fresh if state is None else transform(_compact, state)

    @torch.inference_mode(False)
    def leave(self, dialogue: str) -> State:
        """End a dialogue and hand over its state, in host memory.

        Raises:
            ValueError: there is no such dialogue.
        """
        self._require([dialogue])
        if dialogue in self._seated:
            self._park([dialogue])
        return self._parked.pop(dialogue)

    @torch.inference_mode(False)
    def copy(self, dialogue: str) -> State:
        """The state of a dialogue as it is now, in host memory; the dialogue stays where it is.

        Raises:
            ValueError: there is no such dialogue.
        """
        self._require([dialogue])
        if dialogue in self._parked:
            return self._parked[dialogue]
        row = self._seated[dialogue].row
        return transform(_compact, rows(self._pool, slice(row, row + 1)))

    @torch.inference_mode(False)
    @torch.no_grad()
    def step(self, dialogues: Sequence[str], utterances: UtteranceBatch, stays: Sequence[bool] | None = None) -> Tensor:
        """Classify the next utterance of each of `dialogues`.

        Args:
            dialogues: whose utterances they are. Each goes on at most once; where it also stays, to see what another
                utterance would be, that stands before.
            utterances: one row per dialogue, on any device.
            stays: of each row, whether the state of its dialogue stays as it was; left out, all go on.

        Shapes: N dialogues -> answers (N, A), in host memory

        Raises:
            ValueError: a dialogue has not joined or goes on twice, or rows or widths do not fit; no state has changed.
        """
        self._require(dialogues)
        stays = [False] * len(dialogues) if stays is None else stays
        going = [dialogue for dialogue, stay in zip(dialogues, stays, strict=True) if not stay]
        if len(set(going)) < len(going) or len(dialogues) != len(utterances):
            raise ValueError(f"{len(utterances)} utterances for {', '.join(dialogues)}: give one for each dialogue")
        wide = utterances.widened(widths(self._sizes))
        self._park_idle()
        parts = [torch.zeros(0, self._width)]
        for first in range(0, len(dialogues), self._most):
            chunk = slice(first, first + self._most)
            parts.append(self._step(dialogues[chunk], wide.rows(chunk), stays[chunk]))
        return torch.cat(parts)

    def _step(self, dialogues: Sequence[str], utterances: UtteranceBatch, stays: Sequence[bool]) -> Tensor:
        self._seat(dialogues)
        now_ns = self._clock.now_ns()
        for dialogue in dialogues:
            self._seated[dialogue].t_ns = now_ns
            self._seated.move_to_end(dialogue)
        source = [self._seated[dialogue].row for dialogue in dialogues]
        target = [self._spare if stay else row for stay, row in zip(stays, source, strict=True)]
        size = next(size for size in SIZES if size >= len(dialogues))
        return self._batches[size].run(source, target, utterances)

    def _require(self, dialogues: Sequence[str]) -> None:
        for dialogue in dialogues:
            if dialogue not in self:
                raise ValueError(f"no dialogue {dialogue}: it has not joined, or it has left")

    def _park_idle(self) -> None:
        before_ns = self._clock.now_ns() - self._idle_ns
        idle = []
        for dialogue, seat in self._seated.items():
            if seat.t_ns >= before_ns:
                break
            idle.append(dialogue)
        self._park(idle)

    def _park(self, dialogues: Sequence[str]) -> None:
        """Bring states to the host, in one copy per tensor however many they are."""
        if not dialogues:
            return
        index = torch.tensor([self._seated[dialogue].row for dialogue in dialogues], device=self._device)
        host = to_device(rows(self._pool, index), "cpu")
        for number, dialogue in enumerate(dialogues):
            self._parked[dialogue] = rows(host, torch.tensor([number]))
            self._free.append(self._seated.pop(dialogue).row)

    def _seat(self, dialogues: Sequence[str]) -> None:
        """Give every dialogue a row; the longest idle of the others make room."""
        arriving = [dialogue for dialogue in dict.fromkeys(dialogues) if dialogue in self._parked]
        if not arriving:
            return
        if (short := len(arriving) - len(self._free)) > 0:
            staying = set(dialogues)
            self._park(list(islice((dialogue for dialogue in self._seated if dialogue not in staying), short)))
        seats = [_Seat(self._free.pop(), 0) for _ in arriving]
        states = to_device(join([self._parked.pop(dialogue) for dialogue in arriving]), self._device)
        _scatter(self._pool, torch.tensor([seat.row for seat in seats], device=self._device), states)
        self._seated.update(zip(arriving, seats, strict=True))

    def _record(self) -> None:
        """Record the steps of all sizes; none of them if one cannot be recorded."""
        try:
            with _recording, torch.cuda.device(self._device):
                memory = torch.cuda.graph_pool_handle()
                for size in sorted(self._batches, reverse=True):  # smaller ones find room in the memory of the largest
                    self._batches[size].record(memory)
        except RuntimeError as error:
            for batch in self._batches.values():
                batch.forget()
            reason = " ".join(str(error).split())[:200]
            _log.warning("steps cannot be recorded as CUDA graphs and run unrecorded, more slowly: %s", reason)


class _Batch(Generic[State]):
    """A step of a fixed number of dialogues, over buffers that stay where they are.

    All that a step takes lies in one piece of memory, on the host pinned, so one copy brings it to the device.
    """

    def __init__(self, model: Steppable[State], pool: State, size: int) -> None:
        like = next(iter(tensors(pool).values()))
        self._model = model
        self._pool = pool
        self._spare = len(like) - 1
        spare = torch.full((size,), self._spare)
        fields = {"source": spare, "target": spare, **tensors(blank(model.config, size))}
        self._host = _side_by_side(fields, pinned=like.is_cuda)
        self._sent = self._host if like.device.type == "cpu" else self._host.to(like.device)
        self._given, self._fields = _views(self._host, fields), _views(self._sent, fields)
        self._answers = torch.zeros(size, answer_width(model.config), device=like.device)
        self._graph: torch.cuda.CUDAGraph | None = None

    def run(self, source: list[int], target: list[int], utterances: UtteranceBatch) -> Tensor:
        """Step the states of rows `source` and write them to rows `target`; where it is recorded, the rest of the batch
        is idle motion on the spare row. Shapes: N rows -> answers (N, A), in host memory
        """
        count = len(source)
        rest = [self._spare] * (len(self._answers) - count)
        self._given["source"].copy_(torch.tensor(source + rest))
        self._given["target"].copy_(torch.tensor(target + rest))
        for name, values in tensors(utterances).items():
            self._given[name][:count].copy_(values)
        if self._sent is not self._host:
            self._sent.copy_(self._host, non_blocking=True)  # done when the logits are back, before the next one
        if self._graph is None:
            self._compute(count)
        else:
            self._graph.replay()
        return self._answers[:count].to("cpu", copy=True)

    def record(self, memory: Any) -> None:
        """Record the kernels of a step into a CUDA graph, whose scratch memory is the pool `memory`. Raises
        RuntimeError if they cannot be.

        Several graphs may share it: what outlives a replay is in `_answers` and the rows, which lie outside. Source and
        target are the spare row now, so the warm-up touches nobody's state. Other threads may use the device meanwhile.
        """
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # recording demands that libraries were warmed up, on another stream
            for _ in range(WARM_UPS):
                self._compute(len(self._answers))
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=memory, capture_error_mode="thread_local"):
            self._compute(len(self._answers))
        self._graph = graph

    def forget(self) -> None:
        """Run unrecorded from now on."""
        self._graph = None

    @torch.inference_mode()
    def _compute(self, count: int) -> None:
        fields = {name: values[:count] for name, values in self._fields.items()}
        source, target = fields.pop("source"), fields.pop("target")
        answers, states = self._model.step(UtteranceBatch(**fields), rows(self._pool, source))
        self._answers[:count].copy_(answers)
        _scatter(self._pool, target, states)


def _scatter(pool: State, index: Tensor, states: State) -> None:
    for into, new in zip(tensors(pool).values(), tensors(states).values(), strict=True):
        into.index_copy_(0, index, new)


def _compact(tensor: Tensor) -> Tensor:
    """In host memory of its own, which holds nothing else."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _side_by_side(fields: Mapping[str, Tensor], pinned: bool) -> Tensor:
    """The values of `fields` in one tensor of bytes, the widest types first, so that each begins where it may."""
    ordered = sorted(fields.values(), key=Tensor.element_size, reverse=True)
    content = torch.cat([field.flatten().view(torch.uint8) for field in ordered])
    return content.pin_memory() if pinned else content


def _views(content: Tensor, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`fields` as they lie in `content`."""
    views, begin = {}, 0
    for name, field in sorted(fields.items(), key=lambda item: item[1].element_size(), reverse=True):
        views[name] = content[begin : begin + field.nbytes].view(field.dtype).view(field.shape)
        begin += field.nbytes
    return views


def blank(config: Sizes, count: int, device: torch.device | str = "cpu") -> UtteranceBatch:
    """`count` utterances of full width of which nothing is known."""
    text, audio, visual = (torch.zeros(count, dim, device=device) for dim in widths(config))
    speakers = torch.zeros(count, dtype=torch.int64, device=device)
    return UtteranceBatch(text, audio, visual, speakers, torch.zeros(count, len(MODALITIES), device=device).bool())


def has_fixed_shapes(model: Steppable[State]) -> bool:
    """Whether `step` runs the same kernels whatever the values are: only such a step can be recorded.

    It is tried on tensors without values, where torch refuses whatever would have to look at one; a step that fails
    there in another way cannot be recorded either.
    """
    state = model.initial_state(2)
    utterances = blank(model.config, 2, next(iter(tensors(state).values())).device)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
        try:
            model.step(transform(fake.from_tensor, utterances), transform(fake.from_tensor, state))
        except (RuntimeError, TypeError, ValueError, LookupError, AssertionError) as error:
            _log.debug("a step is not recorded: %s", error)
            return False
    return True

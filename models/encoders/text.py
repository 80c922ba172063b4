"""What was said, as a vector: the mean over the tokens of an utterance in a transformer that reads the dialogue so far.

An utterance is read together with what was said before it, for "Really?" says little by itself:

    [CLS] a : I knew it! [SEP] [CLS] b : I got it! [SEP] [CLS] b : Really? [SEP]

"a" is who spoke first in this passage, "b" the next new voice. Tokens attend to their own utterance and to those before
it, never to later ones (`_mask`). So one pass over a passage gives the vector of every utterance in it, each read with
its own past and nothing else: learning from a dialogue costs as much as reading it once, and not once an utterance,
which makes encoders of base size trainable on two processor cores.

Of the past, the last `PAST` utterances with words are read, as many as fit into `PAST_TOKENS`: what a vector depends on
is bounded, and the same live and in training. Only learning (`embed`) takes a long dialogue in pieces, of which each
begins with some past of its own: nearly the same, and many times faster.
Training and live use this same class, so features cannot drift apart. An encoder is a folder of four files, with plain
weights as the Hugging Face library writes them, or packed (`packing.py`) as erc-live ships them.
The rule of this file: `load` reads a local folder and never the network; only `named` may ask a hub, for those who name
an encoder that is not shipped.
"""

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from erc_live.models.encoders.four_bits import input_moments
from erc_live.models.encoders.packing import is_packed, load_packed, save_packed
from erc_live.models.encoders.turns import PAST, Turn, turns
from erc_live.models.errors import WeightsError
from erc_live.models.files import whole
from erc_live.models.weights import sha256

OWN_TOKENS = 80  # of an utterance, at most: the longest live one, 15 s of speech, has about 60
PAST_TOKENS = 160  # of what was said before it
PASSAGE_TOKENS = PAST_TOKENS + OWN_TOKENS
RECIPE = f"dialogue{PAST}/{PAST_TOKENS}"  # to be changed with everything that moves a vector of the same weights
TOGETHER = 2048  # tokens encoded at once, of passages sorted by length, so that little is spent on padding
ROLES = "abcdefghijklmnop"
WEIGHTS = "model.safetensors"
FILES = (WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json")
CARD = "card.json"  # of an encoder that was trained here
HEAD = "head.safetensors"  # what tells labels from the vectors; an encoder that was not tuned on any has none
UNUSED = "pooler."  # of some encoders: their vector of a whole text, which we take as a mean instead

# The recogniser writes plain apostrophes, corpora typographic ones: one spelling, or the words of the two would differ.
PLAIN = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": " - ", "\u2026": "..."}
)


class Passage(NamedTuple):
    """Utterances in a row, as one sequence of tokens.

    Shapes: ids (n,) int64; place (n,) int64, the utterance that a token belongs to, counted from 0.
    """

    ids: Tensor
    place: Tensor


@dataclass(frozen=True)
class TextHead:
    """The line that answers from a vector, normalised to mean 0 and variance 1 within itself.

    Shapes: weight (classes, dim), bias (classes,)
    """

    labels: tuple[str, ...]
    weight: Tensor
    bias: Tensor

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """The head of the encoder in `folder`, if it has one.

        Raises WeightsError when it is damaged, or not the one that the card of the encoder names.
        """
        path, expected = folder / HEAD, _digest_on_card(folder)
        if expected is not None and (not path.is_file() or sha256(path) != expected):
            raise WeightsError(f"{path} is not the file that {CARD} describes: copy the folder again")
        if not path.is_file():
            return None
        try:
            with safe_open(path, "pt") as file:
                labels = json.loads(file.metadata()["labels"])
                return cls(tuple(labels), file.get_tensor("weight"), file.get_tensor("bias"))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise WeightsError(f"{path} is damaged ({_line(error)}): copy or make it again") from error

    def save(self, folder: Path) -> None:
        """Write it beside the files of its encoder."""
        with whole(folder / HEAD) as part:
            save_file({"weight": self.weight, "bias": self.bias}, part, {"labels": json.dumps(self.labels)})


class _Excerpt(NamedTuple):
    """Which utterances of a dialogue form a passage, and the first one whose vector is taken from it."""

    start: int
    wanted: int
    end: int


class TextEncoder:
    """A sentence encoder. `dim` is the width of its vectors, `fingerprint` names recipe and files, which may be
    `packed`; `network` may be tuned. `head` tells labels from its vectors, if it was tuned on some.
    """

    def __init__(self, folder: Path, network: Any, tokenizer: Any) -> None:
        self.network: Any = network
        self.dim = int(network.config.hidden_size)
        self.fingerprint = fingerprint(folder)
        self.packed = is_packed(folder / WEIGHTS)
        self.head = TextHead.load(folder)
        self._folder = folder
        self._tokenizer = tokenizer
        self._roles = [self._ids(f"{role} :") for role in ROLES]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the encoder in `folder`, packed or as the Hugging Face library writes it.

        Raises:
            WeightsError: a file is missing or damaged.
        """
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise WeightsError(f"no {missing[0]} in {folder}: a text encoder has the files {', '.join(FILES)}")
        try:
            network, tokenizer = _read(folder)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise WeightsError(f"{folder} is damaged ({_line(error)}): copy or fetch it again") from error
        return cls(folder, network.eval(), tokenizer)

    @classmethod
    def named(cls, name: str) -> Self:
        """An encoder of the Hugging Face hub by its name there ("roberta-large"); one that came before is not fetched
        again.

        Raises:
            WeightsError: it is not on this disk and the hub cannot be reached, or has no such encoder.
        """
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError

        with suppress(OSError, ValueError, WeightsError):  # it never came, or only a part of it
            return cls.load(Path(snapshot_download(name, local_files_only=True, allow_patterns=list(FILES))))
        try:
            return cls.load(Path(snapshot_download(name, allow_patterns=list(FILES))))
        except (OSError, ValueError, HfHubHTTPError) as error:
            raise WeightsError(
                f"the text encoder {name} is not on this disk and could not be fetched ({_line(error)}): give the "
                f"folder of an encoder, or fetch it where there is a network: hf download {name}"
            ) from error

    @torch.no_grad()
    def save(self, folder: Path, bits: int = 8, read: Sequence[Sequence[Turn]] = ()) -> None:
        """Write the encoder as it is now into `folder`, packed; `load` gives it back with so many bits of precision. In
        4 bits, weights are rounded so that what it makes of the dialogues `read` changes least.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES[1:]:
            (folder / name).write_bytes((self._folder / name).read_bytes())
        with input_moments(self.network) as moments:
            if bits == 4:
                self.encode(read)
        save_packed(self.network.state_dict(), folder / WEIGHTS, bits, moments)

    @torch.no_grad()
    def encode_last(self, speakers: Sequence[Hashable], texts: Sequence[str]) -> np.ndarray:
        """The last row of `encode` for one dialogue, without the work of the others. Shapes: -> (dim,) float32"""
        *before, last = turns(speakers, texts)
        read = [*[turn for turn in before if turn.text.strip()][-PAST:], last]
        vector: np.ndarray = self._vectors([read], lambda lengths: _exact(lengths)[-1:])[0][-1].numpy()
        return vector

    @torch.no_grad()
    def encode(self, dialogues: Sequence[Sequence[Turn]]) -> list[Tensor]:
        """Vectors of the utterances of dialogues, each read with its past; zeros where there are no words.

        What stands beside a dialogue in the list does not change its vectors (1e-5), nor does what follows.
        Shapes: dialogues of T turns -> (T, dim) float32 each, on the processor.
        """
        return self._vectors(dialogues, _exact)

    def embed(self, dialogues: Sequence[Sequence[Turn]]) -> list[Tensor]:
        """As `encode`, differentiable, on the device of the network, and much faster where dialogues are long: an
        utterance may be read with less of its past.
        """
        return self._vectors(dialogues, _pieces)

    def _vectors(
        self, dialogues: Sequence[Sequence[Turn]], parted: Callable[[Sequence[int]], list[_Excerpt]]
    ) -> list[Tensor]:
        device = next(self.network.parameters()).device if torch.is_grad_enabled() else torch.device("cpu")
        rows: list[dict[int, Tensor]] = [{} for _ in dialogues]
        jobs = []
        for number, dialogue in enumerate(dialogues):
            worded = [place for place, turn in enumerate(dialogue) if turn.text.strip()]
            blocks = [self._block(dialogue[place].text) for place in worded]
            for part in parted([len(block) for block in blocks]):
                passage = self._passage([dialogue[place] for place in worded], blocks, part)
                jobs.append((passage, part, number, worded))
        jobs.sort(key=lambda job: len(job[0].ids))
        for batch in _batches(jobs):
            for (_, part, number, worded), vectors in zip(batch, self._pool([job[0] for job in batch]), strict=True):
                for place in range(part.wanted, part.end):
                    rows[number][worded[place]] = vectors[place - part.start].to(device)
        nothing = torch.zeros(self.dim, device=device)
        empty = torch.zeros(0, self.dim, device=device)
        return [
            torch.stack([row.get(place, nothing) for place in range(len(dialogue))]) if dialogue else empty
            for row, dialogue in zip(rows, dialogues, strict=True)
        ]

    def _block(self, text: str) -> list[int]:
        """An utterance as tokens, whose second place is for who speaks."""
        tokenizer = self._tokenizer
        return [tokenizer.cls_token_id, *self._ids(_plain(text), OWN_TOKENS - 4), tokenizer.sep_token_id]

    def _passage(self, spoken: Sequence[Turn], blocks: Sequence[list[int]], part: _Excerpt) -> Passage:
        roles: dict[Hashable, int] = {}
        ids: list[int] = []
        place: list[int] = []
        for number in range(part.start, part.end):
            role = roles.setdefault(spoken[number].speaker, len(roles)) % len(ROLES)
            begin, *rest = blocks[number]
            block = [begin, *self._roles[role], *rest]
            ids += block
            place += [number - part.start] * len(block)
        return Passage(torch.tensor(ids), torch.tensor(place))

    def _ids(self, text: str, limit: int = OWN_TOKENS) -> list[int]:
        ids: list[int] = self._tokenizer(text, truncation=True, max_length=limit, add_special_tokens=False)["input_ids"]
        return ids

    def _pool(self, passages: Sequence[Passage]) -> list[Tensor]:
        """The mean over each utterance of each passage. Shapes: -> (utterances, dim) float32 each"""
        device = next(self.network.parameters()).device
        ids = pad_sequence([passage.ids for passage in passages], batch_first=True).to(device)
        place = pad_sequence([passage.place for passage in passages], batch_first=True, padding_value=-1).to(device)
        hidden: Tensor = self.network(input_ids=ids, attention_mask=_mask(place)).last_hidden_state.float()
        member = functional.one_hot(place + 1)[..., 1:].to(hidden.dtype)  # (B, n, utterances)
        means = (member.mT @ hidden) / member.sum(1)[..., None].clamp(min=1.0)
        return [rows[: int(passage.place[-1]) + 1] for rows, passage in zip(means, passages, strict=True)]


def _mask(place: Tensor) -> Tensor:
    """What is added to the scores of attention: 0 for tokens of the same utterance and of those before it, and minus
    much for later ones and for padding, whose place is -1. Padding itself attends to padding, so that no row is empty.

    Shapes: (B, n) -> (B, 1, n, n)
    """
    target, source = place[:, :, None], place[:, None, :]
    seen = (source <= target) & ((source >= 0) | (target < 0))
    return torch.where(seen, 0.0, -1e9)[:, None]


def _first_read(lengths: Sequence[int], last: int) -> int:
    """The first of the utterances before `last` that is read with it, by their numbers of tokens."""
    first, tokens = last, 0
    while first > 0 and last - first < PAST and (tokens := tokens + lengths[first - 1]) <= PAST_TOKENS:
        first -= 1
    return first


def _exact(lengths: Sequence[int]) -> list[_Excerpt]:
    """As many utterances as are all read from the first one on, together; then one by one."""
    starts = [_first_read(lengths, place) for place in range(len(lengths))]
    together = next((place for place, start in enumerate(starts) if start > 0), len(lengths))
    parts = [_Excerpt(0, 0, together)] if together else []
    return parts + [_Excerpt(starts[place], place, place + 1) for place in range(together, len(lengths))]


def _pieces(lengths: Sequence[int]) -> list[_Excerpt]:
    """As few passages as hold them all, each with a past of up to half a passage before what is taken from it."""
    parts, place = [], 0
    while place < len(lengths):
        start, tokens = place, 0
        while start > 0 and tokens + lengths[start - 1] <= PASSAGE_TOKENS // 2:
            start -= 1
            tokens += lengths[start]
        end = place
        while end < len(lengths) and (end == place or tokens + lengths[end] <= PASSAGE_TOKENS):
            tokens += lengths[end]
            end += 1
        parts.append(_Excerpt(start, place, end))
        place = end
    return parts


def _batches(jobs: Sequence[Any]) -> Iterator[list[Any]]:
    """The jobs in their order, as many at once as have `TOGETHER` tokens with padding; the longest stands last."""
    batch: list[Any] = []
    for job in jobs:
        if batch and (len(batch) + 1) * len(job[0].ids) > TOGETHER:
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


def fingerprint(folder: Path) -> str:
    """The recipe and 12 hex digits over the bytes of the files of an encoder.

    Raises:
        WeightsError: one of them is missing.
    """
    digest = hashlib.sha256()
    for name in FILES:
        try:
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise WeightsError(f"no {name} in {folder}: a text encoder has the files {', '.join(FILES)}") from error
    return f"{RECIPE}@{digest.hexdigest()[:12]}"


def fingerprint_with_head(folder: Path) -> str:
    """As `fingerprint`, and of its head, if it has one: names all of an encoder that training can begin with.

    A trained graph needs the vectors alone, so its card names the encoder without the head.

    Raises:
        WeightsError: as `fingerprint`.
    """
    head = folder / HEAD
    return fingerprint(folder) + (f"+head@{sha256(head)[:12]}" if head.is_file() else "")


def _digest_on_card(folder: Path) -> str | None:
    """The SHA-256 of the head by the card beside it; None where there is no card, or an older one without that."""
    try:
        return str(json.loads((folder / CARD).read_text(encoding="utf-8"))["sha256"][HEAD])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _read(folder: Path) -> tuple[Any, Any]:
    """Network and tokenizer of a folder. Nothing is random afterwards: the layer that a file may lack is left out."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers.utils import logging  # what it draws and tells would be written across the dashboard

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    how: dict[str, Any] = {"dtype": torch.float32, "output_loading_info": True}
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    config.attention_probs_dropout_prob = 0.0  # attention is then one kernel in training, too: 1.6 times as fast
    if is_packed(folder / WEIGHTS):
        with torch.device("meta"):  # which class it is; its weights would only be thrown away
            kind = type(AutoModel.from_config(config))
        network, loaded = kind.from_pretrained(None, config=config, state_dict=load_packed(folder / WEIGHTS), **how)
    else:
        network, loaded = AutoModel.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, **how
        )
    missing = sorted(name for name in loaded["missing_keys"] if not name.startswith(UNUSED))
    if missing:
        raise ValueError(f"{WEIGHTS} has no {missing[0]}")
    if hasattr(network, "pooler"):
        network.pooler = None
    return network, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _plain(text: str) -> str:
    return " ".join(text.translate(PLAIN).split())


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]

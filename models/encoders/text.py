"""What was said, as a vector: the mean over the tokens of a transformer encoder; the shipped one is a tuned MiniLM.

An utterance is read together with what was said just before it, for "Really?" says little by itself:

    [CLS] Really? [SEP] i : I got it! [SEP] you : I knew it! [SEP]

"i" is the speaker of the utterance, "you" is anybody else. As many of the last `PAST` utterances are read as fit into
`MAX_TOKENS`, the oldest first, as the second segment; the mean is over the first. What comes later is never read.
Training and live use this same class, so features cannot drift apart. An encoder is a folder of four files, with plain
weights as the Hugging Face library writes them, or packed (`packing.py`) as erc-live ships them.
The rule of this file: `load` reads a local folder and never the network; only `named` may ask a hub, for those who name
an encoder that is not shipped.
"""

import hashlib
from collections.abc import Hashable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from erc_live.models.encoders.packing import is_packed, load_packed, save_packed
from erc_live.models.encoders.turns import PAST, Turn, turns
from erc_live.models.errors import WeightsError

MAX_TOKENS = 64  # of an utterance and its past: 15 s of speech, the longest live utterance, by itself
PAST_TOKENS = 40  # at most of each of them
RECIPE = f"context{PAST}/{MAX_TOKENS}"  # to be changed with everything that moves a vector of the same weights
ROWS = 16  # utterances encoded at once: sorted by length, so that little is spent on padding
WEIGHTS = "model.safetensors"
FILES = (WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json")
UNUSED = "pooler."  # of some encoders: their vector of a whole text, which we take as a mean instead

# The recogniser writes plain apostrophes, corpora typographic ones: one spelling, or the words of the two would differ.
PLAIN = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": " - ", "\u2026": "..."}
)


class Tokens(NamedTuple):
    """An utterance and its past as token ids (n,) int64, of which the first `own` are the utterance."""

    ids: Tensor
    own: int


class TextEncoder:
    """A sentence encoder. `dim` is the width of its vectors, `fingerprint` names recipe and files, which may be
    `packed`; `network` may be tuned.
    """

    def __init__(self, folder: Path, network: Any, tokenizer: Any) -> None:
        self.network: Any = network
        self.dim = int(network.config.hidden_size)
        self.fingerprint = fingerprint(folder)
        self.packed = is_packed(folder / WEIGHTS)
        self._folder = folder
        self._tokenizer = tokenizer
        self._segments = getattr(self.network.config, "type_vocab_size", 0) > 1  # not all encoders tell two apart

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

    def save(self, folder: Path) -> None:
        """Write the encoder as it is now into `folder`, packed; `load` gives it back with 8 bits of precision."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES[1:]:
            (folder / name).write_bytes((self._folder / name).read_bytes())
        save_packed(self.network.state_dict(), folder / WEIGHTS)

    def encode_last(self, speakers: Sequence[Hashable], texts: Sequence[str]) -> np.ndarray:
        """The last utterance of a dialogue, read with what was said before it. Shapes: -> (dim,) float32"""
        vector: np.ndarray = self.encode(texts[-1:], turns(speakers, texts)[-1:])[0].numpy()
        return vector

    def tokens(self, texts: Sequence[str], contexts: Sequence[Sequence[Turn]] | None = None) -> list[Tokens]:
        """Each text with its context, oldest first, as far as it fits; None: nothing was said before."""
        if not texts:
            return []
        own = self._tokenizer([_plain(text) for text in texts], truncation=True, max_length=MAX_TOKENS)["input_ids"]
        rows = []
        for ids, context in zip(own, contexts or [()] * len(texts), strict=True):
            past: list[int] = []
            for turn in reversed(context[-PAST:]):
                before = [*self._past(turn), *past]
                if len(ids) + len(before) > MAX_TOKENS:
                    break
                past = before
            rows.append(Tokens(torch.tensor([*ids, *past]), len(ids)))
        return rows

    def _past(self, turn: Turn) -> list[int]:
        text = f"{'i' if turn.same_speaker else 'you'} : {_plain(turn.text)}"
        ids = self._tokenizer(text, truncation=True, max_length=PAST_TOKENS, add_special_tokens=False)["input_ids"]
        return [*ids, self._tokenizer.sep_token_id]

    def embed(self, tokens: Sequence[Tokens]) -> Tensor:
        """Vectors of tokenised texts, differentiable, in the given order, on the device of the network.

        Shapes: -> (n, dim) float32
        """
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row].ids))
        parts = [
            self._pool([tokens[row] for row in order[start : start + ROWS]]) for start in range(0, len(order), ROWS)
        ]
        back = torch.empty(len(order), dtype=torch.int64)
        back[torch.tensor(order, dtype=torch.int64)] = torch.arange(len(order))
        return torch.cat(parts or [torch.empty(0, self.dim)])[back]

    @torch.no_grad()
    def encode(self, texts: Sequence[str], contexts: Sequence[Sequence[Turn]] | None = None) -> Tensor:
        """Vectors of texts with their contexts (`turns`), oldest first; None: nothing was said before.

        What stands beside a text in the list does not change its vector (1e-5).
        Shapes: n texts -> (n, dim) float32.
        """
        return self.embed(self.tokens(texts, contexts))

    def _pool(self, rows: list[Tokens]) -> Tensor:
        """Mean over the utterance of each row; padding is not attended to."""
        device = next(self.network.parameters()).device
        ids = pad_sequence([row.ids for row in rows], batch_first=True).to(device)
        place = torch.arange(ids.shape[1], device=device)
        inside = place < torch.tensor([len(row.ids) for row in rows], device=device)[:, None]
        own = place < torch.tensor([row.own for row in rows], device=device)[:, None]
        segments = {"token_type_ids": (inside & ~own).long()} if self._segments else {}
        output = self.network(input_ids=ids, attention_mask=inside.long(), **segments)
        hidden: Tensor = output.last_hidden_state.float()
        weight = own[..., None].to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1)


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


def _read(folder: Path) -> tuple[Any, Any]:
    """Network and tokenizer of a folder. Nothing is random afterwards: the layer that a file may lack is left out."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers.utils import logging  # what it draws and tells would be written across the dashboard

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    how: dict[str, Any] = {"dtype": torch.float32, "output_loading_info": True}
    if is_packed(folder / WEIGHTS):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):  # which class it is; its weights would only be thrown away
            kind = type(AutoModel.from_config(config))
        network, loaded = kind.from_pretrained(None, config=config, state_dict=load_packed(folder / WEIGHTS), **how)
    else:
        network, loaded = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, **how)
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

"""What was said, as a vector: mean-pooled MiniLM, tuned by the adapter of the shipped model.

Training and live use this same class, so features cannot drift apart. Each utterance is encoded alone: context is the
work of the dialogue graph, where it can be cached. The rule of this file: it reads a local folder and never the
network.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from erc_live.models.encoders.adapter import merge
from erc_live.models.errors import WeightsError

MAX_TOKENS = 64  # about 15 s of speech, the longest live utterance
ROWS = 16  # utterances encoded at once: sorted by length, so that little is spent on padding
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")

# The recogniser writes plain apostrophes, corpora typographic ones: one spelling, or the words of the two would differ.
PLAIN = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": " - ", "\u2026": "..."}
)


class TextEncoder:
    """A sentence encoder. `dim` is the width of its vectors, `fingerprint` names its weights and adapter."""

    def __init__(self, network: nn.Module, dim: int, tokenizer: Any, fingerprint: str) -> None:
        self.network = network
        self.dim = dim
        self.fingerprint = fingerprint
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path, adapter: Path | None = None) -> Self:
        """Read the encoder in `folder`, with the adapter merged into it.

        Raises:
            WeightsError: a file is missing or damaged, or the adapter belongs to another encoder.
        """
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise WeightsError(
                f"no {missing[0]} in {folder}: the text encoder is not there; run: erc-live models fetch minilm"
            )
        try:
            network, tokenizer = _read(folder)
        except (OSError, ValueError, SafetensorError) as error:
            raise WeightsError(f"{folder} is damaged ({_line(error)}); run: erc-live models fetch minilm") from error
        if adapter is not None:
            try:
                merge(network, load_file(adapter))
            except (OSError, KeyError, RuntimeError, SafetensorError) as error:
                raise WeightsError(f"{adapter} is no adapter of the encoder in {folder} ({_line(error)})") from error
        return cls(network.eval(), network.config.hidden_size, tokenizer, fingerprint(folder, adapter))

    def tokens(self, texts: Sequence[str]) -> list[Tensor]:
        """Token ids of each text, at most `MAX_TOKENS`; shapes: (n_tokens,) int64."""
        if not texts:
            return []
        plain = [" ".join(text.translate(PLAIN).split()) for text in texts]
        ids = self._tokenizer(plain, truncation=True, max_length=MAX_TOKENS)["input_ids"]
        return [torch.tensor(row) for row in ids]

    def embed(self, tokens: Sequence[Tensor]) -> Tensor:
        """Vectors of tokenised texts, differentiable, in the given order. Shapes: -> (n, dim) float32."""
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        parts = [
            self._pool([tokens[row] for row in order[start : start + ROWS]]) for start in range(0, len(order), ROWS)
        ]
        back = torch.empty(len(order), dtype=torch.int64)
        back[torch.tensor(order, dtype=torch.int64)] = torch.arange(len(order))
        return torch.cat(parts or [torch.empty(0, self.dim)])[back]

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Vectors of texts; what stands beside a text in the list does not change its vector (1e-5).

        Shapes: n texts -> (n, dim) float32.
        """
        return self.embed(self.tokens(texts))

    def _pool(self, rows: list[Tensor]) -> Tensor:
        """Mean over the tokens of each row; padding is neither attended to nor averaged."""
        ids = pad_sequence(rows, batch_first=True)
        inside = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
        hidden: Tensor = self.network(input_ids=ids, attention_mask=inside.long()).last_hidden_state.float()
        weight = inside[..., None].to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1)


def fingerprint(folder: Path, adapter: Path | None) -> str:
    """12 hex digits over the bytes of the weights, the tokenizer and the adapter."""
    digest = hashlib.sha256()
    for path in (folder / "model.safetensors", folder / "tokenizer.json", *([adapter] if adapter else [])):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _read(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging  # its progress bars would be drawn across the dashboard

    logging.disable_progress_bar()
    network = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return network, tokenizer


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]

"""Text vectors that stay on the disk, found again by what was said.

They are written some dialogues at a time, so whoever is interrupted does not begin anew. Each dialogue is looked up by
itself: folds ask for ever other choices of the same dialogues, and each of these is encoded once.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from erc_live.models.encoders.text import TextEncoder
from erc_live.models.encoders.turns import Turn
from erc_live.models.files import whole

TOGETHER = 48  # dialogues that are encoded at once, and whose vectors are kept in one file

Spoken = tuple[Turn, ...]


@dataclass(frozen=True)
class TextsEncoded:
    """Reported while texts are turned into vectors that stay: how many are done."""

    done: int
    total: int


Watch = Callable[[TextsEncoded], object]


def stored(dialogues: Sequence[Spoken], encoder: TextEncoder, cache: Path, watch: Watch) -> Tensor:
    """The vectors (N, D) of all utterances, one dialogue after the other, read from the folder `cache` where this
    encoder has met a dialogue before.
    """
    names = [_digest(repr([tuple(turn) for turn in dialogue])) for dialogue in dialogues]
    prefix = f"text-{_digest(encoder.fingerprint)[:12]}"
    found = dict(_read(cache, prefix, set(names)))
    new = {name: dialogue for name, dialogue in zip(names, dialogues, strict=True) if name not in found}
    total = sum(map(len, dialogues))
    done = total - sum(map(len, new.values()))
    if done:
        watch(TextsEncoded(done, total))
    for part in _parts(new):
        made = dict(zip(part, encoder.encode(list(part.values())), strict=True))
        with whole(cache / f"{prefix}-{_digest(' '.join(part))}.safetensors") as file:
            save_file({name: rows.contiguous() for name, rows in made.items()}, file)
        found |= made
        done += sum(map(len, part.values()))
        watch(TextsEncoded(done, total))
    return torch.cat([torch.empty(0, encoder.dim), *(found[name] for name in names)])


def _read(cache: Path, prefix: str, wanted: set[str]) -> Iterator[tuple[str, Tensor]]:
    """What is there of the dialogues of such names. A damaged file goes: it only saves time, and is made again."""
    for path in sorted(cache.glob(f"{prefix}-*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                yield from [(name, file.get_tensor(name)) for name in wanted.intersection(file.keys())]
        except SafetensorError:
            path.unlink(missing_ok=True)


def _parts(dialogues: Mapping[str, Spoken]) -> Iterator[dict[str, Spoken]]:
    items = list(dialogues.items())
    for start in range(0, len(items), TOGETHER):
        yield dict(items[start : start + TOGETHER])


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:24]

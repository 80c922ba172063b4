"""Which shard a dialogue belongs to: the one that draws the highest number for it.

Every process draws alike, and nothing has to be remembered or asked. With one shard more, of n + 1, only the 1/(n + 1)
of the dialogues move that the new one wins (Thaler and Ravishankar 1998, "Using name-based mappings to increase hit
rates").
"""

import hashlib


def shard_of(dialogue: str, shards: int) -> int:
    """A number from 0 to `shards` - 1.

    >>> [shard_of(f"desk-{number}", 2) for number in range(6)]
    [0, 1, 1, 1, 0, 1]
    """
    return max(range(shards), key=lambda shard: _draw(shard, dialogue))


def _draw(shard: int, dialogue: str) -> bytes:
    return hashlib.blake2b(b"%d:%b" % (shard, dialogue.encode(errors="replace")), digest_size=8).digest()

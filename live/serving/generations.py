"""Which generation a dialogue belongs to: the one that it began in, as long as it is open, and else the newest.

So shards are added and weights changed while people talk: `take_up` begins a generation where other shards or weights
are asked for than the newest one has, and an older one is over when none of its dialogues is open.
Moving dialogues instead, for another number of shards, is not simpler: two logs had to agree on each, whatever is
killed when, and what a dialogue knows of its events are places in its log. And weights would need this all the same,
for a state is of the network that made it.
An older generation gets no new dialogues, so the set of those that are open there only shrinks. It is known from the
logs, before the first message is taken, and held nowhere else.
The rule of this file: it decides, and the disk is `generation_record.py`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from erc_live.live.serving import generation_record as record
from erc_live.live.serving.generation_record import Generation
from erc_live.models import card as cards
from erc_live.models.errors import WeightsError

SHARDS = 2  # of the first generation, where nobody says how many


@dataclass
class Generations:
    """Of a folder, oldest first. `begun`: by shards of all but the newest, the dialogues that are open there."""

    folder: Path
    generations: Sequence[Generation]
    begun: dict[int, set[str]]

    @property
    def newest(self) -> Generation:
        return self.generations[-1]

    @property
    def older(self) -> Sequence[Generation]:
        return self.generations[:-1]

    @property
    def elsewhere(self) -> int:
        """What each shard of the newest has less room, for machines are the same: its share of the older dialogues."""
        return math.ceil(sum(map(len, self.begun.values())) / self.newest.shards)

    def of(self, shard: int) -> Generation:
        return next(one for one in self.generations if shard in one.numbers)

    def shard(self, dialogue: str) -> int:
        """Where a message of a dialogue goes, and what is asked of it."""
        for one in self.older:
            if dialogue in self.begun[number := one.shard(dialogue)]:
                return number
        return self.newest.shard(dialogue)

    def opened(self, shard: int, dialogues: Iterable[str]) -> None:
        """A process has recovered these."""
        if shard in self.begun:
            self.begun[shard] = set(dialogues)

    def ended(self, shard: int, dialogues: Iterable[str]) -> None:
        if shard in self.begun:
            self.begun[shard].difference_update(dialogues)

    def over(self) -> list[Generation]:
        """Those of which no dialogue is open any more."""
        return [one for one in self.older if not any(self.begun[number] for number in one.numbers)]

    def close(self, generation: Generation) -> None:
        """There is no such generation from now on. Raises SessionError."""
        self.generations = [one for one in self.generations if one != generation]
        record.write_generations(self.folder, self.generations)
        for number in generation.numbers:
            del self.begun[number]

    def remove_closed(self) -> None:
        """Nobody needs their logs."""
        record.remove_others(self.folder, self.generations)


def take_up(folder: Path, shards: int, weights: str) -> Generations:
    """What goes on in a folder that is this process's; new dialogues get so many `shards` (0: as many as now), and
    these `weights`. Where something is raised, all is as it was.

    Raises:
        SessionError: a log or the record of generations cannot be used.
        WeightsError: there are no such weights, or those of dialogues that are open are no more where they were.
    """
    there = record.read_generations(folder)
    newest = _newest(there[-1] if there else None, shards, weights)
    older = [one for one in there if one.number != newest.number]
    begun = {number: record.open_dialogues(folder, number) for one in older for number in one.numbers}
    older = [_moved(one, newest) for one in older if any(begun[number] for number in one.numbers)]
    for one in older:
        _check_weights(one, folder, begun)
    generations = [*older, newest]
    if generations != there:
        record.write_generations(folder, generations)
    record.remove_others(folder, generations)
    return Generations(folder, generations, {number: begun[number] for one in older for number in one.numbers})


def _newest(there: Generation | None, shards: int, weights: str) -> Generation:
    """The newest of those that are there, if it is as asked; or one that begins."""
    described = cards.read(weights)
    shipped = described.folder.parent == cards.PRETRAINED
    weights, fingerprint = weights if shipped else str(described.folder.resolve()), described.fingerprint
    if there is None:
        return Generation(number=1, first=0, shards=shards or SHARDS, weights=weights, fingerprint=fingerprint)
    if shards in (0, there.shards) and fingerprint == there.fingerprint:
        return structs.replace(there, weights=weights)
    return Generation(
        number=there.number + 1,
        first=there.numbers.stop,
        shards=shards or there.shards,
        weights=weights,
        fingerprint=fingerprint,
    )


def _moved(generation: Generation, newest: Generation) -> Generation:
    """With the place of its weights, which may have been named anew."""
    same = generation.fingerprint == newest.fingerprint
    return structs.replace(generation, weights=newest.weights) if same else generation


def _check_weights(generation: Generation, folder: Path, begun: Mapping[int, set[str]]) -> None:
    number = sum(len(begun[shard]) for shard in generation.numbers)
    try:
        why = "other weights are there now"
        is_there = cards.read(generation.weights).fingerprint == generation.fingerprint
    except WeightsError as error:
        why, is_there = str(error), False
    if not is_there:
        raise WeightsError(
            f"{folder}: dialogues are open ({number}) that began with the weights {generation.fingerprint} of "
            f"{generation.weights} ({why}): put those back, or start once with --set tracker.weights=WHERE THEY ARE NOW"
        )

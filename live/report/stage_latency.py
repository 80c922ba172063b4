"""How long each stage took, as rows of the page.

The rule of this file: an utterance counts once, with the stamps of its first final event. For a correction nobody has
waited.
"""

from collections.abc import Iterable, Sequence

from erc_live.live.report.page_rows import PageLatency
from erc_live.live.screen.percentile import percentile
from erc_live.streams.stage_durations import STAGES

_MEANING = {
    "endpoint": "end of speech to utterance closed",
    "words": "closed to words",
    "features": "words to features",
    "graph": "features to decision",
    "publish": "decision to sent",
}
NAMES = (*(f"{stage}: {_MEANING[stage]}" for stage in STAGES), "all")
_MS = 1_000_000


def latencies(durations: Iterable[Sequence[int]]) -> list[PageLatency]:
    """One row for each stage and one for all, of the `stage_durations` of utterances; none where nobody waited: no
    utterance, or all stamps are times of the media, as they are at `--speed max`.
    """
    stages = list(zip(*durations, strict=True))
    if not any(map(any, stages[1:])):
        return []
    columns = [*stages, tuple(map(sum, zip(*stages, strict=True)))]
    return [
        PageLatency(
            name=name,
            p50_ms=round(percentile(column, 50) / _MS, 1),
            p95_ms=round(percentile(column, 95) / _MS, 1),
            count=len(column),
        )
        for name, column in zip(NAMES, columns, strict=True)
    ]

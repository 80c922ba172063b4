"""How long each stage took, from the stamps of the events: every latency is a subtraction.

The rule of this file: an utterance counts once, with the stamps of its first final event. For a correction nobody has
waited.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from erc_live.live.report.page_rows import PageLatency
from erc_live.live.screen.percentile import percentile
from erc_live.streams.messages import EmotionEvent

STAGES = (
    "end of speech to utterance closed",
    "closed to words",
    "words to features",
    "features to decision",
    "decision to sent",
    "in all",
)
_MS = 1_000_000


def stage_ns(event: EmotionEvent) -> tuple[int, ...]:
    """How long each of `STAGES` kept the event waiting. What was guessed in time kept nobody waiting."""
    sent_ns = event.t_logits_ns if event.t_published_ns is None else event.t_published_ns
    stamps = (event.t_end_ns, event.t_closed_ns, event.t_text_ns, event.t_features_ns, event.t_logits_ns, sent_ns)
    reached = list(accumulate(stamps, max))
    return (*(after - before for before, after in pairwise(reached)), reached[-1] - reached[0])


def latencies(stages: Iterable[Sequence[int]]) -> list[PageLatency]:
    """One row for each of `STAGES`; none where nobody waited: no utterance, or all stamps are times of the media, as
    they are at `--speed max`.
    """
    columns = list(zip(*stages, strict=True))
    if not any(map(any, columns[1:-1])):
        return []
    return [
        PageLatency(
            name=name,
            p50_ms=round(percentile(column, 50) / _MS, 1),
            p95_ms=round(percentile(column, 95) / _MS, 1),
            count=len(column),
        )
        for name, column in zip(STAGES, columns, strict=False)
    ]

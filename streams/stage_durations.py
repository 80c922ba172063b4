"""How long each stage kept an event waiting, from the stamps that it carries: every latency is a subtraction.

The rule of this file: the one definition of the stages, for screen, page, metrics and benches.
"""

from itertools import accumulate, pairwise

from erc_live.streams.messages import EmotionEvent

STAGES = ("endpoint", "words", "features", "graph", "publish")


def stage_durations(event: EmotionEvent) -> tuple[int, ...]:
    """How long each of `STAGES` kept the event waiting, in ns. What was guessed in time kept nobody waiting."""
    stamps = [event.t_end_ns, event.t_closed_ns, event.t_text_ns, event.t_features_ns, event.t_logits_ns]
    stamps.append(event.t_logits_ns if event.t_published_ns is None else event.t_published_ns)
    reached = list(accumulate(stamps, max))
    return tuple(after - before for before, after in pairwise(reached))

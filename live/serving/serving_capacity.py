"""How many dialogues this machine has room for: measured, with the weights and the log that will be used.

A dialogue is taken to have an utterance every two seconds, which is as fast as people talk (`streams/topics.py`), and
half of the time is left for what else there is: provisional utterances, snapshots, subscribers, others on the machine.
"""

import time
from dataclasses import dataclass
from statistics import median
from typing import get_args

import numpy as np

from erc_live.live.serving import dialogue_records as records
from erc_live.live.serving.shard import BATCH
from erc_live.live.tracking.tracker import Tracker
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.modalities import MODALITIES
from erc_live.models.state import widths
from erc_live.streams import codec
from erc_live.streams.messages import Modality, Recogniser, UtteranceFeatures
from erc_live.streams.segmented_log import RecordLog
from erc_live.streams.topics import BY_NAME

SHARE = 0.5  # of the time
ROUNDS = 7  # of which the median counts; the first chooses kernels


@dataclass(frozen=True)
class CapacityMeasure:
    utterances_per_s: float

    @property
    def dialogues(self) -> int:
        return max(1, int(self.utterances_per_s * SHARE / BY_NAME["features"].rate_hz))


def measured(tracker: Tracker, checkpoint: Checkpoint, log: RecordLog) -> CapacityMeasure:
    """Step full batches of made utterances, and append them to `log`; the tracker is as before. Raises SessionError
    where the log does not take them.
    """
    batch = [generated(checkpoint, f"~{number}", number) for number in range(BATCH)]
    times_s = []
    try:
        for _ in range(ROUNDS):
            begun_s = time.perf_counter()
            events = [codec.to_json(event) for event in tracker.observe_all(batch)]
            log.append(records.batch([codec.to_json(features) for features in batch], events)[0])
            times_s.append(time.perf_counter() - begun_s)
    finally:
        for features in batch:
            tracker.take_out(features.dialogue)
    return CapacityMeasure(BATCH / median(times_s[1:]))


def generated(checkpoint: Checkpoint, dialogue: str, number: int, seed: int = 0) -> UtteranceFeatures:
    """A made utterance of random vectors, as wide as those of the card: always the same for the same numbers."""
    draw = np.random.default_rng((seed, number))
    dims = dict(zip(MODALITIES, widths(checkpoint.model.config), strict=True))
    modalities = get_args(Modality)
    t_ns = number * 2_000_000_000
    return UtteranceFeatures(
        dialogue=dialogue,
        utterance=f"u{number}",
        source="generated",
        text="nobody said this, it was made",
        engine=Recogniser(name="generated"),
        t_start_ns=t_ns,
        t_end_ns=t_ns + 1_500_000_000,
        t_closed_ns=t_ns + 1_700_000_000,
        t_text_ns=t_ns + 1_800_000_000,
        t_features_ns=t_ns + 1_900_000_000,
        face_coverage=None,
        final=True,
        revision=0,
        words=(),
        text_confidence=float(draw.uniform(0.3, 1.0)) if number % 4 == 0 else None,
        skipped=False,
        speaker_name=f"Speaker {draw.integers(2)}",
        closed_by="silence",
        vectors={m: draw.standard_normal(dims[m]).astype(np.float32) for m in modalities if dims[m]},
        encoders={m: checkpoint.card.encoders[m] for m in modalities if m in checkpoint.card.encoders},
    )

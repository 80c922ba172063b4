"""Enrolled voices in a session: which of them it is to know, and how well their prints will tell them from others.

The rule of this file: a print whose consent does not hold is neither recognised nor compared with.
"""

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from erc_live.live import config
from erc_live.live.errors import ConfigError
from erc_live.live.speakers.clustering import SpeakerClustering
from erc_live.live.speakers.identification import alike
from erc_live.live.speakers.voice_prints import VoiceRecording, known_print, objection, stored

if TYPE_CHECKING:  # not at run time: who lists prints loads no encoder
    from erc_live.live.speakers.embedding import VoiceReader

# Cosine of two prints from which on they are hard to tell apart. With one microphone 1 in 10 pairs of people are above,
# and 19 in 20 pairs of recordings of one person. With two, the medians are 0.05 and 0.26 (RAVDESS, actors 13 to 20, by
# a script).
CONFUSED = 0.6
AGREE = 0.1  # cosine of two recordings of one print, at least: 1 in 5 of one person with two microphones is below


def outlook(name: str, recordings: list[VoiceRecording], centre: np.ndarray, encoder: str) -> list[str]:
    """How well a print will tell its person from others, in plain words: a line for each thing to know."""
    vectors = [np.array(recording.vector) for recording in recordings]
    whole = np.mean(vectors, axis=0)
    lines = []
    if len(vectors) == 1:
        lines.append("one recording: another one, with the microphone of your sessions, makes it surer (--add)")
    else:
        least = min(alike(one, other, centre) for one, other in combinations(vectors, 2))
        verdict = "they agree" if least >= AGREE else "they disagree: is each of this person alone?"
        lines.append(f"{len(vectors)} recordings, the least alike {least:.2f} (1: the same voice): {verdict}")
    known = (entry for entry in stored() if entry.encoder == encoder and entry.name != name.strip())
    others = [entry for entry in known if objection(entry.name) is None]
    nearest = max(((alike(whole, entry.vector, centre), entry.name) for entry in others), default=None)
    if nearest is not None:
        verdict = "may be confused" if nearest[0] >= CONFUSED else "told apart"
        lines.append(f"of those enrolled {nearest[1]} is most alike, {nearest[0]:.2f}: {verdict}")
    return lines


def open_speakers(settings: config.SpeakersSection, reader: "VoiceReader") -> SpeakerClustering:
    """The voices of a new session, some of which may have names: those of the people that it is asked to know, and
    whose consent holds (`unusable` says of whom it does not).

    Raises:
        ConfigError: one of them is not enrolled, or was for another encoder; or there are more people at least than at
            most.
    """
    if settings.most and settings.least > settings.most:
        raise ConfigError(f"speakers.least is {settings.least} and speakers.most {settings.most}: the least is more")
    prints = {name: known_print(name, reader.encoder.fingerprint) for name in settings.known}
    known = {name: entry.vector for name, entry in prints.items() if objection(name) is None}
    return SpeakerClustering(known, reader.encoder.centre, settings.least, settings.most)

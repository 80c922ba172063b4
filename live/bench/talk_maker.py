"""Make conversations with known answers: a folder that `bench endpoint` and `bench speakers` take as it is.

Of each conversation there are `NAME.flac` (16 kHz, what one microphone hears), `NAME.rttm` (who sounds when) and an
entry in `talk.json`: people, listeners, the scene, and each turn with its clips. A name is
`talk<seed>-<number>-<people>p`, so conversations of two seeds can lie together and be parted again. The k-th
conversation of a seed is the same however many are made.

The rule of this file: the seed and the voices decide everything; nothing is written over what is there.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from erc_live.live.bench.recordings import joined
from erc_live.live.bench.talk import PlacedTurn, TalkScript, VoiceInventory, write_script
from erc_live.live.bench.talk_sound import TalkScene, draw_scene, render_talk
from erc_live.live.errors import ConfigError
from erc_live.streams.media import encode_flac
from erc_live.streams.messages import SAMPLE_RATE_HZ

MANIFEST, FORMAT = "talk.json", 1
LENGTH_S = (60.0, 115.0)  # the last turn makes it some seconds longer
PEOPLE = (2, 3, 2, 4, 5, 2, 3, 6)  # in this order, again and again; two talk most often
BRIDGED_S = 0.3  # a shorter pause is inside of a segment (NIST, Rich Transcription 2009)
SHARE_LISTENER = 0.15  # of the conversations have one person more, who only says "yeah"


def make_talk(
    folder: Path,
    voices: Sequence[VoiceInventory],
    seed: int,
    number: int,
    people: Sequence[int] = (),
    progress: Callable[[str], None] = lambda _name: None,
) -> list[Path]:
    """Make conversations.

    Args:
        folder: is made if it is not there, and has to be empty.
        voices: to draw people from, each at most once in a conversation.
        seed: of all that is random.
        number: of conversations.
        people: how many talk in each, in turn; none: `PEOPLE`, as far as there are voices.
        progress: called with the name of each conversation before it is made.

    Returns: the sound files.

    Raises:
        ConfigError: the folder is not empty, there are too few voices, or two have one name.
    """
    check_folder(folder)
    _check_people(voices, people)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = people or [min(count, len(voices)) for count in PEOPLE]
    entries, paths = [], []
    for k, count in enumerate(islice(cycle(wanted), number)):
        generator = np.random.default_rng([seed, k])
        name = f"talk{seed}-{k:02}-{count}p"
        progress(name)
        script = _draw_script(voices, count, generator)
        scene = draw_scene(script, generator)
        paths.append(folder / f"{name}.flac")
        paths[-1].write_bytes(encode_flac(render_talk(script, scene, generator)))
        (folder / f"{name}.rttm").write_text(rttm(name, script), encoding="utf-8")
        entries.append(_entry(name, script, scene))
    manifest = {"format": FORMAT, "seed": seed, "conversations": entries}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return paths


def rttm(name: str, script: TalkScript) -> str:
    """Who sounds when, in the order of time; gaps of one person below `BRIDGED_S` are none."""
    segments = []
    for voice in script.voices:
        spans = [span for turn in script.turns if turn.person == voice.person for span in turn.sounding]
        stretches = joined([(a / SAMPLE_RATE_HZ, b / SAMPLE_RATE_HZ) for a, b in spans], BRIDGED_S)
        segments += [(start_s, end_s, voice.person) for start_s, end_s in stretches]
    return "".join(
        f"SPEAKER {name} 1 {start_s:.7f} {end_s - start_s:.7f} <NA> <NA> {person} <NA> <NA>\n"
        for start_s, end_s, person in sorted(segments)
    )


def check_folder(folder: Path) -> None:
    """Raises ConfigError if there is something in it already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--make {folder}: there is something already; name a folder that is new or empty")


def _check_people(voices: Sequence[VoiceInventory], people: Sequence[int]) -> None:
    names = [voice.person for voice in voices]
    if len(set(names)) < len(names):
        double = max(names, key=names.count)
        raise ConfigError(f"two voices are called {double}: rename a folder or file, and name each person once")
    if people and max(people) > len(voices):
        raise ConfigError(
            f"--people {max(people)}: there are {len(voices)} voices; name more (--clips, --call, --flite)"
        )


def _draw_script(voices: Sequence[VoiceInventory], count: int, generator: np.random.Generator) -> TalkScript:
    order = generator.permutation(len(voices))
    listens = generator.random() < SHARE_LISTENER and count < len(voices)
    chosen = [voices[i] for i in order[: count + listens]]
    return write_script(chosen, [v.person for v in chosen[count:]], generator.uniform(*LENGTH_S), generator)


def _entry(name: str, script: TalkScript, scene: TalkScene) -> dict[str, Any]:
    people = {
        voice.person: {
            "listener": voice.person in script.listeners,
            "distance_m": metres,
        }
        for voice, metres in zip(script.voices, scene.distances_m, strict=True)
    }
    return {
        "name": name,
        "duration_s": script.length / SAMPLE_RATE_HZ,
        "people": people,
        "scene": {key: value for key, value in asdict(scene).items() if key != "distances_m"},
        "turns": [_turn(turn) for turn in script.turns],
    }


def _turn(turn: PlacedTurn) -> dict[str, Any]:
    return {
        "person": turn.person,
        "kind": turn.kind,
        "start_s": turn.start / SAMPLE_RATE_HZ,
        "end_s": turn.end / SAMPLE_RATE_HZ,
        "style": turn.clips[0].clip.style,
        "clips": [placed.clip.name for placed in turn.clips],
    }

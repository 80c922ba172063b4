"""The neutral format, a line of it: one dialogue as JSON. The types here are its JSON Schema and its reader at once.

    {"dialogue": "d1", "utterances": [
      {"speaker": "Ann", "text": "Oh no.", "label": "sadness", "start_s": 0.0, "end_s": 1.2,
       "audio": "clips/d1_0.wav", "video": null, "prosody": {"duration": 1.2, "avg_pitch": null}}]}

An utterance needs a speaker; every other key may be absent or null. The rule of this file: what a schema can say stands
in the types alone. Beyond it, the reader refuses an end before its start, a label that labels.txt lacks, a recording
that several utterances share without saying which piece is whose, and vectors that `features` does not name.
"""

import json
import re
from array import array
from collections.abc import Callable, Container, Mapping, Sequence
from collections.abc import Set as AbstractSet
from math import nan
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from erc_live.models.corpora.dialogue import PROSODY, Dialogue, FeatureKind, Utterance
from erc_live.models.modalities import MODALITIES

# Seconds, Hz or dB beyond this are nonsense; the bound also keeps out 1e999, which JSON allows and no number is.
LIMIT = 1e9
HALF = r"\ud800-\udfff"  # lone surrogates, the halves of a character
Text = Annotated[str, Meta(pattern=rf"^[^{HALF}]*$")]
Word = Annotated[str, Meta(pattern=rf"^(?![\s\S]*[\u0000-\u001f\u007f{HALF}])[\s\S]*\S")]  # on one line, and not blank
Name = Word | int | Annotated[float, Meta(multiple_of=1)]  # for JSON, 1.0 is a whole number, too
File = Annotated[str, Meta(pattern=rf"^[^\u0000{HALF}]+$")]
Seconds = Annotated[float, Meta(ge=0, le=LIMIT)]
Measure = Annotated[float, Meta(ge=-LIMIT, le=LIMIT)]
Rating = Annotated[float, Meta(ge=-1, le=1)]
LARGEST = 3.4028235e38  # in single precision, which vectors are stored in
WIDEST = 65_536  # numbers of a vector
DISPLAYED = 40  # characters of a wrong value in a message


class ProsodyEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measured with Praat, of the whole utterance; null: not measured."""

    duration: Annotated[Measure | None, Meta(description="s")] = None
    avg_intensity: Annotated[Measure | None, Meta(description="dB")] = None
    intensity_variation: Annotated[Measure | None, Meta(description="dB")] = None
    avg_pitch: Annotated[Measure | None, Meta(description="Hz")] = None
    pitch_std: Annotated[Measure | None, Meta(description="Hz")] = None
    pitch_range: Annotated[Measure | None, Meta(description="Hz")] = None
    articulation_rate: Annotated[Measure | None, Meta(description="syllables per second of sounding time")] = None
    mean_hnr: Annotated[Measure | None, Meta(description="dB, harmonics to noise")] = None


Numbers = Annotated[Sequence[Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]], Meta(min_length=1, max_length=WIDEST)]


class VectorsEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Vectors of an utterance, as long as `features` of the dialogue says; null: it lacks the modality."""

    text: Numbers | None = None
    audio: Numbers | None = None
    visual: Numbers | None = None


class FeatureEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the vectors of a modality are."""

    name: Annotated[Word, Meta(description="What made them.")]
    width: Annotated[int, Meta(ge=1, le=WIDEST, description="How many numbers one has.")]


class FeaturesEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Vectors that the corpus brings, in place of those that would be made of words, sound and image; null: none."""

    text: FeatureEntry | None = None
    audio: FeatureEntry | None = None
    visual: FeatureEntry | None = None


class UtteranceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one speaker says at a time."""

    speaker: Annotated[Name, Meta(description="Who speaks; the same in all utterances of this person.")]
    text: Annotated[Text | None, Meta(description="Empty or null where nothing was transcribed.")] = None
    label: Annotated[Word | None, Meta(description="Any emotion of the corpus' own set; null: not labelled.")] = None
    start_s: Annotated[Seconds | None, Meta(description="Seconds from the beginning of the conversation.")] = None
    end_s: Annotated[Seconds | None, Meta(description="Not before start_s.")] = None
    audio: Annotated[
        File | None,
        Meta(
            description="A media file, relative to the folder of this file. Named by one utterance it is its clip; "
            "named by several of a dialogue it is a recording, of which each has the piece from start_s to end_s."
        ),
    ] = None
    video: Annotated[File | None, Meta(description="As audio; it may be the same file.")] = None
    prosody: ProsodyEntry | None = None
    valence: Annotated[
        Rating | None, Meta(description="What raters said, from -1 (unpleasant) to 1; null: not rated.")
    ] = None
    arousal: Annotated[Rating | None, Meta(description="As valence, from -1 (calm) to 1 (excited).")] = None
    gender: Annotated[
        Literal["male", "female"] | None,
        Meta(description="Of the speaker; null: not known. Only HGF-MiLaG learns from it, and only if it is asked to."),
    ] = None
    vectors: VectorsEntry | None = None
    spoken: Annotated[
        Text | None, Meta(description="The words as they were said, where text is what a recogniser made of them.")
    ] = None
    estimate: Annotated[
        Any, Meta(description="What `erc-live predict` estimated; ignored, for an estimate is no label.")
    ] = None


class DialogueEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dialogue of a corpus, one per line."""

    dialogue: Annotated[Name, Meta(description="Its name, once in a corpus.")]
    utterances: Annotated[Sequence[UtteranceEntry], Meta(min_length=1, description="First to last.")]
    features: Annotated[FeaturesEntry | None, Meta(description="The same in all dialogues of a corpus.")] = None
    occasion: Annotated[
        Name | None,
        Meta(
            description="What it shares with other dialogues, such as an episode or a session; null: nothing. Those of "
            "one occasion are never parted between what teaches and what scores (`--folds`)."
        ),
    ] = None


_TIME = f"a number from 0 to {LIMIT:g} or null"
_WANTED = {  # what should stand at a place, in words
    "dialogue": "a name on one line and not blank",
    "utterances": "a list of at least one utterance",
    "occasion": "a name on one line and not blank, or null",
    "speaker": "a name on one line and not blank",
    "text": "text without half characters (lone surrogates) or null",
    "spoken": "text without half characters (lone surrogates) or null",
    "label": "a name on one line and not blank, or null",
    "start_s": _TIME,
    "end_s": _TIME,
    "audio": "the path of a file or null",
    "valence": "a number from -1 to 1 or null",
    "arousal": "a number from -1 to 1 or null",
    "gender": '"male", "female" or null',
    "video": "the path of a file or null",
    "name": "a name on one line and not blank",
    "width": f"a whole number from 1 to {WIDEST}",
    **{f"utterances.#.vectors.{modality}": f"a list of 1 to {WIDEST} numbers, or null" for modality in MODALITIES},
    **{f"utterances.#.vectors.{modality}.#": "a number of single precision" for modality in MODALITIES},
    **dict.fromkeys(PROSODY, f"a number from -{LIMIT:g} to {LIMIT:g} or null"),
}
_OBJECTS: dict[str, type[msgspec.Struct]] = {  # what an object at a place is; # stands for any number
    "": DialogueEntry,
    "utterances.#": UtteranceEntry,
    "utterances.#.prosody": ProsodyEntry,
    "utterances.#.vectors": VectorsEntry,
    "features": FeaturesEntry,
    **{f"features.{modality}": FeatureEntry for modality in MODALITIES},
}
_PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>(?:\.[a-z_]+|\[[0-9]+\])*)`)?\Z", re.DOTALL)
_FIELD = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)


class LineError(ValueError):
    """What is wrong with a line: where in it, what, and what should stand there instead; without the file's name."""


def corpus_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of one line."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(DialogueEntry)}


def parse(line: bytes, folder: Path, labels: Container[str] | None = None) -> Dialogue:
    """Read a line whose media are relative to `folder`; `labels`, if given, are all that there may be.

    Raises:
        LineError: the line is not as the format says; the first thing that is wrong.
    """
    raw = _json(line)
    try:
        entry = msgspec.convert(raw, DialogueEntry)
    except msgspec.ValidationError as error:
        raise LineError(_explained(str(error), raw)) from error
    turns = tuple(_utterance(turn, folder) for turn in entry.utterances)
    occasion = None if entry.occasion is None else _name(entry.occasion)
    dialogue = Dialogue(_name(entry.dialogue), turns, _features(entry.features), occasion)
    for number, utterance in enumerate(dialogue.utterances, 1):
        if problem := _problem(utterance, dialogue.recordings, labels) or _wrong_vector(utterance, dialogue.features):
            raise LineError(f"dialogue {_short(dialogue.name)}, utterance {number}: {problem}")
    return dialogue


def dump(dialogue: Dialogue, relative: Callable[[Path], str]) -> str:
    """The line of a dialogue, without its end; `relative` says how to write a path. What is absent is left out."""
    utterances = []
    for utterance in dialogue.utterances:
        entry: dict[str, Any] = {"speaker": utterance.speaker, "text": utterance.text, "label": utterance.label}
        entry |= {
            key: value for key in ("spoken", "start_s", "end_s") if (value := getattr(utterance, key)) is not None
        }
        entry |= {key: relative(path) for key in ("audio", "video") if (path := getattr(utterance, key)) is not None}
        if utterance.prosody is not None:
            values = zip(PROSODY, utterance.prosody, strict=True)
            entry["prosody"] = {name: None if value != value else value for name, value in values}
        said = ("valence", "arousal", "gender")
        entry |= {key: value for key in said if (value := getattr(utterance, key)) is not None}
        if utterance.vectors:
            entry["vectors"] = {m: [_shortest(value) for value in vector] for m, vector in utterance.vectors.items()}
        utterances.append(entry)
    whole: dict[str, Any] = {"dialogue": dialogue.name, "utterances": utterances}
    if dialogue.features:
        whole["features"] = {m: {"name": kind.name, "width": kind.width} for m, kind in dialogue.features.items()}
    if dialogue.occasion is not None:
        whole["occasion"] = dialogue.occasion
    return json.dumps(whole, ensure_ascii=False, allow_nan=False)


def _shortest(value: float) -> float:
    """The number with as many digits as single precision has."""
    return float(f"{value:.9g}")


def _json(line: bytes) -> Any:
    def refuse(name: str) -> None:
        raise LineError(f"{name} is no number in JSON: write null for what was not measured")

    try:
        return json.loads(line.decode("utf-8"), parse_constant=refuse)
    except LineError:
        raise
    except UnicodeDecodeError as error:
        raise LineError(f"byte {error.start + 1} is not UTF-8: save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise LineError(f"not JSON at character {error.colno} ({error.msg}): write one dialogue per line") from error
    except (ValueError, RecursionError) as error:
        raise LineError("not JSON that can be read: a number too long, or brackets too deep") from error


def _explained(error: str, raw: Any) -> str:
    """The message of msgspec, with the place in words, the wrong value, and what should stand there."""
    match = _PLACE.match(error)
    assert match is not None
    steps: list[str] = re.findall(r"[a-z_]+|[0-9]+", match["path"] or "")  # such as utterances, 0, start_s
    path = ".".join("#" if step.isdecimal() else step for step in steps)
    entry = _OBJECTS.get(path)
    keys = ", ".join(entry.__struct_fields__) if entry else ""
    place = _place(path, steps)
    if field := _FIELD.match(match["what"]):
        missing = field[1] == "missing required"
        problem = f"{place} has an unknown key {_short(field[2])}: the keys are {keys}"
        return _where(steps, raw) + (f'"{field[2]}" is missing' if missing else problem)
    wanted = f"an object with the keys {keys}" if entry else _WANTED.get(path) or _WANTED[steps[-1]]
    return f"{_where(steps, raw)}{place} must be {wanted}, not {_short(_at(raw, steps))}"


def _place(path: str, steps: Sequence[str]) -> str:
    """A place of a line in words."""
    if path in ("", "utterances.#"):
        return "an utterance" if path else "the line"
    nested = [place for place, step in enumerate(steps) if step in ("features", "vectors")]
    names = [step for step in steps[nested[0] if nested else -1 :] if not step.isdecimal()]
    number = f"number {int(steps[-1]) + 1} of " if path.endswith("#") else ""
    return f'{number}"{".".join(names)}"'


def _where(steps: Sequence[str], raw: Any) -> str:
    """Which dialogue and utterance; nothing for what is wrong with the line itself."""
    if steps[:1] != ["utterances"]:
        return ""
    utterance = "".join(f", utterance {int(n) + 1}" for n in steps[1:2] if n.isdecimal())
    return f"dialogue {_short(_at(raw, ['dialogue']))}{utterance}: "


def _at(value: Any, steps: Sequence[str]) -> Any:
    """What stands at a place of a line; None where there is no such place."""
    for step in steps:
        if isinstance(value, list):
            value = value[int(step)] if step.isdecimal() and int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _utterance(entry: UtteranceEntry, folder: Path) -> Utterance:
    audio, video = (None if file is None else folder / file for file in (entry.audio, entry.video))
    label = None if entry.label is None else entry.label.strip()
    text = (entry.text or "").strip()
    prosody = None
    if entry.prosody is not None:
        prosody = tuple(nan if value is None else value for value in msgspec.structs.astuple(entry.prosody))
    rated = (entry.valence, entry.arousal)
    given = {} if entry.vectors is None else msgspec.structs.asdict(entry.vectors)
    vectors = {modality: array("f", numbers) for modality, numbers in given.items() if numbers is not None}
    when, media = (entry.start_s, entry.end_s), (audio, video)
    spoken = None if entry.spoken is None else entry.spoken.strip()
    name = _name(entry.speaker)
    return Utterance(name, text, label, *when, *media, prosody, *rated, vectors, entry.gender, spoken)


def _features(entry: FeaturesEntry | None) -> dict[str, FeatureKind]:
    kinds = {} if entry is None else {modality: getattr(entry, modality) for modality in MODALITIES}
    return {
        modality: FeatureKind(kind.name.strip(), kind.width) for modality, kind in kinds.items() if kind is not None
    }


def _wrong_vector(utterance: Utterance, features: Mapping[str, FeatureKind]) -> str:
    """What is wrong with the vectors of an utterance; nothing where all is well."""
    for modality, vector in utterance.vectors.items():
        if modality not in features:
            return f'"features" of the dialogue must give name and width of its {modality} vector'
        if len(vector) != features[modality].width:
            width = features[modality].width
            return f'its {modality} vector has {len(vector)} numbers, and "features" of the dialogue says {width}'
    return ""


def _name(name: str | float) -> str:
    return name.strip() if isinstance(name, str) else str(int(name))


def _problem(utterance: Utterance, recordings: AbstractSet[Path], labels: Container[str] | None) -> str:
    """What no schema can say; nothing where all is well."""
    label, start, end = utterance.label, utterance.start_s, utterance.end_s
    if labels is not None and label is not None and label not in labels:
        return f"label {_short(label)} is not in labels.txt: add it there, or mend it here"
    if start is not None and end is not None and end < start:
        return f'"end_s" {end:g} lies before "start_s" {start:g}'
    shared = [file for file in (utterance.audio, utterance.video) if file in recordings]
    if shared and (start is None or end is None):
        file = _short(str(shared[0]))
        return f'"start_s" and "end_s" must say which piece of {file} it is, for other utterances name that file too'
    return ""


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= DISPLAYED else f"{text[: DISPLAYED - 3]}..."

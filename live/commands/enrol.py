"""`erc-live enrol`: listen to one person, with their consent, so that sessions can call them by name.

Nothing is written before the person agreed, and nothing of the sound at all: what stays is one vector, encrypted, and
the receipt of the consent. A print that
would not work is refused: of too little speech, of a noisy place, of two voices.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from erc_live.live import config as configuration
from erc_live.live.capture.source import open_source, recorded_messages
from erc_live.live.capture.source_spec import SourceSpec, parse_mic
from erc_live.live.config import Config
from erc_live.live.errors import ConfigError
from erc_live.live.privacy.consent import ConsentReceipt, agreement, last_day, sentence
from erc_live.live.screen.console import out
from erc_live.live.screen.progress import plain
from erc_live.live.speakers import voice_prints
from erc_live.live.speakers.clustering import SpeakerClustering
from erc_live.live.speakers.enrolment import outlook
from erc_live.live.speakers.voice_prints import VoicePrint
from erc_live.streams.clock import SessionClock
from erc_live.streams.messages import AudioChunk, Gap, SourceEnd, samples_to_ns

if TYPE_CHECKING:
    from erc_live.live.speakers.embedding import VoiceReader

ENOUGH_S = 15.0  # of speech
LEAST_S = 8.0
PATIENCE_S = 60.0  # of listening
CLEAR_DB = 12.0  # between the loud and the quiet of speech in a room; people who talk at a desk have 25 and more

Sound = AudioChunk | Gap | SourceEnd


@dataclass
class VoiceSample:
    """The speech of one person: pass its messages through `measured`, `add` what was closed until it is `enough`; then
    `vector`.
    """

    source: str
    reader: "VoiceReader"
    seconds: float = 0.0
    _vectors: list[np.ndarray] = field(default_factory=list)
    _weights: list[float] = field(default_factory=list)
    _levels: list[float] = field(default_factory=list)

    @property
    def enough(self) -> bool:
        return self.seconds >= ENOUGH_S

    def measured(self, messages: Iterable[Sound]) -> Iterator[Sound]:
        """The same messages; how loud they are is remembered."""
        for message in messages:
            if isinstance(message, AudioChunk):
                power = float(np.mean(np.square(message.pcm.astype(np.float64))))
                self._levels.append(10 * np.log10(power + 0.1))  # digital silence has a level, too
            yield message

    def add(self, pcm: np.ndarray) -> None:
        """Take the speech of an utterance. Shapes: pcm (n,) int16."""
        for stretch in self.reader.split(pcm):
            if stretch.embedding is not None:
                seconds = samples_to_ns(stretch.end - stretch.start) / 1e9
                self._vectors.append(stretch.embedding)
                self._weights.append(seconds)
                self.seconds += seconds

    def vector(self) -> np.ndarray:
        """The mean of what was said. Raises ConfigError where that would not tell the person from others."""
        if self.seconds < LEAST_S:
            raise ConfigError(
                f"only {self.seconds:.0f} s of speech were heard: say {ENOUGH_S:.0f} s, anything you like"
            )
        quiet, loud = np.percentile(self._levels, [10, 95])
        if loud - quiet < CLEAR_DB:
            raise ConfigError(
                f"too noisy: speech is only {loud - quiet:.0f} dB above the room; move to a quieter place"
            )
        if self._voices() > 1:
            raise ConfigError("more than one voice was heard: let one person speak alone")
        return np.average(self._vectors, axis=0, weights=self._weights).astype(np.float32)

    def _voices(self) -> int:
        speakers, at_ns = SpeakerClustering(), 0
        for number, (vector, seconds) in enumerate(zip(self._vectors, self._weights, strict=True)):
            end_ns = at_ns + int(seconds * 1e9)
            speakers.assign(self.source, str(number), vector, at_ns, end_ns)
            at_ns = end_ns
        return speakers.count(self.source)


def sound(spec: SourceSpec, config: Config) -> Iterator[Sound]:
    """What a microphone delivers for `PATIENCE_S`, or all of a file, at once. Raises DeviceError, MediaError."""
    if spec.medium != "device":
        yield from (
            m for m in recorded_messages(spec, config.capture, 0) if isinstance(m, AudioChunk | Gap | SourceEnd)
        )
        return
    source, clock = open_source(spec, config.capture), SessionClock()
    until_s = time.monotonic() + PATIENCE_S
    try:
        source.start(clock, clock.now_ns())
        while time.monotonic() < until_s and not source.finished:
            yield from (message for message in source.read(0.1) if isinstance(message, AudioChunk | Gap))
        yield SourceEnd(source=spec.name, t_ns=clock.now_ns(), reason="stopped")
    finally:
        source.close()


def enrol(
    name: Annotated[str | None, typer.Argument(help="Whose voice it is.", metavar="NAME")] = None,
    mics: Annotated[
        list[str] | None,
        typer.Option(
            "--mic", help="default, a device name or number, or a file; several: one after the other.", metavar="MIC"
        ),
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Keep the recordings there are, too.")] = False,
    consent: Annotated[bool, typer.Option("--consent", help="The person has agreed; do not ask.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Who is enrolled.")] = False,
    until: Annotated[
        str | None, typer.Option(help="Last day on which the consent holds. Default: a year from now.", metavar="DATE")
    ] = None,
    forget: Annotated[str | None, typer.Option(help="Delete a voice.", metavar="NAME")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="One key.", metavar="SECTION.KEY=VALUE")] = None,
) -> None:
    """Keep a print of one person's voice, so that sessions with `speakers.known` call that person by name."""
    for line in voice_prints.migrate() if forget is None else []:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if listed:
        for found in voice_prints.stored():
            out.print(_entry(found), highlight=False, markup=False, soft_wrap=True)
        out.print(f"folder: {voice_prints.folder()}", highlight=False, markup=False, soft_wrap=True)
    elif forget is not None:
        voice_prints.forget(forget)
        out.print(f"{forget}: forgotten", highlight=False, markup=False)
    elif name is None:
        raise ConfigError("whose voice? erc-live enrol NAME --mic MIC, or --list, or --forget NAME")
    else:
        config = configuration.load(sets=sets or []).config
        receipt = _agreed(name, consent, last_day(until), config)
        specs = [parse_mic(mic, number) for number, mic in enumerate(mics or ["default"])]
        _enrol(receipt, specs, add, config)


def _entry(entry: VoicePrint) -> str:
    """A line of the list: who, what is kept, and what was agreed to."""
    seconds = sum(recording.seconds for recording in entry.recordings)
    dates = ", ".join(dict.fromkeys(recording.date for recording in entry.recordings))
    receipt = voice_prints.receipt_of(entry.name)
    agreed = "" if receipt is None else f"  agreed {receipt.given[:10]} ({receipt.evidence}) until {receipt.until}"
    reason = voice_prints.objection(entry.name)
    return f"{entry.name}  {dates}  {seconds:.0f} s{agreed}" + (f"  NOT USED: {reason}" if reason else "")


def _agreed(name: str, consent: bool, until: date, config: Config) -> ConsentReceipt:
    """What the person agrees to. Raises ConfigError where they do not."""
    voice_prints.check(name)
    name = name.strip()
    if consent:
        return agreement(name, until, "reported", config.session)
    refused = "nothing was listened to and nothing was kept"
    if not sys.stdin.isatty():
        raise ConfigError(f"enrol needs the person's consent: --consent says that they agreed; {refused}")
    out.print(sentence(name, until), highlight=False, markup=False)
    if not typer.confirm("Do you agree?"):
        raise ConfigError(f"without consent nobody is enrolled: {refused}")
    return agreement(name, until, "asked", config.session)


def _enrol(receipt: ConsentReceipt, specs: list[SourceSpec], add: bool, config: Config) -> None:
    from erc_live.live.speakers.embedding import open_voice_reader

    reader = open_voice_reader(config.speakers)
    if reader is None:
        raise ConfigError("speakers.most is 1: there is nobody to tell apart")
    name, encoder = receipt.person, reader.encoder.fingerprint
    recordings = voice_prints.enrolled(name, encoder) if add else []
    for spec in specs:
        sample = _listen(name, spec, reader, config)
        recordings = [*recordings, voice_prints.recorded(sample.vector(), sample.seconds)]
    path = voice_prints.keep(recordings, encoder, receipt)
    seconds = sum(recording.seconds for recording in recordings)
    lines = [
        f"{name}: {seconds:.0f} s of speech, kept in {path}, with the consent to it until {receipt.until} beside it",
        *outlook(name, recordings, reader.encoder.centre, encoder),
        f"to use it: --set 'speakers.known=[\"{name}\"]'; to delete it: erc-live enrol --forget {name!r}",
    ]
    out.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _listen(name: str, spec: SourceSpec, reader: "VoiceReader", config: Config) -> VoiceSample:
    from erc_live.live.session.engines import closed_utterances

    sample = VoiceSample(spec.name, reader)
    with plain() as bar:
        task = bar.add_task(f"{name}: please speak", total=ENOUGH_S)
        for request in closed_utterances(sample.measured(sound(spec, config)), config, [spec]):
            sample.add(request.speech.pcm)
            bar.update(task, completed=min(sample.seconds, ENOUGH_S))
            if sample.enough:
                break
    return sample

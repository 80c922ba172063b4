"""Make the demo conversation: `python -m erc_live.live.demo.make [OUT_DIR]`.

Writes `ada.flac` and `ben.flac` (one microphone each, in sync), `faces.mp4` (a camera that shows whoever speaks, as a
video call does) and `transcript.vtt`. What is shipped beside this file was made by this command. It needs flite, a
small speech synthesiser, on the PATH; all else is deterministic, so the same flite gives the same files.
The rule that makes the media easy to cut: inside an utterance no pause is longer than `PAUSE_S`, between two of them is
`BETWEEN_S`, so an end-of-speech wait that lies between splits exactly at the utterances.
"""

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from erc_live.live.demo.face_film import HEIGHT_PX, WIDTH_PX, draw
from erc_live.live.demo.flite import synthesise
from erc_live.live.demo.script import ADA, BEN, CONVERSATION, NEUTRAL, Manner, ScriptLine, ScriptSpeaker
from erc_live.live.errors import EngineError, LiveError, exit_code
from erc_live.streams.media import encode_flac
from erc_live.streams.messages import SAMPLE_RATE_HZ

PAUSE_S = 0.15
BETWEEN_S = 1.0
LEAD_S = 0.8  # before the first utterance and after the last
LEVEL = 1_800.0  # root mean square of a neutral utterance, -25 dB of full scale
QUIET = 0.02  # a step of a voice below this share of its loudest is a pause
STEP = SAMPLE_RATE_HZ // 100  # loudness is measured every 10 ms
RATE_HZ = 10  # of the camera
ONSET_S = 0.4  # the camera turns to a speaker, and the face moves, this much before the words
BLINK_S = 3.1  # from one blink to the next


@dataclass(frozen=True)
class Spoken:
    """A line and its sound, `start` samples after the beginning. Shapes: pcm (n,) int16."""

    line: ScriptLine
    pcm: np.ndarray
    start: int

    @property
    def end(self) -> int:
        """The sample after the last."""
        return self.start + len(self.pcm)


def speak(line: ScriptLine) -> np.ndarray:
    """The line as flite says it in its manner, int16 (n,) without long pauses. Raises EngineError without flite."""
    samples = synthesise(line.text, line.speaker.voice, line.speaker.pitch_hz * line.manner.pitch, line.manner.pace)
    voice = _without_pauses(samples.astype(np.float64))
    gain = LEVEL / np.sqrt(np.mean(np.square(voice))) * 10 ** (line.manner.gain_db / 20)
    spoken: np.ndarray = np.round(np.clip(voice * gain, -32_768, 32_767)).astype(np.int16)
    return spoken


def arrange(lines: Sequence[ScriptLine]) -> list[Spoken]:
    """The lines one after the other."""
    spoken, start = [], round(LEAD_S * SAMPLE_RATE_HZ)
    for line in lines:
        spoken.append(Spoken(line, speak(line), start))
        start = spoken[-1].end + round(BETWEEN_S * SAMPLE_RATE_HZ)
    return spoken


def track(spoken: Sequence[Spoken], speaker: ScriptSpeaker) -> np.ndarray:
    """What the microphone of one speaker hears: int16, as long for every speaker."""
    length = -(-(spoken[-1].end + round(LEAD_S * SAMPLE_RATE_HZ)) // (SAMPLE_RATE_HZ // RATE_HZ))
    samples = np.zeros(length * (SAMPLE_RATE_HZ // RATE_HZ), np.int16)  # whole pictures
    for one in spoken:
        if one.line.speaker == speaker:
            samples[one.start : one.end] = one.pcm
    return samples


def transcript(spoken: Sequence[Spoken]) -> str:
    """The conversation as WebVTT with the name of the voice in each cue."""
    cues = [
        f"{_clock(one.start)} --> {_clock(one.end)}\n<v {one.line.speaker.name}>{one.line.text}\n" for one in spoken
    ]
    return "\n".join(["WEBVTT\n", *cues])


def film(spoken: Sequence[Spoken], pictures: int) -> bytes:
    """An MP4 file, H.264, of so many pictures."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=RATE_HZ)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        # One thread and no vector code: with them, the same pictures gave files that differed by a few bytes.
        stream.options = {"crf": "23", "preset": "slow", "x264-params": "threads=1:asm=0"}
        for number in range(pictures):
            planes = cv2.cvtColor(_picture(spoken, number / RATE_HZ), cv2.COLOR_BGR2YUV_I420)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode(None))
    return target.getvalue()


def _picture(spoken: Sequence[Spoken], time_s: float) -> np.ndarray:
    begun = [one for one in spoken if one.start / SAMPLE_RATE_HZ <= time_s + ONSET_S]
    shown = begun[-1] if begun else replace(spoken[0], line=replace(spoken[0].line, manner=NEUTRAL))
    first = round(time_s * SAMPLE_RATE_HZ) - shown.start
    heard = shown.pcm[max(0, first) : max(0, first + SAMPLE_RATE_HZ // RATE_HZ)].astype(np.float64)
    loudness = np.sqrt(np.mean(np.square(heard))) if len(heard) else 0.0
    loudest = np.percentile(_loudness(shown.pcm.astype(np.float64)), 95)
    expressed = np.clip((time_s + ONSET_S - shown.start / SAMPLE_RATE_HZ) / ONSET_S, 0.2, 1.0)
    blink = time_s % BLINK_S < 1.0 / RATE_HZ
    return draw(shown.line.speaker, _faded(shown.line.manner, expressed), min(1.0, loudness / loudest), blink, time_s)


def _faded(manner: Manner, share: float) -> Manner:
    return replace(
        manner,
        smile=manner.smile * share,
        brows=manner.brows * share,
        frown=manner.frown * share,
        eyes=manner.eyes * share,
    )


def _loudness(samples: np.ndarray) -> np.ndarray:
    """Root mean square of each whole step (n // STEP,)."""
    steps = samples[: len(samples) // STEP * STEP].reshape(-1, STEP)
    rms: np.ndarray = np.sqrt(np.mean(np.square(steps), axis=1))
    return rms


def _without_pauses(samples: np.ndarray) -> np.ndarray:
    """Cut the silence around the words, and from each longer pause between them all but `PAUSE_S`."""
    loudness = _loudness(samples)
    loud = np.flatnonzero(loudness > QUIET * loudness.max())
    longest = round(PAUSE_S * SAMPLE_RATE_HZ / STEP)
    keep = np.zeros(len(loudness), bool)
    keep[loud] = True
    for before, after in pairwise(loud.tolist()):
        kept = min(after - before - 1, longest)
        keep[before + 1 : before + 1 + kept - kept // 2] = True
        keep[after - kept // 2 : after] = True
    return samples[: len(keep) * STEP].reshape(-1, STEP)[keep].ravel()


def _clock(sample: int) -> str:
    """HH:MM:SS.mmm of WebVTT."""
    milliseconds = round(1000 * sample / SAMPLE_RATE_HZ)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def make(folder: Path) -> None:
    """Write the four files. Raises EngineError when they cannot be made."""
    spoken = arrange(CONVERSATION)
    tracks = {speaker: track(spoken, speaker) for speaker in (ADA, BEN)}
    pictures = len(tracks[ADA]) * RATE_HZ // SAMPLE_RATE_HZ
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for speaker, samples in tracks.items():
            (folder / f"{speaker.name.lower()}.flac").write_bytes(encode_flac(samples))
        (folder / "faces.mp4").write_bytes(film(spoken, pictures))
        (folder / "transcript.vtt").write_text(transcript(spoken), encoding="utf-8")
    except OSError as error:
        raise EngineError(f"{folder} cannot be written: {error}") from error


def main() -> None:
    """The command; without a folder it renews the files beside this one."""
    try:
        make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
    except LiveError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(exit_code(error)) from None


if __name__ == "__main__":
    main()

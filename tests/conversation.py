"""A scripted conversation of two people, as the messages that the screen receives."""

from collections.abc import Iterator
from typing import Any

import msgspec
from examples import LABELS, event, hello

from erc_live.live.screen.view import SessionView, reduce
from erc_live.streams.messages import AnyMessage, EmotionEvent, Gap, Phase, Recogniser, SessionState, WorkerStatus

S = 1_000_000_000
MS = 1_000_000
START_NS = 5_000 * S
CERTAIN = 0.5  # of a label's share: below it the model would rather abstain
NOW_NS = START_NS + 754 * S
SCRIPT = (
    (0, "Ada", "neutral", 0.71, "So, did you hear back from them?"),
    (1, "Ben", "neutral", 0.55, "Not yet. They said before Friday, and it is Friday."),
    (0, "Ada", "surprise", 0.48, "And they have not even written to you?"),
    (1, "Ben", "sadness", 0.62, "No. I look at my phone, and it is only my mother, who asks whether they have called."),
    (0, "Ada", "neutral", 0.44, "Give it an hour."),
    (1, "Ben", "anger", 0.51, "I have been giving it hours since Monday!"),
    (0, "Ada", "neutral", 0.67, "I know. Hang on, is that yours?"),
    (
        *(1, "Ben", "joy", 0.92),
        "I got it! They want me to start on the first, and they said that nobody did the trial task as well as I did "
        "this year, or the year before.",
    ),
    (0, "Ada", "joy", 0.88, "I knew it! Come here."),
)


def shares(label: str, share: float) -> dict[str, float]:
    """`share` for `label`, and less and less of the rest for the others."""
    others = [name for name in LABELS if name != label]
    return {label: share} | {name: (1 - share) / 2 ** (i + 1) for i, name in enumerate(others)}


def utterance(seq: int, line: int, t_ns: int, **fields: object) -> EmotionEvent:
    """Line `line` of the script, said from `t_ns` on."""
    speaker, name, label, share, text = SCRIPT[line]
    before = [said for who, _, said, *_ in SCRIPT[:line] if who == speaker]
    said = event(
        seq,
        utterance=f"u{line}",
        index=line,
        speaker=speaker,
        speaker_name=name,
        source=f"mic-{speaker}",
        text=text,
        label=label,
        probs=shares(label, share),
        shift=label != before[-1] if before else None,
        face_coverage=0.83,
        engine=Recogniser(name="faster-whisper base.en"),
        t_start_ns=t_ns,
        t_end_ns=t_ns + 3000 * MS,
        t_closed_ns=t_ns + 3480 * MS,
        t_text_ns=t_ns + 4130 * MS,
        t_features_ns=t_ns + 4212 * MS,
        t_logits_ns=t_ns + 4216 * MS,
        certain=share >= CERTAIN,
    )
    return msgspec.structs.replace(said, **fields)


def status(worker: str, t_ns: int = NOW_NS, phase: Phase = "running", **fields: Any) -> WorkerStatus:
    return WorkerStatus(worker=worker, pid=1, t_ns=t_ns, phase=phase, **fields)


def state(recording: bool = True, paused: bool = False, t_ns: int = NOW_NS) -> SessionState:
    return SessionState(session="s1", t_ns=t_ns, recording=recording, paused=paused, purpose="research")


def workers(t_ns: int = NOW_NS) -> Iterator[WorkerStatus]:
    """Everybody at work."""
    yield status("mic-0", t_ns, level_db=-23.4, rate_hz=31.25)
    yield status("mic-1", t_ns, level_db=-48.0, rate_hz=31.25)
    yield status("camera-0", t_ns, rate_hz=9.8)
    yield status("perception", t_ns, lag_s=0.1)
    yield status("tracker", t_ns)
    yield status("recorder", t_ns, note="recordings/interview")


def messages() -> Iterator[AnyMessage]:
    """The script, with the last line still being said."""
    yield hello(session="interview", t_ns=START_NS, speakers=(), model="dialogue-graph 3f9ac1e2")
    yield from workers()
    for line in range(len(SCRIPT)):
        yield utterance(line, line, START_NS + (700 + 5 * line) * S)
    last = utterance(9, 2, START_NS + 746 * S, utterance="u9", index=9, final=False, shift=None)
    yield msgspec.structs.replace(last, text="And what did they say about")


def troubled() -> Iterator[AnyMessage]:
    """What comes after `messages` when things go wrong."""
    yield status("mic-1", phase="failed", note="unplugged")
    yield status("camera-0", NOW_NS - 7 * S, rate_hz=9.8)
    yield status("perception", lag_s=2.4, dropped=3)
    yield Gap(source="mic-1", t_start_ns=NOW_NS - S, t_end_ns=NOW_NS, lost=31, cause="device")


def one_microphone() -> Iterator[AnyMessage]:
    """The script before one microphone: voices are numbered, two are unsure, and the third proves to be the first."""
    yield hello(session="interview", t_ns=START_NS, speakers=(), model="dialogue-graph 3f9ac1e2")
    yield status("mic-0", level_db=-23.4, rate_hz=31.25)
    third = (6, 8)
    heard = {}
    for line in range(len(SCRIPT)):
        speaker = 2 if line in third else SCRIPT[line][0]
        heard[line] = utterance(
            line, line, START_NS + (700 + 5 * line) * S, source="mic-0", speaker=speaker,
            speaker_name=f"Speaker {speaker + 1}", speaker_confidence=0.35 if line in (5, 8) else 0.9,
        )  # fmt: skip
        yield heard[line]
    for seq, line in enumerate(third, len(SCRIPT)):
        changed = {"speaker": 0, "speaker_name": "Speaker 1", "revision": 1, "t_logits_ns": NOW_NS - 2 * S}
        yield msgspec.structs.replace(heard[line], seq=seq, speaker_confidence=None, **changed)


def viewed(*parts: Iterator[AnyMessage]) -> SessionView:
    """The view after all of them."""
    view = SessionView()
    for part in parts:
        for message in part:
            view = reduce(view, message)
    return view

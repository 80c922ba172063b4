"""The sound of a recorded session as one track on the time line of its page: all microphones, added, Opus in WebM.

What is missing is silence, so that a second of the page is a second of the sound. Voices keep their loudness: the
microphones are added and not averaged, and what would then be too loud is cut off. 16 kbit/s of Opus (RFC 6716) are
wideband speech that is still good to listen to; half of it is narrowband.
The rule of this file: one pass, and at no time more than a second of each microphone is in memory, but for the result.
"""

import io
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from erc_live.live.export.aligned_sound import aligned
from erc_live.streams.conversation_view import ConversationView
from erc_live.streams.messages import SAMPLE_RATE_HZ
from erc_live.streams.session import RecordedSession

BIT_RATE = 16_000
MAX_S = 24 * 3600.0  # of a longer session no track is made
MIME = "audio/webm"
_FRAME_MS = "60"  # of Opus: a third of the overhead of 20 ms


def soundtrack(
    session: RecordedSession, view: ConversationView, missing: list[str], progress: Callable[[float], None]
) -> Iterator[np.ndarray]:
    """The sum of all microphones, from the start of the session to its end. Shapes: (n,) int16, n up to a second.

    A segment that cannot be read is silence, and named in `missing`. `progress` is told the second it is at.
    """
    sources = [source for kind, source in session.tracks() if kind == "audio"]
    samples = 0
    for blocks in zip(*(aligned(session, view, source, missing) for source in sources), strict=True):
        added = np.stack(blocks).sum(axis=0, dtype=np.int32)
        samples += len(added)
        progress(samples / SAMPLE_RATE_HZ)
        yield np.clip(added, -(2**15), 2**15 - 1).astype(np.int16)


def encode_opus(blocks: Iterable[np.ndarray]) -> bytes:
    """A WebM file. Shapes: (n,) int16 at `SAMPLE_RATE_HZ`."""
    import av  # here: a page without sound needs no media library

    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE_HZ, layout="mono")
        stream.bit_rate = BIT_RATE
        stream.options = {"frame_duration": _FRAME_MS, "application": "voip"}
        samples = 0
        for block in blocks:
            frame = av.AudioFrame.from_ndarray(block[None, :], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE_HZ
            frame.pts = samples
            samples += len(block)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()

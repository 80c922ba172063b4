"""The first utterances of the demo as media of their own: all that happens in a session, in a quarter of its time.

What waits for a reader that is behind fits into the queues between the processes, however slow the machine is.
"""

from pathlib import Path

import av
from sounds import read_pcm

from erc_live.live.session.launch import demo_sources
from erc_live.streams.media import encode_flac
from erc_live.streams.messages import SAMPLE_RATE_HZ

UTTERANCES = 3
LENGTH_S = 11.8  # between the third utterance and the fourth


def make_short_demo(folder: Path) -> list[str]:
    """Build it in `folder`; the command and its arguments that play it."""
    sources, transcript = demo_sources()
    cues = transcript.read_text(encoding="utf-8").split("\n\n")
    (folder / "said.vtt").write_text("\n\n".join(cues[: 1 + UTTERANCES]) + "\n", encoding="utf-8")
    command = ["replay", "--transcript", str(folder / "said.vtt")]
    for source in sources:
        path = folder / Path(source.target).name
        if source.kind == "mic":
            path.write_bytes(encode_flac(read_pcm(Path(source.target))[: round(LENGTH_S * SAMPLE_RATE_HZ)]))
            command += ["--mic", f"{path}={source.speaker}"]
        else:
            _cut_pictures(Path(source.target), path)
            command += ["--camera", str(path)]
    return command


def _cut_pictures(whole: Path, path: Path) -> None:
    with av.open(str(whole)) as media, av.open(str(path), "w") as short:
        stream = short.add_stream_from_template(media.streams.video[0])
        for packet in media.demux(video=0):
            if packet.dts is not None and packet.dts * packet.time_base < LENGTH_S:
                packet.stream = stream
                short.mux(packet)

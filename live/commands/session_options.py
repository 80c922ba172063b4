"""Options that several commands of a session share: where it comes from, what is kept, how it is configured."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Configuration file, over the user's own.", metavar="FILE")
]
Sets = Annotated[list[str] | None, typer.Option("--set", help="One key, over every file.", metavar="SECTION.KEY=VALUE")]
Mics = Annotated[
    list[str] | None,
    typer.Option(
        "--mic",
        help="default, a device name or number, or a media file; @N hears its channel N alone (from 1); =NAME says "
        "whose it is. Several: one per person.",
        metavar="MIC[@N][=NAME]",
    ),
]
Cameras = Annotated[
    list[str] | None,
    typer.Option("--camera", help="A device number, a media file, or a URL (http MJPEG, rtsp).", metavar="CAMERA"),
]
Transcript = Annotated[
    Path | None,
    typer.Option(help="Words of a recording (.vtt, .srt, .jsonl), instead of a recogniser.", metavar="FILE"),
]
Record = Annotated[
    Path | None, typer.Option(help="Keep the session in this new folder. Off by default.", metavar="DIR")
]
Network = Annotated[
    str | None,
    typer.Option(help="The network that was trained here under this name, instead of the shipped one.", metavar="NAME"),
]
Picture = Annotated[Path | None, typer.Option(help="Save the last screen as an SVG picture.", metavar="FILE")]
Jsonl = Annotated[bool, typer.Option("--jsonl", help="JSON lines instead of the dashboard.")]
Speed = Annotated[str, typer.Option(help="1 real time, N times as fast, or max (in one process).", metavar="1|N|max")]
AsLive = Annotated[
    bool, typer.Option("--as-live", help="Rather give words up than be late, as with microphones. Files can wait.")
]

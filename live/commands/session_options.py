"""Options that several commands of a session share: where it comes from, what is kept, how it is configured."""

from pathlib import Path
from typing import Annotated

import typer

from erc_live.live.privacy import purpose as purposes

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
Feed = Annotated[
    str | None,
    typer.Option(
        "--feed",
        help="Give what is perceived to `erc-live serve` as this dialogue; the emotions are decided there.",
        metavar="DIALOGUE[@ENDPOINT]",
    ),
]
Picture = Annotated[Path | None, typer.Option(help="Save the last screen as an SVG picture.", metavar="FILE")]
Jsonl = Annotated[bool, typer.Option("--jsonl", help="JSON lines instead of the dashboard.")]
Speed = Annotated[str, typer.Option(help="1 real time, N times as fast, or max (in one process).", metavar="1|N|max")]
AsLive = Annotated[
    bool, typer.Option("--as-live", help="Rather give words up than be late, as with microphones. Files can wait.")
]
Purpose = Annotated[
    str | None,
    typer.Option(
        help="What it is for: own-use (default), research, medical, safety, entertainment or accessibility.",
        metavar="PURPOSE",
    ),
]
Setting = Annotated[
    str | None,
    typer.Option(help="workplace or education: needs a medical or safety purpose, and --reason.", metavar="SETTING"),
]
Reason = Annotated[str | None, typer.Option(help="Why it is needed there; is recorded.", metavar="TEXT")]
TextOnly = Annotated[bool, typer.Option("--text-only", help="Words alone: no model of emotion gets voices or faces.")]
Ephemeral = Annotated[bool, typer.Option("--ephemeral", help="Nothing is written to the disk: no log file, either.")]


def session_flags(
    purpose: str | None,
    setting: str | None,
    reason: str | None,
    text_only: bool = False,
    ephemeral: bool = False,
) -> dict[str, object]:
    """The options of a session as keys of the configuration; what was not given is left to the other layers."""
    if purpose is not None:
        purposes.check_purpose(purpose)
    named = {"purpose": purpose, "setting": setting, "reason": reason}
    switched = {"text_only": text_only, "ephemeral": ephemeral}
    return {
        **{f"session.{key}": value for key, value in named.items() if value is not None},
        **{f"session.{key}": True for key, on in switched.items() if on},
    }

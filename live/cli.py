"""The command `erc-live`: parse, call, and end with a documented exit code.

The rule of this file: a command's module is loaded when the command is called, and not before. So help, a wrong option
and every small command answer at once, whatever the others need; neither they nor the supervisor of a session load
torch. What help prints of a command stands in a table.

Exit codes: 0 done; 1 a bug of ours; 2 a wrong option or key; 3 a device; 4 a file or session; 5 missing or broken
weights; 6 an address; 7 a process of the session died, and something that was said or recorded is lost with it;
8 the publisher of a stream vanished; 130 stopped with Ctrl-C.
"""

import signal
import sys
from importlib import import_module
from typing import Any

import typer
from rich.text import Text
from typer.core import TyperGroup
from typer.main import get_command

from erc_live.live.commands.session_options import (
    Cameras,
    ConfigFile,
    Ephemeral,
    Feed,
    Jsonl,
    Mics,
    Network,
    Picture,
    Purpose,
    Reason,
    Record,
    Sets,
    Setting,
    TextOnly,
    Transcript,
    session_flags,
)
from erc_live.live.errors import exit_code, mendable, message_lines
from erc_live.live.screen.console import err
from erc_live.live.screen.printable import printable

EPILOG = (
    "Examples: erc-live --mic default --camera 0 | erc-live --mic default=Ann --mic 3=Ben --record talk | erc-live demo"
)

# Name of a command or group: where it is in `commands/`, and the first paragraph of its help.
COMMANDS = {
    "enrol": (
        "enrol:enrol",
        "Keep a print of one person's voice, so that sessions with `speakers.known` call that person by name.",
    ),
    "train": (
        "train:train",
        "Train a network on a corpus; epoch, seed, temperature and threshold are chosen on its dev split.",
    ),
    "evaluate": (
        "evaluate:evaluate",
        "Score weights as they are used live: one utterance at a time, from the past alone; forward must agree.",
    ),
    "tune": (
        "tune:tune",
        "Search for better options of a network, on dev or, with --folds, on all that is labelled.",
    ),
    "predict": (
        "predict:predict",
        "Label conversations: OUT is IN with an `estimate` (label, probs, certain) for each utterance; its labels "
        "stay.",
    ),
    "labels": (
        "labels:labels_app",
        "Labels of your own from example sentences, without training: make such weights, measure what they are worth.",
    ),
    "explain": (
        "explain:explain",
        "Say of a recorded session what moved the estimate of an utterance: past utterances, words, voice, face.",
    ),
    "replay": (
        "run:replay",
        "Play a recorded session or media files as if they happened now: PATH, or one file per person with --mic.",
    ),
    "demo": ("run:demo", "Play a short conversation that comes with erc-live: no microphone, camera, network or GPU."),
    "score": (
        "score:score",
        "Score a folder of films, sound files and recorded sessions: for each the events of a replay, and one table.",
    ),
    "notice": (
        "read_notice:notice",
        "Print what people must be told before a session: to read out, and as a sign (--html).",
    ),
    "doctor": (
        "doctor:doctor",
        "Examine this machine: what would run with the present configuration and why, and how to mend what does not.",
    ),
    "status": ("running:status", "List the sessions that run on this machine for you, and how they do."),
    "pause": ("running:pause", "Stop listening and looking at once, until `erc-live resume`; the session goes on."),
    "resume": ("running:resume", "Listen and look again."),
    "control": (
        "control:control_app",
        "Steer a running session, if it is enabled: pause, mark a moment, name a speaker, correct a label, stop.",
    ),
    "subscribe": (
        "events:subscribe",
        "Follow the emotion events of a running session: first what was missed, then each as it comes.",
    ),
    "serve": (
        "serve:serve",
        "Track many dialogues: features in over ZeroMQ, for each dialogue a stream of events out.",
    ),
    "recognise": (
        "recognise:recognise",
        "Recognise the words of many sessions: sound in over ZeroMQ, words out, and nothing is kept.",
    ),
    "bridge": (
        "bridges:bridge_app",
        "Pass the event stream on to other programs: lsl, osc, mqtt, websocket. Each needs erc-live\\[bridges].",
    ),
    "report": (
        "report:report",
        "Write a recorded session as one page: who said what, the labels over time, the sound, what is missing.",
    ),
    "web": ("web:web", "Show a running session in a browser, as it goes on: the page of `erc-live report`, live."),
    "keys": (
        "keys:keys_app",
        "Who may read the event stream from another machine: make, allow, revoke, list keys.",
    ),
    "schema": ("events:schema", "Print the JSON Schema of the emotion event stream."),
    "devices": ("list_devices:devices", "List microphones and cameras and what they can do."),
    "models": ("fetch:models_app", "Weights that erc-live uses and does not ship: list, fetch, verify."),
    "config": ("show_config:config_app", "The configuration: which keys there are, and who set them."),
    "session": (
        "bundles:session_app",
        "Recorded sessions: verify one, recover one that was cut off, delete those whose time is up.",
    ),
    "export": (
        "export:export",
        "Write a recorded session in the formats of other programs: tables, captions, tiers, logs, sound.",
    ),
    "annotate": (
        "annotate:annotate",
        "Say what the expression of an utterance is, in a recorded session; without options, list its utterances.",
    ),
    "corrections": (
        "corrections:corrections",
        "Turn recorded sessions whose labels people corrected into a corpus, from which `train --start` learns.",
    ),
    "forget": (
        "forget:forget",
        "Take one person out of recorded sessions, and delete the print of their voice.",
    ),
    "soak": (
        "soak:soak",
        "Play a recording for hours through the real processes, kill them at random, and count what is lost.",
    ),
    "bench": ("bench:bench_app", "Measure on this machine."),
    "corpus": (
        "corpus:corpus_app",
        "Corpora of labelled conversations: what is in one, whether it is whole, and the neutral format.",
    ),
    "encoder": ("encoder:encoder_app", "What turns sound, faces and words into vectors: train one, measure one."),
    "experiment": ("experiment:experiment_app", "Experiments that anybody can repeat."),
}


class LazyGroup(TyperGroup):
    """Knows its commands by name and help; the one that is called is loaded in the place of its row."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, command(name) if name else None, rest


def command(name: str) -> Any:
    """The command or group of that name, loaded, as the parser takes it."""
    holder = typer.Typer()
    holder.callback()(_nothing)  # so that it stays a group, with one command in it
    found = _load(COMMANDS[name][0])
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    group: Any = get_command(holder)
    return group.commands[name]


def _load(place: str) -> Any:
    """The command, imported; from here on it may say itself what Ctrl-C means (`entry.py`)."""
    module, _, name = place.partition(":")
    found = getattr(import_module(f"erc_live.live.commands.{module}"), name)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return found


def _nothing() -> None:
    """Stands for a command until it is loaded."""


app = typer.Typer(
    name="erc-live",
    cls=LazyGroup,
    help="See, while people talk, who said what and which emotion it expresses (estimated expressed emotion).",
    epilog=EPILOG,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, (_, _help) in COMMANDS.items():
    app.command(_name, help=_help)(_nothing)


@app.callback(invoke_without_command=True)
def live(
    context: typer.Context,
    mic: Mics = None,
    camera: Cameras = None,
    transcript: Transcript = None,
    record: Record = None,
    picture: Picture = None,
    jsonl: Jsonl = False,
    network: Network = None,
    feed: Feed = None,
    purpose: Purpose = None,
    setting: Setting = None,
    reason: Reason = None,
    text_only: TextOnly = False,
    ephemeral: Ephemeral = False,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """See, while people talk, who said what and which emotion each utterance expresses (estimated expressed
    emotion).
    """
    if not context.invoked_subcommand:
        flags = session_flags(purpose, setting, reason, text_only, ephemeral)
        _load("run:live")(mic, camera, transcript, record, picture, jsonl, network, feed, config, sets, flags)


def main() -> None:
    """Console entry point."""
    try:
        app()
    except Exception as raised:
        error = mendable(raised)
        code = exit_code(error)
        if code is None:
            raise
        for line in message_lines(error):
            err.print(Text(printable(line)), style="bold", soft_wrap=True)
        sys.exit(code)


if __name__ == "__main__":
    main()

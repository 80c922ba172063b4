"""What people name to the commands that look at a recorded session: an utterance of it, and a place for what is made.

The rule of this file: an utterance has the same number and id for every command, and none writes into a recording.
"""

from pathlib import Path

from erc_live.live.errors import ConfigError
from erc_live.streams.conversation_view import AnnotatedUtterance, ConversationView
from erc_live.streams.session import MANIFEST


def named_utterance(view: ConversationView, name: str, option: str, bundle: Path) -> AnnotatedUtterance:
    """The utterance of that id, or of that number in its dialogue. Raises ConfigError where that is not one."""
    meant = [each for each in view.utterances if each.event.utterance == name]
    meant = meant or [each for each in view.utterances if str(each.event.index) == name]
    if not meant:
        raise ConfigError(f"{option} {name}: there is none of this number or id: erc-live annotate {bundle} lists all")
    if len(meant) > 1:
        ids = ", ".join(each.event.utterance for each in meant)
        raise ConfigError(f"{option} {name}: several have this number, of different dialogues: name one of {ids}")
    return meant[0]


def outside(bundle: Path, target: Path) -> Path:
    """`target`, the place of -o. Raises ConfigError where it is inside of the bundle."""
    if (bundle / MANIFEST).exists() and target.resolve().is_relative_to(bundle.resolve()):
        raise ConfigError(f"-o {target}: is inside the recorded session, which is not changed; name another place")
    return target

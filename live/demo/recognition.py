"""How well the voices of the demo were understood: what was recognised, against what they say.

The rule: it only listens to the messages of a session, as any subscriber may, and no I/O is done here.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from erc_live.live.requests import Cue
from erc_live.streams.messages import AnyMessage, EmotionEvent, SourceEnd

_WORD = re.compile(r"[\w']+")


class Hearing:
    """`observe` the messages of a session, then ask for its `summary`."""

    def __init__(self, said: Iterable[Cue]) -> None:
        self._said = tuple(said)
        self._heard: dict[str, EmotionEvent] = {}  # by utterance, the highest revision of it
        self._stopped = False

    def observe(self, message: AnyMessage) -> None:
        """Take note of what was recognised, and of a source that somebody stopped."""
        if isinstance(message, EmotionEvent) and message.final:
            before = self._heard.get(message.utterance)
            if before is None or before.revision < message.revision:
                self._heard[message.utterance] = message
        elif isinstance(message, SourceEnd):
            self._stopped = self._stopped or message.reason == "stopped"

    def errors(self) -> tuple[int, int]:
        """Words that are wrong, missing or too many, and words that were said."""
        said: dict[str, list[str]] = defaultdict(list)  # by person: it is no error that one is heard before the other
        heard: dict[str, list[str]] = defaultdict(list)
        for cue in self._said:
            said[cue.speaker or ""] += words(cue.text)
        for event in self._heard.values():
            heard[event.speaker_name] += words(event.text)
        return sum(word_errors(said[who], heard[who]) for who in {*said, *heard}), sum(map(len, said.values()))

    def summary(self) -> str:
        """The word error rate and whose it is, in a line; "" if somebody stopped the demo before its end."""
        if self._stopped:
            return ""
        wrong, total = self.errors()
        heard = [event for event in self._heard.values() if event.text]
        skipped = len(self._heard) - len(heard)  # on a machine that does not keep up, or because nothing was believed
        wordless = f"; {skipped} of {len(self._heard)} utterances have no words" if skipped else ""
        engines = Counter(event.engine.name for event in heard)
        by = f", heard by {engines.most_common(1)[0][0]}" if engines else ""
        return f"Word error rate {wrong / total:.1%} ({wrong} of {total} words{wordless}){by}"


def words(text: str) -> list[str]:
    """The words of a text without case and punctuation.

    >>> words("Oh, wait! I didn't...")
    ['oh', 'wait', 'i', "didn't"]
    """
    return _WORD.findall(text.lower().replace("’", "'"))


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """How many words are wrong, missing or too many, at least (Levenshtein's distance).

    >>> word_errors(["oh", "wait", "look"], ["wait", "lock", "now"])
    3
    """
    row = list(range(len(heard) + 1))  # errors of what was said so far, against each beginning of what was heard
    for number, word in enumerate(said, start=1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(heard, start=1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (word != other))
    return row[-1]

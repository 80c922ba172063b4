"""How well the voices of the demo were understood: what was recognised, against what they say.

The rule: it only listens to the messages of a session, as any subscriber may, and no I/O is done here.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from erc_live.live.requests import Cue
from erc_live.streams.messages import AnyMessage, EmotionEvent, SessionEnd, SourceEnd

_WORD = re.compile(r"[\w']+")


class RecognitionScore:
    """`observe` the messages of a session, then ask for its `summary`. `microphones`: on which the reference is
    spoken.
    """

    def __init__(self, reference: Iterable[Cue], microphones: Iterable[str] = ()) -> None:
        self._reference = tuple(reference)
        self._events: dict[str, EmotionEvent] = {}  # by utterance, the highest revision of it
        self._unplayed = set(microphones)  # to their end
        self._stopped = False

    def observe(self, message: AnyMessage) -> None:
        """Take note of what was recognised, of a microphone that was played to its end, and of a session that was not
        worked off.
        """
        if isinstance(message, EmotionEvent) and message.final:
            before = self._events.get(message.utterance)
            if before is None or before.revision < message.revision:
                self._events[message.utterance] = message
        elif isinstance(message, SourceEnd) and message.reason == "end of file":
            self._unplayed.discard(message.source)
        elif isinstance(message, SessionEnd):
            self._stopped = message.reason == "stopped"

    def errors(self) -> tuple[int, int]:
        """Words that are wrong, missing or too many, and words that were said."""
        # By person: it is no error that one is heard before the other.
        reference: dict[str, list[str]] = defaultdict(list)
        recognised: dict[str, list[str]] = defaultdict(list)
        for cue in self._reference:
            reference[cue.speaker or ""] += words(cue.text)
        for event in self._events.values():
            recognised[event.speaker_name] += words(event.text)
        wrong = sum(word_errors(reference[who], recognised[who]) for who in {*reference, *recognised})
        return wrong, sum(map(len, reference.values()))

    def summary(self) -> str:
        """The word error rate and whose it is, in a line; "" if not all of it was played and listened to."""
        if self._unplayed or self._stopped:
            return ""
        wrong, total = self.errors()
        recognised = [event for event in self._events.values() if event.text]
        # Without words: on a machine that does not keep up, or because nothing was believed.
        skipped = len(self._events) - len(recognised)
        wordless = f"; {skipped} of {len(self._events)} utterances have no words" if skipped else ""
        engines = Counter(event.engine.name for event in recognised)
        by = f", heard by {engines.most_common(1)[0][0]}" if engines else ""
        return f"Word error rate {wrong / total:.1%} ({wrong} of {total} words{wordless}){by}"


def words(text: str) -> list[str]:
    """The words of a text without case and punctuation.

    >>> words("Oh, wait! I didn't...")
    ['oh', 'wait', 'i', "didn't"]
    """
    return _WORD.findall(text.lower().replace("’", "'"))


def word_errors(reference: Sequence[str], recognised: Sequence[str]) -> int:
    """How many words are wrong, missing or too many, at least (Levenshtein's distance).

    >>> word_errors(["oh", "wait", "look"], ["wait", "lock", "now"])
    3
    """
    row = list(range(len(recognised) + 1))  # errors of what was said so far, against each beginning of what was heard
    for number, word in enumerate(reference, start=1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(recognised, start=1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (word != other))
    return row[-1]

"""Names, numbers and mail addresses are taken out of what was recognised, before anybody else reads it.

Rules and lists, no model: what is redacted can be told beforehand, and takes no time. English alone, as the recogniser
writes it: a capital inside a sentence is taken for a name (so places and brands go, too); at its beginning a given name
from a list is, and whoever is called ("Zaphod, come here"). People of the session, whoever has a title and who
introduces themselves are names anywhere. Four digits or more are a number, also spoken ones, and so are a year and a
time of day. In MELD, from which these rules come, 93 % of the names of speakers go (dev: 143 of 154, as written, by a
script); what else goes are mostly other names and places, and now and then an ordinary word.

The rule of this file: pure functions of the words; text and words of a transcript lose the same.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import groupby
from typing import Literal

from erc_live.live.errors import EngineError
from erc_live.live.requests import TimedWord, Transcript

Kind = Literal["name", "number", "mail"]

LEAST_DIGITS = 4
LOCALES = ("en_US", "en_GB", "en_IN", "es_ES", "fr_FR", "de_DE", "it_IT")  # of given names that English talk has, too


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DIGITS = {
    **dict.fromkeys(_words("zero oh one two three four five six seven eight nine ten double triple"), 1),
    **dict.fromkeys(_words("eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"), 2),
    **dict.fromkeys(_words("thirty forty fifty sixty seventy eighty ninety hundred thousand"), 2),
}
_TITLES = _words("mr mrs ms miss dr doctor prof professor aunt uncle")
_INTRODUCTIONS = (("name", "is"), ("name's",), ("called",), ("named",), ("call", "me"))
_DOMAINS = _words("com org net edu gov io co uk us de fr ch eu info")
_ARTICLES = _words("the a an this that")
# Written with a capital, and no name of a person.
_ORDINARY = _TITLES | _words(
    """i i'm i'll i've i'd ok okay oh god gosh jesus christ lord mom mum mommy dad daddy grandma grandpa sir ma'am
    monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
    september october november december christmas easter thanksgiving halloween internet english american british
    french german italian spanish chinese japanese indian jewish christian catholic european african asian"""
)
# Given names that begin sentences as ordinary words more often.
_AMBIGUOUS = _words(
    """amber angel april art august autumn bill bob carol chance charity chase cherry christian cliff crystal dale daisy
    dawn dean destiny don drew faith frank gene glen grace grant guy harmony hazel heath heather holly hope hunter iris
    ivy jack jean jewel joy june kay lane lily major mark mason may melody mercy miles misty norm olive pat patience
    pearl penny randy ray reed rich rob robin rod rose ruby sandy sky star stone sue summer sunny van victor violet wade
    will woody man an do in my so are des can long young but"""
)
# What is written with a capital for another reason: it is said alone, or begins a sentence that no full stop parts.
_NOBODY = _words(
    """a absolutely actually again ah alas all alright although am amazing an and any anyway apparently are as at aw
    awesome be because been besides big boy but by bye can careful certainly cheers come congratulations cool
    correct could damn damnit dear definitely did do does don't done dude easy either enough everybody everyone
    exactly excellent excuse finally fine first for fortunately from gee geez go gone good goodbye great guys ha had
    hah haha happy has have he heh hello help her here hey hi him his hmm honestly honey how however huh i'm if in
    indeed instead interesting into is it it's just kidding kinda later left like listen little look love many maybe
    me meanwhile mine mm more morning much my nah nay never nevermind new next nice no nobody none nope not nothing
    now obviously of off oh ok okay old on once one oops or otherwise ouch our out outside over oy pardon people
    perfect perhaps personally please possibly quick quickly quiet ready really relax remember right run sad sadly
    same say second see seriously she shh shoot should shut since sir so some somebody someone something soon sorry
    speech still stop strange stupid sure sweetheart sweetie sweety tell ten terrific thank thanks that that's the
    their them then there therefore they this though three thus to today together tomorrow tonight too totally true
    truly two ugh uh um unbelievable understood unfortunately up us usually wait was watch we welcome well what
    whatever when where whether whew which who whoa whose why will with wonderful would wow yay yeah yep yes
    yesterday yet yikes yo you your yup"""
)
_SOUND = re.compile(r"^(?:[aeouh]*(.)\1{2,}.*|[aeouhwmngrxy]{1,6})$")  # "oooh", "hmmm", "ew", "argh"
_CORE = re.compile(r"^\W*(.*?)((?:['’]s)?\W*)$", re.DOTALL)
_ENDS_SENTENCE = re.compile(r"[.?!:;…–—\"”-]+\W*$")
_JOINTS = re.compile(r"[-—–…]+|\.\.+")
_PLACEHOLDER = re.compile(r"\[(?:name|number|mail)\]")
_CALLED = re.compile(r"[,!?]+$")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")


@dataclass(frozen=True)
class Redactor:
    """`redactor(transcript)` is the transcript without what is not to be known. `known`, `given`: names, in lower
    case; those of the session, and those of a list.
    """

    known: frozenset[str]
    given: frozenset[str]

    def __call__(self, transcript: Transcript) -> Transcript:
        """The same with `[name]`, `[number]` and `[mail]`; a word in the place of several lasts as long as they did."""
        return replace(transcript, text=self.text(transcript.text), words=self.words(transcript.words))

    def text(self, text: str) -> str:
        """The text without what is not to be known; its spaces become single ones."""
        tokens = text.split()
        spans = _spans(self._kinds(tokens))
        return " ".join(_written(tokens[start:end], kind) for start, end, kind in spans)

    def words(self, words: Sequence[TimedWord]) -> tuple[TimedWord, ...]:
        """The same for words that have times."""
        spans = _spans(self._kinds([word.text.strip() for word in words]))
        out = []
        for start, end, kind in spans:
            first, last = words[start], words[end - 1]
            text = first.text if kind is None else _written([word.text for word in words[start:end]], kind)
            out.append(replace(first, text=text, end_s=last.end_s))
        return tuple(out)

    def _kinds(self, tokens: Sequence[str]) -> list[Kind | None]:
        """What each of the tokens is a part of."""
        cores = [_core(token) for token in tokens]
        kinds: list[Kind | None] = [None] * len(tokens)
        for place in self._names(tokens, cores):
            kinds[place] = "name"
        for start, end in _numbers(cores):
            kinds[start:end] = ["number"] * (end - start)
        for start, end in _mails(tokens, cores):
            kinds[start:end] = ["mail"] * (end - start)
        return kinds

    def _names(self, tokens: Sequence[str], cores: Sequence[str]) -> set[int]:
        lower = [core.lower().replace("’", "'") for core in cores]
        introduced = _introduced(cores, lower)
        shouted = sum(core.isupper() for core in cores if len(core) > 1) > len(cores) / 2
        unwritten = shouted or not any(core[:1].isupper() for core in cores)  # then a capital, or none, tells nothing
        found = set()
        for place, (core, word) in enumerate(zip(cores, lower, strict=True)):
            capital = core[:1].isupper() and not unwritten and not (core.isupper() and len(core) < 4)
            begins = place == 0 or bool(_ENDS_SENTENCE.search(tokens[place - 1]))
            proper = capital and not _is_ordinary(word) and (not begins or bool(_CALLED.search(tokens[place])))
            if word in self.known or place in introduced or proper or (self._listed(word) and (capital or unwritten)):
                found.add(place)
        return found

    def _listed(self, word: str) -> bool:
        return word in self.given and word not in _AMBIGUOUS and word not in _ORDINARY


def _is_ordinary(word: str) -> bool:
    """Whether a word is no name although it has a capital; "no-no" is as ordinary as "no"."""
    first = _JOINTS.split(word)[0]
    return not {word, first}.isdisjoint(_ORDINARY | _NOBODY) or bool(_SOUND.match(first))


def open_redactor(known: Iterable[str]) -> Redactor:
    """What redacts in a session of these people. Raises EngineError where the list of names is not installed."""
    try:
        providers = [import_module(f"faker.providers.person.{locale}").Provider for locale in LOCALES]
    except ModuleNotFoundError as error:
        raise EngineError(
            "text.redact: the list of names is not installed: pip install 'erc-live[redact]', or switch it off"
        ) from error
    given = {name.lower() for provider in providers for name in provider.first_names if len(name) > 1}
    words = {word.lower() for name in known for word in name.split() if word[:1].isalpha()}
    return Redactor(frozenset(words), frozenset(given))


def _core(token: str) -> str:
    """A token without the signs around it, and without a genitive; of what is redacted, an ordinary word."""
    if _PLACEHOLDER.search(token):
        return "I"
    matched = _CORE.match(token)
    return matched[1] if matched else ""


def _spans(kinds: Sequence[Kind | None]) -> list[tuple[int, int, Kind | None]]:
    """Stretches (start, end, kind): one for what belongs together, one for each token that stays."""
    spans: list[tuple[int, int, Kind | None]] = []
    for kind, places in groupby(range(len(kinds)), key=kinds.__getitem__):
        found = [*places]
        if kind is None:
            spans += [(place, place + 1, None) for place in found]
        else:
            spans.append((found[0], found[-1] + 1, kind))
    return spans


def _written(tokens: Sequence[str], kind: Kind | None) -> str:
    """What stands for the tokens, with the signs before and after them."""
    if kind is None:
        return tokens[0]
    first, last = _CORE.match(tokens[0]), _CORE.match(tokens[-1])
    before, after = tokens[0][: first.start(1)] if first else "", last[2] if last else ""
    return f"{before.removesuffix('[')}[{kind}]{after.removeprefix(']')}"


def _introduced(cores: Sequence[str], lower: Sequence[str]) -> set[int]:
    """Places after a title, or after "my name is": a word, and further ones with a capital."""
    starts = {
        place + 1 for place, word in enumerate(lower) if word.rstrip(".") in _TITLES and cores[place][:1].isupper()
    }
    for phrase in _INTRODUCTIONS:
        size = len(phrase)
        starts |= {end for end in range(size, len(lower)) if tuple(lower[end - size : end]) == phrase}
    found = set()
    for start in starts:
        place = start
        while place < len(cores) and (place == start or cores[place][:1].isupper()) and lower[place] not in _ORDINARY:
            found.add(place)
            place += 1
    return {place for place in found if cores[place][:1].isupper() or not any(core[:1].isupper() for core in cores)}


def _numbers(cores: Sequence[str]) -> list[tuple[int, int]]:
    """Stretches of tokens with `LEAST_DIGITS` digits in all, written or spoken."""
    digits = [
        sum(c.isdigit() for c in core) or sum(_DIGITS.get(w, 0) for w in core.lower().split("-")) for core in cores
    ]
    stretches = []
    for some, places in groupby(range(len(cores)), key=lambda place: digits[place] > 0):
        found = [*places]
        spoken = any(not core.lower().startswith("oh") for core in cores[found[0] : found[-1] + 1])
        if some and spoken and sum(digits[place] for place in found) >= LEAST_DIGITS:
            stretches.append((found[0], found[-1] + 1))
    return stretches


def _mails(tokens: Sequence[str], cores: Sequence[str]) -> list[tuple[int, int]]:
    """Stretches of tokens that are a mail address, written or spoken ("ann dot lee at example dot com")."""
    stretches = [(place, place + 1) for place, token in enumerate(tokens) if _MAIL.search(token)]
    lower = [core.lower() for core in cores]
    for place in (place for place, word in enumerate(lower) if word == "at" and place):
        end = place + 2
        while lower[end : end + 1] == ["dot"] and end + 1 < len(lower):
            end += 2
        start = place - 1
        while start >= 2 and lower[start - 1] == "dot":
            start -= 2
        if end > place + 2 and lower[end - 1] in _DOMAINS and lower[place + 1] not in _ARTICLES:
            stretches.append((start, end))
    return stretches

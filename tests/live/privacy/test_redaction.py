"""What is taken out of the words, and what is not: by examples, and for any text at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.errors import EngineError
from erc_live.live.privacy import redaction
from erc_live.live.privacy.redaction import Redactor, open_redactor
from erc_live.live.requests import TimedWord, Transcript


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return open_redactor(["Zaphod B", "Mia Lee"])


REDACTED = {
    "Oh, hi Rachel, how are you?": "Oh, hi [name], how are you?",
    "Rachel, come here.": "[name], come here.",
    "Trillian! Wait, Slartibartfast, please.": "[name]! Wait, [name], please.",
    "I met Ann Lee's brother.": "I met [name]'s brother.",
    "He went to Zurich with Joey.": "He went to [name] with [name].",
    "zaphod said so": "[name] said so",
    "my name is trillian": "my name is [name]",
    "My name is Trillian Astra, call me Tricia.": "My name is [name], call me [name].",
    "Ask Dr. Who or Mrs. Smith-Jones.": "Ask Dr. [name] or Mrs. [name].",
    "i saw rachel there": "i saw [name] there",
    "Call 555-1234 now.": "Call [number] now.",
    "It is (020) 7946 0018, I think.": "It is ([number], I think.",
    "My code is four two one seven.": "My code is [number].",
    "nine one one, double two": "[number]",
    "In twenty twenty six": "In [number]",
    "Write to ann.lee@example.org.": "Write to [mail].",
    "write to ann dot lee at example dot com please": "write to [mail] please",
}
LEFT = (
    "Well, I will bill you in May. Will you come?",
    "Oh my God, I'm OK. It is Monday in the English class.",
    "One or two of three. I have 3 cats and 100 dogs.",
    "Look at the dot com bubble.",
    "Hope is a good thing. Oh, No, wait! Hmmm, Ooooh!",
    "WHAT IS GOING ON HERE",
    "what is going on here",
    "Really? Yes. No! Maybe: Why",
    "Mark my words. Oh-oh-oh-oh, oh!",
    "No-no, I’m fine. Oh-ho-ho! Well, I’ve seen.",
    "",
)


@pytest.mark.parametrize("text", REDACTED)
def test_what_is_redacted(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) == REDACTED[text]


@pytest.mark.parametrize("text", LEFT)
def test_what_is_left(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) == text


def timed(text: str) -> tuple[TimedWord, ...]:
    return tuple(TimedWord(f" {word}", place, place + 0.5, 0.9) for place, word in enumerate(text.split()))


@pytest.mark.parametrize("text", [*REDACTED, *LEFT])
def test_the_words_lose_what_the_text_loses(redactor: Redactor, text: str) -> None:
    transcript = redactor(Transcript(text, confidence=0.5, words=timed(text), language="en"))
    assert "".join(f" {word.text.strip()}" for word in transcript.words).strip() == transcript.text
    assert (transcript.confidence, transcript.language) == (0.5, "en")
    if transcript.words:
        assert transcript.words[0].start_s == 0
        assert transcript.words[-1].end_s == len(text.split()) - 0.5
    assert all(
        before.end_s <= after.start_s for before, after in zip(transcript.words, transcript.words[1:], strict=False)
    )


@given(text=st.text(max_size=80), known=st.sampled_from(["Zaphod", "zaphod", "ZAPHOD", "Zaphod's"]))
def test_whatever_is_around_it_who_is_known_and_a_number_are_gone(text: str, known: str) -> None:
    redactor = Redactor(frozenset({"zaphod"}), frozenset())
    out = redactor.text(f"{text} {known} {text} 0151 23456789 {text}")
    assert "zaphod" not in out.lower().replace(text.lower(), "")
    assert "23456789" not in out
    words = redactor.words(timed(f"{text} {known}"))
    assert not any(word.text.strip().lower() == "zaphod" for word in words)


@given(
    st.lists(st.sampled_from(["call", "Ann", "at", "dot", "com", "four", "1234", "a@b.org", "Dr.", "name", "is", "—"]))
)
def test_redacting_twice_is_redacting_once(tokens: list[str]) -> None:
    redactor = Redactor(frozenset(), frozenset({"ann"}))
    once = redactor.text(" ".join(tokens))
    assert redactor.text(once) == once


def test_without_its_list_it_does_not_pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(redaction, "import_module", missing)
    with pytest.raises(EngineError, match=r"pip install 'erc-live\[redact\]'"):
        open_redactor([])

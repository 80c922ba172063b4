"""Voices of one microphone: numbered as they appear, stable, corrected openly, and never without bound."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live.speakers.clustering import MOST, Change, SpeakerClustering, Voice

WIDTH = 256
MIC = "mic-0"
CENTRE = np.eye(1, WIDTH, dtype=np.float32)[0] * np.sqrt(0.5)  # what all voices have in common


def voice(number: int, away: float = 0.0, towards: int = 0) -> np.ndarray:
    """What a stretch of a voice sounds like: 0.75 like its own voice, 0.5 like others; `away` (0-1) towards another."""
    vector = np.zeros(WIDTH, np.float32)
    vector[0] = np.sqrt(0.5)
    vector[1 + number] = 0.5 * np.sqrt(1 - away**2)
    vector[1 + towards] += 0.5 * away
    return vector


class Talk:
    """Feeds stretches one after the other and keeps what is believed of each utterance."""

    def __init__(self, speakers: SpeakerClustering) -> None:
        self.speakers = speakers
        self.believed: dict[str, Voice] = {}
        self.changes: list[Change] = []
        self._t_s = 0.0

    def say(self, vector: np.ndarray | None, seconds: float = 3.0, source: str = MIC) -> str:
        """The name of the voice, as said at once."""
        utterance = f"{source}:{len(self.believed)}"
        start_ns, self._t_s = int(self._t_s * 1e9), self._t_s + seconds
        found = self.speakers.assign(source, utterance, vector, start_ns, int(self._t_s * 1e9))
        self.believed[utterance] = found
        for change in self.speakers.changes():
            self.changes.append(change)
            assert utterance not in change.moved  # it has just been said right
            self.believed |= dict.fromkeys(change.moved, Voice(change.voice, change.speaker_name))
        return found.voice


people = st.lists(st.integers(0, 5), min_size=1, max_size=40)


@settings(max_examples=30, deadline=None)
@given(order=people, seed=st.integers(0, 99))
def test_voices_are_numbered_as_they_appear_and_stay(order: list[int], seed: int) -> None:
    noise = np.random.default_rng(seed)
    talk = Talk(SpeakerClustering())
    said = [talk.say(voice(p) + noise.normal(0, 0.002, WIDTH).astype(np.float32), noise.uniform(2, 9)) for p in order]
    first = list(dict.fromkeys(order))
    assert said == [f"{MIC}#{first.index(p) + 1}" for p in order]
    assert not talk.changes


@settings(max_examples=30, deadline=None)
@given(order=st.lists(st.tuples(st.integers(0, 2), st.floats(0.4, 0.79)), max_size=30))
def test_short_stretches_go_to_the_nearest_and_found_nothing(order: list[tuple[int, float]]) -> None:
    talk = Talk(SpeakerClustering())
    known = [talk.say(voice(p)) for p in range(3)]
    for person, seconds in order:
        assert talk.say(voice(person, away=0.9, towards=7), seconds) == known[person]
    assert [talk.say(voice(p)) for p in range(3)] == known
    assert talk.speakers.count(MIC) == 3


def test_what_cannot_be_told_is_of_whom_was_heard_last() -> None:
    talk = Talk(SpeakerClustering())
    assert talk.say(None, 0.3) == f"{MIC}#1"
    assert talk.say(voice(0)) == f"{MIC}#1"
    assert talk.say(voice(1)) == f"{MIC}#2"
    assert talk.say(None, 0.3) == f"{MIC}#2"
    assert not talk.changes


def test_who_goes_on_for_another_process_gives_nobody_a_number_of_before() -> None:
    speakers = SpeakerClustering()
    speakers.go_on({MIC: 3})
    talk = Talk(speakers)
    assert talk.say(voice(0)) == f"{MIC}#4"
    assert talk.say(voice(1)) == f"{MIC}#5"
    assert talk.say(voice(0), source="mic-1") == "mic-1#1"


@settings(max_examples=20, deadline=None)
@given(others=st.lists(st.integers(3, 6), max_size=8), founding=st.integers(1, 3))
def test_a_merge_moves_the_utterances_of_one_voice_and_no_others(others: list[int], founding: int) -> None:
    """The voice that spoke longer keeps its number, so that the fewest utterances are told anew."""
    talk = Talk(SpeakerClustering())
    talk.say(voice(0), 60.0)
    for other in others:
        talk.say(voice(other))
    strange = {talk.say(voice(1, away=0.42, towards=0)) for _ in range(founding)}
    (name,) = strange
    assert name != f"{MIC}#1"
    before = dict(talk.believed)
    for _ in range(12):
        talk.say(voice(1, away=0.7, towards=0))  # what it really sounds like
    assert [change.cause for change in talk.changes] == ["merge"]
    moved = [utterance for utterance, was in before.items() if was.voice == name]
    assert set(moved) <= set(talk.changes[0].moved)
    stays = [utterance for utterance in before if utterance not in moved]
    assert all(talk.believed[utterance] == before[utterance] for utterance in stays)
    assert all(talk.believed[utterance].voice == f"{MIC}#1" for utterance in moved)


def test_a_short_word_is_given_back_to_whom_is_heard_later() -> None:
    talk = Talk(SpeakerClustering())
    talk.say(voice(0))
    assert talk.say(voice(1), 0.6) == f"{MIC}#1"
    assert talk.say(voice(1)) == f"{MIC}#2"
    assert talk.changes == [Change((f"{MIC}:1",), f"{MIC}#2", None, "correction")]


def test_who_says_nothing_but_yeah_gets_no_voice() -> None:
    """However unlike anybody it sounds; who says more gets one, and what was said before is given to it."""
    talk = Talk(SpeakerClustering())
    talk.say(voice(0))
    assert [talk.say(voice(1), 0.9), talk.say(voice(0)), talk.say(voice(1), 0.9)] == [f"{MIC}#1"] * 3
    assert talk.speakers.count(MIC) == 1
    assert not talk.changes
    assert talk.say(voice(1)) == f"{MIC}#2"
    assert talk.changes[0].moved == (f"{MIC}:1", f"{MIC}:3")


def test_a_voice_that_changes_is_less_sure() -> None:
    """In the middle between two voices; and where nothing can be told from a sound."""
    speakers = SpeakerClustering()
    sure = [speakers.assign(MIC, str(n), voice(n % 2), n * 10**10, n * 10**10 + 3 * 10**9) for n in range(6)]
    between = speakers.assign(MIC, "between", voice(0, away=0.7, towards=1), 7 * 10**10, 7 * 10**10 + 10**9)
    unknown = speakers.assign(MIC, "unknown", None, 8 * 10**10, 8 * 10**10 + 10**9)
    levels = [v.confidence for v in (sure[-1], between, unknown)]
    assert all(level is not None and 0 <= level <= 1 for level in levels)
    assert levels[0] > 0.8 > 0.65 > levels[1]
    assert unknown.voice == between.voice


def test_without_overlap_the_same_voices_are_one() -> None:
    talk = Talk(SpeakerClustering())
    assert {talk.say(voice(0)) for _ in range(3)} == {f"{MIC}#1"}


@settings(max_examples=20, deadline=None)
@given(order=people, most=st.integers(1, 4))
def test_there_are_no_more_voices_than_people(order: list[int], most: int) -> None:
    talk = Talk(SpeakerClustering(most=most))
    said = [talk.say(voice(p)) for p in order]
    assert len(set(said)) <= min(most, len(set(order)))
    first = list(dict.fromkeys(order))[:most]
    assert all(said[i] == f"{MIC}#{first.index(p) + 1}" for i, p in enumerate(order) if p in first)


def test_who_is_enrolled_is_called_by_name() -> None:
    talk = Talk(SpeakerClustering({"Ann": voice(3), "Ben": voice(4)}, CENTRE))
    talk.say(voice(0))
    talk.say(voice(4))
    talk.say(voice(3), 0.6)
    talk.say(voice(3))
    assert list(talk.believed.values()) == [
        Voice(f"{MIC}#1", None),
        Voice(f"{MIC}#2", "Ben"),
        Voice(f"{MIC}#3", "Ann"),
        Voice(f"{MIC}#3", "Ann"),
    ]


def test_a_stranger_who_turns_out_to_be_enrolled_gets_the_name_for_all_that_was_said() -> None:
    talk = Talk(SpeakerClustering({"Ann": voice(3)}, CENTRE))
    talk.say(voice(1, away=0.05, towards=3))
    talk.say(voice(0))
    assert talk.believed[f"{MIC}:0"] == Voice(f"{MIC}#1", None)
    talk.say(voice(1, away=0.6, towards=3), 60.0)
    assert talk.changes == [Change((f"{MIC}:0",), f"{MIC}#1", "Ann", "correction")]
    assert talk.believed[f"{MIC}:2"] == Voice(f"{MIC}#1", "Ann")


@settings(max_examples=30, deadline=None)
@given(order=people, enrolled=st.sets(st.integers(0, 7)), seed=st.integers(0, 9))
def test_names_change_nothing_but_names(order: list[int], enrolled: set[int], seed: int) -> None:
    """Enrolment cannot harm: with and without it the voices are the same; and no two have one name."""
    noise = np.random.default_rng(seed)
    known = {f"P{p}": voice(p) + noise.normal(0, 0.02, WIDTH).astype(np.float32) for p in enrolled}
    plain, named = Talk(SpeakerClustering()), Talk(SpeakerClustering(known, CENTRE))
    for person in order:
        vector = voice(person) + noise.normal(0, 0.02, WIDTH).astype(np.float32)
        assert named.say(vector) == plain.say(vector)
    names = {(v.voice, v.speaker_name) for v in named.believed.values()}
    assert len({name for _, name in names if name}) == len([name for _, name in names if name])
    if set(order) <= enrolled:
        assert all(named.believed[f"{MIC}:{i}"].speaker_name == f"P{p}" for i, p in enumerate(order))


@settings(max_examples=20, deadline=None)
@given(order=st.lists(st.integers(0, 3), min_size=4, max_size=30), least=st.integers(1, 4))
def test_there_are_as_many_voices_as_are_said_to_be(order: list[int], least: int) -> None:
    """People who sound alike, whom nothing else would tell apart."""
    talk = Talk(SpeakerClustering(least=least))
    for person in order:
        talk.say(voice(7, away=0.3, towards=person))
    assert talk.speakers.count(MIC) == least if len(order) >= least else len(order)


@settings(max_examples=20, deadline=None)
@given(order=people, guesses=st.lists(st.integers(0, 5), max_size=5))
def test_a_guess_leaves_no_trace(order: list[int], guesses: list[int]) -> None:
    plain, guessed = Talk(SpeakerClustering()), Talk(SpeakerClustering())
    for person in order:
        for guess in guesses:
            guessed.speakers.guess(MIC, voice(guess))
            guessed.speakers.guess(MIC, None)
        assert guessed.say(voice(person)) == plain.say(voice(person))
    assert guessed.speakers.guess(MIC, voice(order[0])).voice == f"{MIC}#1"


def test_microphones_have_voices_of_their_own() -> None:
    talk = Talk(SpeakerClustering())
    assert talk.say(voice(0), source="mic-0") == "mic-0#1"
    assert talk.speakers.guess("mic-1", voice(0)) == Voice("mic-1#1", None)
    assert talk.say(voice(1), source="mic-1") == "mic-1#1"
    assert talk.speakers.count("mic-2") == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_memory_is_bounded(seed: int) -> None:
    """However many voices there seem to be, and however long they talk."""
    generator = np.random.default_rng(seed)
    talk = Talk(SpeakerClustering())
    sizes = []
    for _ in range(3):
        for _ in range(300):
            vector = np.abs(generator.normal(0, 1, WIDTH)) * (generator.random(WIDTH) < 0.2)
            talk.say((0.87 * vector / np.linalg.norm(vector)).astype(np.float32), generator.uniform(0.4, 9.0))
        assert talk.speakers.count(MIC) <= MOST
        sizes.append(len(pickle.dumps(talk.speakers)))
    assert sizes[2] < 1.1 * sizes[1] < 600_000

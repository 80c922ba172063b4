"""`erc-live annotate`: an utterance is named by its number or id, and what a person says stands beside the estimate."""

import pytest
from commands import run
from examples import LABELS, event, hello

from erc_live.live.commands.annotate import annotate
from erc_live.streams.annotations import Annotation
from erc_live.streams.record import Recorder
from erc_live.streams.recovery import verify
from erc_live.streams.session import new_manifest, open_session


@pytest.fixture
def bundle(tmp_path):
    with Recorder(tmp_path / "s", new_manifest("s1", 0, 0, [], {})) as recorder:
        for message in (hello(), event(0, text="well\x1b[2J\nthen"), event(3661, certain=False, index=1)):
            recorder.write(message)
    return tmp_path / "s"


def made(bundle) -> list[Annotation]:
    return [each for each in open_session(bundle).events if isinstance(each, Annotation)]


@pytest.mark.parametrize("name", ["1", "u3661"])
def test_a_label_by_number_or_id(bundle, name):
    code, said = run(annotate, bundle, "--utterance", name, "--label", "  deeply   bored ", "--author", "Zoë")
    assert (code, said) == (0, "   1  1:01:01  Ada  joy?: deeply bored, by Zoë\n")
    (only,) = made(bundle)
    assert (only.kind, only.utterance, only.label, only.author) == ("label", "u3661", "deeply bored", "Zoë")
    assert only.t_ns == 3661 * 10**9
    assert only.wall_ns > 10**18
    assert verify(bundle) == []


def test_the_author_is_who_does_it(bundle, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ann")
    assert run(annotate, bundle, "--utterance", 0, "--label", LABELS[0])[0] == 0
    assert made(bundle)[0].author == "ann"


def test_the_utterances_are_listed(bundle):
    run(annotate, bundle, "--utterance", 0, "--label", "anger", "--author", "Zoë")
    code, said = run(annotate, bundle)
    assert code == 0
    assert said.splitlines() == [
        "   0  0:00:00  Ada  joy > anger (Zoë)  well then",
        "   1  1:01:01  Ada  joy?  well then",
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--utterance", "3", "--label", "joy"), "--utterance 3: there is none of this number or id"),
        (("--utterance", "1"), "name both --utterance and --label"),
        (("--label", "joy"), "name both --utterance and --label"),
        (("--utterance", "1", "--label", " "), "--label: write a word"),
        (("--utterance", "1", "--label", "x" * 101), "--label: write a word"),
        (("--utterance", "1", "--label", "a\x1b[2J"), "--label: write a word"),
        (("--utterance", "1", "--label", "joy", "--author", "x" * 101), "--author: write a word"),
        (("--utterance", "1", "--label", "joy", "--author", "\x1b[31mEve"), "--author: write a word"),
        (("--utterance", "1", "--label", "joy", "--author", ""), "--author: write a word"),
    ],
)
def test_mistakes_are_one_line(bundle, options, says):
    code, said = run(annotate, bundle, *options)
    assert (code, says in said, "\n" in said) == (2, True, False)
    assert not made(bundle)


def test_a_label_of_somebody_s_own_stays_one(bundle, capsys):
    for _ in range(2):
        annotate(bundle, "0", "proud", "Zoë")
        assert "proud is none of the labels of this session (neutral, surprise," in capsys.readouterr().err


def test_of_two_dialogues_an_id_says_which(tmp_path):
    with Recorder(tmp_path / "t", new_manifest("s1", 0, 0, [], {})) as recorder:
        for message in (hello(), event(0), event(1, dialogue="e")):
            recorder.write(message)
    code, said = run(annotate, tmp_path / "t", "--utterance", 0, "--label", "joy")
    assert (code, "name one of u0, u1" in said) == (2, True)
    assert run(annotate, tmp_path / "t", "--utterance", "u1", "--label", "joy")[0] == 0

"""What scores on another machine: it looks first whether that is a machine like the one that asks."""

import pytest
from fake_scores import fake_load, recordings

from erc_live.live.config import Config
from erc_live.live.errors import EngineError
from erc_live.live.scoring.score_actor import LoadElsewhere, ScoreActor
from erc_live.live.scoring.score_settings import settings_of
from erc_live.models import card


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # and back
    return tmp_path


def test_another_version_or_other_weights_are_refused_by_name(place):
    settings = settings_of(Config(), card.read(Config().tracker.weights)) | {"erc-live": "9.9"}
    with pytest.raises(EngineError, match=r": erc-live is [\d.]+, and 9\.9 on the machine that asks: install the same"):
        LoadElsewhere(place, place, settings)(Config())


def test_a_machine_that_sees_no_recordings_does_not_fail_with_all_of_them(place):
    talks = place / "talks"
    with pytest.raises(EngineError, match=r"/talks: No such file or directory: every machine must see the recordings"):
        LoadElsewhere(talks, place, {})(Config())


def test_an_actor_answers_in_order(place):
    actor = ScoreActor(Config(), fake_load)
    assert actor.answer() is None, "it has loaded"
    one, two = recordings(place, a="well", b="unreadable")
    assert actor.answer(one).lines.startswith(b"well")
    assert actor.answer(two).code == 4

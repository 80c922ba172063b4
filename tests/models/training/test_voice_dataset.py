"""Clips are heard once, each by itself, and a person who is left out is heard in nobody's background."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_voice import tiny_listener
from worlds import Interrupted

from erc_live.models.encoders.voice import RATE_HZ, SpeechCut, samples
from erc_live.models.encoders.voice_network import Listener
from erc_live.models.training.sounds import degrade
from erc_live.models.training.voice_dataset import CONDITIONS, DescribedVoices, Hearing, VoiceClip


@pytest.fixture(scope="module")
def listener() -> Listener:
    return tiny_listener()


@pytest.fixture(scope="module")
def clips() -> list[VoiceClip]:
    generator = np.random.default_rng(0)
    return [
        VoiceClip(f"{person} {take}", generator.normal(0, 3_000, RATE_HZ // 2).astype(np.int16), "joy", person)
        for take in range(2)
        for person in ("Ann", "Ben")
    ]


def described(listener: Listener, clips: Sequence[VoiceClip], cache: Path, seed: int = 0) -> DescribedVoices:
    return Hearing(listener, 2, seed, cache).describe(clips)


def test_a_description_is_of_the_clip_as_live_use_hears_it(
    listener: Listener, clips: list[VoiceClip], tmp_path: Path
) -> None:
    found = described(listener, clips, tmp_path)
    assert found.conditions.shape == (len(CONDITIONS), 4, listener.width)
    assert found.copies.shape == (2, 4, listener.width)
    for row, clip in enumerate(clips):
        for place, names in enumerate(CONDITIONS):
            speech = SpeechCut()(samples(degrade(clip.pcm, names)))
            assert speech is not None
            torch.testing.assert_close(found.conditions[place, row], listener(speech))
    alone = found.of({"Ben"})
    assert [clip.person for clip in alone.clips] == ["Ben", "Ben"]
    assert torch.equal(alone.copies, found.copies[:, [1, 3]])


def test_what_others_say_changes_nothing_of_a_person(
    listener: Listener, clips: list[VoiceClip], tmp_path: Path
) -> None:
    together = described(listener, clips, tmp_path / "together")
    ann = described(listener, [clip for clip in clips if clip.person == "Ann"], tmp_path / "alone")
    assert torch.equal(together.of({"Ann"}).copies, ann.copies)


def test_copies_depend_on_the_seed_and_differ_from_each_other(
    listener: Listener, clips: list[VoiceClip], tmp_path: Path
) -> None:
    first, other = (described(listener, clips, tmp_path, seed) for seed in (0, 1))
    assert torch.equal(first.conditions, other.conditions)
    assert not torch.equal(first.copies, other.copies)
    assert not torch.equal(first.copies[0], first.copies[1])


def test_who_is_interrupted_does_not_listen_again(
    listener: Listener, clips: list[VoiceClip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = described(listener, clips, tmp_path / "whole")

    def stop(done: int, total: int) -> None:
        assert total == 4 * (len(CONDITIONS) + 2)
        if done == 8:
            raise Interrupted

    with pytest.raises(Interrupted):
        Hearing(listener, 2, 0, tmp_path / "cut", stop).describe(clips)
    kept = sorted((tmp_path / "cut").iterdir())
    assert len(kept) == 4
    kept[0].write_bytes(b"damaged")
    heard = []
    monkeypatch.setattr(listener, "forward", lambda wave: heard.append(1) or Listener.forward(listener, wave))
    again = described(listener, clips, tmp_path / "cut")
    assert len(heard) == 4 * (len(CONDITIONS) + 2) - 3 * 2
    assert torch.equal(again.conditions, whole.conditions)
    assert torch.equal(again.copies, whole.copies)


def test_a_clip_that_says_nothing_is_left_out(listener: Listener, clips: list[VoiceClip], tmp_path: Path) -> None:
    silent = VoiceClip("silent", np.zeros(RATE_HZ, np.int16), "joy", "Ann")
    assert not silent.usable()
    assert described(listener, [silent, *clips], tmp_path).clips == tuple(clips)

"""A voice print is that of the published network, and depends on the samples of its own window alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from sounds import read_pcm

from erc_live.models.card import PRETRAINED
from erc_live.models.encoders.speaker import (
    MOODS,
    POINTS,
    RATE_HZ,
    SpeakerEncoder,
    SpeakerNetwork,
    moods,
    pack,
    read_original,
)
from erc_live.models.errors import WeightsError
from erc_live.models.weights import locate

SHIPPED = PRETRAINED / "speaker"
DEMO = Path(__file__).parents[2] / "live" / "demo"
ADA = read_pcm(DEMO / "ada.flac")[round(27.1 * RATE_HZ) :][: 4 * RATE_HZ]


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return SpeakerEncoder.load(SHIPPED)


@pytest.fixture(scope="module")
def original() -> Path:
    folder = locate("speaker", platformdirs.user_cache_path("erc-live") / "models")
    if folder is None:
        pytest.skip("needs the published weights: erc-live models fetch speaker")
    return folder / "pretrained.pt"


def windows(seconds: float = 1.6, count: int = 4) -> np.ndarray:
    length = round(seconds * RATE_HZ)
    return np.stack([ADA[start : start + length] for start in np.linspace(0, len(ADA) - length, count).astype(int)])


def shipped(name: str) -> torch.Tensor:
    return load_file(SHIPPED / "model.safetensors")[name]


def shipped_moods() -> torch.Tensor:
    return shipped("moods")


def test_prints_are_those_of_the_published_weights_without_the_moods(encoder: SpeakerEncoder, original: Path) -> None:
    network = SpeakerNetwork()
    network.load_state_dict(read_original(original) | {"moods": shipped_moods()})
    published = SpeakerEncoder(network, "published")(windows())
    assert (published * encoder(windows())).sum(1).min() > 0.9999


def test_packing_again_gives_the_shipped_files(original: Path, tmp_path: Path) -> None:
    pack(original, shipped_moods(), shipped("centre"), tmp_path)
    for name in ("model.safetensors", "card.json"):
        assert (tmp_path / name).read_bytes() == (SHIPPED / name).read_bytes()


def test_only_the_published_file_is_packed(tmp_path: Path) -> None:
    (tmp_path / "pretrained.pt").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="not the published file"):
        pack(tmp_path / "pretrained.pt", shipped_moods(), shipped("centre"), tmp_path / "out")


def test_nothing_of_a_mood_is_in_a_print(encoder: SpeakerEncoder) -> None:
    assert np.allclose(shipped_moods().T @ shipped_moods(), np.eye(MOODS), atol=1e-5)
    assert np.abs(encoder(windows()) @ shipped_moods().numpy()).max() < 1e-5


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), people=st.integers(2, 6))
def test_moods_are_how_voices_of_the_same_people_differ(seed: int, people: int) -> None:
    """And not how people differ from each other, however much that is."""
    generator = np.random.default_rng(seed)
    axes = np.linalg.qr(generator.normal(size=(SpeakerEncoder.dim, SpeakerEncoder.dim)))[0]
    whose = np.repeat(np.arange(people), 8)
    person = 5.0 * generator.normal(size=(people, 8)) @ axes[8:16]
    mood = generator.normal(size=(len(whose), MOODS)) @ axes[:MOODS]
    noise = 0.001 * generator.normal(size=mood.shape)
    found = moods(person[whose] + mood + noise, whose.tolist()).numpy()
    assert np.allclose(found @ found.T, axes[:MOODS].T @ axes[:MOODS], atol=0.05)


def test_calm_and_angry_voices_of_people_who_were_not_learnt_from_are_told_apart_better(
    encoder: SpeakerEncoder, shared_data: Path
) -> None:
    """By the distance between pairs of one person and pairs of two of the same sex, over their spread."""
    network = SpeakerNetwork()
    network.load_state_dict(load_file(SHIPPED / "model.safetensors") | {"moods": torch.zeros(encoder.dim, MOODS)})
    clips = [
        (actor, read_pcm(path)[RATE_HZ : 2 * RATE_HZ])  # within the sentence
        for actor in range(13, 21)
        for path in sorted((shared_data / "ravdess" / f"Actor_{actor}").glob("03-01-0[25]-*"))
    ]
    actor = np.array([actor for actor, _ in clips])
    same = (actor[:, None] == actor) & ~np.eye(len(actor), dtype=bool)
    other = (actor[:, None] != actor) & (actor[:, None] % 2 == actor % 2)
    apart = []
    for heard in (SpeakerEncoder(network, "as published"), encoder):
        vectors = heard(np.stack([pcm for _, pcm in clips]))
        like = vectors @ vectors.T
        apart.append((like[same].mean() - like[other].mean()) / np.sqrt(like[same].var() + like[other].var()))
    assert apart[1] > apart[0]


def test_a_print_is_a_unit_vector(encoder: SpeakerEncoder) -> None:
    rows = encoder(windows())
    assert rows.shape == (4, encoder.dim)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    assert encoder(np.empty((0, RATE_HZ), np.int16)).shape == (0, encoder.dim)


def test_windows_do_not_depend_on_each_other(encoder: SpeakerEncoder) -> None:
    together = encoder(windows())
    alone = np.concatenate([encoder(window[None]) for window in windows()])
    assert np.allclose(together, alone, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(gain=st.sampled_from([0.05, 0.2, 0.5]), offset=st.sampled_from([0, 300]))
def test_distance_from_the_microphone_does_not_matter(encoder: SpeakerEncoder, gain: float, offset: int) -> None:
    other = (windows() * gain + offset).astype(np.int16)
    assert (encoder(windows()) * encoder(other)).sum(1).min() > 0.98


def test_silence_has_no_print(encoder: SpeakerEncoder) -> None:
    for level in (0, 700):
        assert np.isnan(encoder(np.full((2, RATE_HZ), level, np.int16))).all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), samples=st.integers(POINTS, 3 * RATE_HZ), loud=st.sampled_from([2, 3_000, 32_767]))
def test_any_sound_has_a_finite_print(encoder: SpeakerEncoder, seed: int, samples: int, loud: int) -> None:
    pcm = np.random.default_rng(seed).integers(-loud, loud + 1, (1, samples)).astype(np.int16)
    assert np.isfinite(encoder(pcm)).all()


def test_the_shipped_weights_are_small_and_named(encoder: SpeakerEncoder) -> None:
    assert (SHIPPED / "model.safetensors").stat().st_size < 3e6
    card = json.loads((SHIPPED / "card.json").read_text())
    assert card["sha256"].startswith(encoder.fingerprint.split("@")[1])
    assert card["licence"] == "Apache-2.0"


@pytest.mark.parametrize(
    "harm", ["no card", "no weights", "other weights", "cut card", "other format", "other network"]
)
def test_weights_that_are_not_whole_are_refused_in_one_line(tmp_path: Path, harm: str) -> None:
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "speaker"))
    card, weights = folder / "card.json", folder / "model.safetensors"
    content = json.loads(card.read_text())
    if harm == "no card":
        card.unlink()
    elif harm == "no weights":
        weights.unlink()
    elif harm == "other weights":
        weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    elif harm == "cut card":
        card.write_text(card.read_text()[:40])
    elif harm == "other format":
        card.write_text(json.dumps({**content, "format": "erc.speaker/0"}))
    else:
        from safetensors.torch import save_file

        from erc_live.models.weights import sha256

        save_file({"lstm": torch.zeros(1)}, weights)
        card.write_text(json.dumps({**content, "sha256": sha256(weights)}))
    with pytest.raises(WeightsError) as error:
        SpeakerEncoder.load(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)

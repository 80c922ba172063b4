"""The text encoder on a tiny random BERT with a tokenizer made here: the real code path, no download."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_bert import DIM, make_tiny_bert

from erc_live.models.encoders.adapter import AdaptedLinear, attach, factors
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.errors import WeightsError

TEXTS = ["Oh no.", "well, well, well, I do not know what it is all about", "", "yes!", "Oh no.", "you are here?"] * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert"))


def test_what_stands_beside_a_text_does_not_change_its_vector(folder: Path) -> None:
    encoder = TextEncoder.load(folder)
    together = encoder.encode(TEXTS)
    assert together.shape == (len(TEXTS), DIM)
    assert together.dtype == torch.float32
    assert not together.requires_grad
    alone = torch.cat([encoder.encode([text]) for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0.0)
    assert not torch.allclose(alone[0], alone[3], atol=1e-3)


def test_nothing_to_encode(folder: Path) -> None:
    assert TextEncoder.load(folder).encode([]).shape == (0, DIM)


def test_typographic_and_plain_spelling_are_the_same(folder: Path) -> None:
    encoder = TextEncoder.load(folder)
    typographic, plain = encoder.encode(["you\u2019re  here\u2026 \u201cno\u201d", 'you\'re here... "no"'])
    torch.testing.assert_close(typographic, plain)


def test_a_long_text_is_cut(folder: Path) -> None:
    encoder = TextEncoder.load(folder)
    assert max(len(row) for row in encoder.tokens(["no " * 1000, "no"])) == 64
    assert encoder.encode(["no " * 1000]).isfinite().all()


def test_it_is_silent(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    TextEncoder.load(folder).encode(["Oh no."])
    assert capfd.readouterr() == ("", "")


def test_a_trained_adapter_is_merged_when_loaded(folder: Path, tmp_path: Path) -> None:
    trained = TextEncoder.load(folder)
    plain = trained.encode(TEXTS)
    attach(trained.network, rank=2, start={})
    torch.testing.assert_close(trained.encode(TEXTS), plain)  # at first an adapter changes nothing
    layers = [m for m in trained.network.modules() if isinstance(m, AdaptedLinear)]
    assert len(layers) == 6  # of the one block: query, key, value, output, and two of the feed-forward network
    for layer in layers:
        torch.nn.init.normal_(layer.b, std=0.3)
    save_file(factors(trained.network), tmp_path / "adapter.safetensors")
    merged = TextEncoder.load(folder, tmp_path / "adapter.safetensors")
    assert not torch.allclose(trained.encode(TEXTS), plain, atol=0.1)
    torch.testing.assert_close(merged.encode(TEXTS), trained.encode(TEXTS), atol=5e-3, rtol=0.0)  # half precision
    assert merged.fingerprint != trained.fingerprint


def test_only_the_adapter_learns_and_goes_on_learning(folder: Path) -> None:
    encoder = TextEncoder.load(folder)
    attach(encoder.network, rank=2, start={})
    encoder.embed(encoder.tokens(["Oh no."])).sum().backward()
    learning = {name for name, value in encoder.network.named_parameters() if value.grad is not None}
    assert learning == set(factors(encoder.network))
    first = {name: torch.full_like(value, 0.5) for name, value in factors(encoder.network).items()}
    again = TextEncoder.load(folder)
    attach(again.network, rank=2, start=first)
    assert all(torch.equal(value, first[name]) for name, value in factors(again.network).items())


def test_fingerprint_names_the_weights(folder: Path, tmp_path: Path) -> None:
    assert TextEncoder.load(folder).fingerprint == TextEncoder.load(folder).fingerprint
    other = make_tiny_bert(tmp_path / "other", seed=1)
    assert TextEncoder.load(other).fingerprint != TextEncoder.load(folder).fingerprint


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_absent_and_damaged_files(tmp_path: Path, name: str) -> None:
    folder = make_tiny_bert(tmp_path / "minilm")
    (folder / name).write_text("{")
    with pytest.raises(WeightsError, match=r"^[^\n]*minilm is damaged [^\n]*run: erc-live models fetch minilm$"):
        TextEncoder.load(folder)
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=rf"^no {name} in [^\n]*minilm: [^\n]*run: erc-live models fetch minilm$"):
        TextEncoder.load(folder)


def test_an_adapter_of_another_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "adapter.safetensors"
    for factor in ({}, {"encoder.layer.0.attention.self.query.a": torch.zeros(2, 3)}):
        save_file({"x": torch.zeros(1), **factor}, path)
        with pytest.raises(WeightsError, match=r"is no adapter of the encoder in"):
            TextEncoder.load(folder, path)
    path.write_text(json.dumps({}))
    with pytest.raises(WeightsError, match=r"is no adapter of the encoder in"):
        TextEncoder.load(folder, path)

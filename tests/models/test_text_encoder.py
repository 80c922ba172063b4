"""The text encoder on a tiny random BERT with a tokenizer made here: the real code path, no download."""

import json
from pathlib import Path

import huggingface_hub
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_bert import DIM, make_tiny_bert
from transformers import AutoTokenizer

from erc_live.models.encoders.packing import FORMAT, pack
from erc_live.models.encoders.text import FILES, MAX_TOKENS, WEIGHTS, TextEncoder, fingerprint
from erc_live.models.encoders.turns import PAST, Turn, turns
from erc_live.models.errors import WeightsError

TEXTS = ["Oh no.", "well, well, well, I do not know what it is all about", "", "yes!", "Oh no.", "you are here?"] * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def packed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("packed") / "text"
    TextEncoder.load(folder).save(into)
    return into


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
    assert max(len(row.ids) for row in encoder.tokens(["no " * 1000, "no"])) == 64
    assert encoder.encode(["no " * 1000]).isfinite().all()


def test_an_utterance_is_read_with_what_was_said_before_it(folder: Path) -> None:
    encoder = TextEncoder.load(folder)
    (context,) = turns("AAB", ["oh no", "well", "yes"])[2:]
    assert context == (Turn(False, "oh no"), Turn(False, "well"))
    row = encoder.tokens(["yes"], [context])[0]
    words = AutoTokenizer.from_pretrained(folder).convert_ids_to_tokens(row.ids)
    assert " ".join(words) == "[CLS] yes [SEP] you : oh no [SEP] you : well [SEP]"
    assert row.own == 3
    alone, answer = encoder.encode(["yes", "yes"], [(), context])
    assert not torch.allclose(alone, answer, atol=1e-3)
    other = tuple(Turn(not turn.same_speaker, turn.text) for turn in context)
    assert not torch.equal(encoder.encode(["yes"], [other])[0], answer)
    torch.testing.assert_close(encoder.encode(["yes"])[0], alone)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from(["oh", "well", " ", "", "no " * 30])), max_size=8))
def test_the_past_is_the_last_utterances_with_words_that_fit(folder: Path, said: list[tuple[str, str]]) -> None:
    contexts = turns([who for who, _ in said], [text for _, text in said])
    for place, ((speaker, _), context) in enumerate(zip(said, contexts, strict=True)):
        spoken = [(who == speaker, text) for who, text in said[:place] if text.strip()]
        assert context == tuple(spoken[-PAST:])
    encoder = TextEncoder.load(folder)
    texts = [text for _, text in said]
    for row, alone, context in zip(encoder.tokens(texts, contexts), encoder.tokens(texts), contexts, strict=True):
        assert len(row.ids) <= MAX_TOKENS
        assert torch.equal(row.ids[: row.own], alone.ids)
        if context and len(context[-1].text) < 10:
            assert len(row.ids) > row.own  # the nearest is the first to be kept
    later = encoder.encode([*texts, "yes"], [*contexts, ()])[: len(said)]
    torch.testing.assert_close(encoder.encode(texts, contexts), later, atol=1e-5, rtol=0.0)


def test_an_encoder_without_segments_reads_the_past_too(folder: Path, tmp_path: Path) -> None:
    single = make_tiny_bert(tmp_path, type_vocab_size=1)
    encoder = TextEncoder.load(single)
    alone, answer = encoder.encode(["yes", "yes"], [(), (Turn(True, "oh no"),)])
    assert not torch.allclose(alone, answer, atol=1e-4)


def test_it_is_silent(folder: Path, packed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for place in (folder, packed):
        TextEncoder.load(place).encode(["Oh no."])
    assert capfd.readouterr() == ("", "")


def test_a_packed_encoder_gives_nearly_the_same_vectors_from_a_much_smaller_file(folder: Path, packed: Path) -> None:
    plain, small = TextEncoder.load(folder).encode(TEXTS), TextEncoder.load(packed).encode(TEXTS)
    assert torch.cosine_similarity(plain, small).min() > 0.999
    assert (plain - small).abs().max() < 0.02 * plain.abs().max()
    assert {path.name for path in packed.iterdir()} == set(FILES)
    assert (packed / WEIGHTS).stat().st_size < 0.75 * (folder / WEIGHTS).stat().st_size  # most of it is the header


def test_packing_again_changes_nothing_more(packed: Path, tmp_path: Path) -> None:
    encoder = TextEncoder.load(packed)
    encoder.save(tmp_path)
    again = TextEncoder.load(tmp_path)
    torch.testing.assert_close(again.encode(TEXTS), encoder.encode(TEXTS), atol=1e-4, rtol=0.0)


def test_a_tuned_encoder_is_saved_as_it_is_now(folder: Path, tmp_path: Path) -> None:
    encoder = TextEncoder.load(folder)
    before = encoder.encode(["Oh no."])
    encoder.network.train()
    optimiser = torch.optim.SGD(encoder.network.parameters(), lr=0.1)
    encoder.embed(encoder.tokens(["Oh no."])).square().sum().backward()
    optimiser.step()
    encoder.network.eval()
    encoder.save(tmp_path)
    after = TextEncoder.load(tmp_path).encode(["Oh no."])
    assert not torch.allclose(after, before, atol=0.05)
    torch.testing.assert_close(after, encoder.encode(["Oh no."]), atol=0.02, rtol=0.0)


def test_fingerprint_names_the_files(folder: Path, packed: Path, tmp_path: Path) -> None:
    assert TextEncoder.load(folder).fingerprint == TextEncoder.load(folder).fingerprint == fingerprint(folder)
    other = make_tiny_bert(tmp_path / "other", seed=1)
    assert len({fingerprint(place) for place in (folder, packed, other)}) == 3
    with pytest.raises(WeightsError, match=r"no model.safetensors in nowhere"):
        fingerprint(Path("nowhere"))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("small", [False, True])
def test_absent_and_damaged_files(packed: Path, tmp_path: Path, name: str, small: bool) -> None:
    folder = make_tiny_bert(tmp_path / "text")
    if small:
        TextEncoder.load(folder).save(folder)
    (folder / name).write_text("{")
    with pytest.raises(WeightsError, match=r"^[^\n]*text is damaged [^\n]*$"):
        TextEncoder.load(folder)
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=rf"^no {name} in [^\n]*text: a text encoder has the files [^\n]*$"):
        TextEncoder.load(folder)


def test_weights_of_another_network_are_refused(packed: Path, tmp_path: Path) -> None:
    folder = make_tiny_bert(tmp_path / "text")
    weights = load_file(folder / WEIGHTS)
    del weights["embeddings.word_embeddings.weight"]
    for content, form in ((weights, {"format": "pt"}), (pack(weights), FORMAT)):
        save_file(content, folder / WEIGHTS, form)
        with pytest.raises(WeightsError, match=r"has no embeddings.word_embeddings.weight"):
            TextEncoder.load(folder)


def test_an_encoder_of_the_hub_is_fetched_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def snapshot_download(name: str, local_files_only: bool = False, **_: object) -> str:
        assert name == "tiny/bert"
        asked.append(local_files_only)
        if local_files_only and len(asked) == 1:
            raise FileNotFoundError("not here")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert TextEncoder.named("tiny/bert").dim == DIM
    assert TextEncoder.named("tiny/bert").fingerprint == fingerprint(folder)
    assert asked == [True, False, True]


@pytest.mark.parametrize("name", ["roberta-large-that-never-came", "no such name!"])
def test_without_a_hub_a_name_is_answered_with_what_to_do(name: str) -> None:
    with pytest.raises(WeightsError, match=rf"^the text encoder {name} is not on this disk [^\n]*: give the folder"):
        TextEncoder.named(name)


def test_the_shipped_encoder_is_small_and_belongs_to_the_shipped_model() -> None:
    from erc_live.models import card

    shipped = card.read("default")
    folder = shipped.encoder_folder("text")
    assert folder == card.PRETRAINED / "text"
    assert shipped.card.encoders["text"] == fingerprint(folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 26e6
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == shipped.card.config["text_dim"]

"""The text encoder on tiny random transformers with a tokenizer made here: the real code path, no download."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_bert import DIM, OTHERS, make_tiny, make_tiny_bert
from torch import Tensor
from transformers import AutoTokenizer

from erc_live.models.encoders.packing import FORMAT, pack
from erc_live.models.encoders.text import (
    CARD,
    FILES,
    HEAD,
    OWN_TOKENS,
    PASSAGE_TOKENS,
    PAST_TOKENS,
    WEIGHTS,
    TextEncoder,
    TextHead,
    fingerprint,
    fingerprint_with_head,
)
from erc_live.models.encoders.turns import PAST, Turn, turns
from erc_live.models.errors import WeightsError

TEXTS = ["Oh no.", "well, well, well, I do not know what it is all about", "yes!", "Oh no.", "you are here?"] * 4
SAID = ["oh no", "well", "yes!", "", " ", "you know, it is", "no " * 30, "no " * 100]
TALKS = st.lists(st.builds(Turn, st.sampled_from("ABC"), st.sampled_from(SAID)), max_size=9).map(tuple)
LONG = turns("AB" * 30, [f"{word} {sign}" for word in ("oh", "no", "yes", "well", "great") for sign in "abcdefghjklm"])

few = settings(max_examples=15, deadline=None)
many = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TextEncoder:
    return TextEncoder.load(folder)


@pytest.fixture(scope="module", params=["bert", *OTHERS])
def any_kind(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    other = request.param in OTHERS
    return TextEncoder.load(make_tiny(request.param, tmp_path_factory.mktemp("other")) if other else folder)


@pytest.fixture(scope="module")
def packed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("packed") / "text"
    TextEncoder.load(folder).save(into)
    return into


def alone(encoder: TextEncoder, *texts: str) -> Tensor:
    """Vectors of texts that were said in different dialogues."""
    return torch.cat(encoder.encode([turns("A", [text]) for text in texts]))


def last(encoder: TextEncoder, talk: tuple[Turn, ...]) -> Tensor:
    return torch.from_numpy(encoder.encode_last([turn.speaker for turn in talk], [turn.text for turn in talk]))


def near(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0.0)


@dataclass
class Read:
    """What a network was given."""

    ids: list[Tensor] = field(default_factory=list)

    def __call__(self, network: Any, args: Any, kwargs: dict[str, Tensor]) -> None:
        self.ids += kwargs["input_ids"].unbind()

    def tokens(self, folder: Path) -> list[str]:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return [" ".join(tokenizer.convert_ids_to_tokens(ids)) for ids in self.ids]


@contextmanager
def watched(encoder: TextEncoder) -> Iterator[Read]:
    read = Read()
    hook = encoder.network.register_forward_pre_hook(read, with_kwargs=True)
    yield read
    hook.remove()


@few
@given(talk=TALKS, later=TALKS, beside=TALKS)
@example(talk=LONG, later=LONG[:5], beside=LONG[:3])
def test_a_vector_depends_on_its_utterance_and_the_past_alone(
    any_kind: TextEncoder, talk: tuple[Turn, ...], later: tuple[Turn, ...], beside: tuple[Turn, ...]
) -> None:
    (rows,) = any_kind.encode([talk])
    assert rows.shape == (len(talk), DIM)
    assert rows.dtype == torch.float32
    assert not rows.requires_grad
    _, longer, _ = any_kind.encode([beside, talk + later, beside[::-1]])
    near(longer[: len(talk)], rows)
    for place, row in enumerate(rows):
        near(last(any_kind, talk[: place + 1]), row)


def test_the_past_is_read(any_kind: TextEncoder) -> None:
    talk = turns("ABA", ["oh no", "well", "yes"])
    (before,) = any_kind.encode([talk])
    for place in range(3):
        (after,) = any_kind.encode([(*talk[:place], talk[place]._replace(text="great"), *talk[place + 1 :])])
        moved = (before - after).abs().amax(1) > 1e-4
        assert moved.tolist() == [other >= place for other in range(3)]


def test_what_is_read(folder: Path, encoder: TextEncoder) -> None:
    talk = turns(["Ann", "Ann", "Ben", "Ben", "Ann"], ["Oh  no", "well", " ", "yes!", "no"])
    with watched(encoder) as read:
        encoder.encode([talk])
        last(encoder, talk[:-1])
    passage = "[CLS] a : oh no [SEP] [CLS] a : well [SEP] [CLS] b : yes ! [SEP]"
    assert read.tokens(folder) == [f"{passage} [CLS] a : no [SEP]", passage]


@many
@given(st.lists(st.integers(1, 60), min_size=2, max_size=40))
@example([1] * 40)
@example([90, 80, 1])
def test_only_the_last_past_utterances_that_fit_count(encoder: TextEncoder, sizes: list[int]) -> None:
    """Words of one token each, and two tokens around them."""
    talk = turns(["B"] * (len(sizes) - 1) + ["A"], ["no " * size for size in sizes])
    costs = [min(size, OWN_TOKENS - 4) + 2 for size in sizes[:-1]]
    first = len(costs)
    while first and len(costs) - first < PAST and sum(costs[first - 1 :]) <= PAST_TOKENS:
        first -= 1
    row = last(encoder, talk)
    older = turns(["C"] * first, ["yes " * size for size in sizes[:first]])
    assert torch.equal(last(encoder, older + talk[first:]), row)
    near(encoder.encode([older + talk[first:]])[0][-1], row)
    if first < len(costs):
        oldest = talk[first]._replace(text="yes " * sizes[first])
        assert not torch.equal(last(encoder, (*older, oldest, *talk[first + 1 :])), row)


@few
@given(talk=TALKS, names=st.permutations(["A", 7, None]))
def test_who_speaks_is_told_by_who_else_spoke(encoder: TextEncoder, talk: tuple[Turn, ...], names: list[Any]) -> None:
    renamed = dict(zip("ABC", names, strict=True))
    (rows,) = encoder.encode([talk])
    (other,) = encoder.encode([tuple(turn._replace(speaker=renamed[turn.speaker]) for turn in talk)])
    assert torch.equal(rows, other)


def test_an_answer_is_no_going_on(encoder: TextEncoder) -> None:
    texts = ["oh no", "yes", "well"]
    own, others, mixed = (encoder.encode([turns(who, texts)])[0] for who in ("AAA", "ABB", "ABA"))
    assert torch.equal(own[0], others[0])
    assert not torch.allclose(own[1], others[1], atol=1e-4)
    assert not torch.allclose(mixed[2], others[2], atol=1e-4)
    crowd = encoder.encode([turns(range(40), ["oh no"] * 40)])[0]  # more voices than letters
    assert crowd.isfinite().all()


@few
@given(TALKS)
def test_embed_is_encode_where_all_of_the_past_fits(any_kind: TextEncoder, talk: tuple[Turn, ...]) -> None:
    with watched(any_kind) as read:
        found = any_kind.embed([talk, talk[:1]])
    assume(len(read.ids) <= 2 and sum(min(len(turn.text), OWN_TOKENS) for turn in talk[:-1]) <= PAST_TOKENS)
    for rows, expected in zip(found, any_kind.encode([talk, talk[:1]]), strict=True):
        near(rows.detach(), expected)


def test_embed_takes_a_long_dialogue_in_few_pieces_and_reads_no_later_utterance(encoder: TextEncoder) -> None:
    with watched(encoder) as read:
        (rows,) = encoder.embed([LONG * 2])
    assert 1 < len(read.ids) < 5
    assert max(map(len, read.ids)) < 2 * PASSAGE_TOKENS
    for place in (0, 70, 119):
        talk = list(LONG * 2)
        talk[place] = Turn("A", "awful x")
        (other,) = encoder.embed([talk])
        moved = ((rows - other).abs().amax(1) > 1e-5).nonzero().flatten().tolist()
        assert moved[0] == place


def test_embed_learns_from_every_utterance_and_not_from_blanks(encoder: TextEncoder) -> None:
    (rows,) = encoder.embed([turns("AB", ["oh no", " "])])
    assert rows.requires_grad
    assert not rows[1].any()
    (silent,) = encoder.embed([turns("AB", ["", " "])])
    assert silent.shape == (2, DIM)
    assert not silent.any()


def test_nothing_to_encode(encoder: TextEncoder) -> None:
    assert encoder.encode([]) == []
    assert encoder.encode([()])[0].shape == (0, DIM)
    assert not last(encoder, turns("AB", ["oh no", " "])).any()


def test_who_and_what_must_be_as_many() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        turns("AB", ["oh no"])


def test_typographic_and_plain_spelling_are_the_same(encoder: TextEncoder) -> None:
    typographic, plain = alone(encoder, "you\u2019re  here\u2026 \u201cno\u201d", 'you\'re here... "no"')
    assert torch.equal(typographic, plain)


def test_a_long_text_is_cut(encoder: TextEncoder) -> None:
    with watched(encoder) as read:
        long, as_long = alone(encoder, "no " * 1000, "no " * (OWN_TOKENS - 4))
    assert max(map(len, read.ids)) == OWN_TOKENS
    assert torch.equal(long, as_long)


def test_it_is_silent(folder: Path, packed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for place in (folder, packed):
        alone(TextEncoder.load(place), "Oh no.")
    assert capfd.readouterr() == ("", "")


def test_a_packed_encoder_gives_nearly_the_same_vectors_from_a_much_smaller_file(folder: Path, packed: Path) -> None:
    plain, small = (alone(TextEncoder.load(place), *TEXTS) for place in (folder, packed))
    assert torch.cosine_similarity(plain, small).min() > 0.999
    assert (plain - small).abs().max() < 0.02 * plain.abs().max()
    assert {path.name for path in packed.iterdir()} == set(FILES)
    assert (packed / WEIGHTS).stat().st_size < 0.75 * (folder / WEIGHTS).stat().st_size  # most of it is the header


def test_packing_again_changes_nothing_more(packed: Path, tmp_path: Path) -> None:
    encoder = TextEncoder.load(packed)
    encoder.save(tmp_path)
    torch.testing.assert_close(alone(TextEncoder.load(tmp_path), *TEXTS), alone(encoder, *TEXTS), atol=1e-4, rtol=0.0)


def test_a_tuned_encoder_is_saved_as_it_is_now(folder: Path, tmp_path: Path) -> None:
    encoder = TextEncoder.load(folder)
    before = alone(encoder, "Oh no.")
    encoder.network.train()
    optimiser = torch.optim.SGD(encoder.network.parameters(), lr=0.1)
    encoder.embed([turns("A", ["Oh no."])])[0].square().sum().backward()
    optimiser.step()
    encoder.network.eval()
    encoder.save(tmp_path)
    after = alone(TextEncoder.load(tmp_path), "Oh no.")
    assert not torch.allclose(after, before, atol=0.05)
    torch.testing.assert_close(after, alone(encoder, "Oh no."), atol=0.02, rtol=0.0)


def test_in_four_bits_an_encoder_is_smaller_still(packed: Path, tmp_path: Path) -> None:
    TextEncoder.load(make_tiny("mpnet", tmp_path / "mpnet", width=64)).save(tmp_path / "8")
    TextEncoder.load(tmp_path / "mpnet").save(tmp_path / "4", bits=4)
    small, smaller = (tmp_path / bits / WEIGHTS for bits in "84")
    assert smaller.stat().st_size < 0.75 * small.stat().st_size
    plain, coarse = (alone(TextEncoder.load(tmp_path / place), *TEXTS) for place in ("mpnet", "4"))
    assert torch.cosine_similarity(plain, coarse).min() > 0.95


def test_in_four_bits_what_it_is_to_read_comes_out_nearer(tmp_path: Path) -> None:
    """Beside the error of the word vectors, which nothing makes good."""
    encoder = TextEncoder.load(make_tiny("mpnet", tmp_path / "mpnet", width=64))
    plain, lost = alone(encoder, *TEXTS), []
    for read in ((), [turns("A", [text]) for text in TEXTS]):
        encoder.save(tmp_path / "4", bits=4, read=read)
        packed = TextEncoder.load(tmp_path / "4")
        packed.network.embeddings = encoder.network.embeddings
        lost.append((alone(packed, *TEXTS) - plain).square().mean())
    assert lost[1] < 0.5 * lost[0]


def test_a_head_comes_with_its_encoder(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "text"
    TextEncoder.load(packed).save(folder)
    assert TextEncoder.load(folder).head is None
    head = TextHead(("joy", "a, b"), torch.randn(2, DIM), torch.randn(2))
    head.save(folder)
    found = TextEncoder.load(folder).head
    assert found is not None
    assert found.labels == head.labels
    assert torch.equal(found.weight, head.weight)
    assert torch.equal(found.bias, head.bias)
    (folder / HEAD).write_bytes(b"torn")
    with pytest.raises(WeightsError, match=r"^[^\n]*head.safetensors is damaged [^\n]*$"):
        TextEncoder.load(folder)


def test_a_head_that_is_not_the_one_on_the_card_is_refused(packed: Path, tmp_path: Path) -> None:
    """Exchanged, it would read without a fault; so might one that is missing. Older cards do not name it."""
    folder = tmp_path / "text"
    TextEncoder.load(packed).save(folder)
    bare = fingerprint_with_head(folder)
    TextHead(("a", "b"), torch.randn(2, DIM), torch.randn(2)).save(folder)
    digest = sha256((folder / HEAD).read_bytes()).hexdigest()
    whole = fingerprint_with_head(folder)
    (folder / CARD).write_text(json.dumps({"sha256": {HEAD: digest}}))
    assert TextEncoder.load(folder).head is not None
    TextHead(("b", "a"), torch.randn(2, DIM), torch.randn(2)).save(folder)
    assert len({bare, whole, fingerprint_with_head(folder)}) == 3
    assert fingerprint(folder) == bare
    says = r"^[^\n]*head.safetensors is not the file that card.json describes: [^\n]*$"
    with pytest.raises(WeightsError, match=says):
        TextEncoder.load(folder)
    (folder / HEAD).unlink()
    with pytest.raises(WeightsError, match=says):
        TextEncoder.load(folder)
    for old in ({"sha256": {}}, {"sha256": "0" * 64}, {}):
        (folder / CARD).write_text(json.dumps(old))
        assert TextEncoder.load(folder).head is None


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


@pytest.mark.parametrize(("name", "most"), [("default", 26e6), ("large", 75e6)])
def test_the_shipped_encoders_are_small_and_belong_to_the_shipped_models(name: str, most: float) -> None:
    from erc_live.models import card

    shipped = card.read(name)
    folder = shipped.encoder_folder("text")
    assert folder == (card.PRETRAINED / "text" if name == "default" else card.PRETRAINED / name / "text")
    assert shipped.card.encoders["text"] == fingerprint(folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) < most
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == shipped.card.config["text_dim"]


def test_large_tells_plain_words_of_grief_and_anger() -> None:
    """Real weights, a real dialogue, words alone: the graph agrees with the encoder that it begins with."""
    from erc_live.models import card, checkpoint
    from erc_live.models.batch import DialogueBatch, UtteranceBatch

    loaded = checkpoint.load("large")
    encoder = TextEncoder.load(card.read("large").encoder_folder("text"))
    said = turns("abab", ["How are you?", "I lost my job today.", "Oh no, I am so sorry!", "Leave me alone!"])
    (vectors,) = encoder.encode([said])
    utterances = UtteranceBatch(
        text=vectors,
        audio=torch.zeros(4, loaded.card.config["audio_dim"]),
        visual=torch.zeros(4, loaded.card.config["visual_dim"]),
        speakers=torch.tensor([0, 1, 0, 1]),
        present=torch.tensor([[True, False, False]] * 4),
    )
    logits = loaded.model(DialogueBatch.pad([utterances]))[0]
    assert encoder.head is not None
    normed = torch.nn.functional.layer_norm(vectors, (encoder.dim,))
    expected = normed @ encoder.head.weight.T + encoder.head.bias
    assert torch.equal(logits.argmax(1), expected.argmax(1))
    labels = [loaded.card.labels[place] for place in logits.argmax(1)]
    assert labels[1:] == ["sadness", "sadness", "anger"]

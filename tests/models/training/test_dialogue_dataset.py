"""From utterances to tensors: what is measured, what is missing, and what is refused."""

from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest
import torch
from worlds import bert

from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.encoders.turns import Turn
from erc_live.models.errors import CorpusError
from erc_live.models.losses import UNLABELLED
from erc_live.models.training.dialogue_dataset import Measured, encoded, examples, spoken
from erc_live.models.training.graph_task import collate
from erc_live.models.training.text_vectors import TextsEncoded

PROSODY = (1.0, 60.0, nan, 200.0, 20.0, 90.0, inf, 12.0)
SAID = (
    Utterance("B", "Hi.", "joy", prosody=PROSODY),
    Utterance("A", "  ", None),
    Utterance("B", "Oh no", "fear"),
)
SPLIT = Split("c", "dev", ("joy", "fear"), (Dialogue("d", SAID),))
MEASURED = {
    ("d", 0): Measured(prosody=torch.zeros(8), voice=torch.arange(7.0)),
    ("d", 2): Measured(face=torch.arange(8.0)),
}


def test_rows_hold_prosody_voice_and_face() -> None:
    (example,) = examples(SPLIT, ("fear", "joy"), MEASURED)
    found = example.utterances
    assert (example.name, example.texts) == ("d", ("Hi.", "", "Oh no"))
    assert example.labels.tolist() == [1, UNLABELLED, 0]
    assert found.speakers.tolist() == [0, 1, 0]
    assert found.present.tolist() == [[True, True, False], [False, False, False], [True, False, True]]
    own = [1, 60, -1, 200, 20, 90, -1, 12]  # the corpus' prosody goes before what was measured
    assert found.audio[0].nan_to_num(-1).tolist() == [*own, *range(7)]
    assert found.visual[2].tolist() == list(range(8))


def test_a_text_corpus_needs_nothing_measured() -> None:
    plain = Split("c", "dev", ("x",), (Dialogue("d", (Utterance("A", "hello", "x"),)),))
    assert examples(plain, ("x",))[0].utterances.present.tolist() == [[True, False, False]]


def test_vectors_with_nan_are_missing() -> None:
    spoilt = {("d", 0): Measured(face=torch.full((8,), nan)), ("d", 1): Measured(prosody=torch.full((8,), nan))}
    (example,) = examples(SPLIT, ("joy", "fear"), spoilt)
    assert not example.utterances.present[:2, 2].any()
    assert not example.utterances.present[1, 1]


def test_an_unknown_label_is_one_line_that_says_where() -> None:
    with pytest.raises(CorpusError, match=r"^c, dev, dialogue d, utterance 2: label 'fear' is none of joy[^\n]*$"):
        examples(SPLIT, ("joy",))


def test_padding_has_no_label() -> None:
    both = examples(Split("c", "dev", ("joy", "fear"), (Dialogue("d", SAID), Dialogue("e", SAID[:1]))), ("joy", "fear"))
    batch, labels = collate(both, (0, 15, 8))
    assert batch.lengths.tolist() == [3, 1]
    assert labels.tolist() == [[0, UNLABELLED, 1], [0, UNLABELLED, UNLABELLED]]


def test_text_vectors_are_kept_and_made_again_when_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("erc_live.models.training.text_vectors.TOGETHER", 2)
    dialogues = (Dialogue("d", SAID), Dialogue("e", SAID[:1]), Dialogue("f", SAID[2:]))
    encoder = TextEncoder.load(bert(tmp_path / "bert"))
    batch = examples(replace(SPLIT, dialogues=dialogues), ("joy", "fear"))
    reports: list[TextsEncoded] = []

    def texts() -> torch.Tensor:
        return torch.cat([one.utterances.text for one in encoded(batch, encoder, tmp_path, reports.append)])

    first = texts()
    assert reports == [TextsEncoded(4, 5), TextsEncoded(5, 5)]
    torch.testing.assert_close(first, torch.cat(encoder.encode([spoken(one) for one in batch])))
    kept = sorted(tmp_path.glob("*.safetensors"))
    assert len(kept) == 2
    kept[0].write_bytes(b"torn")
    assert torch.equal(texts(), first)
    monkeypatch.setattr(encoder, "encode", lambda _: pytest.fail("encoded again"))
    assert torch.equal(texts(), first)
    other = [replace(one, utterances=replace(one.utterances, speakers=1 - one.utterances.speakers)) for one in batch]
    with pytest.raises(pytest.fail.Exception, match="encoded again"):  # who spoke is part of what was read
        encoded(other, encoder, tmp_path)


def test_what_stands_beside_a_dialogue_does_not_matter_to_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folds ask for ever other choices of the same dialogues."""
    dialogues = tuple(Dialogue(f"d{n}", SAID[: n + 1]) for n in range(3))
    encoder = TextEncoder.load(bert(tmp_path / "bert"))
    batch = examples(replace(SPLIT, dialogues=dialogues), ("joy", "fear"))
    first = encoded(batch, encoder, tmp_path)
    monkeypatch.setattr(encoder, "encode", lambda _: pytest.fail("encoded again"))
    again = encoded([batch[2], batch[0], batch[2]], encoder, tmp_path)
    for one, place in zip(again, (2, 0, 2), strict=True):
        assert torch.equal(one.utterances.text, first[place].utterances.text)


def test_an_encoder_reads_numbers_for_speakers_and_a_group_goes_with_its_dialogue() -> None:
    dialogues = (Dialogue("d", SAID), Dialogue("e", SAID[:1], occasion="s1"))
    first, second = examples(replace(SPLIT, dialogues=dialogues), ("joy", "fear"))
    assert spoken(first) == (Turn(0, "Hi."), Turn(1, ""), Turn(0, "Oh no"))
    assert (first.group, second.group) == ("d", "s1")

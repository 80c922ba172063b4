"""A transformer of a few thousand random weights and a tokenizer of a few words, as a folder like the real one: a BERT,
or, where the kind matters, an MPNet or a RoBERTa, which count positions from what is no padding.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    MPNetConfig,
    MPNetModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

DIM = 16
WORDS = [
    "you",
    "i",
    ":",
    "oh",
    "no",
    "yes",
    "well",
    "do",
    "not",
    "know",
    "what",
    "it",
    "is",
    "are",
    "here",
    "great",
    "awful",
]
SIGNS = [*WORDS, *"abcdefghjklmnopqrstuvwxyz.,!?'\"-"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *SIGNS]
SIZE = {"hidden_size": DIM, "intermediate_size": 2 * DIM, "num_attention_heads": 2, "max_position_embeddings": 514}
OTHERS = {"mpnet": (MPNetModel, MPNetConfig), "roberta": (RobertaModel, RobertaConfig)}


def make_tiny_bert(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    config = BertConfig(vocab_size=len(VOCABULARY), num_hidden_layers=1, **SIZE)
    _write(folder, BertModel(config), BertTokenizerFast(tokenizer_object=_tokenizer(VOCABULARY)))
    return folder


def make_tiny(kind: str, folder: Path, width: int = DIM) -> Path:
    """Of two layers, with the special tokens and their numbers as these two kinds have them."""
    torch.manual_seed(0)
    model, config = OTHERS[kind]
    vocabulary = ["<s>", "<pad>", "</s>", "[UNK]", *SIGNS]
    special = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "[UNK]"}
    size = {**SIZE, "hidden_size": width, "intermediate_size": 2 * width}
    network = model(config(vocab_size=len(vocabulary), num_hidden_layers=2, pad_token_id=1, **size))
    _write(folder, network, PreTrainedTokenizerFast(tokenizer_object=_tokenizer(vocabulary), **special))
    return folder


def _tokenizer(vocabulary: list[str]) -> Any:
    numbers = {token: number for number, token in enumerate(vocabulary)}
    special = {"cls_token": vocabulary[0], "sep_token": vocabulary[2]} if vocabulary[0] == "<s>" else {}
    return BertWordPieceTokenizer(numbers, lowercase=True, **special)._tokenizer


def _write(folder: Path, network: Any, tokenizer: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.nn.init.normal_(network.embeddings.word_embeddings.weight)  # so that different words are far apart
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)

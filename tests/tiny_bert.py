"""A BERT of a few thousand random weights and a tokenizer of a few words, as a folder like the real one."""

from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizerFast

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
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"abcdefghjklmnopqrstuvwxyz.,!?'\"-"]


def make_tiny_bert(folder: Path, seed: int = 0, type_vocab_size: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    size = {"hidden_size": DIM, "intermediate_size": 2 * DIM, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = BertModel(
        BertConfig(vocab_size=len(VOCABULARY), max_position_embeddings=256, type_vocab_size=type_vocab_size, **size)
    )
    torch.nn.init.normal_(network.embeddings.word_embeddings.weight)  # so that different words are far apart
    network.save_pretrained(folder)
    vocabulary = {token: number for number, token in enumerate(VOCABULARY)}
    words = BertWordPieceTokenizer(vocabulary, lowercase=True)
    BertTokenizerFast(tokenizer_object=words._tokenizer).save_pretrained(folder)
    return folder

"""A Whisper of 64 dimensions with random weights in the format of faster-whisper: its real code, no download."""

import warnings
from pathlib import Path

_SPECIAL = ("endoftext", "startoftranscript", "en", "de", "translate", "transcribe", "startoflm", "startofprev")
_SPECIAL_END = ("nospeech", "notimestamps")
_TIMESTAMPS = 1501  # 0.00 to 30.00 s in steps of 0.02 s


def build(folder: Path, seed: int = 0) -> Path:
    """The folder of a complete model; the same seed gives the same words for a sound."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converter's and the tokenizer's own making
        return _build(folder, seed)


def _build(folder: Path, seed: int) -> Path:
    import torch
    from ctranslate2.converters import TransformersConverter
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, WhisperConfig, WhisperForConditionalGeneration

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [f"<|{name}|>" for name in (*_SPECIAL, *_SPECIAL_END)]
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)

    end = len(letters)  # <|endoftext|>
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(letters) + len(special) + _TIMESTAMPS,
            d_model=64,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            init_std=0.5,  # wide enough for the sound to decide the words
            decoder_start_token_id=end + 1,
            pad_token_id=end,
            bos_token_id=end,
            eos_token_id=end,
            suppress_tokens=[],
            begin_suppress_tokens=[],
        )
    )
    source = folder / "transformers"
    model.save_pretrained(source)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", additional_special_tokens=special
    ).save_pretrained(source)
    converted = folder / "converted"
    TransformersConverter(str(source), copy_files=["tokenizer.json"]).convert(str(converted), quantization="int8")
    return converted

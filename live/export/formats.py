"""Which formats there are, and which file of this room writes each.

The rule of this file: a format is a row. Its module is loaded when it is asked for, so that nobody needs a library of a
format that they do not want.
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from erc_live.live.errors import ConfigError, EngineError
from erc_live.live.export.exported import Export


@dataclass(frozen=True)
class ExportFormat:
    """`place`: module and function that writes it. `what`: for people, in a few words."""

    place: str
    what: str

    def load(self, name: str) -> Callable[[Export], None]:
        """The writer. Raises EngineError when its library is not installed."""
        module, _, function = self.place.partition(":")
        try:
            writer: Callable[[Export], None] = getattr(import_module(f"{__package__}.{module}"), function)
        except ModuleNotFoundError as error:
            raise EngineError(f"{name} needs {error.name}: pip install 'erc-live[export]'") from error
        return writer


FORMATS = {  # in this order they are written: sound at last, for it takes longest
    "csv": ExportFormat("csv_file:write", "tables of utterances, words and moments"),
    "parquet": ExportFormat("parquet_file:write", "the same tables, typed and compressed"),
    "vtt": ExportFormat("caption_files:write_vtt", "WebVTT captions with speakers and labels"),
    "srt": ExportFormat("caption_files:write_srt", "SubRip captions"),
    "rttm": ExportFormat("rttm:write", "who spoke when, for tools of diarisation"),
    "textgrid": ExportFormat("textgrid:write", "tiers for Praat"),
    "eaf": ExportFormat("eaf:write", "tiers for ELAN"),
    "emotionml": ExportFormat("emotionml:write", "W3C EmotionML, with all probabilities"),
    "mcap": ExportFormat("mcap_file:write", "the messages as a log for Foxglove and ROS tools"),
    "xdf": ExportFormat("xdf:write", "streams as of the Lab Streaming Layer"),
    "wav": ExportFormat("sound_files:write_wav", "a file of sound per person and microphone, all aligned"),
    "flac": ExportFormat("sound_files:write_flac", "the same, compressed without loss"),
    "bids": ExportFormat("bids:write", "a BIDS dataset with events and sound (BEP047)"),
}
SOUND = ("wav", "flac")  # formats that others can name as their media


def chosen(wanted: list[str]) -> list[str]:
    """The formats that are named, by commas or one by one, each once. Raises ConfigError for one that there is not."""
    names = [name.strip().lower() for text in wanted for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FORMATS:
            near = get_close_matches(name, FORMATS, 1)
            hint = f", but {near[0]}" if near else ""
            raise ConfigError(f"--to {name}: there is no such format{hint}; there are {', '.join(FORMATS)}")
    if not names:
        raise ConfigError(f"--to: name at least one of {', '.join(FORMATS)}")
    return [name for name in FORMATS if name in names]

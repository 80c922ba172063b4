"""The recordings of a session, read to their ends: what was wrong with them, for who plays them in one process.

The rule of this file: it only looks on; the messages are those of `in_process.recorded`.
"""

from collections.abc import Iterator

from erc_live.live.capture.source import sound_check
from erc_live.live.session.in_process import recorded
from erc_live.live.session.spec import SessionSpec
from erc_live.streams.messages import SourceEnd
from erc_live.streams.replay import Replayed


class Playback:
    """Iterate once over its messages. `notes`: what people should know of the sound, so far; `damage`: why a recording
    broke off, "" where none did.
    """

    def __init__(self, session: SessionSpec) -> None:
        """Raises MediaError."""
        self.notes: list[str] = []
        self.damage = ""
        self._session = session
        self._sounds = {s.name: sound_check(s) for s in session.sources if s.kind == "mic" and s.medium == "file"}

    def __iter__(self) -> Iterator[Replayed]:
        noted: set[str] = set()
        for message in recorded(self._session, self._sounds):
            if isinstance(message, SourceEnd) and message.damaged:
                self.damage = self.damage or message.reason
            for name, sound in self._sounds.items():
                if sound.note and sound.note not in noted:
                    noted.add(sound.note)
                    self.notes.append(f"{name}: {sound.note}")
            yield message

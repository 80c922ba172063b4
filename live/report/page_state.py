"""Messages of the event stream -> what a page shows: the one way for a recorded session and for one that runs.

The newest word on an utterance counts: a final event takes the place of provisional ones, and a higher revision that of
a lower one, also after a `Relabel`. What people say stands beside the estimate. Sums are made when somebody asks.
The rule of this file: pure but for its own state; no clock, no file, no socket. It is bounded, whatever arrives.
"""

from importlib.metadata import version as version_of

from erc_live.live.label_looks import label_looks
from erc_live.live.report.item_store import Items, ItemStore
from erc_live.live.report.page_rows import PageHead, PageLabel, PageLack, PageNote, PageRow, PageStatus
from erc_live.live.report.page_utterances import UtteranceBook
from erc_live.live.report.session_bands import BandBook
from erc_live.live.report.weights_origin import weights_origin
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.messages import (
    EmotionEvent,
    Gap,
    Hello,
    Overload,
    Relabel,
    SessionEnd,
    SessionState,
    WorkerLost,
)

MAX_NOTES = 5_000
_NS = 1e9


class PageState:
    """The page of one session. `live`: whether it goes on.

    `t0_ns`: the second 0 of the page in session time; that of the `Hello` where it is not given. `wall`: a session time
    and its Unix time, where they are known better than by the `Hello`; both in ns.
    """

    def __init__(self, t0_ns: int | None = None, *, live: bool = False, wall: tuple[int, int] | None = None) -> None:
        self._fixed_t0_ns, self._live, self._wall = t0_ns, live, wall
        self.epoch = 0  # counts the sessions: versions of one say nothing about those of another
        self._store = ItemStore()
        self._hello: Hello | None = None
        self._begin(t0_ns or 0)

    def feed(self, message: object) -> None:
        """Take a message; what a page does not show is passed over."""
        match message:
            case Hello():
                self._greet(message)
            case EmotionEvent():
                self._join(message)
                self._reach(message.t_end_ns)
                self._utterances.observe(message)
            case Annotation():
                self._annotate(message)
            case Gap() | Overload() | SessionState():
                self._miss(message)
            case SessionEnd():
                self._end(message)
            case _:
                self._happen(message)

    def say(self, phase: str, text: str) -> None:
        """What became of the stream, where no message says so."""
        self.phase, self._text = phase, text

    def put(self, kind: str, key: str, row: PageRow) -> None:
        """Something beside what the stream says: the sound, what a bundle lacks, explanations."""
        self._store.put(kind, key, row)

    @property
    def session(self) -> str:
        """Its name, "" before the `Hello`."""
        return self._hello.session if self._hello else ""

    @property
    def utterances(self) -> int:
        """How many there are."""
        return len(self._utterances)

    def changes(self, version: int) -> tuple[int, Items]:
        """The version of now, and what changed since that one (of this `epoch`; 0: all there is)."""
        self._utterances.put_all(self._store)
        self._store.replace("bands", self._bands.rows(self._s))
        self._store.replace("labels", self._looks())
        status = PageStatus(
            t0=min(0.0, self._s(self._first_ns)),
            t1=self._s(self._last_ns),
            phase=self.phase,
            text=self._text,
            recording=self._recording and self._live,
            paused=self._bands.paused,
        )
        self._store.put("status", "now", status)
        return self._store.version, self._store.since(version)

    def _begin(self, t0_ns: int) -> None:
        self._t0_ns = self._first_ns = self._last_ns = t0_ns
        self._utterances = UtteranceBook(self._s)
        self._bands = BandBook()
        self._notes = 0
        self.phase, self._text = "live" if self._live else "recorded", ""
        self._recording = False

    def _s(self, t_ns: int) -> float:
        """Seconds of the page."""
        return round((t_ns - self._t0_ns) / _NS, 3)

    def _greet(self, hello: Hello) -> None:
        """The same session greets again after a broken connection; another one has a page of its own."""
        if self._hello is not None and self._hello.session != hello.session:
            self._store = ItemStore()
            self.epoch += 1
            self._begin(hello.t_ns)
        elif self._hello is None and self._fixed_t0_ns is None:
            self._begin(hello.t_ns)
        self._hello = hello
        self.phase, self._text = ("live", "") if self._live else (self.phase, self._text)
        self._store.put("head", "session", self._head(hello))

    def _head(self, hello: Hello) -> PageHead:
        t_ns, wall_ns = self._wall or (hello.t_ns, hello.wall_ns)
        return PageHead(
            session=hello.session,
            wall_s=(wall_ns + self._t0_ns - t_ns) // 1_000_000 / 1000,
            notice=hello.notice,
            language=hello.language,
            purpose=hello.purpose,
            setting=hello.setting,
            controller=hello.controller,
            contact=hello.contact,
            model=hello.model,
            weights=weights_origin(hello.model),
            version=version_of("erc-live"),
            live=self._live,
        )

    def _join(self, event: EmotionEvent) -> None:
        """Who comes late is sent the last events alone."""
        if self._live and event.seq > 0 and not self.utterances:
            text = f"the first {event.seq} events of the session: the stream keeps the last ones alone (events.history)"
            self._store.put("lacks", "late", PageLack(text=text))

    def _reach(self, *times_ns: int) -> None:
        self._first_ns, self._last_ns = min(self._first_ns, *times_ns), max(self._last_ns, *times_ns)

    def _looks(self) -> dict[str, PageLabel]:
        labels = dict.fromkeys((*(self._hello.labels if self._hello else ()), *self._utterances.labels()))
        return {
            label: PageLabel(letters=letters, colour=colour.area, ink=colour.ink, hatched=hatched)
            for label, (letters, colour, hatched) in label_looks(tuple(labels)).items()
        }

    def _miss(self, message: Gap | Overload | SessionState) -> None:
        if isinstance(message, Gap):
            self._reach(message.t_start_ns, message.t_end_ns)
        else:
            self._reach(message.t_ns)
        if isinstance(message, SessionState):
            self._recording = message.recording
        self._bands.feed(message)

    def _end(self, end: SessionEnd) -> None:
        self._reach(end.t_ns)
        self._bands.close(end.t_ns)
        lost = f"; lost: {_counted(end.lost)}" if end.lost else ""
        self.phase, self._text = "ended", f"{end.reason}{lost}{f'; {end.note}' if end.note else ''}"
        self._recording = False

    def _annotate(self, annotation: Annotation) -> None:
        self._utterances.annotate(annotation)
        if annotation.kind == "name" and annotation.speaker is not None:
            text = f"speaker {annotation.speaker + 1} is called {annotation.text}"
            self._note(annotation.t_ns, "name", text, annotation.author)
        elif annotation.kind == "mark":
            self._note(annotation.t_ns, "mark", annotation.text, annotation.author)

    def _happen(self, message: object) -> None:
        match message:
            case Alert():
                text = message.text if message.on else f"{message.text} (over)"
                self._note(message.t_ns, "alert", f"{message.rule}: {text}", speaker=message.speaker_name or "")
            case Relabel():
                whose = message.speaker_name or message.voice
                text = f"{_counted(len(message.moved))} turned out to be of {whose}"
                self._note(message.t_ns, "change", text)
            case WorkerLost():
                self._note(message.t_ns, "loss", f"{message.worker}: {message.reason}: {message.consequence}")

    def _note(self, t_ns: int, kind: str, text: str, author: str = "", speaker: str = "") -> None:
        self._reach(t_ns)
        row = PageNote(t=self._s(t_ns), kind=kind, text=text, author=author, speaker=speaker)
        self._store.put("notes", str(self._notes % MAX_NOTES), row)
        self._notes += 1


def _counted(utterances: int) -> str:
    return f"{utterances} utterance{'' if utterances == 1 else 's'}"

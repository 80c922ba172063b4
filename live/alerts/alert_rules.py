"""The rules of `[[alerts]]`, as a pure core: messages of the stream and media time in, `Alert` messages out.

A rule looks at what is final, at the first word on each utterance alone, and at times of the media. So a replay raises
what the live session raised, at any speed, and a correction takes nothing back. Between two alerts `on` of one rule
about one speaker there is always one that ends it.
The rule of this file: no clock and no I/O; what is raised depends on what came before, and on nothing else.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

from erc_live.live.config import AlertRule
from erc_live.streams.annotations import Alert
from erc_live.streams.messages import EmotionEvent, Gap, Hello, Overload, SourceEnd

EVERYBODY = "any"


class AlertRules:
    """`take` what is published, and `advance` media time; both return what became true, or ceased to be.

    `microphones`: whose ends and gaps count.
    """

    def __init__(self, rules: Sequence[AlertRule], session: str, microphones: Collection[str]) -> None:
        self._watchers: list[_Watch] = [_WATCHERS[rule.kind](rule, session) for rule in rules]
        self._microphones = frozenset(microphones)
        self._next_index = 0
        self._ends_ns: dict[str, int] = {}

    def take(self, message: object) -> list[Alert]:
        """A message of the stream, or the end of a source."""
        match message:
            case EmotionEvent():
                if not message.final or message.index < self._next_index:
                    return []  # that may change, or was said before
                self._next_index = message.index + 1
            case Gap() if message.source not in self._microphones:
                return []
            case SourceEnd() if message.source in self._microphones:
                self._ends_ns[message.source] = message.t_ns
        return [alert for watcher in self._watchers for alert in watcher.take(message)]

    def advance(self, since_ns: Mapping[str, int]) -> list[Alert]:
        """Of each microphone, all that had begun before that time has been taken, and nothing of it goes on."""
        times = [t_ns for source, t_ns in since_ns.items() if source in self._microphones]
        if not times:
            return []
        return [alert for watcher in self._watchers for alert in watcher.advance(min(times))]

    def finish(self) -> list[Alert]:
        """All media have ended."""
        return self.advance(self._ends_ns) if self._microphones <= self._ends_ns.keys() else []


@dataclass
class _Trigger:
    """Whether a number is high, with hysteresis (a Schmitt trigger), since when, and whether that was raised."""

    since_ns: int | None = None
    raised: bool = False


@dataclass
class _Watch:
    """What all kinds have in common: whom a rule is about, and how an alert is made."""

    rule: AlertRule
    session: str
    triggers: dict[int | None, _Trigger] = field(default_factory=dict)

    def take(self, message: object) -> list[Alert]:
        """What a message makes true, or false."""
        raise NotImplementedError

    def advance(self, t_ns: int) -> list[Alert]:
        """What media time makes true; most kinds wait for nothing but messages."""
        return []

    def concerns(self, event: EmotionEvent) -> bool:
        """Whether the rule is about this speaker: by name, by the number on the screen, or about anybody."""
        speaker = self.rule.speaker
        if isinstance(speaker, int):
            return speaker == event.speaker + 1
        return speaker == EVERYBODY or speaker.casefold() == event.speaker_name.casefold()

    def trigger(self, speaker: int | None) -> _Trigger:
        return self.triggers.setdefault(speaker, _Trigger())

    def alert(
        self, on: bool, t_ns: int, text: str, value: float | None = None, of: EmotionEvent | None = None
    ) -> Alert:
        return Alert(
            session=self.session,
            t_ns=t_ns,
            rule=self.rule.name,
            on=on,
            text=f"{self.rule.name}: {text}",
            value=value,
            speaker=of.speaker if of else None,
            speaker_name=of.speaker_name if of else None,
        )


class _LevelWatch(_Watch):
    """A number of a speaker's utterances: the probability of a label, or the entropy. It counts while the speaker
    speaks: from the start of the first utterance above the level to the end of the newest, for `for_s` at least.
    """

    def take(self, message: object) -> list[Alert]:
        if not isinstance(message, EmotionEvent) or not self.concerns(message):
            return []
        value = self._value(message)
        trigger = self.trigger(message.speaker)
        level = self.rule.above if trigger.since_ns is None else self.rule.low
        assert level is not None
        if value <= level:
            return self._fall(trigger, message, value)
        if trigger.since_ns is None:
            trigger.since_ns = message.t_start_ns
        if trigger.raised or message.t_end_ns - trigger.since_ns < self.rule.for_s * 1e9:
            return []
        trigger.raised = True
        duration = f" for {self.rule.for_s:g} s" if self.rule.for_s else ""
        text = (
            f"{self._what(message)} above {self._written(self.rule.above or 0.0)}{duration}, now {self._written(value)}"
        )
        return [self.alert(True, message.t_end_ns, text, value, message)]

    def _fall(self, trigger: _Trigger, event: EmotionEvent, value: float) -> list[Alert]:
        trigger.since_ns, raised, trigger.raised = None, trigger.raised, False
        text = f"{self._what(event)} no longer, now {self._written(value)}"
        return [self.alert(False, event.t_end_ns, text, value, event)] if raised else []

    def _value(self, event: EmotionEvent) -> float:
        return event.probs.get(self.rule.label, 0.0) if self.rule.kind == "emotion" else event.entropy

    def _what(self, event: EmotionEvent) -> str:
        return f"{self.rule.label if self.rule.kind == 'emotion' else 'entropy'} of {event.speaker_name}"

    def _written(self, value: float) -> str:
        return f"{value:.0%}" if self.rule.kind == "emotion" else f"{value:.2f} nats"


class _ShiftWatch(_Watch):
    """A speaker's label is another one than before (and the one that the rule names, if it names one). It holds until
    the speaker's next utterance.
    """

    def take(self, message: object) -> list[Alert]:
        if not isinstance(message, EmotionEvent) or not self.concerns(message):
            return []
        trigger = self.trigger(message.speaker)
        alerts = []
        if trigger.raised:
            alerts.append(self.alert(False, message.t_start_ns, f"{message.speaker_name} went on", of=message))
        trigger.raised = message.shift is True and self.rule.label in ("", message.label)
        if trigger.raised:
            text = f"{message.speaker_name} turned to {message.label}"
            alerts.append(self.alert(True, message.t_end_ns, text, of=message))
        return alerts


class _SpokenTime(NamedTuple):
    """Of media time, in which it was not silent; `speaker`: who spoke, None where nobody knows."""

    t_start_ns: int
    t_end_ns: int
    speaker: str | None


class _SilenceWatch(_Watch):
    """Nobody, or not this speaker, has spoken for `for_s`. Lost and paused stretches are no silence.

    People talk at once, and who began first may be known last. So nothing is decided before `advance` says that all
    that ended, or was begun, before a time is known; then it is decided in the order of media time.
    """

    def __init__(self, rule: AlertRule, session: str) -> None:
        super().__init__(rule, session)
        self._since_ns: int | None = None
        self._raised = False
        self._stretches: list[_SpokenTime] = []  # a heap: the first to begin first

    def take(self, message: object) -> list[Alert]:
        match message:
            case Hello() if self._since_ns is None:
                self._since_ns = message.t_ns
            case EmotionEvent() if self.concerns(message):
                heappush(self._stretches, _SpokenTime(message.t_start_ns, message.t_end_ns, message.speaker_name))
            case Gap():
                heappush(self._stretches, _SpokenTime(message.t_start_ns, message.t_end_ns, None))
        return []

    def advance(self, t_ns: int) -> list[Alert]:
        if self._since_ns is None:
            return []
        alerts: list[Alert] = []
        while self._stretches and self._stretches[0].t_start_ns <= t_ns:
            stretch = heappop(self._stretches)
            alerts += self._until(stretch.t_start_ns)
            if self._raised and stretch.speaker is not None:
                self._raised = False
                alerts.append(self.alert(False, stretch.t_start_ns, f"{stretch.speaker} spoke"))
            self._since_ns = max(self._since_ns, stretch.t_end_ns)
        return alerts + self._until(t_ns)

    def _until(self, t_ns: int) -> list[Alert]:
        """The silence so far, if it has become long enough."""
        assert self._since_ns is not None
        due_ns = self._since_ns + round(self.rule.for_s * 1e9)
        if self._raised or t_ns < due_ns:
            return []
        self._raised = True
        who = "nobody spoke" if self.rule.speaker == EVERYBODY else f"{self.rule.speaker} was silent"
        return [self.alert(True, due_ns, f"{who} for {self.rule.for_s:g} s", self.rule.for_s)]


class _OverloadWatch(_Watch):
    """The machine gives something up: the level of an `Overload` is at least `above`, for `for_s`."""

    _step = ""
    _level = 0

    def take(self, message: object) -> list[Alert]:
        if not isinstance(message, Overload):
            return []
        trigger = self.trigger(None)
        alerts = self.advance(message.t_ns)
        self._step = message.step
        above = self.rule.above or 1.0
        low = above - 1.0 if self.rule.until is None else self.rule.until
        if message.level >= above and trigger.since_ns is None:
            trigger.since_ns = message.t_ns
        elif message.level <= low and trigger.since_ns is not None:
            if trigger.raised:
                alerts.append(self.alert(False, message.t_ns, message.step, float(message.level)))
            trigger.since_ns, trigger.raised = None, False
        self._level = message.level
        return [*alerts, *self.advance(message.t_ns)]

    def advance(self, t_ns: int) -> list[Alert]:
        trigger = self.trigger(None)
        if trigger.since_ns is None or trigger.raised:
            return []
        due_ns = trigger.since_ns + round(self.rule.for_s * 1e9)
        if t_ns < due_ns:
            return []
        trigger.raised = True
        return [self.alert(True, due_ns, f"the machine is too slow: {self._step}", float(self._level))]


_WATCHERS: dict[str, type[_Watch]] = {
    "emotion": _LevelWatch,
    "entropy": _LevelWatch,
    "shift": _ShiftWatch,
    "silence": _SilenceWatch,
    "overload": _OverloadWatch,
}

"""The event stream as Open Sound Control 1.0 messages over UDP: for sound, light and robot programs.

`/erc-live/event` has speaker (int), speaker_name, label, probability of the label (float), certain (bool), final
(bool), begin and end (float, s since the session began), utterance, text. `/erc-live/probs` has speaker and one float
per label, in the order of `/erc-live/hello` (session, then the labels). Every other message is one JSON object at
`/erc-live/TOPIC`. UDP promises nothing: who must not miss anything takes another bridge.
"""

from types import TracebackType
from typing import Any, Self

from erc_live.live.bridges.bridge import Say, json_of, topic_of, uninstalled
from erc_live.streams.errors import AddressError
from erc_live.streams.messages import EmotionEvent, Hello, PublicEvent

ROOT = "/erc-live/"


class OscBridge:
    """Sends to one host and port. `say`: called with a line about what could not be sent."""

    def __init__(self, host: str, port: int, say: Say) -> None:
        """Raises EngineError without python-osc, AddressError where the host is not known."""
        try:
            from pythonosc.udp_client import SimpleUDPClient
        except ModuleNotFoundError as error:
            raise uninstalled("python-osc") from error
        try:
            self._client: Any = SimpleUDPClient(host, port)
        except OSError as error:
            raise AddressError(f"osc: {host}:{port} cannot be used ({error.strerror or error})") from error
        self._say = say
        self._start_ns = 0
        self._labels: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client._sock.close()  # the library has no other way

    def send(self, message: PublicEvent) -> None:
        """Pass on one message; what does not fit into a datagram (64 KB) is told."""
        match message:
            case Hello():
                self._start_ns, self._labels = message.t_ns, message.labels
                self._put("hello", [message.session, *message.labels])
                self._put("notice", [message.notice])
            case EmotionEvent():
                self._event(message)
            case _:
                self._put(topic_of(message), [json_of(message)])

    def _event(self, event: EmotionEvent) -> None:
        begin_s, end_s = ((t_ns - self._start_ns) / 1e9 for t_ns in (event.t_start_ns, event.t_end_ns))
        who: list[Any] = [event.speaker, event.speaker_name]
        what = [event.label, event.probs.get(event.label, 0.0), event.certain, event.final]
        self._put("event", [*who, *what, begin_s, end_s, event.utterance, event.text])
        self._put("probs", [event.speaker, *(event.probs.get(label, 0.0) for label in self._labels)])

    def _put(self, topic: str, values: list[Any]) -> None:
        try:
            self._client.send_message(ROOT + topic, values)
        except OSError as error:
            self._say(f"osc: a message of {topic} was not sent: {error.strerror or error}")

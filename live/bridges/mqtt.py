"""The event stream as MQTT messages: JSON at PREFIX/TOPIC, as `erc-live schema` describes it.

PREFIX/hello is retained, so that a client that comes later knows the labels; nothing that somebody said is.
PREFIX/status is "online" or "offline", also where this program is killed (a last will). Quality of service 1: what the
broker did not take is sent again, and may come twice; `seq` tells.
"""

import re
import threading
from types import TracebackType
from typing import Any, Self

from erc_live.live.bridges.bridge import Say, json_of, topic_of, uninstalled
from erc_live.live.errors import ConfigError
from erc_live.streams.errors import AddressError
from erc_live.streams.messages import Hello, PublicEvent
from erc_live.streams.plural import counted

QOS = 1  # at least once
MOST_PREFIX_BYTES = 1000
_NO_TOPIC = re.compile("[#+\0]")  # wildcards of subscriptions (section 4.7 of MQTT 5.0)
WAITING = 10_000  # messages, while the broker is away; an hour of talk is about 2,000
ANSWER_S = 10.0  # in which a broker lets us in
DELIVERY_S = 5.0  # at the end, for what still waits


class MqttBridge:
    """Publishes at one broker. `login`: name and password. `say`: called with what people should know."""

    def __init__(
        self,
        host: str,
        port: int,
        prefix: str,
        say: Say,
        login: tuple[str, str | None] | None = None,
        tls: bool = False,
    ) -> None:
        """Raises EngineError without paho-mqtt, ConfigError for a prefix of topics that cannot be, AddressError where
        no broker answers.
        """
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
        except ModuleNotFoundError as error:
            raise uninstalled("paho-mqtt") from error
        if _NO_TOPIC.search(prefix) or len(prefix.encode()) > MOST_PREFIX_BYTES:
            raise ConfigError(
                f"mqtt: --prefix {prefix[:40]}: topics have no # and no +, and some hundred letters at most"
            )
        self._prefix, self._say = prefix, say
        self._full = MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
        self._waiting = 0  # messages that the broker has not confirmed
        self._lost = 0
        self._moved = threading.Condition()
        self._answered = threading.Event()
        self._refusal = "it does not answer"
        self._client: Any = Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(WAITING)
        self._client.will_set(f"{prefix}/status", "offline", QOS, retain=True)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_publish = self._confirmed
        if login:
            self._client.username_pw_set(*login)
        if tls:
            self._client.tls_set()
        try:
            self._client.connect(host, port)
        except (OSError, ValueError) as error:  # ValueError: a host that is none
            reason = getattr(error, "strerror", None) or error
            raise AddressError(f"mqtt: no broker answers at {host}:{port} ({reason})") from error

    def __enter__(self) -> Self:
        """Raises AddressError where the broker does not let us in."""
        self._client.loop_start()
        self._answered.wait(ANSWER_S)
        if self._refusal:
            self._client.disconnect()
            self._client.loop_stop()
            raise AddressError(f"mqtt: the broker does not let us in: {self._refusal}; --user names a login")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._publish("status", "offline", retain=True)
        with self._moved:
            self._moved.wait_for(lambda: not self._waiting, DELIVERY_S)
        self._client.disconnect()
        self._client.loop_stop()
        lost = self._lost + self._waiting
        complaint = f"mqtt: {counted(lost, 'message')} not delivered: the broker is away or refuses them"
        if lost and error is None:
            raise AddressError(complaint)
        if lost:
            self._say(complaint)

    def send(self, message: PublicEvent) -> None:
        """Pass on one message."""
        self._publish(topic_of(message), json_of(message), retain=isinstance(message, Hello))

    def _publish(self, topic: str, payload: str, retain: bool) -> None:
        """Hand a message to the library, which keeps it until the broker confirms it, across broken connections too."""
        with self._moved:
            self._waiting += 1
        if self._client.publish(f"{self._prefix}/{topic}", payload, QOS, retain).rc == self._full:
            with self._moved:
                self._waiting, self._lost = self._waiting - 1, self._lost + 1

    def _confirmed(self, client: Any, data: object, number: int, reason: object, properties: object) -> None:
        with self._moved:
            self._waiting -= 1
            self._moved.notify()

    def _connected(self, client: Any, data: object, flags: object, reason: Any, properties: object) -> None:
        self._refusal = str(reason) if reason.is_failure else ""
        if not reason.is_failure:
            self._publish("status", "online", retain=True)
        self._answered.set()

    def _disconnected(self, client: Any, data: object, flags: object, reason: Any, properties: object) -> None:
        if reason.is_failure:
            waiting = counted(self._waiting, "message")
            self._say(f"mqtt: the broker is away ({reason}); {waiting} waiting, and it is tried again")

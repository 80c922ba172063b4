"""What a session does, in figures that Prometheus reads (`live/metrics_endpoint.py`).

No word of what was said and no name of a person is in them; but how often each label was, is. The rule of this file: it
only listens to the messages that the supervisor hears of, and a scrape costs the session nothing.
"""

from collections import deque

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from erc_live.streams.messages import (
    RELABEL_REACH,
    AnyMessage,
    EmotionEvent,
    Gap,
    Hello,
    Overload,
    Relabel,
    SessionState,
    WorkerLost,
    WorkerStatus,
)
from erc_live.streams.stage_durations import STAGES, stage_durations

LATENCIES_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


class SessionMetrics:
    """`observe` the messages of one session; `registry` holds the figures."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)

        def counter(name: str, help_: str, *labels: str) -> Counter:
            return Counter(f"erc_live_{name}", help_, labels, registry=registry)

        def gauge(name: str, help_: str, *labels: str) -> Gauge:
            return Gauge(f"erc_live_{name}", help_, labels, registry=registry)

        self._info = Info("erc_live_session", "The session and what it is for", registry=registry)
        self._utterances = counter("utterances", "Utterances classified, each once", "label")
        self._uncertain = counter("uncertain_utterances", "Of them, those whose label is to be read as: cannot tell")
        self._wordless = counter("wordless_utterances", "Of them, those whose words were given up for speed")
        self._provisional = counter("provisional_events", "Events of utterances that went on")
        self._relabels = counter("relabels", "How often it turned out that somebody else had spoken")
        self._latency = Histogram(
            "erc_live_latency_seconds",
            "From the end of an utterance to its event, by stage",
            ("stage",),
            registry=registry,
            buckets=LATENCIES_S,
        )
        self._gaps = counter("gaps", "Holes in what was received", "cause")
        self._lost = counter("lost", "Messages, blocks or (of a worker) utterances that are missing in them", "cause")
        self._overload = gauge("overload_level", "How many things are given up for speed")
        self._recording = gauge("recording", "Whether the session is written to disk")
        self._paused = gauge("paused", "Whether nothing is listened to or looked at")
        self._deaths = counter("worker_deaths", "How often the process died", "worker")
        self._running = gauge("worker_running", "Whether the process runs", "worker")
        self._lag = gauge("worker_lag_seconds", "How far the process is behind", "worker")
        self._dropped = gauge("worker_dropped", "What the process has dropped so far", "worker")
        self._waiting = gauge("worker_waiting", "Utterances begun or closed, and not yet given on", "worker")
        self._level = gauge("worker_level_dbfs", "Level of a microphone", "worker")
        self._rate = gauge("worker_rate_hz", "Pictures per second of a camera", "worker")
        self._recent: deque[str] = deque(maxlen=RELABEL_REACH)  # utterances that may be said again

    def observe(self, message: AnyMessage) -> None:
        """Count the message."""
        match message:
            case EmotionEvent():
                self._event(message)
            case WorkerStatus():
                self._status(message)
            case Gap():
                self._gaps.labels(message.cause).inc()
                self._lost.labels(message.cause).inc(message.lost)
            case Relabel():
                self._relabels.inc()
            case Overload():
                self._overload.set(message.level)
            case WorkerLost():
                self._deaths.labels(message.worker).inc()
            case Hello() | SessionState():
                self._session(message)

    def _session(self, message: Hello | SessionState) -> None:
        if isinstance(message, SessionState):
            self._recording.set(message.recording)
            self._paused.set(message.paused)
        else:
            self._info.info({"session": message.session, "model": message.model, "purpose": message.purpose})

    def _event(self, event: EmotionEvent) -> None:
        if not event.final:
            self._provisional.inc()
        elif event.utterance not in self._recent:
            self._recent.append(event.utterance)
            self._utterances.labels(event.label).inc()
            self._uncertain.inc(not event.certain)
            self._wordless.inc(event.skipped)
            durations = stage_durations(event)
            for stage, duration_ns in zip((*STAGES, "all"), (*durations, sum(durations)), strict=True):
                self._latency.labels(stage).observe(duration_ns / 1e9)

    def _status(self, status: WorkerStatus) -> None:
        worker = status.worker
        self._running.labels(worker).set(status.phase == "running")
        self._lag.labels(worker).set(status.lag_s)
        self._dropped.labels(worker).set(status.dropped)
        self._waiting.labels(worker).set(status.waiting)
        if status.level_db is not None:
            self._level.labels(worker).set(status.level_db)
        if status.rate_hz is not None:
            self._rate.labels(worker).set(status.rate_hz)

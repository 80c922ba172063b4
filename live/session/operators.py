"""Who follows a session beside its stream, and may ask something of it: the registry, the metrics, the actions of
alerts, and the control channel.

The rule of this file: a session that leaves no trace has none in the registry, and without these a session runs as
well.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from msgspec import structs

from erc_live.live.alerts.alert_actions import AlertActions
from erc_live.live.screen.console import print_line
from erc_live.live.session.registry import Registration
from erc_live.live.session.spec import SessionSpec
from erc_live.streams.control_channel import ControlServer
from erc_live.streams.messages import AnyMessage, Command


def _nothing() -> None:
    """What is asked of a session that cannot be asked."""


def _print_all(lines: Callable[[], list[str]]) -> None:
    for line in lines():
        print_line(line)


@dataclass(frozen=True)
class Operators:
    """`observe` is called with each message; `asked`, often: what somebody wants; `complaints`: what went wrong aside
    since the last call, a line each. `control`: where programs ask, if they may.
    """

    observe: Callable[[AnyMessage], None] = lambda message: None
    asked: Callable[[], Command | None] = _nothing
    complaints: Callable[[], list[str]] = list
    control: ControlServer | None = None


@contextmanager
def operators(session: SessionSpec, observe: Callable[[AnyMessage], None]) -> Iterator[Operators]:
    """Those that the configuration of a session asks for, beside `observe`."""
    config = session.config
    with ExitStack() as stack:
        observers = [observe]
        asked: Callable[[], Command | None] = _nothing
        control = None
        if config.control.enabled:
            control = stack.enter_context(closing(ControlServer(config.control.endpoint, session.session)))
            place = structs.replace(config.control, endpoint=control.endpoint)  # where it asked for any free port
            session = structs.replace(session, config=structs.replace(config, control=place))
        if not config.session.ephemeral:
            registration = stack.enter_context(closing(Registration(session)))
            observers.append(registration.observe)
            asked = registration.command
        if config.metrics.port:
            from erc_live.live.metrics_endpoint import served  # here: few sessions are measured
            from erc_live.live.session.prometheus import SessionMetrics

            metrics = SessionMetrics()
            stack.enter_context(served(metrics.registry, config.metrics.port))
            observers.append(metrics.observe)
        replaying = not any(source.live for source in session.sources)
        actions = AlertActions(config.alerts, replaying)
        stack.callback(_print_all, actions.failures)  # what fails at the end
        observers.append(stack.enter_context(closing(actions)).observe)

        def observed(message: AnyMessage) -> None:
            for each in observers:
                each(message)

        yield Operators(observed, asked, actions.failures, control)

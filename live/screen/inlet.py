"""Where a screen gets its messages from."""

from typing import Protocol

from erc_live.streams.messages import AnyMessage


class Inlet(Protocol):
    """A `streams.bus.Subscriber`, or what stands for one."""

    def receive(self, timeout_s: float) -> list[AnyMessage]:
        """What has arrived; waits at most `timeout_s` for something."""

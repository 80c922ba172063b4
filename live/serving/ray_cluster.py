"""Ray: processes for shards, and for others, on this machine or on those of a cluster.

Nothing leaves the machine unasked: no usage statistics, no dashboard; a Ray that is started here listens on the
loopback interface alone, and who wants to speak with it must know a token that is drawn anew. Its files lie in a folder
of this user's alone, and go with it.
The actors are owned: they end with who started them, however that ends. A shard that lived on without its gateway would
serve nobody, and what it knows is in its log. Ray does not restart them, either: a spare stands ready, with everything
loaded, and takes the place of one that died, and of one that hangs.
The rules of this file: it alone knows Ray, and loads it when it is known for which address: on import, Ray reads from
the environment how it is to listen.
"""

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from erc_live.live.config import Config
from erc_live.live.errors import EngineError
from erc_live.live.serving.shard_actor import Room, ShardActor, ShardOpened, ShardQuestion, ShardReply
from erc_live.live.serving.shard_lane import ShardLost
from erc_live.streams.feature_channel import FeatureFrames

OBJECTS = 80 << 20  # bytes of the object store, the least that Ray takes; a turn has far less
TRIES = 3  # to start Ray here: it gives up by itself where a busy machine loads its parts for more than 15 s
LOCAL = "local"

T = TypeVar("T")


class RayCluster:
    """A context: Ray, connected to `address`, or started here if that is "local", with room for so many processes.

    Raises EngineError where there is none.
    """

    def __init__(self, address: str, processes: int, wake: Callable[[], None] = lambda: None) -> None:
        ray = _loaded(address)
        self._wake = wake
        self._folder = ""
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        if address == LOCAL:
            self._folder = tempfile.mkdtemp(prefix="erc-ray-")  # short: the paths of sockets are
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            try:
                _tried(lambda: _start(self._folder, processes), TRIES)
            except BaseException:
                shutil.rmtree(self._folder, ignore_errors=True)
                raise
        else:
            _tried(lambda: ray.init(address, log_to_driver=False, configure_logging=False, namespace="erc-live"), 1)
        for number, handler in handlers.items():
            signal.signal(number, handler)  # Ray has put its own there, which ends the process at once

    def __enter__(self) -> "RayCluster":
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def start(self, name: str, config: Config, dialogues: int, folder: Path) -> "RayShard":
        """A process for a shard of so many dialogues, whose logs lie in the folder; it loads meanwhile."""
        return RayShard(self.actor(ShardActor, ShardLost, name=name), (config, dialogues, folder))

    def actor(self, kind: type, lost: type[Exception], *arguments: object, **options: Any) -> "RayActor":
        """An object of that class in a process of its own, which waits until a CPU is free for it. `lost`: what a call
        raises when the process has died. `options`: of Ray.
        """
        import ray

        options = {"num_cpus": 1, "max_restarts": 0, "scheduling_strategy": "SPREAD"} | options
        return RayActor(ray.remote(kind).options(**options).remote(*arguments), self._wake, lost)

    def gpus(self) -> float:
        """How many GPUs there are."""
        import ray

        return float(ray.cluster_resources().get("GPU", 0))

    def free(self) -> tuple[int, int]:
        """How many CPUs, and how many bytes of memory, nobody has asked for yet."""
        import ray

        resources = ray.available_resources()
        return int(resources.get("CPU", 0)), int(resources.get("memory", 0))


class RayShard:
    """A `ShardProcess` in an actor. `loaded`: of the process whose id it becomes."""

    def __init__(self, actor: "RayActor", loading: tuple[Config, int, Path]) -> None:
        self._actor = actor
        self.loaded: Future[int] = actor.call("load", *loading)

    def open(self, folder: Path, room: Room | None, since: int | None) -> "Future[ShardOpened]":
        return self._actor.call("open", folder, room, since)

    def turn(
        self, messages: list[FeatureFrames], questions: list[ShardQuestion], elsewhere: int = 0
    ) -> "Future[ShardReply]":
        return self._actor.call("turn", messages, questions, elsewhere)

    def kill(self) -> None:
        self._actor.kill()


class RayActor:
    """An object in another process."""

    def __init__(self, actor: Any, wake: Callable[[], None], lost: type[Exception]) -> None:
        self._actor, self._wake, self._lost = actor, wake, lost

    def kill(self) -> None:
        import ray

        ray.kill(self._actor)

    def call(self, method: str, *arguments: object) -> "Future[Any]":
        """As Ray's own future, with the errors of this project; whoever waits is woken when it is done."""
        from ray.exceptions import RayError, RayTaskError

        awaited: Future[Any] = Future()

        def done(finished: "Future[Any]") -> None:
            error = finished.exception()
            if error is None:
                awaited.set_result(finished.result())
            elif isinstance(error, RayTaskError):
                awaited.set_exception(error.cause or error)
            elif isinstance(error, RayError):  # its process died, or its machine with the answer
                awaited.set_exception(self._lost(str(error).splitlines()[0]))
            else:
                awaited.set_exception(error)
            self._wake()

        getattr(self._actor, method).remote(*arguments).future().add_done_callback(done)
        return awaited


def _loaded(address: str) -> Any:
    """Ray, told by the environment how to behave; the processes that it starts read that, too."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15 otherwise: behind all else on the machine, the gateway too
    if address == LOCAL:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # no cluster, on any system: then it listens on loopback
    import ray

    return ray


def _start(folder: str, processes: int) -> None:
    import ray

    ray.init(
        address=LOCAL,
        num_cpus=processes,
        num_gpus=0,
        object_store_memory=OBJECTS,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        namespace="erc-live",
        _temp_dir=folder,
    )


def _tried(connect: Callable[[], object], tries: int) -> None:
    import ray

    for again in range(tries - 1, -1, -1):
        try:
            connect()
        except Exception as error:  # Ray raises what comes, down to Exception itself
            ray.shutdown()
            if not again:
                raise EngineError(f"Ray does not start: {str(error).splitlines()[0]}") from error
        else:
            return

"""What a pool asks of Ray for its recognisers, and how it knows that one died; with a cluster that is none."""

from concurrent.futures import Future

import pytest

from erc_live.live.asr_pool.ray_recognisers import RecogniserActor, ray_starter
from erc_live.live.asr_pool.recogniser_pool import RecogniserLost
from erc_live.live.config import ModelsSection, TranscriberSection


class FakeCluster:
    """Keeps what is asked of it. `calls`: the futures of an actor, by method."""

    def __init__(self, gpus):
        self._gpus, self.options, self.calls = gpus, {}, {}

    def gpus(self):
        return self._gpus

    def actor(self, kind, lost, *arguments, **options):
        assert (kind, lost) == (RecogniserActor, RecogniserLost)
        self.options = options
        return self

    def call(self, method, *arguments):
        return self.calls.setdefault(method, Future())

    def kill(self):
        raise RuntimeError("it has died already")


@pytest.mark.parametrize(
    ("device", "gpus", "most", "share"),
    [("auto", 0.0, 4, None), ("cpu", 8.0, 4, None), ("auto", 8.0, 4, 1.0), ("cuda", 2.0, 6, 0.333)],
)
def test_gpus_are_shared_evenly_where_there_are_any(device, gpus, most, share):
    cluster = FakeCluster(gpus)
    ray_starter(cluster, TranscriberSection(device=device, threads=2), ModelsSection(), most)()
    assert cluster.options.get("num_gpus") == share
    assert cluster.options["num_cpus"] == 2
    assert cluster.options["max_concurrency"] == 2, "one call stays for as long as it lives"


def test_one_that_dies_while_it_is_idle_is_known():
    cluster = FakeCluster(0.0)
    recogniser = ray_starter(cluster, TranscriberSection(threads=1), ModelsSection(), 1)()
    assert recogniser.alive
    cluster.calls["stay"].set_exception(RecogniserLost("killed"))
    assert not recogniser.alive
    recogniser.end()

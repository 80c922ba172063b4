"""A reader that does not read for a while loses messages, and is told how many; it is not disconnected or killed."""

from contextlib import closing

import zmq

from erc_live.streams.bus import Publisher, Subscriber


def test_no_heartbeat_takes_a_full_queue_for_a_dead_peer(tmp_path) -> None:
    """A socket whose queue is full does not read, so it does not answer heartbeats either; libzmq then reconnects, and
    aborts the process when the queue is emptied (its bug report 3937). The kernel tells of peers here that died.
    """
    endpoint = f"ipc://{tmp_path}/e"
    with closing(Publisher(endpoint)) as publisher, closing(Subscriber([endpoint], ["audio"])) as subscriber:
        for socket in (publisher._outlet._socket, subscriber._socket):
            assert socket.get(zmq.HEARTBEAT_IVL) == 0

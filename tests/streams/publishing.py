"""A program for tests: a real publisher in a process of its own, which publishes as a busy session does until its
standard input is closed, or it is killed.

Called with a JSON object: the endpoint, and perhaps `history`, `rate_hz`, `keys` (a folder) and `keyless`. It prints
the endpoint when it publishes.
"""

import json
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import examples

from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.event_stream import EventPublisher
from erc_live.streams.messages import Word

TURN_S = 0.01
WORDS = tuple(Word(text="well", t_start_ns=n, t_end_ns=n, confidence=0.5) for n in range(20))


def main() -> None:
    asked = json.loads(sys.argv[1])
    keys = KeyFolder(Path(asked["keys"])) if "keys" in asked else None
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
    publisher = EventPublisher(
        asked["endpoint"], asked.get("history", 200), keys=keys, keyless=asked.get("keyless", False)
    )
    with closing(publisher):
        publisher.publish(examples.hello())
        seq = 0
        for seq in range(asked.get("history", 200)):
            publisher.publish(examples.event(seq, words=WORDS))
        sys.stdout.write(publisher.endpoint + "\n")
        sys.stdout.flush()
        rest = 0.0
        while not stopped.is_set():
            time.sleep(TURN_S)
            publisher.poll()
            rest += asked.get("rate_hz", 0.0) * TURN_S
            while rest >= 1:
                rest -= 1
                seq += 1
                publisher.publish(examples.event(seq, words=WORDS, t_published_ns=time.monotonic_ns()))
        publisher.publish(examples.session_end(seq))


if __name__ == "__main__":
    main()

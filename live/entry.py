"""Where the command `erc-live` begins: Ctrl-C is no traceback from the first instant on.

What the command line is built of takes a quarter of a second to import; a person may change their mind in it.
The rule of this file: it imports nothing else before it has said what an interrupt means.
"""

import os
import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """Console entry point."""
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    from erc_live.live.cli import main as run

    try:
        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()

"""How large the parts of a bundle may be: a bundle that somebody hands over is data, and reading it costs what it may.

The recorder stays far below each of these. What is beyond is refused, with the limit, before memory is spent on it.
"""

MANIFEST_BYTES = 1 << 20
LINE_BYTES = 1 << 20  # of a log; the vectors of an utterance take 10 kB
LOG_BYTES = 1 << 30  # four days of talk without a pause
CHECKSUMS_BYTES = 1 << 26  # a week of three sources
SEGMENT_BYTES = 1 << 28
SEGMENT_S = 60  # the recorder begins a new one after 8 s
IMAGE_PX = 1 << 26
SOURCES = 64  # each is a process when a session is replayed
NAME_LETTERS = 200
TIME_NS = 1 << 62  # 146 years either way: sums of two still fit a message

"""What can be wrong with files that a user brings: each message says what, where, and how to mend it, in one line.

`live/errors.py` says what the command line ends with.
"""


class WeightsError(Exception):
    """Weights are absent, damaged, or made for something else."""


class CorpusError(Exception):
    """A corpus is absent, or its rows are not what its format says."""


class StateError(Exception):
    """A saved state of a dialogue cannot be read, or another model made it."""

"""What can be wrong with files that a user brings: each message says what, where, and how to mend it, in one line.

`exit_code` is what the command line ends with; the README lists the codes.
"""


class WeightsError(Exception):
    """Weights are absent, damaged, or made for something else."""

    exit_code = 5


class CorpusError(Exception):
    """A corpus is absent, or its rows are not what its format says."""

    exit_code = 4


class StateError(Exception):
    """A saved state of a dialogue cannot be read, or another model made it."""

    exit_code = 4

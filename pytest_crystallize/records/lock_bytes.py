"""The bytes of the lock file of a session, and what each of them stands for.

From the first on: replicates of experiments, who claims the next ones of an experiment, names that something
is agreed on under, whoever appends an agreement, and the process that made the directory.
"""

from __future__ import annotations

import hashlib
from typing import Final

CLAIMS: Final = "claims"
"""Name of the file."""
_NEXT: Final = 1 << 59
_NAMES: Final = 1 << 60
APPENDING: Final = (1 << 61) - 1
"""Held while an agreement is appended."""
ALIVE: Final = 1 << 61
"""Held by the process that made the directory, for as long as it lives."""


def replicate_byte(experiment: str, replicate: int) -> int:
    """Return the byte that stands for a replicate: distinct within an experiment, hardly ever shared."""
    digest = hashlib.blake2b(experiment.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return (int.from_bytes(digest, "big") >> 1 << 24) + replicate


def next_byte(experiment: str) -> int:
    """Return the byte that is held while the next replicates of an experiment are claimed."""
    return _NEXT + replicate_byte(experiment, 0)


def name_byte(name: str) -> int:
    """Return the byte that is held while something is agreed on under a name."""
    return _NAMES + replicate_byte(name, 0)

"""What the processes of a session tell the one that reports on it of looks before the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pytest_crystallize.records.exchange import Exchange

if TYPE_CHECKING:
    from crystallize import Hypothesis
    from crystallize.seam import Analysis


class Test(Protocol):
    """A test of a claim."""

    hypothesis: Hypothesis | None
    treatment: str | None

    @property
    def nodeid(self) -> str:
        """Node id of the test."""


def look_name(experiment: str, number: int) -> str:
    """Return under what name processes agree on what a look found, from 1."""
    return f"look {number} of {experiment}"


def tell_look(
    exchange: Exchange, experiment: str, tests: Sequence[Test], analysis: Analysis, replicates: int
) -> None:
    """Make known what a look found of each claim.

    Parameters
    ----------
    exchange : Exchange
        Of this process.
    experiment : str
        Id of the experiment.
    tests : sequence of Test
        Those that are to be decided.
    analysis : Analysis
        The one that looked.
    replicates : int
        After how many replicates, or cases, it did.
    """

    def told() -> str:
        claims = []
        for test in tests:
            if test.hypothesis is None:
                continue
            looks = analysis.looks(test.hypothesis, test.treatment or "")
            here = [(p_value, level) for n, p_value, level in looks.trail if n == replicates]
            p_value, level = here[-1] if here else (None, None)
            status = None if looks.decided is None else looks.decided.status
            claims.append({"test": test.nodeid, "p_value": p_value, "level": level, "status": status})
        return json.dumps({"replicates": replicates, "claims": claims})

    exchange.agree(look_name(experiment, analysis.plan.sizes.index(replicates) + 1), told)

"""What the report of a test carries from where it was judged to where it is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Final

from crystallize import Verdict
from crystallize.seam import shown

ATTRIBUTE = "crystallize"
"""Of a report; it holds a text, which every plugin can send elsewhere."""
EXPECTED = "crystallize_expected"
"""Attribute of a report whose failure a mark ``xfail`` expects."""


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Use of stored runs by a test, of which no record tells.

    Attributes
    ----------
    is_complete : bool
        Whether earlier sessions had stored all of them.
    verified : tuple of (int, str)
        Replicate and condition of those that were run again and gave the same.
    why_run : str or None
        Why all of them are run in every session.
    changes : str
        Why nothing that is stored could be used.
    measured_on : tuple of str
        Dates on which stored values were measured that claims are about.
    """

    is_complete: bool = False
    verified: tuple[tuple[int, str], ...] = ()
    why_run: str | None = None
    changes: str = ""
    measured_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """Verdict on one test, and what no record tells of the runs that it rests on.

    Attributes
    ----------
    experiment : str
        Id of its experiment.
    conditions : tuple of str
        Those whose runs it rests on.
    run : int
        How many replicates were run: fewer than planned, if the experiment was stopped early.
    verdict : Verdict or None
        The verdict, if one was given; without a hypothesis, whether the runs are complete.
    calibration : mapping or None
        What A/A tests found: the fields of `Calibration`, and ``rate``.
    planned : mapping or None
        How many replicates a claim needs: the fields of `ClaimPlan`.
    reference : mapping or None
        What stands for the baseline, if a hypothesis is against a reference.
    unread : tuple of str
        What treatments set and nothing read, as sentences.
    cache : CacheUse
        How the runs were stored.
    enough : mapping of str to int
        Of conditions that were not run on, since all that is claimed of them was decided, how many
        replicates count.
    """

    experiment: str
    conditions: tuple[str, ...]
    run: int
    verdict: Verdict | None = None
    calibration: Mapping[str, Any] | None = None
    planned: Mapping[str, Any] | None = None
    reference: Mapping[str, Any] | None = None
    unread: tuple[str, ...] = ()
    cache: CacheUse = CacheUse()
    enough: Mapping[str, int] = field(default_factory=dict)

    @property
    def claim(self) -> Verdict | None:
        """The verdict, if it is on a hypothesis."""
        return self.verdict if self.verdict is not None and self.verdict.hypothesis else None

    @property
    def status(self) -> str | None:
        """Status of the verdict or the calibration; None if there is neither."""
        if self.calibration is not None:
            return str(self.calibration["status"])
        if self.planned is not None:
            return "planned"
        return None if self.verdict is None else self.verdict.status

    def to_json(self) -> str:
        """Return everything as text; names and floats come back as they are, of other values their text."""
        known = {name: getattr(self, name) for name in _FIELDS}
        known["verdict"] = None if self.verdict is None else self.verdict.to_dict()
        for name in ("verdict", "calibration", "planned", "reference"):
            known[name] = plain(known[name])
        known["cache"] = {name: getattr(self.cache, name) for name in _CACHE_FIELDS}
        return json.dumps(known)

    @classmethod
    @lru_cache(maxsize=8)
    def from_json(cls, text: str) -> Judged:
        """Return what `to_json` was called of; several hooks hear of one report."""
        known = json.loads(text)
        known |= {name: tuple(known[name]) for name in ("conditions", "unread")}
        verified = tuple((replicate, condition) for replicate, condition in known["cache"]["verified"])
        measured_on = tuple(known["cache"]["measured_on"])
        known["cache"] = CacheUse(**{**known["cache"], "verified": verified, "measured_on": measured_on})
        if known["verdict"] is not None:
            known["verdict"] = Verdict.from_dict(known["verdict"])
        return cls(**known)


_FIELDS: Final = tuple(each.name for each in fields(Judged))
_PLAIN: Final = frozenset({type(None), bool, float})
_CACHE_FIELDS: Final = tuple(each.name for each in fields(CacheUse))


def judged_of(report: Any) -> Judged | None:
    """Return what a report carries; None if it is of no test that was judged."""
    found = getattr(report, ATTRIBUTE, None)
    return None if found is None else Judged.from_json(found)


def plain(value: Any) -> Any:
    """Reduce to what every report format and process boundary can carry."""
    kind = type(value)
    if kind in _PLAIN or (kind is str and value.isascii()):
        return value
    if isinstance(value, dict):
        return {plain(str(key)): item if type(item) in _PLAIN else plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)
    text = value if isinstance(value, str) else shown(value)
    return text.encode("utf-8", "backslashreplace").decode()

"""What a claim says, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from crystallize.claims.pass_at import PassAt
from crystallize.claims.stat_test import StatisticalTest
from crystallize.stats import Alternative

Direction = Literal["increase", "decrease", "differ", "equal", "no_decrease", "no_increase"]
Pairing = Literal["auto", "intersect", "none"]
NanPolicy = Literal["invalid", "omit", "worst"]
Kind = Literal["auto", "numeric", "binary"]

_SUPERIORITY: Final[dict[str, Alternative]] = {
    "increase": "greater",
    "decrease": "less",
    "differ": "two-sided",
}
_GUARDS: Final[dict[str, Alternative]] = {
    "no_decrease": "greater",
    "no_increase": "less",
    "equal": "greater",  # the side is that of the test with the larger p
}

EXCLUSION: Final = 0.2
"""One-sided level at which a claim of no harm excludes the loss that it is to detect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTerms:
    """Terms of a claim about one metric, and how it is to be decided.

    The parameters are those of `Hypothesis`.
    """

    metric: str
    direction: Direction
    per: str | None = None
    passes: PassAt | None = None
    covariate: str | None = None
    statistical_test: StatisticalTest | Literal["auto"] = "auto"
    alpha: float | None = None
    margin: float | None = None
    at_least: float | None = None
    detects: float | None = None
    relative: bool = False
    effect: float | None = None
    alternative: Literal["two-sided", "one-sided"] = "two-sided"
    pairing: Pairing = "auto"
    nan_policy: NanPolicy = "invalid"
    max_missing: float | None = None
    worst: float | None = None
    kind: Kind = "auto"
    deterministic: bool = False

    @property
    def second(self) -> str | None:
        """The metric that is read beside: a denominator, or a covariate."""
        return self.covariate if self.per is None else self.per

    @property
    def label(self) -> str:
        """Subject of the claim, in words."""
        return self.metric if self.per is None else f"{self.metric} per {self.per}"

    @property
    def test(self) -> StatisticalTest | None:
        """The test, where one is named."""
        test = self.statistical_test
        return test if type(test) is not str and isinstance(test, StatisticalTest) else None

    @property
    def level(self) -> float:
        """Significance level."""
        assert self.alpha is not None  # settled when it was made
        return self.alpha

    @property
    def deciding_level(self) -> float:
        """Level of the test that supports it: of a loss that is to be excluded, .2."""
        return self.level if self.detects is None else EXCLUSION

    @property
    def knows_worst(self) -> bool:
        """Whether the direction says which value would be the worst."""
        return self.direction in ("no_decrease", "no_increase")

    @property
    def is_superiority(self) -> bool:
        """Whether a difference is claimed, rather than its absence."""
        return self.direction in _SUPERIORITY

    @property
    def size(self) -> float | None:
        """Size that a difference has to have, or may have, for support: `margin`, `at_least` or `detects`."""
        if self.margin is not None:
            return self.margin
        return self.detects if self.at_least is None else self.at_least

    @property
    def shift(self) -> float:
        """Difference under the null hypothesis of a claim with a sign."""
        least = self.at_least or 0.0
        return -least if self.claimed == "less" else least

    @property
    def has_relative_size(self) -> bool:
        """Whether `size`, and so the difference, is a part of the baseline's mean."""
        return self.relative and self.size is not None

    @property
    def in_percent(self) -> bool:
        """Whether the difference is shown as a part of the baseline's mean."""
        return self.has_relative_size or self.is_ratio

    @property
    def is_ratio(self) -> bool:
        """Whether the test itself compares by ratio."""
        return self.test is not None and self.test.scale == "ratio"

    @property
    def claimed(self) -> Alternative:
        """On which side of the null hypothesis the claim lies."""
        return _SUPERIORITY[self.direction] if self.is_superiority else _GUARDS[self.direction]

    @property
    def alternative_of_p(self) -> Alternative:
        """Of which alternative the p-value is."""
        return self.claimed if not self.is_superiority or self.alternative == "one-sided" else "two-sided"

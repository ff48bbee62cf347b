"""Claims about a metric: terms that make sense together."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from crystallize.claims.claim_terms import ClaimTerms, Direction, Kind, NanPolicy, Pairing
from crystallize.claims.tests_of_units import ClusteredTTest
from crystallize.declare.numbers import make_plain
from crystallize.errors import DefinitionError

_HARMS: Final = ("no_decrease", "no_increase")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(ClaimTerms):
    """A claim about one metric, decided by a statistical test.

    Superiority (increase, decrease, differ) is supported if p is at most the level and the difference has the
    claimed sign, and refuted if the confidence interval lies wholly on the other side. A guard (no_decrease,
    no_increase, equal) is supported if its one-sided p is at most the level, and refuted if the interval lies
    wholly beyond the margin. Everything else is inconclusive. Without variance the interval is a point; it
    refutes only if the exact floor of p does.

    A guard with `detects` in place of a margin is an alarm: refuted if harm, a difference of any size in the
    wrong direction, is shown at the level; else "no harm shown" if a one-sided 80 % bound excludes a loss of
    `detects`.

    The parameters are those of `Hypothesis`.

    Raises
    ------
    DefinitionError
        If they make no sense together.
    """

    def __post_init__(self) -> None:
        make_plain(self)
        if not isinstance(self.metric, str) or not self.metric:
            raise DefinitionError(f"metric is {self.metric!r}; give the name of one metric")
        self._check_values()
        self._check_margin()
        self._check_missing()
        self._check_worst()
        self._check_test()
        self._check_second()
        if self.deterministic:
            self._check_deterministic()
        object.__setattr__(self, "alpha", 0.05 if self.alpha is None else float(self.alpha))

    def _refuse(self, what: str, why: str) -> DefinitionError:
        return DefinitionError(f"the claim about {self.metric!r} has {what}; {why}")

    def _check_values(self) -> None:
        for name, allowed in (
            ("direction", Direction),
            ("alternative", Literal["two-sided", "one-sided"]),
            ("pairing", Pairing),
            ("nan_policy", NanPolicy),
            ("kind", Kind),
        ):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in get_args(allowed):
                raise self._refuse(
                    f"{name}={value!r}", f"allowed are {', '.join(map(repr, get_args(allowed)))}"
                )
        for name in ("relative", "deterministic"):
            if not isinstance(getattr(self, name), bool):
                raise self._refuse(f"{name}={getattr(self, name)!r}", "allowed are True and False")
        level = self.alpha
        if level is not None and (not _is_number(level) or not 0 < level < 1):
            raise self._refuse(f"alpha={level!r}", "a significance level lies between 0 and 1")
        if level is not None and not self.is_superiority and level >= 0.5:
            raise self._refuse(
                f"alpha={level!r}", "the level of a claim with a margin is one-sided: below 0.5"
            )
        if self.alternative == "one-sided":
            if self.direction == "differ":
                raise self._refuse(
                    "direction='differ' and alternative='one-sided'",
                    "a difference has no side; claim an increase or a decrease",
                )
            if not self.is_superiority:
                raise self._refuse(
                    "alternative='one-sided'", f"{self.direction!r} is one-sided already; leave it out"
                )

    def _check_margin(self) -> None:
        for name in ("margin", "at_least", "detects", "effect"):
            value = getattr(self, name)
            if value is None:
                continue
            if not _is_number(value) or value < 0:
                raise self._refuse(f"{name}={value!r}", "allowed are positive finite numbers")
            if value == 0 and not (name == "margin" and self.deterministic):
                raise self._refuse(
                    f"{name}=0",
                    "no number of replicates shows a difference of exactly 0; allowed are positive numbers"
                    + (", and 0 with deterministic=True" if name == "margin" else ""),
                )
        if self.is_superiority and self.margin is not None:
            raise self._refuse(
                f"direction={self.direction!r} and margin={self.margin!r}",
                "a margin belongs to 'no_decrease', 'no_increase' and 'equal'; the smallest difference "
                "that is "
                "worth finding is effect=",
            )
        if not self.is_superiority and self.size is None:
            raise self._refuse(
                f"direction={self.direction!r} and no margin",
                "give margin=, the largest change that is still tolerable, in the units of the metric (or "
                "as a part of the baseline's mean, with relative=True)",
            )
        if self.detects is not None and (self.direction not in _HARMS or self.margin is not None):
            raise self._refuse(
                f"direction={self.direction!r}, margin={self.margin!r} and detects={self.detects!r}",
                "the loss that is to be excluded belongs to 'no_decrease' and 'no_increase' without margin=",
            )
        if not self.is_superiority and self.effect is not None:
            raise self._refuse(f"effect={self.effect!r}", "a claim with a margin has its size in margin=")
        self._check_at_least()
        if self.relative and self.size is None and self.effect is None:
            raise self._refuse(
                "relative=True", "it speaks of margin=, at_least= or effect=, and none of them is given"
            )
        if self.relative and self.size is not None and self.kind == "binary":
            raise self._refuse(
                "relative=True and kind='binary'", "the margin of a rate is absolute: margin=0.02 is 2 points"
            )

    def _check_at_least(self) -> None:
        least, effect = self.at_least, self.effect
        if least is None:
            return
        if self.direction not in ("increase", "decrease"):
            raise self._refuse(
                f"direction={self.direction!r} and at_least={least!r}",
                "at least how much it goes up or down belongs to 'increase' and 'decrease'",
            )
        if effect is not None and effect <= least:
            raise self._refuse(
                f"effect={effect!r} and at_least={least!r}",
                "the true difference that is to be found has to be the larger one",
            )
        if self.relative and self.direction == "decrease" and least >= 1:
            raise self._refuse(f"at_least={least!r}", "nothing falls by all that it is, or more")

    def _check_worst(self) -> None:
        worst = self.worst
        if worst is None:
            if self.nan_policy == "worst" and self.kind == "numeric":
                raise self._refuse(
                    "nan_policy='worst' and kind='numeric'",
                    "give worst= too, the worst value that the metric can have: what was seen does not tell",
                )
            return
        if not _is_number(worst):
            raise self._refuse(f"worst={worst!r}", "give the worst value that the metric can have, a number")
        if self.is_superiority:
            raise self._refuse(
                f"direction={self.direction!r} and worst={worst!r}",
                "the worst value bounds what a claim with a margin leaves unseen",
            )

    def _check_missing(self) -> None:
        allowed = self.max_missing
        if self.nan_policy != "omit":
            if allowed is not None:
                raise self._refuse(
                    f"max_missing={allowed!r}", f"it belongs to nan_policy='omit', not {self.nan_policy!r}"
                )
            if self.nan_policy == "worst" and not self.knows_worst:
                raise self._refuse(
                    f"nan_policy='worst' and direction={self.direction!r}",
                    "only 'no_decrease' and 'no_increase' know what is worst; use 'omit' with max_missing=",
                )
            return
        if allowed is None:
            raise self._refuse(
                "nan_policy='omit'",
                "give max_missing= too, how many replicates (or which part of them) may be left out",
            )
        whole = type(allowed) is int and allowed >= 1
        if not whole and not (isinstance(allowed, float) and 0 < allowed < 1):
            raise self._refuse(
                f"max_missing={allowed!r}",
                "allowed are a number of replicates >= 1, or a part between 0 and 1",
            )

    def _check_test(self) -> None:
        test = self.test
        if test is None:
            if self.statistical_test != "auto":
                raise self._refuse(
                    f"statistical_test={self.statistical_test!r}",
                    "give 'auto' or an instance such as WelchTTest()",
                )
            return
        if self.kind != "auto":
            raise self._refuse(
                f"statistical_test={test!r} and kind={self.kind!r}",
                "the kind chooses a test where none is named",
            )
        if self.size is not None and test.scale is None:
            raise self._refuse(
                f"statistical_test={test!r} and {self._named_size}",
                "the class does not say what a shift is to compare(): set scale = 'difference', if it is in "
                "the units of the metric, or 'ratio', if it is a relative change",
            )
        if self.size is not None and not test.tests_margins:
            raise self._refuse(
                self._named_size, f"the {test.name} test knows no margin; leave statistical_test out"
            )
        if test.scale == "ratio" and not self.relative and (self.size or self.effect) is not None:
            raise self._refuse(
                f"statistical_test={test!r} and relative=False",
                f"the {test.name} test compares by ratio; say relative=True, and 0.05 for 5 %",
            )
        if test.paired and self.pairing == "none":
            raise self._refuse(
                "pairing='none'", f"the {test.name} test is of pairs; use WelchTTest(), or leave pairing out"
            )
        if not test.paired and not test.follows_design and self.pairing == "intersect":
            raise self._refuse("pairing='intersect'", f"the {test.name} test pairs nothing")
        if isinstance(test, ClusteredTTest) and self.nan_policy != "invalid":
            raise self._refuse(
                f"nan_policy={self.nan_policy!r}", f"the {test.name} test takes complete replicates only"
            )
        if self.has_relative_size and not test.tests_relative_margins:
            raise self._refuse("relative=True", f"the {test.name} test takes an absolute margin")

    def _check_second(self) -> None:
        """Check what a second metric, a denominator or a covariate, goes together with."""
        if self.covariate is not None and (not isinstance(self.covariate, str) or not self.covariate):
            raise self._refuse(f"covariate={self.covariate!r}", "give the name of another metric")
        if self.second is None:
            return
        if self.per is not None:
            what, why = (
                f"metric=Ratio({self.metric!r}, {self.per!r})",
                "a ratio of totals has a test of its own",
            )
        else:
            what, why = f"covariate={self.covariate!r}", "means are adjusted for it by a test of its own"
        if self.per is not None and self.covariate is not None:
            raise self._refuse(f"{what} and covariate={self.covariate!r}", "no test of ratios takes one")
        if self.second == self.metric:
            raise self._refuse(what, "a metric is no covariate of itself")
        if self.per is not None and self.is_ratio:
            assert self.test is not None
            raise self._refuse(
                f"{what} and statistical_test={self.test!r}",
                f"a ratio is of totals, of which the {self.test.name} test does not speak; for percent, give "
                "relative=True alone",
            )
        for name, default in (
            ("statistical_test", "auto"),
            ("kind", "auto"),
            ("nan_policy", "invalid"),
            ("worst", None),
            ("deterministic", False),
        ):
            if getattr(self, name) != default:
                raise self._refuse(f"{what} and {name}={getattr(self, name)!r}", why)
        if self.covariate is not None and self.has_relative_size:
            raise self._refuse(f"{what} and relative=True", "adjusted means are compared by their difference")

    def _check_deterministic(self) -> None:
        for name, default in (
            ("statistical_test", "auto"),
            ("alpha", None),
            ("alternative", "two-sided"),
            ("pairing", "auto"),
            ("nan_policy", "invalid"),
            ("kind", "auto"),
            ("worst", None),
            ("effect", None),
            ("detects", None),
        ):
            if getattr(self, name) != default:
                raise self._refuse(
                    f"deterministic=True and {name}={getattr(self, name)!r}",
                    "values that no seed changes are compared directly, without a test",
                )

    def check_against_number(self, number: float) -> None:
        """Raise `DefinitionError` if it can't be claimed of one sample, against a number."""
        why = "one sample is compared with a number"
        if self.kind == "binary" and not 0 <= number <= 1:
            raise self._refuse(
                f"kind='binary' and against={number:g}", "a rate is compared with a number from 0 to 1"
            )
        if self.covariate is not None:
            raise self._refuse(f"covariate={self.covariate!r}", f"{why}, whose covariate nobody knows")
        if self.pairing != "auto":
            raise self._refuse(f"pairing={self.pairing!r}", f"{why}, so nothing is paired")
        if self.nan_policy == "worst":
            raise self._refuse("nan_policy='worst'", f"{why}; use 'omit' with max_missing=")
        if self.has_relative_size and not self.is_ratio:
            raise self._refuse(
                "relative=True", f"{why}; give margin= or at_least= in the units of the metric"
            )
        if self.test is not None and not self.test.takes_one_sample:
            raise self._refuse(
                f"statistical_test={self.test!r}",
                f"{why}, which the {self.test.name} test does not do; leave statistical_test out",
            )

    def check_against_condition(self) -> None:
        """Raise `DefinitionError` if it can't be claimed of two samples."""
        if self.test is not None and (number := self.test.compares_with) is not None:
            raise self._refuse(
                f"statistical_test={self.test!r}, which looks at one side alone",
                f"for yes/no against a number say against={number!r} and leave statistical_test out",
            )

    @property
    def _named_size(self) -> str:
        name = next(name for name in ("margin", "at_least", "detects") if getattr(self, name) is not None)
        return f"direction={self.direction!r}, {name}={self.size!r}"


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number that a float holds."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max

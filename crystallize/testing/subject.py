"""What is checked: a verifier or a claim, what is known of it, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from crystallize.analysis.decide import verdict_on
from crystallize.analysis.verdict import Verdict
from crystallize.claims.claim import Claim
from crystallize.claims.default_test import default_test
from crystallize.claims.hypothesis import Hypothesis, Sample
from crystallize.claims.tests_of_rates import McNemarTest
from crystallize.errors import DefinitionError

Alternative = Literal["two-sided", "one-sided", "margin"]
_ALTERNATIVES: Final = ("two-sided", "one-sided", "margin")

_MINIMUM_N: Final = 3
_LOW: Final = [0.1, -1.2, 0.7, 1.9, -0.4, 0.3, -0.8, 1.1, 0.5, -1.6, 0.9, -0.2]
_FEW: Final = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
_OFTEN: Final = [1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
_MOST_REPLICATES: Final = 100  # more than any sample here could usefully have


class Arms(NamedTuple):
    """Samples of both conditions: metric -> values in replicate order."""

    baseline: dict[str, list[Any]]
    treatment: dict[str, list[Any]]

    def swapped(self) -> Arms:
        """Return the treatment as baseline, and the other way round."""
        return Arms(self.treatment, self.baseline)

    def copied(self) -> Arms:
        """Return lists of their own."""
        return self.mapped(lambda value: value)

    def mapped(self, change: Callable[[Any], Any]) -> Arms:
        """Return every value changed by a function."""
        return Arms(*({name: [change(v) for v in values] for name, values in arm.items()} for arm in self))

    def repeated(self, times: int) -> Arms:
        """Return all replicates several times over."""
        return Arms(*({name: values * times for name, values in arm.items()} for arm in self))

    def exchanged(self, baseline: Iterable[tuple[int, int]], treatment: Iterable[tuple[int, int]]) -> Arms:
        """Return each arm with pairs of replicates exchanged, one after the other; numbers wrap around."""
        result = self.copied()
        for arm, exchanges in zip(result, (baseline, treatment), strict=True):
            for values in arm.values():
                for i, j in exchanges:
                    one, other = i % self.n, j % self.n
                    values[one], values[other] = values[other], values[one]
        return result

    def columns(self) -> Iterator[tuple[list[Any], list[Any]]]:
        """Yield both samples of each metric."""
        return zip(self.baseline.values(), self.treatment.values(), strict=True)

    def assigned(self) -> list[str]:
        """Return a line of Python per arm."""
        return [f"{name} = {_literal(arm)}" for name, arm in self._asdict().items()]

    @property
    def n(self) -> int:
        """Number of replicates."""
        return len(next(iter(self.baseline.values())))


def _literal(arm: dict[str, list[Any]]) -> str:
    lists = (f"{name!r}: [{', '.join(map(_value, values))}]" for name, values in arm.items())
    return f"{{{', '.join(lists)}}}"


def _value(value: Any) -> str:
    """Return an expression for one value; nan and inf are no names in Python."""
    return repr(value) if math.isfinite(value) else f"float({str(value)!r})"


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to one pair of samples."""

    verdict: Verdict

    @property
    def decided(self) -> bool:
        """Whether it is a verdict, with a probability and a yes or no."""
        return self.verdict.status != "invalid"

    @property
    def declined(self) -> bool:
        """Whether nothing came back, as from an error; to return what is no verdict is not to decline."""
        return not self.decided and not self.verdict.details

    @property
    def p(self) -> float:
        """The p-value; nan without a verdict."""
        p_value = self.verdict.p_value if self.decided else None
        return math.nan if p_value is None else p_value

    @property
    def significant(self) -> bool:
        """Whether p was called significant."""
        return self.verdict.details.get("significant") is True

    @property
    def passes(self) -> bool:
        """Whether the hypothesis is supported."""
        return self.verdict.passed

    @property
    def positive(self) -> bool:
        """Whether anything in it, verdict or not, speaks for the treatment."""
        return self.significant or self.verdict.details.get("accepted") is True

    def __str__(self) -> str:
        details = self.verdict.details
        shown = {key: details[key] for key in ("p_value", "significant", "accepted") if key in details}
        if "p_value" not in shown or len(shown) == 1:
            return self.verdict.reason
        if len(shown) == 3 and shown["accepted"] is shown["significant"]:
            del shown["accepted"]
        return ", ".join(f"{key} = {value!r}" for key, value in shown.items())


@dataclass(frozen=True, slots=True)
class Subject:
    """Claim or verifier under check, and what is known of it."""

    hypothesis: Hypothesis
    metrics: tuple[str, ...]
    minimum_n: int
    paired: bool
    alternative: Alternative
    binary: bool
    tolerance: float

    @property
    def label(self) -> str:
        """Name of the subject in errors."""
        kind = "verifier" if self.hypothesis.claim is None else "claim"
        return f"{kind} {self.hypothesis.name!r}"

    @property
    def seen(self) -> str:
        """The arguments of a verifier that it is checked by, as text."""
        return f"alternative={self.alternative!r}, binary={self.binary}"

    @property
    def has_side(self) -> bool:
        """Whether it can't hold with the arms swapped, if it holds as they are."""
        claim = self.hypothesis.claim
        sided = claim is not None and claim.is_superiority and claim.direction != "differ"
        return sided or self.alternative == "one-sided"

    def ask(self, arms: Arms) -> Answer:
        """Decide on copies of the samples, as a run does."""
        return self.answer(*arms.copied())

    def answer(self, baseline: Sample, treatment: Sample) -> Answer:
        """Decide on these very samples."""
        return Answer(verdict_on(self.hypothesis, baseline, treatment))

    def same_p(self, one: Answer, other: Answer) -> bool:
        """Return whether both have the same p-value, up to the tolerance, or both none."""
        if not (one.decided and other.decided):
            return one.decided == other.decided
        return abs(one.p - other.p) <= self.tolerance

    def agree(self, one: Answer, other: Answer) -> bool:
        """Return whether both are the same; where p-values differ by rounding, alpha may lie between them."""
        same_verdict = (one.significant, one.passes) == (other.significant, other.passes)
        return self.same_p(one, other) and (same_verdict or one.p != other.p)


def subject_of(
    verifier: Callable[..., Any] | Hypothesis,
    *,
    metrics: str | Sequence[str] | None,
    minimum_n: int | None,
    paired: bool,
    alternative: Alternative | None,
    binary: bool | None,
    tolerance: float,
    examples: int,
) -> Subject:
    """Check the arguments of `check_verifier`, and add what a hypothesis says itself."""
    fewest = _MINIMUM_N if minimum_n is None else minimum_n
    _check_numbers(alternative, {"minimum_n": fewest, "examples": examples}, tolerance)
    hypothesis = _with_metrics(verifier, metrics)
    if hypothesis.claim is not None:
        _refuse_said_twice(hypothesis, hypothesis.claim, paired=paired, alternative=alternative)
        paired, alternative = _seen_by(hypothesis.claim)
        binary = binary or isinstance(hypothesis.claim.test, McNemarTest)
        fewest = _fewest_replicates(hypothesis.claim) if minimum_n is None else minimum_n
    elif alternative is None or binary is None:
        seen = seen_as(hypothesis)
        alternative, binary = alternative or seen[0], seen[1] if binary is None else binary
    return Subject(
        hypothesis,
        hypothesis.metrics or ("metric",),
        fewest,
        paired,
        alternative or "two-sided",
        bool(binary),
        tolerance,
    )


def _check_numbers(alternative: str | None, numbers: Mapping[str, object], tolerance: float) -> None:
    if alternative is not None and alternative not in _ALTERNATIVES:
        raise DefinitionError(
            f"alternative={alternative!r}; allowed are {', '.join(map(repr, _ALTERNATIVES))}"
        )
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise DefinitionError(f"{name}={number!r}; give an integer, 1 or more")
    if not 0 <= tolerance < 1:
        raise DefinitionError(
            f"tolerance={tolerance!r}; give a difference of p-values, 0 or more and below 1"
        )


def _with_metrics(
    verifier: Callable[..., Any] | Hypothesis, metrics: str | Sequence[str] | None
) -> Hypothesis:
    """Return what is checked as a hypothesis that names its metrics, if they are known."""
    if not isinstance(verifier, Hypothesis):
        return Hypothesis(verifier, metrics)
    if metrics is None:
        return verifier
    if verifier.metrics is not None:
        raise DefinitionError(f"metrics={metrics!r} was given, but {verifier!r} names its metrics itself")
    return Hypothesis(verifier.verifier, metrics, name=verifier.name)


def _refuse_said_twice(
    hypothesis: Hypothesis, claim: Claim, *, paired: bool, alternative: Alternative | None
) -> None:
    """Refuse arguments that a claim answers itself, and a claim without a test."""
    for key, value, default in (("paired", paired, True), ("alternative", alternative, "two-sided")):
        if value != default and value is not None:
            raise DefinitionError(
                f"{key}={value!r} belongs to a verifier; a claim says it itself, here {claim}"
            )
    if claim.deterministic:
        raise DefinitionError(f"{hypothesis!r} is deterministic: it makes no test that could be checked")


def _seen_by(claim: Claim) -> tuple[bool, Alternative]:
    """Return whether a claim sees pairs, and on which sides of what."""
    test = claim.test
    paired = claim.pairing != "none" and (test is None or test.paired or test.follows_design)
    return paired, claim.alternative if claim.is_superiority else "margin"


def _fewest_replicates(claim: Claim) -> int:
    """Return the fewest replicates at which every test that the claim may use can reach its alpha."""
    tests = (
        [claim.test]
        if claim.test is not None
        else [default_test(x, x, paired=claim.pairing != "none") for x in ([0, 1], [2, 3])]
    )
    return max(
        next(
            (
                n
                for n in range(test.minimum_n, _MOST_REPLICATES)
                if test.smallest_p(n, n, claim.alternative_of_p) <= claim.level
            ),
            test.minimum_n,
        )
        for test in tests
    )


def seen_as(hypothesis: Hypothesis) -> tuple[Alternative, bool]:
    """Return the alternative of a verifier, and whether it is of rates, by what it answers to arms far apart.

    It is of rates if it gives no verdict on numbers, but on 0 and 1; it has a side if its p-value is another
    with the arms swapped.
    """
    names = hypothesis.metrics or ("metric",)
    for binary, low, high in ((False, _LOW, [value + 9 for value in _LOW]), (True, _FEW, _OFTEN)):
        arms = Arms({name: list(low) for name in names}, {name: list(high) for name in names})
        asked = Subject(hypothesis, tuple(names), _MINIMUM_N, True, "two-sided", binary, 1e-9)
        as_it_is, swapped = asked.ask(arms), asked.ask(arms.swapped())
        if as_it_is.decided and swapped.decided:
            return "two-sided" if asked.same_p(as_it_is, swapped) else "one-sided", binary
    return "two-sided", False

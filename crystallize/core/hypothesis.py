"""Hypotheses: what is claimed of a treatment, and how it is decided."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from crystallize.core.declared import Declared
from crystallize.core.stat_test import Alternative, StatisticalTest, default_test
from crystallize.errors import DefinitionError, StepParameterError

Status = Literal["supported", "refuted", "inconclusive", "invalid"]
Direction = Literal["increase", "decrease", "differ"]

Sample = Mapping[str, Sequence[Any]]
"""Metric -> one value per replicate, in replicate order."""

Ranker = Callable[[Mapping[str, Any]], float]

_ALTERNATIVES: dict[Direction, Alternative] = {
    "increase": "greater",
    "decrease": "less",
    "differ": "two-sided",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a hypothesis makes of complete samples.

    Attributes
    ----------
    status : str
        ``"supported"``, ``"refuted"``, ``"inconclusive"`` or ``"invalid"``.
    reason : str
        Why, in a sentence; empty where the status says it all.
    p_value : float or None
        The p-value, where there is one.
    test : str
        The test's name.
    difference : float or None
        Estimate of treatment minus baseline, where the test makes one.
    interval : pair of float or None
        Its confidence interval at level 1 - alpha.
    degenerate : bool
        Whether the sample has no variance, so that the p-value rests on counting alone.
    details : mapping
        Everything that the verifier returned.
    """

    status: Status
    reason: str = ""
    p_value: float | None = None
    test: str = ""
    difference: float | None = None
    interval: tuple[float, float] | None = None
    degenerate: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


class Verifier(Declared):
    """What `verifier` makes of a function: call it with parameters, or on two samples."""

    def __init__(self, function: Callable[..., Any], params: Mapping[str, Any] | None = None) -> None:
        super().__init__(function)
        self.params = dict(params or {})
        names = list(inspect.signature(function).parameters.values())
        if sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in names) < 2:
            raise DefinitionError(
                f"verifier {self.__name__!r} must take two samples, as in def {self.__name__}(baseline, treatment)"
            )
        known = {p.name: p.default for p in names[2:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in names):
            for name in self.params:
                if name not in known:
                    raise StepParameterError(
                        f"verifier {self.__name__!r} has no parameter {name!r}; its parameters are "
                        f"{', '.join(map(repr, known)) or 'none'}"
                    )
        self.alpha: Any = self.params.get("alpha", known.get("alpha"))

    def __call__(self, *samples: Any, **params: Any) -> Any:
        """Without samples, return the verifier with these parameters fixed; with two, verify them."""
        if not samples:
            return Verifier(self.function, {**self.params, **params})
        return self.function(*samples, **{**self.params, **params})

    def _reduce_by_value(self) -> tuple[Any, ...]:
        return (Verifier, (self.function, self.params))


def verifier(function: Callable[..., Mapping[str, Any]]) -> Verifier:
    """Make a verifier of a function ``(baseline, treatment, *, parameter=default)``.

    It is given two mappings from metric to the list of its values in replicate order, and returns a mapping
    with ``p_value`` and ``significant``, and whatever else is worth showing. If it returns ``accepted``,
    that decides instead of ``significant``.

    Examples
    --------
    >>> @verifier
    ... def larger(baseline, treatment, alpha=0.05):
    ...     wins = sum(t > b for t, b in zip(treatment["x"], baseline["x"]))
    ...     p = 2.0 ** -wins
    ...     return {"p_value": p, "significant": p < alpha}
    >>> larger(alpha=0.2)({"x": [0, 0, 0]}, {"x": [1, 2, 3]})
    {'p_value': 0.125, 'significant': True}
    """
    return Verifier(function)


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim about the mean of one metric, decided by a statistical test.

    Supported if p <= alpha and the difference has the claimed sign; refuted if the confidence interval lies
    wholly on the other side; else inconclusive.
    """

    metric: str
    direction: Direction
    test: StatisticalTest | None
    alpha: float
    alternative: Literal["two-sided", "one-sided"]

    def decide(self, baseline: Sequence[float], treatment: Sequence[float]) -> Decision:
        """Test two complete samples of finite numbers, paired by replicate."""
        test = self.test or default_test(baseline, treatment, paired=True)
        n = len(baseline)
        side: Alternative = _ALTERNATIVES[self.direction] if self.alternative == "one-sided" else "two-sided"
        if n < test.minimum_n:
            return Decision(
                "invalid", f"the {test.name} test needs at least {test.minimum_n} replicates, not {n}"
            )
        if (smallest := test.smallest_p(n, n, side)) > self.alpha:
            enough = next((m for m in range(n, 10_000) if test.smallest_p(m, m, side) <= self.alpha), None)
            return Decision(
                "invalid",
                f"with {n} replicates the {test.name} test can't give a p-value below {smallest:.2g}, so it can't "
                f"reach alpha = {self.alpha:g}" + (f"; run at least {enough} replicates" if enough else ""),
            )
        try:
            result = test.compare(baseline, treatment, alpha=self.alpha, alternative=side)
        except Exception as error:
            return Decision("invalid", f"the {test.name} test raised {type(error).__name__}: {error}")
        low, high = result.interval
        difference = result.estimate
        sign = {"increase": difference > 0, "decrease": difference < 0, "differ": True}[self.direction]
        opposite = {"increase": high < 0, "decrease": low > 0, "differ": False}[self.direction]
        status: Status = "inconclusive"
        level = f"{100 * result.confidence:g} % interval [{low:.4g}, {high:.4g}]"
        reason = f"difference {difference:.4g}, {level}: the data allow either sign"
        if not result.p_value <= 1:
            status, reason = "invalid", f"the {test.name} test gave p = {result.p_value}"
        elif result.p_value <= self.alpha and sign:
            status, reason = "supported", ""
        elif opposite:
            status = "refuted"
            reason = f"{self.metric} goes the other way: difference {difference:.4g}, {level}"
        elif low > 0 or high < 0:
            reason = (
                f"difference {difference:.4g}, {level}, but p = {result.p_value:.3g} is above {self.alpha:g}"
            )
        details = {
            "p_value": result.p_value,
            "significant": result.p_value <= self.alpha,
            "accepted": status == "supported",
            "statistic": result.statistic,
            "df": result.df,
            "difference": difference,
            "interval": (low, high),
            "n": n,
            "test": result.test,
            "alpha": self.alpha,
        }
        return Decision(
            status, reason, result.p_value, result.test, difference, (low, high), result.degenerate, details
        )


class Hypothesis:
    """What is claimed of every treatment, against the baseline.

    Written in one of two ways. By a verifier that decides by itself::

        Hypothesis(verifier=welch_t_test(), metrics="total", ranker=by_p, name="total")

    or as a claim about the mean of one metric, which builds its own verifier::

        Hypothesis(metric="accuracy", direction="increase")

    Parameters
    ----------
    verifier : callable
        Given ``(baseline, treatment)``, two mappings from metric to the list of its values in replicate
        order, it returns a mapping with ``p_value`` and ``significant`` (or ``accepted``), and more if it
        wants.
    metrics : str or sequence of str, optional
        The metrics that the verifier needs; every metric that is complete if left out.
    ranker : callable, optional
        Given what the verifier returned for a treatment, a number by which treatments are ranked, smallest
        first; the p-value by default.
    name : str, optional
        Name in results and node ids.
    metric : str
        Metric of a claim. Several values in one replicate are averaged: they are one unit.
    direction : {"increase", "decrease", "differ"}
        What the treatment is claimed to do to the metric's mean.
    statistical_test : StatisticalTest or "auto"
        By default McNemar's mid-p test for 0/1 values, else the paired t-test: replicates share their seeds.
    alpha : float
        Significance level of a claim, 0.05 by default.
    alternative : {"two-sided", "one-sided"}
        Whether the p-value of a claim with a sign is two-sided (the default) or one-sided.

    Raises
    ------
    DefinitionError
        If the arguments make no sense together; the message says which.
    """

    def __init__(
        self,
        verifier: Callable[..., Any] | None = None,
        metrics: str | Sequence[str] | None = None,
        ranker: Ranker | None = None,
        name: str | None = None,
        *,
        metric: str | None = None,
        direction: Direction | None = None,
        statistical_test: StatisticalTest | Literal["auto"] = "auto",
        alpha: float | None = None,
        alternative: Literal["two-sided", "one-sided"] = "two-sided",
    ) -> None:
        if (verifier is None) == (metric is None):
            raise DefinitionError(
                "a hypothesis is either verifier=... (with metrics=...) or a claim metric=..., direction=...; "
                + ("neither was given" if metric is None else "both were given")
            )
        if ranker is not None and not callable(ranker):
            raise DefinitionError(f"ranker is {ranker!r}; give a function of what the verifier returns")
        self.ranker: Ranker = ranker or _by_p_value
        self.claim: Claim | None = None
        self.verifier: Callable[..., Any] | None = None
        if metric is not None:
            if metrics is not None:
                raise DefinitionError(
                    f"a claim is about one metric=; metrics={metrics!r} belongs to a verifier"
                )
            self.claim = _claim(metric, direction, statistical_test, alpha, alternative)
            self.metrics: tuple[str, ...] | None = (metric,)
            default_name = f"{metric}_{direction}"
        else:
            for key, value, default in (
                ("direction", direction, None),
                ("statistical_test", statistical_test, "auto"),
                ("alpha", alpha, None),
                ("alternative", alternative, "two-sided"),
            ):
                if value is not default:
                    raise DefinitionError(
                        f"{key}={value!r} belongs to a claim (metric=...); a verifier decides itself"
                    )
            if not callable(verifier):
                raise DefinitionError(f"verifier is {verifier!r}; give a function of (baseline, treatment)")
            self.verifier = verifier
            self.metrics = _metric_names(metrics)
            default_name = getattr(verifier, "__name__", type(verifier).__name__)
        self.name = default_name if name is None else name
        if not isinstance(self.name, str) or not self.name.strip():
            raise DefinitionError(f"a hypothesis is named {self.name!r}; a name is a non-empty string")

    @property
    def alpha(self) -> float | None:
        """Significance level, where the hypothesis declares one."""
        if self.claim is not None:
            return self.claim.alpha
        alpha = getattr(self.verifier, "alpha", None)
        return alpha if isinstance(alpha, float) else None

    @property
    def metric_label(self) -> str:
        """The metrics as text."""
        return ", ".join(self.metrics) if self.metrics is not None else "all"

    def decide(self, baseline: Sample, treatment: Sample) -> Decision:
        """Decide on complete samples; never raises for what a verifier does."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)
            if self.claim is not None:
                return self.claim.decide(baseline[self.claim.metric], treatment[self.claim.metric])
            return self._ask_verifier(baseline, treatment)

    def _ask_verifier(self, baseline: Sample, treatment: Sample) -> Decision:
        ask = self.verifier
        if isinstance(ask, Verifier):
            label = ask.__name__
        else:
            label = getattr(ask, "__name__", type(ask).__name__)
        assert ask is not None
        try:
            returned = ask(baseline, treatment)
        except Exception as error:
            known = ", ".join(map(repr, baseline)) or "none"
            return Decision(
                "invalid",
                f"verifier {label!r} raised {type(error).__name__}: {error}; metrics given: {known}",
            )
        return _decision_of(returned, label)

    def __repr__(self) -> str:
        return f"Hypothesis({self.name!r}, metric={self.metric_label!r})"


def _claim(
    metric: str,
    direction: Direction | None,
    statistical_test: StatisticalTest | Literal["auto"],
    alpha: float | None,
    alternative: Literal["two-sided", "one-sided"],
) -> Claim:
    about = f"the claim about {metric!r}"
    if not isinstance(metric, str) or not metric:
        raise DefinitionError(f"metric is {metric!r}; give the name of one metric")
    if direction not in _ALTERNATIVES:
        raise DefinitionError(
            f"{about} has direction={direction!r}; allowed are 'increase', 'decrease', 'differ'"
        )
    if statistical_test != "auto" and not isinstance(statistical_test, StatisticalTest):
        raise DefinitionError(
            f"{about} has statistical_test={statistical_test!r}; give 'auto' or an instance such as WelchTTest()"
        )
    level = 0.05 if alpha is None else alpha
    if not isinstance(level, float | int) or isinstance(level, bool) or not 0 < level < 1:
        raise DefinitionError(f"{about} has alpha={alpha!r}; a significance level lies between 0 and 1")
    if alternative not in ("two-sided", "one-sided"):
        raise DefinitionError(
            f"{about} has alternative={alternative!r}; allowed are 'two-sided', 'one-sided'"
        )
    if alternative == "one-sided" and direction == "differ":
        raise DefinitionError(
            f"{about} is that it differs, which has no side; claim an increase or a decrease"
        )
    return Claim(
        metric,
        direction,
        None if isinstance(statistical_test, str) else statistical_test,
        float(level),
        alternative,
    )


def _metric_names(metrics: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if metrics is None:
        return None
    names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise DefinitionError(f"metrics={metrics!r}; give the name of a metric or a list of names")
    return names


def _decision_of(returned: Any, label: str) -> Decision:
    """Read what a verifier returned; anything that is no evidence is invalid."""
    if not isinstance(returned, Mapping):
        return Decision(
            "invalid",
            f"verifier {label!r} returned {_short(returned)}; it must return a mapping with p_value and "
            "significant",
        )
    details = {str(key): _plain_value(value) for key, value in returned.items()}
    if "p_value" not in details or not ("significant" in details or "accepted" in details):
        got = ", ".join(map(repr, details)) or "nothing"
        return Decision(
            "invalid",
            f"verifier {label!r} returned {got}; it must return p_value and significant (or accepted)",
            details=details,
        )
    p_value = details["p_value"]
    verdict = details.get("accepted", details.get("significant"))
    if not isinstance(p_value, int | float) or not 0 <= p_value <= 1:
        return Decision(
            "invalid",
            f"verifier {label!r} returned p_value = {_short(p_value)}, which is no probability",
            details=details,
        )
    if not isinstance(verdict, bool):
        return Decision(
            "invalid",
            f"verifier {label!r} returned {_short(verdict)} where it must say True or False",
            p_value=float(p_value),
            details=details,
        )
    details.setdefault("significant", verdict)
    details.setdefault("accepted", verdict)
    return Decision("supported" if verdict else "inconclusive", "", float(p_value), label, details=details)


def _plain_value(value: Any) -> Any:
    """Turn numpy scalars and 0-d arrays into Python values."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__qualname__}"


def _by_p_value(result: Mapping[str, Any]) -> float:
    return float(result.get("p_value", 1.0))


def hypothesis(
    *, verifier: Callable[..., Any], metrics: str | Sequence[str] | None = None, name: str | None = None
) -> Callable[[Ranker], Hypothesis]:
    """Make a hypothesis of a verifier and the decorated ranker, under the ranker's name.

    The ranker is given what the verifier returned for a treatment and returns the number by which treatments
    are ranked, smallest first.
    """

    def decorate(ranker: Ranker) -> Hypothesis:
        return Hypothesis(
            verifier, metrics, ranker, name if name is not None else getattr(ranker, "__name__", "hypothesis")
        )

    return decorate

"""Hypotheses: what is claimed of a treatment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

from crystallize.claims.claim import Claim
from crystallize.claims.claim_terms import Direction, Kind, NanPolicy, Pairing
from crystallize.claims.comparator import Comparator, checked_comparator, checked_subjects
from crystallize.claims.pass_at import PassAt
from crystallize.claims.ratio import Ratio
from crystallize.claims.reference import Reference
from crystallize.claims.stat_test import StatisticalTest
from crystallize.context.seeding import seeded_alike
from crystallize.declare.decorated import NamedByFunction, named_by
from crystallize.declare.own_attributes import is_own
from crystallize.errors import DefinitionError
from crystallize.stats.undisturbed import undisturbed
from crystallize.text.keywords import checked_keywords

Sample = Mapping[str, Sequence[Any]]
"""Metric -> one value per replicate, in replicate order."""

_TESTS = f"{__package__}.tests_"
"""How modules are called that hold the tests of this package."""

Ranker = Callable[[dict[str, Any]], float]

_OF_CLAIMS = frozenset(field.name for field in fields(Claim))
"""What a hypothesis is given and hands on, so that it would be of no effect to set it."""


class Hypothesis(NamedByFunction):
    """Claim about treatments, against the baseline or something else.

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
    against : number, str or Reference, optional
        What treatments are compared with, rather than with the baseline. The name of another treatment. A
        number: every condition, the baseline too, is tested by itself. A reference: every condition is
        compared with what it gave then; both must be of the same replicates of the same root seed.
    treatments : str or sequence of str, optional
        Names of the treatments (or ``"baseline"``, which can be compared with a number or a reference) that
        it is about; all if left out.
    pairwise : bool
        Compare all conditions, or those of `treatments`, with one another, each pair for itself; the
        direction is "differ". Corrected by the step-down max-t of `crystallize.stats.step_down_max_t`.
    metric : str, Ratio, PassAt or PassAll
        Metric of a claim. Several values in one replicate are averaged: they are one unit. Or the ratio of
        the totals of two metrics; or how likely some, or all, of k samples of a case pass.
    direction : {"increase", "decrease", "differ", "equal", "no_decrease", "no_increase"}
        What the treatment is claimed to do to the metric's mean. The last three claim the absence of a change
        beyond `margin`.
    statistical_test : StatisticalTest or "auto"
        By default a t test, or of 0/1 values McNemar's mid-p test; where the conditions share no seeds,
        Welch's t test or Boschloo's.
    alpha : float
        Significance level of a claim, 0.05 by default; one-sided of a claim with a margin.
    margin : float
        Largest change that is still tolerable, > 0, in the units of the metric.
    at_least : float
        By how much "increase" or "decrease" has to be exceeded to be supported, > 0, in the units of the
        metric.
    detects : float
        In place of the margin of "no_decrease" and "no_increase", > 0: the verdict is "no harm shown" if no
        change in the wrong direction is shown at `alpha`, and a one-sided 80 % bound excludes one of this
        size.
    relative : bool
        Whether `margin`, `at_least`, `detects` and `effect` are parts of the baseline's mean: 0.02 for 2 %.
    effect : float
        The smallest difference that is worth finding, > 0, in the units of the metric. It decides nothing; an
        inconclusive verdict says how many replicates would show it.
    alternative : {"two-sided", "one-sided"}
        Whether the p-value of a claim with a sign is two-sided (the default) or one-sided.
    pairing : {"auto", "intersect", "none"}
        Conditions that have the same replicates of the same root seed are pairs, and those that share none
        are not ("auto"); if they share some, say whether to use those or to treat all as independent.
    nan_policy : {"invalid", "omit", "worst"}
        What a replicate does that failed or gave no finite value: make the verdict invalid; be left out, in
        both conditions, up to `max_missing`; or count as the worst value there is, `worst` (of the baseline's
        as the best that was seen), for "no_decrease" and "no_increase" only.
    max_missing : int or float
        How many replicates may be left out, or which part of them.
    worst : float
        The worst value that the metric can have, 0 or 1 of yes/no by default. It stands for what is missing
        with ``nan_policy="worst"``, and bounds the loss that replicates without any difference leave unseen.
    kind : {"auto", "numeric", "binary"}
        Whether the values are numbers, or 0/1 for yes and no. By default they are yes/no if every one in
        every condition is 0 or 1, unless the margin is relative, or 1 or more, or the number that they are
        compared with is below 0 or above 1.
    deterministic : bool
        Declares that no seed changes the values: they are compared directly, without a test, and one
        replicate is enough. If the replicates differ, the verdict is invalid.
    covariate : str
        Another metric, which the treatment does not change: what it explains of the difference by chance is
        taken out.
    slices : bool
        Claim it of each slice of the cases by itself (the experiment's `slices` says which those are), with
        p-values that are corrected together like those of other claims.

    Raises
    ------
    DefinitionError
        If the arguments make no sense together; the message says which.

    Examples
    --------
    >>> fewer_errors = Hypothesis(metric="errors", direction="decrease")
    >>> fewer_errors.name
    'errors_decrease'
    >>> no_slower = Hypothesis(metric="seconds", direction="no_increase", margin=0.1, relative=True)
    >>> no_slower.name
    'seconds_no_increase'
    """

    @checked_keywords
    def __init__(
        self,
        verifier: Callable[..., Any] | None = None,
        metrics: str | Sequence[str] | None = None,
        ranker: Ranker | None = None,
        name: str | None = None,
        *,
        against: Reference | str | float | None = None,
        treatments: str | Sequence[str] | None = None,
        pairwise: bool = False,
        metric: str | Ratio | PassAt | None = None,
        direction: Direction | None = None,
        statistical_test: StatisticalTest | Literal["auto"] = "auto",
        alpha: float | None = None,
        margin: float | None = None,
        at_least: float | None = None,
        detects: float | None = None,
        relative: bool = False,
        effect: float | None = None,
        alternative: Literal["two-sided", "one-sided"] = "two-sided",
        pairing: Pairing = "auto",
        nan_policy: NanPolicy = "invalid",
        max_missing: float | None = None,
        worst: float | None = None,
        kind: Kind = "auto",
        deterministic: bool = False,
        covariate: str | None = None,
        slices: bool = False,
    ) -> None:
        if (verifier is None) == (metric is None):
            given = "neither given" if metric is None else "both given"
            if metric is None and isinstance(metrics, str) and direction is not None:
                given += f", but metrics={metrics!r}; a claim has metric={metrics!r}"
            raise DefinitionError(
                "a hypothesis is either verifier=... (with metrics=...) or a claim metric=..., "
                f"direction=...; {given}"
            )
        if ranker is not None and not callable(ranker):
            raise DefinitionError(f"ranker is {ranker!r}; give a function of what the verifier returns")
        self.has_ranker = ranker is not None
        self.ranker: Ranker = ranker or _by_evidence
        self.against: Comparator = checked_comparator(against)
        self.pairwise = pairwise
        self.slices = slices
        self.treatments = checked_subjects(treatments, "" if pairwise else self.against)
        self.claim: Claim | None = None
        self.verifier: Callable[..., Any] | None = None
        options: dict[str, Any] = {
            "direction": direction,
            "statistical_test": statistical_test,
            "alpha": alpha,
            "margin": margin,
            "at_least": at_least,
            "detects": detects,
            "relative": relative,
            "effect": effect,
            "alternative": alternative,
            "pairing": pairing,
            "nan_policy": nan_policy,
            "max_missing": max_missing,
            "worst": worst,
            "kind": kind,
            "deterministic": deterministic,
            "covariate": covariate,
        }
        self.metrics: tuple[str, ...] | None
        if metric is not None:
            if metrics is not None:
                raise DefinitionError(
                    f"a claim is about one metric=; metrics={metrics!r} belongs to a verifier"
                )
            self.claim = _claim(metric, options)
            read = metric.metric if isinstance(metric, PassAt) else self.claim.metric
            self.metrics = tuple(filter(None, (read, self.claim.second)))
            default_name = self._named(self.claim.label.replace(" ", "_"), direction)
        else:
            self.verifier = _checked_verifier(verifier, options)
            self.metrics = _metric_names(metrics)
            default_name = getattr(verifier, "__name__", type(verifier).__name__)
        self.name = default_name if name is None else name
        self._check_comparator()
        if not isinstance(self.name, str) or not self.name.strip():
            raise DefinitionError(f"a hypothesis is named {self.name!r}; a name is a non-empty string")

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle a hypothesis by name where its ranker's name holds it, as that of a decorated one does."""
        return named_by(self, self.ranker) or super().__reduce_ex__(protocol)

    if not TYPE_CHECKING:  # where it would let anything be set

        def __setattr__(self, name, value):
            if name in _OF_CLAIMS and not is_own(name, type(self)):
                raise AttributeError(
                    f"{name!r} of hypothesis {self.name!r} can't be set to {value!r}: it stays as it was "
                    "declared; declare another hypothesis"
                )
            object.__setattr__(self, name, value)

    def _named(self, metric: str, direction: str | None) -> str:
        """Return what a claim is called that has no name."""
        if self.number is None:
            return f"{metric}_{direction}"
        word = {"increase": "above", "decrease": "below"}.get(str(direction), direction)
        return f"{metric}_{word}_{self.number:g}"

    def _check_comparator(self) -> None:
        """Raise `DefinitionError` if what is claimed can't be compared in this way."""
        if not isinstance(self.pairwise, bool):
            raise DefinitionError(f"pairwise is {self.pairwise!r}; allowed are True and False")
        if not isinstance(self.slices, bool):
            raise DefinitionError(
                f"slices is {self.slices!r}; allowed are True and False: the key of the cases is the "
                "experiment's slices="
            )
        if self.slices and (self.claim is None or self.pairwise):
            other = "a verifier" if self.claim is None else "pairwise=True"
            raise DefinitionError(f"slices=True and {other}: only claims against one side are made of slices")
        if self.pairwise and self.against is not None:
            raise DefinitionError(
                f"pairwise=True and against={self.against!r}: pairs are of conditions of today"
            )
        if self.pairwise and (self.claim is None or self.claim.direction != "differ"):
            raise DefinitionError(
                "pairwise=True goes with a claim of direction='differ': which condition of a pair has the "
                "larger mean is what its verdict shows"
            )
        if self.pairwise and self.treatments is not None and len(self.treatments) < 2:
            raise DefinitionError(
                f"pairwise=True and treatments={self.treatments!r}: a pair needs two conditions"
            )
        if self.pairwise and self.claim is not None and self.claim.nan_policy != "invalid":
            raise DefinitionError(
                f"pairwise=True and nan_policy={self.claim.nan_policy!r}: all pairs are compared on the same "
                "replicates; leave nan_policy out"
            )
        if self.number is not None:
            if self.claim is None:
                raise DefinitionError(
                    f"against={self.number:g} and a verifier, which is given two samples; claim metric=..., "
                    "direction=..."
                )
            self.claim.check_against_number(self.number)
        elif self.claim is not None:
            self.claim.check_against_condition()

    @property
    def reference(self) -> Reference | None:
        """The reference that it is against, if it is against one."""
        return self.against if isinstance(self.against, Reference) else None

    @property
    def is_by_itself(self) -> bool:
        """Whether every condition, the baseline too, is compared with something that is not run today."""
        return isinstance(self.against, Reference | float)

    @property
    def number(self) -> float | None:
        """The number that it is against, if it is against one."""
        return self.against if isinstance(self.against, float) else None

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
        if self.claim is not None:
            return self.claim.label
        return ", ".join(self.metrics) if self.metrics is not None else "all"

    def seeded(self) -> AbstractContextManager[None]:
        """Let the random numbers of the user's code that decides be the same every time.

        A test of this package draws none, or sees to it itself.
        """
        claim = self.claim
        ours = claim is not None and (claim.test is None or type(claim.test).__module__.startswith(_TESTS))
        return nullcontext() if ours else seeded_alike()

    @undisturbed()
    def rank(self, result: dict[str, Any]) -> float:
        """Return the number by which a treatment is ranked, given what the verifier returned for it."""
        with seeded_alike():
            return float(self.ranker(result))

    def __repr__(self) -> str:
        return f"Hypothesis({self.name!r}, metric={self.metric_label!r})"


def metrics_of_claims(hypotheses: Iterable[Hypothesis]) -> frozenset[str] | None:
    """Return the metrics that hypotheses are about; None if one is about all."""
    about = [hypothesis.metrics for hypothesis in hypotheses]
    return None if None in about else frozenset(name for names in about for name in names or ())


def _claim(metric: str | Ratio | PassAt, options: Mapping[str, Any]) -> Claim:
    """Return what is claimed of a metric, of a ratio of two, or of samples of cases."""
    if isinstance(metric, Ratio):
        return Claim(metric=metric.numerator, per=metric.denominator, **options)
    if isinstance(metric, PassAt):
        return Claim(metric=metric.name, passes=metric, **options)
    return Claim(metric=metric, **options)


def _checked_verifier(verifier: Any, options: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a verifier, or raise `DefinitionError` if it is none, or given with an option of claims."""
    if isinstance(verifier, str):
        claim = f"Hypothesis(metric={verifier!r}, direction={options['direction'] or 'increase'!r})"
        raise DefinitionError(
            f"verifier is {verifier!r}; give a function of (baseline, treatment), or claim something "
            f"of a metric: {claim}"
        )
    defaults = {field.name: field.default for field in fields(Claim)} | {"direction": None}
    for key, value in options.items():
        if value != defaults[key]:
            raise DefinitionError(
                f"{key}={value!r} belongs to a claim (metric=...); a verifier decides itself"
            )
    if not callable(verifier):
        raise DefinitionError(f"verifier is {verifier!r}; give a function of (baseline, treatment)")
    return verifier  # type: ignore[no-any-return]


def _metric_names(metrics: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if metrics is None:
        return None
    listed = isinstance(metrics, Iterable) and not isinstance(metrics, str)
    names: tuple[Any, ...] = tuple(metrics) if listed else (metrics,)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise DefinitionError(f"metrics={metrics!r}; give the name of a metric or a list of names")
    return names


def _by_evidence(result: Mapping[str, Any]) -> float:
    """Return the p-value; of a claim with a sign the one-sided one, which is large if the sign is wrong."""
    return float(result.get("one_sided_p", result.get("p_value", 1.0)))


def hypothesis(
    *, verifier: Callable[..., Any], metrics: str | Sequence[str] | None = None, name: str | None = None
) -> Callable[[Ranker], Hypothesis]:
    """Make a hypothesis of a verifier and the decorated ranker, under the ranker's name.

    The ranker is given what the verifier returned for a treatment and returns the number by which treatments
    are ranked, smallest first.

    Parameters
    ----------
    verifier : callable
        Decides; as for `Hypothesis`.
    metrics : str or sequence of str, optional
        The metrics that the verifier needs.
    name : str, optional
        Another name than the ranker's.

    Examples
    --------
    >>> def larger(baseline, treatment):
    ...     won = sum(treatment["total"]) > sum(baseline["total"])
    ...     return {"p_value": None, "significant": won, "gain": sum(treatment["total"])}
    >>> @hypothesis(verifier=larger, metrics="total")
    ... def by_gain(answer):
    ...     return -answer["gain"]
    >>> by_gain.name
    'by_gain'
    """
    names = _metric_names(metrics)

    def decorate(ranker: Ranker) -> Hypothesis:
        return Hypothesis(
            verifier, names, ranker, name if name is not None else getattr(ranker, "__name__", "hypothesis")
        )

    return decorate

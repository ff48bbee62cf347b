"""Ratios of two metrics, of which something is claimed."""

from __future__ import annotations

from dataclasses import dataclass

from crystallize.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of the totals of two metrics, such as cost per success.

    Parameters
    ----------
    numerator, denominator : str
        Names of the metrics. What a replicate records of either several times adds up.

    Raises
    ------
    DefinitionError
        If they are no names, or one.

    Examples
    --------
    >>> from crystallize import Experiment, Hypothesis, pipeline_step
    >>> @pipeline_step()
    ... def call(data, ctx, *, cost=1.0):
    ...     return data, {"cost": cost, "success": int(ctx.rng.random() < 0.8)}
    >>> cheaper = Hypothesis(metric=Ratio("cost", "success"), direction="decrease", name="cheaper")
    >>> small = {"small": {"cost": 0.5}}
    >>> result = Experiment(0, [call], treatments=small, hypotheses=[cheaper], replicates=20).run()
    >>> result.get_hypothesis("cheaper").verdicts["small"].status
    'supported'
    """

    numerator: str
    denominator: str

    def __post_init__(self) -> None:
        names = (self.numerator, self.denominator)
        if not all(isinstance(name, str) and name for name in names) or len(set(names)) == 1:
            raise DefinitionError(
                f"Ratio({self.numerator!r}, {self.denominator!r}); give the names of two metrics, such as "
                "Ratio('cost', 'success')"
            )

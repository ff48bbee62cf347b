"""What a typed program of a user's says, checked by mypy and pyright; it is also run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, assert_type

import numpy as np
import pytest

import crystallize
from crystallize import (
    BasePlugin,
    Cases,
    Experiment,
    FrozenContext,
    GroupSequential,
    Hypothesis,
    PairedTTest,
    Ratio,
    Reference,
    Result,
    RunRecord,
    SeedPlugin,
    Treatment,
    Verdict,
    data_source,
    hypothesis,
    inject_from_ctx,
    pipeline_step,
    resource_factory,
    verifier,
)
from crystallize.claims.verifier import Verifier
from crystallize.stats import TestResult, paired_t
from pytest_crystallize.results import SessionResults

if TYPE_CHECKING:
    from crystallize import Experimnt  # type: ignore[attr-defined]  # noqa: F401
    from crystallize.core import Experimnt as AnotherSlip  # type: ignore[attr-defined]  # noqa: F401


@data_source
def numbers(ctx: FrozenContext, *, size: int = 3) -> list[float]:
    return [float(value) for value in ctx.rng.normal(size=size)]


@resource_factory
def tokens(ctx: FrozenContext) -> list[str]:
    return ["a", "b"]


@inject_from_ctx
def raised(value: float, ctx: FrozenContext, *, delta: float = 0.0) -> float:
    return value + delta


@pipeline_step()
def total(
    data: list[float], ctx: FrozenContext, *, words: list[str] = tokens
) -> tuple[list[float], dict[str, float]]:
    ctx.metrics.add("size", len(data))
    ctx.metrics.add("words", len(words))
    return data, {"total": assert_type(raised(sum(data), ctx), float)}


@verifier
def larger(
    baseline: Mapping[str, Sequence[float]], treatment: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    difference = np.mean(treatment["total"]) - np.mean(baseline["total"])
    return {"p_value": 0.01 if difference > 0 else 1.0, "significant": bool(difference > 0)}


@hypothesis(verifier=assert_type(larger(), Verifier), metrics="total")
def by_p_value(returned: dict[str, float]) -> float:
    return returned["p_value"]


class Counting(BasePlugin):
    """A plugin of the user's own."""

    def __init__(self) -> None:
        self.ends = 0

    def after_run(self, experiment: Experiment, result: Result) -> None:
        self.ends += 1


claims = [
    Hypothesis(metric="total", direction="increase", statistical_test=PairedTTest()),
    Hypothesis(metric=Ratio("total", "size"), direction="no_decrease", margin=0.1, against=Reference("main")),
    Hypothesis(verifier=larger(), metrics=["total"]),
]


@pytest.mark.experiment(
    cases=Cases([{"id": "a", "text": "x"}], id="id"),
    samples=2,
    treatments={"longer": {"length": 8}},
    hypotheses=claims[:1],
    stopping=GroupSequential(),
)
def experiment_length(case: dict[str, str], rng: np.random.Generator, length: int = 4) -> dict[str, float]:
    return {"total": length + float(rng.normal())}


def pytest_crystallize_verdict(experiment: str, verdict: Verdict) -> None:
    assert_type(verdict.metric, str)
    status: str = verdict.status
    assert status in ("supported", "refuted", "no harm shown", "inconclusive", "invalid")
    assert_type(verdict.p_value, float | None)


def pytest_crystallize_record(record: RunRecord) -> None:
    assert_type(record.replicate, int)


def pytest_crystallize_report(results: SessionResults) -> None:
    for experiment in results.experiments:
        assert_type(experiment.name, str)


def main() -> None:
    counting = Counting()
    experiment = Experiment(
        numbers(size=4),
        [total],
        plugins=[SeedPlugin(seed=1), counting],
        treatments=[Treatment("boost", {"delta": 3.0})],
        hypotheses=[claims[0], claims[2], by_p_value],
        replicates=12,
    )
    result = experiment.run()
    assert_type(result, Result)
    verdict = result.get_hypothesis("total_increase").verdicts["boost"]
    assert_type(verdict, Verdict)
    assert verdict.status == "supported"
    assert counting.ends == 1
    compared = paired_t([1.0, 2.0, 3.0], [2.0, 3.5, 4.0])
    assert_type(compared, TestResult)
    assert_type(compared.p_value, float)
    answer = larger({"total": [1.0]}, {"total": [2.0]})
    assert_type(answer, Mapping[str, Any])
    agreement = crystallize.stats.cohen_kappa([0, 1, 1], [0, 1, 0])
    assert_type(agreement.estimate, float)


if __name__ == "__main__":
    main()

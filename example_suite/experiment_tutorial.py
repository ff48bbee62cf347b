"""The tutorial: a data source, two steps, a treatment, a verifier and a hypothesis that ranks.

The function at the end is a factory: it is called once, when tests are collected, and returns an
`Experiment`.
"""

from scipy.stats import ttest_ind

from crystallize import (
    Experiment,
    FrozenContext,
    data_source,
    hypothesis,
    pipeline_step,
    treatment,
    verifier,
)


@data_source
def fetch_numbers(ctx: FrozenContext) -> list[float]:
    """Return the baseline payload that enters the pipeline: numbers that vary with the seed."""
    return ctx.rng.normal(size=3).tolist()


@pipeline_step()
def add_delta(data: list[float], ctx: FrozenContext, *, delta: float = 0.0) -> list[float]:
    """Inject a configurable delta (supplied by treatments or defaults), which varies with the seed too."""
    return [x + delta * ctx.rng.uniform(0.5, 1.5) for x in data]


@pipeline_step()
def summarize(data: list[float], ctx: FrozenContext) -> tuple[list[float], dict[str, float]]:
    """Record the total while preserving the data for downstream steps."""
    return data, {"total": sum(data)}


boost_total = treatment("boost_total", {"delta": 10.0})


@treatment("dynamic_delta")
def dynamic_delta(ctx: FrozenContext) -> None:
    """Add a key by a function of the context instead of a mapping."""
    ctx.add("delta", ctx.get("delta", 0) + 5.0)


@verifier
def welch_t_test(baseline, treatment, alpha: float = 0.05):
    """Decide by a test of one's own: each sample maps a metric to its values, one per replicate."""
    _, p_value = ttest_ind(treatment["total"], baseline["total"], equal_var=False)
    return {"p_value": p_value, "significant": p_value < alpha}


@hypothesis(verifier=welch_t_test(), metrics="total")
def order_by_p_value(result: dict[str, float]) -> float:
    """Rank treatments: `Result.get_hypothesis("order_by_p_value").ranking`."""
    return result.get("p_value", 1.0)


def experiment_basic() -> Experiment:
    return (
        Experiment.builder("basic")
        .datasource(fetch_numbers())
        .add_step(add_delta())
        .add_step(summarize())
        .treatments([boost_total(), dynamic_delta()])
        .hypotheses([order_by_p_value])
        .replicates(12)
        .build()
    )

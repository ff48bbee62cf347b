"""Runs and experiments whose values are given."""

from crystallize import ConditionRuns, Experiment, RunRecord, Treatment, pipeline_step
from crystallize.context.record import RunError
from crystallize.context.recording import MetricEntry

FAILED = RunError("ValueError", "went wrong", "train", "Traceback ...")


def record(condition="baseline", replicate=0, *, error=None, skipped=None, seed=None, **metrics):
    """Return a record; a list of values is recorded one by one."""
    entries = tuple(
        MetricEntry(name, value, None, name.startswith("time"), "step")
        for name, values in metrics.items()
        for value in (values if isinstance(values, list) else [values])
    )
    seed = 100 + replicate if seed is None else seed
    return RunRecord(condition, replicate, seed, entries, error=error, skipped=skipped)


def arm(condition, values, *, metric="x", units=None, first_seed=100):
    """Return runs of a condition: per replicate a value, a list of several, an error, or None if not run.

    Parameters
    ----------
    units : sequence, optional
        The unit of the i-th value of every replicate.
    """
    records = []
    for i, value in enumerate(values):
        several = value if isinstance(value, list) else [value]
        entries = tuple(
            MetricEntry(metric, v, units[j] if units else None, False, "step") for j, v in enumerate(several)
        )
        failed = isinstance(value, RunError)
        made = RunRecord(
            condition, i, first_seed + i, () if failed else entries, error=value if failed else None
        )
        records.append(None if value is None else made)
    return ConditionRuns(condition, records)


def arms(baseline, treatment, **options):
    """Return the runs of both conditions, whose replicates share seeds."""
    return arm("baseline", baseline, **options), arm("t", treatment, **options)


def experiment(baseline, hypotheses, *, log=None, **treatments):
    """Return a function that makes an experiment which records given values.

    Parameters
    ----------
    baseline : sequence
        The value of metric x in each replicate; an exception is raised.
    hypotheses : sequence of Hypothesis
        What is claimed.
    log : path, optional
        Where each run is noted.
    **treatments : sequence
        The values of each treatment.
    """
    values = {"baseline": list(baseline), **{name: list(given) for name, given in treatments.items()}}

    @pipeline_step()
    def give(data, ctx, *, arm="baseline"):
        if log is not None:
            with log.open("a") as file:
                file.write(f"{ctx.condition}:{ctx.replicate}\n")
        value = values[arm][ctx.replicate]
        if isinstance(value, Exception):
            raise value
        return data, {"x": value}

    def make(**options):
        return Experiment(
            0,
            [give],
            name="given",
            treatments=[Treatment(name, {"arm": name}) for name in treatments],
            hypotheses=hypotheses,
            **({"replicates": len(values["baseline"])} | options),
        )

    return make

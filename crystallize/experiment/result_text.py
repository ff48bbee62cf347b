"""A result in a few lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from crystallize.analysis.verdict import Verdict
from crystallize.experiment.result_metrics import sample_text
from crystallize.experiment.result_parts import ResultParts
from crystallize.report.wording import effect_of, interval_of
from crystallize.text.escaping import printable
from crystallize.text.formatting import compared, counted, level_of, name_of_p

_ERRORS_SHOWN: Final = 5


def result_lines(parts: ResultParts, metrics: Mapping[str, Mapping[str, Sequence[Any]]]) -> Iterator[str]:
    """Yield what `print` shows of a result.

    Parameters
    ----------
    parts : ResultParts
        Of the result.
    metrics : mapping
        Condition -> metric -> one value per replicate.
    """
    run, planned = parts.replicates, parts.planned
    stopped = f" (stopped at {run} of {planned})" if planned > run else ""
    kinds = [kind for runs in parts.conditions.values() for kind in runs.records.kinds()]
    cached = sum(times for record, times in kinds if record.cached)
    told = f", {cached} of {sum(times for _, times in kinds)} runs from cache" if cached else ""
    yield printable(f"{parts.name}: {counted(run, 'replicate')}{stopped}, seed {parts.root_seed}{told}")
    for name, condition in metrics.items():
        for metric, values in condition.items():
            yield printable(f"  {name}.{metric}: {sample_text(values)}")
    for hypothesis in parts.hypotheses:
        for treatment, verdict in hypothesis.verdicts.items():
            yield printable(f"  {hypothesis.name} [{treatment}]: {_verdict_text(verdict)}")
    yield from (printable(f"  error in {error}") for error in parts.errors[:_ERRORS_SHOWN])
    if len(parts.errors) > _ERRORS_SHOWN:
        yield f"  and {counted(len(parts.errors) - _ERRORS_SHOWN, 'more error')}"


def _verdict_text(verdict: Verdict) -> str:
    row, shown = verdict.to_dict(), verdict.deciding_p
    text = verdict.status.upper()
    if shown is not None:
        name = ("" if verdict.adjusted_p is None else "adjusted ") + name_of_p(row)
        text += f" ({name} = {compared(shown, level_of(row), digits=3)[0]})"
    if verdict.passed and verdict.difference is not None:
        ends = "" if verdict.interval is None else f" {interval_of(row)}"
        text += f", {verdict.estimand or 'difference'} {effect_of(row)}{ends}"
    return f"{text}: {verdict.reason}" if verdict.reason else text

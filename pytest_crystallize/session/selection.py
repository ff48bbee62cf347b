"""Options that speak of experiments, held against those that were selected."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from crystallize.seam import printable
from pytest_crystallize.collect.items import HypothesisItem
from pytest_crystallize.naming.ids import escape
from pytest_crystallize.units.settings import Settings


def note_idle_options(settings: Settings, selected: Sequence[HypothesisItem]) -> None:
    """Say which options concern nothing that was selected: they may be misspelt."""
    if not selected:
        return
    option = settings.config.option
    known = {treatment for item in selected for treatment in item.runs.treatments}
    for switch in ("disable", "enable"):
        for name in getattr(option, f"crystallize_{switch}"):
            if name not in known:
                settings.note(f"--crystallize-{switch}={name}: no selected experiment has such a treatment")
    if option.crystallize_samples is not None and not any(item.runs.design for item in selected):
        settings.note(
            f"--crystallize-samples={option.crystallize_samples}: no selected experiment has cases; how "
            "often others are run, says --crystallize-replicates"
        )


def settle_repro(settings: Settings, selected: Sequence[HypothesisItem]) -> None:
    """Have the unit that is to be repeated name its condition as it is declared, if it was typed escaped.

    Raises
    ------
    pytest.UsageError
        If no selected experiment has such a unit.
    """
    unit = settings.repro
    if unit is None or not selected:
        return
    conditions = list(dict.fromkeys(c for item in selected for c in item.conditions))
    by_id = {escape(condition): condition for condition in conditions}
    if unit.condition not in conditions and unit.condition in by_id:
        unit = settings.repro = unit._replace(condition=by_id[unit.condition])
    if unit.condition not in conditions:
        raise pytest.UsageError(
            f"--crystallize-repro: no selected experiment has a condition {unit.condition!r}; they have "
            f"{', '.join(map(printable, conditions))}"
        )
    most = max(item.runs.replicates for item in selected)
    if unit.replicate >= most:
        raise pytest.UsageError(
            f"--crystallize-repro: there is no replicate {unit.replicate}; replicates are 0 to {most - 1}"
        )

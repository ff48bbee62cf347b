"""Units of the experiments of a graph that a factory returned: each pulls those that it depends on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from crystallize import ConditionRuns
from crystallize.seam import ARTIFACTS, GraphRun, Inputs, RunPlan, Subject, Unit, UpstreamUnit
from pytest_crystallize.units.factories import FactoryRuns
from pytest_crystallize.units.settings import Settings


class GraphRuns(FactoryRuns):
    """Units of one experiment of an `ExperimentGraph`, which pull those that they depend on.

    Parameters
    ----------
    graph : GraphRun
        The graph with the treatments and replicates of this session.
    others : dict of str to GraphRuns
        The graph's experiments by name; this one is added.
    """

    stays = "the experiments of a graph read files of one another"

    def __init__(
        self,
        function: pytest.Function,
        settings: Settings,
        *,
        graph: GraphRun,
        others: dict[str, GraphRuns],
        part: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(function, settings, experiment=graph.experiments[part], part=part, **kwargs)
        self._graph = graph
        self._part = part
        self._others = others
        self._inputs: dict[Unit, Inputs] = {}
        others[part] = self
        self.reads = tuple(f"{function.nodeid}::{name}" for name in graph.producers[part])
        self.stream = graph.joined(part, super().make_plan()).stream

    def subject(self) -> Subject:
        """Return what the experiment runs, and what those upstream run."""
        subject = super().subject()
        producers = {name: self._others[name].subject() for name in self._graph.producers[self._part]}
        upstream = {
            condition: tuple(
                (name, producers[name], unit.condition)
                for name, unit in self._graph.upstream(self._part, Unit(0, condition))
            )
            for condition in self.conditions
        }
        return dataclasses.replace(subject, upstream=upstream)

    def make_plan(self) -> RunPlan:
        """Return the plan of the experiment as part of the graph."""
        plan = super().make_plan()  # whose stream is the one of its place in the graph
        return plan.with_inputs(self._inputs.pop) if self._graph.producers[self._part] else plan

    def prepare(self, unit: Unit, host: pytest.Item) -> None:
        """Obtain the units upstream."""
        if self._graph.producers[self._part]:
            upstream = self._graph.upstream(self._part, unit)
            self._inputs[unit] = Inputs(self._upstream(name, needed, host) for name, needed in upstream)

    def _upstream(self, name: str, unit: Unit, host: pytest.Item) -> UpstreamUnit:
        runs = self._others[name]
        record = runs.obtain(unit, host)
        if self.cache is not None and record.impure not in (None, ARTIFACTS):
            self.cache.stored.runs.taint(f"reads what {name!r} wrote, which {record.impure}")
        return self._graph.upstream_unit(name, record, runs.artifacts.version() if record.artifacts else None)

    def unread(self, arms: Mapping[str, ConditionRuns]) -> list[str]:
        """Say nothing: what one experiment of a graph does not read another one may."""
        return []

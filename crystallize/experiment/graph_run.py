"""One run of a graph of experiments: what of each is run, and which unit reads which."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Container, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.unread import keys_read, warn_of_unread
from crystallize.context.record import RunRecord
from crystallize.context.seeding import DOWNSTREAM, SeedStream
from crystallize.declare.artifact import Inputs, Output, UpstreamUnit
from crystallize.declare.treatment import BASELINE, Treatment
from crystallize.errors import DefinitionError
from crystallize.experiment.checks import check_decidable, check_replicates
from crystallize.experiment.experiment import Experiment
from crystallize.experiment.result import Result
from crystallize.experiment.runner import Runner, beside_loop, store
from crystallize.run.execute import RunPlan
from crystallize.run.units import Unit, unit_of


class GraphRun:
    """The experiments of a graph with the treatments and replicates of one run, and how their units join.

    A runner that pulls units one by one obtains first those that one depends on, which `upstream` names, and
    keeps the record of each: as an `upstream_unit` it is the input of those that depend on it.

    Parameters
    ----------
    where : str
        What errors call the graph.
    experiments : mapping of str to Experiment
        As they are declared, by name; each behind those that it depends on.
    producers : mapping of str to tuple of str
        Names of the experiments that each depends on.
    shared : iterable of Treatment
        Treatments of every experiment, beside its own.
    treatments : iterable of Treatment, optional
        Those of every experiment, in place of all others.
    replicates : int, optional
        How often to run each condition of every experiment, in place of what these say.

    Attributes
    ----------
    experiments : dict of str to Experiment
        As they are run, in the same order.
    producers : mapping of str to tuple of str
        As they were given.

    Raises
    ------
    DefinitionError
        If these can't be run together.
    """

    def __init__(
        self,
        where: str,
        experiments: Mapping[str, Experiment],
        producers: Mapping[str, tuple[str, ...]],
        *,
        shared: Iterable[Treatment],
        treatments: Iterable[Treatment] | None,
        replicates: int | None,
    ) -> None:
        self.producers = producers
        self._where = where
        if replicates is not None:
            replicates = check_replicates(replicates, where)
        often = _replicates(experiments, producers, replicates)
        self.experiments: dict[str, Experiment] = {}
        for name, experiment in experiments.items():
            used = self._treatments(experiment, shared) if treatments is None else treatments
            settled = experiment.for_run(used, None, often[name])
            check_decidable(settled.conditions, settled.hypotheses, settled.label)
            settled.analysis_plan.check_cases(settled.label)
            self.experiments[name] = settled
        for name, settled in self.experiments.items():
            self.experiments[name] = settled.varied(shared_treatments=self._shared(name))

    async def results(self, *, on_loop: bool, store_results: bool = False) -> dict[str, Result]:
        """Run every experiment behind those that it depends on; see `ExperimentGraph.run`."""
        results: dict[str, Result] = {}
        for name in self.experiments:
            results[name] = await self._result(name, results, on_loop=on_loop)
            if store_results:
                store(results[name])
        self._warn_of_unread_keys(results)
        return results

    async def _result(self, name: str, results: Mapping[str, Result], *, on_loop: bool) -> Result:
        experiment, plan = self.experiments[name], self.plan(name, results=results)

        def run(awaits: bool) -> Coroutine[Any, Any, Result]:
            return Runner(experiment, plan, on_loop=awaits, to_the_end=self.is_read(name)).result()

        return await (beside_loop(experiment, run) if on_loop else run(False))

    def _shared(self, name: str) -> frozenset[str]:
        """Return the treatments that experiments have whose reads are no part of this one's runs."""
        upstream, waiting = {name}, [name]
        while waiting:
            found = [producer for producer in self.producers[waiting.pop()] if producer not in upstream]
            upstream.update(found)
            waiting += found
        others = (e for other, e in self.experiments.items() if other not in upstream)
        return frozenset(treatment.name for experiment in others for treatment in experiment.treatments)

    def is_read(self, name: str) -> bool:
        """Return whether another experiment reads what this one writes, so that it is run to its end."""
        return any(name in producers for producers in self.producers.values())

    def upstream(self, name: str, unit: Unit) -> list[tuple[str, Unit]]:
        """Return which unit of each experiment upstream a unit depends on."""
        known = self.experiments
        return [(producer, _read(unit, known[producer].conditions)) for producer in self.producers[name]]

    def upstream_unit(self, name: str, record: RunRecord, version: Path | None) -> UpstreamUnit:
        """Return what a condition run of an experiment is for those that depend on it.

        Parameters
        ----------
        name : str
            The experiment.
        record : RunRecord
            Of the condition run.
        version : Path or None
            The version that its artifacts were written to.
        """
        experiment = self.experiments[name]
        return UpstreamUnit(
            name,
            record.condition,
            record.replicate,
            tuple(Output(output.id, output.name) for output in experiment.outputs),
            record.artifacts,
            version,
            experiment.conditions,
            None if record.error is None else f"{record.error.step!r}: {record.error}",
            record.skipped,
            keys_read(record.scopes),
        )

    def plan(self, name: str, *, results: Mapping[str, Result] | None = None) -> RunPlan:
        """Return what a process needs to run any unit of an experiment.

        Parameters
        ----------
        name : str
            The experiment.
        results : mapping, optional
            Results of the experiments upstream; without them, each unit has to be given what it depends on.
        """
        plan = self.joined(name, self.experiments[name].run_plan())
        return plan if results is None else plan.with_inputs(_Finished(self, name, results))

    def joined(self, name: str, plan: RunPlan) -> RunPlan:
        """Return the plan of an experiment as part of the graph.

        An experiment downstream draws its seeds from a stream of its own: with those of the experiments that
        it reads from, its noise would be theirs over again.
        """
        if not self.producers[name]:
            return plan
        branch = (*plan.stream.branch, DOWNSTREAM, zlib.crc32(name.encode(errors="surrogatepass")))
        return dataclasses.replace(plan, stream=SeedStream(plan.stream.root, branch))

    def _warn_of_unread_keys(self, results: Mapping[str, Result]) -> None:
        """Warn of keys that a treatment sets and nothing in any experiment reads."""
        arms: dict[str, list[tuple[Experiment, ConditionRuns]]] = {}
        for name, experiment in self.experiments.items():
            for treatment in experiment.treatments:
                runs = results[name].metrics.treatments[treatment.name].runs
                arms.setdefault(treatment.name, []).append((experiment, runs))
        for name, ways in arms.items():
            if any(len(runs.lacking) == len(runs.records) for _, runs in ways):
                continue  # what failed throughout might have read it
            traces = (trace for _, runs in ways for trace in runs.records.traces())
            read = keys_read(scope for trace in traces for scope in trace)
            missed = (key for experiment, runs in ways for key in experiment.treatment_keys.unread(runs))
            for key in dict.fromkeys(key for key in missed if key not in read):
                warn_of_unread(name, key, self._where, [runs for _, runs in ways])

    def _treatments(self, experiment: Experiment, shared: Iterable[Treatment]) -> list[Treatment]:
        """Return an experiment's own treatments, those of the graph, and those from upstream."""
        known = {treatment.name: (treatment, experiment.name) for treatment in experiment.treatments}
        own = set(known)
        for treatment in shared:
            known.setdefault(treatment.name, (treatment, self._where))
        for producer in self.producers[experiment.name]:
            for treatment in self.experiments[producer].treatments:
                other, where = known.setdefault(treatment.name, (treatment, producer))
                if treatment.name not in own and not _alike(treatment, other):
                    raise DefinitionError(
                        f"{self._where}: experiment {experiment.name!r} would have two treatments named "
                        f"{treatment.name!r}, from {where!r} and {producer!r}; give them different names, or "
                        "one definition"
                    )
        return [treatment for treatment, _ in known.values()]


class _Finished:
    """Dependencies of the units of an experiment, when the experiments upstream are done."""

    def __init__(self, run: GraphRun, name: str, results: Mapping[str, Result]) -> None:
        self._producers = [
            (
                frozenset(run.experiments[producer].conditions),
                {
                    unit_of(record): run.upstream_unit(producer, record, results[producer].version_dir)
                    for record in results[producer].records
                },
            )
            for producer in run.producers[name]
        ]

    def __call__(self, unit: Unit) -> Inputs:
        return Inputs(units[_read(unit, conditions)] for conditions, units in self._producers)


def _read(unit: Unit, conditions: Container[str]) -> Unit:
    """Return the unit upstream that a unit reads: the baseline's, if its condition changes nothing there."""
    return unit if unit.condition in conditions else Unit(unit.replicate, BASELINE)


def _replicates(
    experiments: Mapping[str, Experiment], producers: Mapping[str, Iterable[str]], chosen: int | None
) -> dict[str, int]:
    """Return how often each experiment is run: as often as it says, or as one that depends on it needs."""
    often = {name: chosen or experiment.replicates for name, experiment in experiments.items()}
    for consumer in reversed(often):
        for producer in producers[consumer]:
            often[producer] = max(often[producer], often[consumer])
    return often


def _alike(one: Treatment, other: Treatment) -> bool:
    """Return whether two treatments of one name make the same change."""
    if one is other or (one.function is not None and one.function is other.function):
        return True
    try:
        return one.payload is not None and bool(one.payload == other.payload)
    except Exception:  # values that can't be compared are not known to be the same
        return False

"""Experiments that read what others write: which depends on which, and in which order they run."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from crystallize.declare.artifact import Output, artifacts_in, resolve
from crystallize.declare.awaiting import driven
from crystallize.declare.treatment import Treatments
from crystallize.errors import DefinitionError
from crystallize.experiment.checks import as_treatments
from crystallize.experiment.experiment import Experiment, ExperimentBuilder
from crystallize.experiment.graph_run import GraphRun
from crystallize.experiment.result import Result


class ExperimentGraph:
    """Experiments of which some read what others write.

    An experiment depends on those whose declared outputs its data source reads, and on those that
    `dependencies` names. Condition C in replicate i of an experiment reads what condition C in replicate i of
    the other one wrote, and fails if that failed.

    Treatments pass downstream: an experiment has its own, and those of every experiment that it depends on.
    A treatment that an experiment upstream does not have would change nothing there, seeds included, so that
    its baseline is what is read.

    Parameters
    ----------
    *experiments : Experiment
        Experiments or builders, one by one or as a list; their names differ.
    name : str
        What errors call the graph.
    dependencies : mapping, optional
        Name of an experiment -> names of experiments that it depends on besides. It tells apart artifacts of
        the same name, and makes an experiment wait for others whose artifacts it does not read.
    treatments : list of Treatment
        Treatments of every experiment.

    Raises
    ------
    DefinitionError
        If an artifact is written by no experiment or by several, if experiments depend on each other in a
        circle, or a name is unknown or used twice; the message names the experiments.

    Examples
    --------
    >>> from crystallize import Artifact, Experiment, ExperimentGraph, pipeline_step
    >>> weights = Artifact.json("weights.json")
    >>> @pipeline_step()
    ... def train(data, ctx, *, rate=1.0):
    ...     ctx.artifacts.add("weights.json", [rate * x for x in data])
    ...     return data
    >>> @pipeline_step()
    ... def score(data, ctx):
    ...     return data, {"score": sum(data)}
    >>> ExperimentGraph(
    ...     Experiment([1, 2], [train], name="train", outputs=[weights]),
    ...     Experiment(weights, [score], name="score"),
    ... )
    <ExperimentGraph 'graph': train -> score>
    """

    def __init__(
        self,
        *experiments: Experiment | ExperimentBuilder | Iterable[Experiment | ExperimentBuilder],
        name: str = "graph",
        dependencies: Mapping[str, Iterable[str]] | None = None,
        treatments: Treatments = (),
    ) -> None:
        self.name = name
        given = {experiment.name: experiment for experiment in self._flat(experiments)}
        self.treatments = as_treatments(treatments)
        declared = self._checked_dependencies(dependencies or {}, given)
        self.producers = {
            consumer: (
                *dict.fromkeys(
                    [*self._read_from(experiment, given, declared[consumer]), *declared[consumer]]
                ),
            )
            for consumer, experiment in given.items()
        }
        self.experiments = {name: given[name] for name in self._ordered()}
        self.settled()  # what can't be run is refused here

    def run(
        self,
        *,
        treatments: Treatments | None = None,
        replicates: int | None = None,
        store_results: bool = False,
    ) -> dict[str, Result]:
        """Run every experiment, each by its own execution, behind those that it depends on.

        Parameters
        ----------
        treatments : optional
            Those of every experiment in this run, in place of all others.
        replicates : optional
            How often to run each condition of every experiment, in place of what these say. By default an
            experiment is run as often as it says, and at least as often as those that depend on it.
        store_results : bool
            Keep each result, as `Experiment.run` does.

        Returns
        -------
        dict of str to Result
            By name of the experiment, in the order in which they were run.

        Raises
        ------
        DefinitionError
            If these can't be run together.
        """
        settled = self.settled(treatments=treatments, replicates=replicates)
        return driven(settled.results(on_loop=False, store_results=store_results))

    async def arun(
        self,
        *,
        treatments: Treatments | None = None,
        replicates: int | None = None,
        store_results: bool = False,
    ) -> dict[str, Result]:
        """Do what `run` does, so that the running event loop goes on meanwhile."""
        settled = self.settled(treatments=treatments, replicates=replicates)
        return await settled.results(on_loop=True, store_results=store_results)

    def settled(self, *, treatments: Treatments | None = None, replicates: int | None = None) -> GraphRun:
        """Return the graph's experiments with the treatments and replicates of one run; see `run`."""
        return GraphRun(
            f"graph {self.name!r}",
            self.experiments,
            self.producers,
            shared=self.treatments,
            treatments=None if treatments is None else as_treatments(treatments),
            replicates=replicates,
        )

    def _flat(self, given: Iterable[Any]) -> Iterator[Experiment]:
        names: set[str] = set()
        for entry in given:
            many = isinstance(entry, Iterable) and not isinstance(entry, str)
            for experiment in entry if many else (entry,):
                built = experiment.build() if isinstance(experiment, ExperimentBuilder) else experiment
                if not isinstance(built, Experiment):
                    raise DefinitionError(f"graph {self.name!r} is made of experiments, not of {built!r}")
                if built.name in names:
                    raise DefinitionError(
                        f"graph {self.name!r}: two experiments are named {built.name!r}; give each a name="
                    )
                if built.design is not None:
                    raise DefinitionError(
                        f"graph {self.name!r}: experiment {built.name!r} has cases, and in a graph runs pair "
                        "by the numbers of their replicates; run it by itself"
                    )
                names.add(built.name)
                yield built
        if not names:
            raise DefinitionError(f"graph {self.name!r} has no experiments; give ExperimentGraph(a, b, ...)")

    def _checked_dependencies(
        self, dependencies: Mapping[str, Iterable[str]], given: Mapping[str, Experiment]
    ) -> dict[str, tuple[str, ...]]:
        checked: dict[str, tuple[str, ...]] = dict.fromkeys(given, ())
        for consumer, producers in dependencies.items():
            named = (producers,) if isinstance(producers, str) else tuple(producers)
            for name in (consumer, *named):
                if name not in given:
                    known = ", ".join(map(repr, given))
                    raise DefinitionError(
                        f"graph {self.name!r}: dependencies name {name!r}, which is no experiment of it; it "
                        f"has {known}"
                    )
            checked[consumer] = named
        return checked

    def _read_from(
        self, consumer: Experiment, given: Mapping[str, Experiment], declared: tuple[str, ...]
    ) -> Iterator[str]:
        for artifact in artifacts_in(consumer.datasource):
            found = [owner for owner, _ in resolve(artifact, _declared(given.values()))]
            among = [owner for owner in found if owner in declared] if len(found) > 1 else found
            if len(among) != 1:
                outputs = ", ".join(
                    f"{o.name!r} of {name!r}" for name, os in _declared(given.values()) for o in os
                )
                by = (
                    f"by {' and '.join(map(repr, found))}; say in dependencies= which" if found else "by none"
                )
                raise DefinitionError(
                    f"graph {self.name!r}: experiment {consumer.name!r} reads artifact "
                    f"{artifact.name!r}, which is declared as output {by} of the experiments; "
                    f"declared are {outputs or 'none'}"
                )
            yield among[0]

    def _ordered(self) -> list[str]:
        try:
            return list(graphlib.TopologicalSorter(self.producers).static_order())
        except graphlib.CycleError as error:
            circle = " -> ".join(map(repr, error.args[1]))
            raise DefinitionError(
                f"graph {self.name!r}: experiments depend on each other in a circle: {circle}"
            ) from None

    def __repr__(self) -> str:
        return f"<ExperimentGraph {self.name!r}: {' -> '.join(self.experiments)}>"


def _declared(experiments: Iterable[Experiment]) -> list[tuple[str, list[Output]]]:
    return [(e.name, [Output(output.id, output.name) for output in e.outputs]) for e in experiments]

"""An experiment as a session is to run it: how often, with which seeds, and which of its conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from crystallize import Budget, GroupSequential, Hypothesis, Treatment
from crystallize.errors import DefinitionError
from crystallize.seam import (
    BASELINE,
    DEFAULT_JUDGING,
    Analysis,
    AnalysisPlan,
    Caching,
    CaseDesign,
    CaseStream,
    Judging,
    References,
    TreatmentKeys,
    check_budget,
    declared_inputs,
    find_references,
    metrics_of_claims,
)
from pytest_crystallize.naming.ids import shortened
from pytest_crystallize.naming.places import place_of
from pytest_crystallize.naming.reference_files import ReferenceFiles
from pytest_crystallize.pytest_seam import decorator_of
from pytest_crystallize.records.exchange import unlike
from pytest_crystallize.units.amounts import Amounts
from pytest_crystallize.units.settings import Settings

if TYPE_CHECKING:
    from pytest_crystallize.against.side import OtherSide

_NOTHING_DECLARED = Caching()


class Claimant(Protocol):
    """A test of an experiment: what it claims, and of what."""

    parent: Any
    hypothesis: Hypothesis | None
    treatment: str | None

    @property
    def nodeid(self) -> str:
        """Node id of the test."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """Those that it needs."""

    def will_run(self) -> bool:
        """Return whether the marks let it run."""


class SettledExperiment:
    """Experiment (one parameter set of one function) as this session is to run it, and what it needs.

    Attributes
    ----------
    id : str
        Node id of the function with its parameters, and of a graph the experiment's name; the same in every
        process.
    name : str
        What reports call it.
    where : str
        ``file:line`` of the function.
    location : tuple of path and int
        Its file and line (from 0), as pytest shows them.
    conditions : tuple of str
        All conditions, the baseline first.
    needed : set of str
        Those that the selected items need.
    part : str
        Which experiment of a graph it is; empty outside of graphs.
    reads : tuple of str
        Ids of the experiments of the graph whose output it reads.
    experiment_name : str
        What directories of artifacts are called after.
    reference_files : ReferenceFiles
        Where its references are.
    analysis_plan : AnalysisPlan
        What is claimed, and how it is judged.
    later_plan : AnalysisPlan
        The same of the run that a pilot is for.
    members, selected : list of Claimant
        All items; those of them that give a verdict in this session.
    sample_size, root_seed : int
        As settled between command line, declaration and ini file.
    replicates : int
        How many to run: as many, or for A/A tests of them.
    judging : Judging
        How claims are judged.
    awaits : bool
        Whether runs are awaited on the event loop of the process.
    at_once : int
        How many replicates a process runs at the same time, if they are.
    keep_versions : int or None
        How many versions of its artifacts are kept; None for all.
    default_replicates : int or None
        How many there are if nobody says.
    hypotheses : tuple of Hypothesis
        What is claimed, also while A/A tests are made of it.
    caching : Caching
        What runs depend on, as declared.
    budget : Budget or None
        What it may spend.
    exclusive : bool
        Whether nothing else of the session runs while one of its units does.
    design : CaseDesign or None
        The cases that it is run on, if there are any.
    fixture_definitions : frozenset of FixtureDef
        The fixtures that runs may use.
    stays : str
        Why its units can't run on a cluster; empty if they can.
    """

    awaits = False
    exclusive = False
    keep_versions: int | None = None
    default_replicates: int | None = None
    reads: tuple[str, ...] = ()
    stays = ""

    def __init__(
        self,
        function: pytest.Function,
        settings: Settings,
        *,
        name: str,
        where: str,
        treatments: Sequence[Treatment],
        replicates: int | None,
        seed: int | None,
        hypotheses: Sequence[Hypothesis] = (),
        judging: Judging = DEFAULT_JUDGING,
        caching: Caching = _NOTHING_DECLARED,
        keys: TreatmentKeys | None = None,
        part: str = "",
        max_concurrency: int | None = None,
        design: CaseDesign | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.function = function
        self.settings = settings
        self.part = part
        self.id = f"{function.nodeid}::{part}" if part else function.nodeid
        self.name = _name_of(function, name, part)
        self.experiment_name = self.name
        self.where = where
        self.location = place_of(function.obj)
        self.reference_files = ReferenceFiles(function, part)
        self.treatment_objects = tuple(treatments)
        self.treatments = (
            () if settings.options.calibrate else tuple(treatment.name for treatment in treatments)
        )
        self.conditions = (BASELINE, *self.treatments)
        self.at_once = self._settled_concurrency(max_concurrency)
        self.budget = check_budget(budget, self.name)
        amounts = Amounts.settled(
            self.name,
            settings.options,
            replicates=replicates,
            by_default=self.default_replicates,
            seed=seed,
            design=design,
        )
        self.design = amounts.design
        self.sample_size, self.replicates = amounts.sample_size, amounts.replicates
        self.root_seed, self.seed_drawn = amounts.root_seed, amounts.seed_drawn
        self.stream = amounts.stream()
        judging.check(hypotheses, self.name)
        self.judging = self._settled_judging(judging, hypotheses)
        self.hypotheses = tuple(hypotheses)
        self.later_plan = self._plan_of_claims(amounts, keys or TreatmentKeys.of(treatments))
        self.analysis_plan = self._plan_of_session(amounts)
        self.caching = caching
        self.fixture_definitions: frozenset[Any] = frozenset()
        self.needed: set[str] = set()
        self.marks_of_hooks: list[pytest.Mark] = []
        self.members: list[Claimant] = []
        self.selected: list[Claimant] = []

    def take_from_hooks(self, marks: Sequence[pytest.Mark], fixtures: Sequence[str]) -> None:
        """Take in what hooks have given all tests that were selected: it is said of the condition runs.

        Parameters
        ----------
        marks : sequence of Mark
            Marks that they have added.
        fixtures : sequence of str
            Names of fixtures that are to be set up for each.
        """
        self.marks_of_hooks = [*marks]
        for mark in marks:
            self.function.add_marker(decorator_of(mark))

    def _settled_judging(self, declared: Judging, hypotheses: Sequence[Hypothesis]) -> Judging:
        claimed = any(hypothesis.claim is not None for hypothesis in hypotheses)
        if not self.settings.options.early_stop or declared.stopping is not None or not claimed:
            return declared
        try:
            stopped = replace(declared, stopping=GroupSequential())
            stopped.check(hypotheses, "--crystallize-early-stop")
            return stopped
        except DefinitionError as error:
            self.settings.note(f"{self.name} is not stopped early: {error}")
            return declared

    def _settled_concurrency(self, declared: object) -> int:
        if declared is None:
            return self.settings.options.at_once
        if type(declared) is not int or declared < 1:
            raise DefinitionError(f"{self.name}: max_concurrency is {declared!r}; give an integer >= 1")
        return declared

    def _plan_of_claims(self, amounts: Amounts, keys: TreatmentKeys) -> AnalysisPlan:
        """Return what is claimed of the runs; where these are a pilot, of the run that it is for."""
        options = self.settings.options
        plan = AnalysisPlan(
            self.hypotheses,
            self.treatments,
            amounts.counted(self.sample_size if options.plan else self.replicates),
            self.judging,
            keys,
            options.claims,
            self.stream if isinstance(self.stream, CaseStream) else None,
        )
        plan.check_cases(self.name)
        return plan

    def _plan_of_session(self, amounts: Amounts) -> AnalysisPlan:
        """Return what this session judges: no claim, where it runs A/A tests or a pilot."""
        plan, options = self.later_plan, self.settings.options
        if options.calibrate or options.plan:
            counted = amounts.counted(self.replicates)
            plan = replace(plan, hypotheses=(), replicates=counted, judging=DEFAULT_JUDGING)
        plan.check_reach(self.name)
        return plan

    def declare_exclusive(self, declared: object) -> None:
        """Have each unit run while nothing else of the session does, if it is declared so.

        Raises
        ------
        DefinitionError
            If that is neither True nor False, or can't be had.
        """
        if not isinstance(declared, bool):
            raise DefinitionError(f"{self.name}: exclusive is {declared!r}; give True or False")
        if declared and self.on_cluster:
            raise DefinitionError(
                f"{self.name} is exclusive, and is run on a cluster, where nothing waits for it: run it "
                "here, or leave exclusive= out"
            )
        if declared:
            self.exclusive, self.at_once = True, 1
            self.settings.turns.are_taken = True

    @property
    def on_cluster(self) -> bool:
        """Whether a cluster runs the units."""
        return self.settings.cluster is not None and not self.stays

    @property
    def is_elsewhere(self) -> bool:
        """Whether units are run on other machines than this one."""
        return self.on_cluster or self.settings.merged is not None

    # References.

    @cached_property
    def references(self) -> References:
        """References that the hypotheses are against."""
        plan = self.later_plan if self.settings.options.plan else self.analysis_plan
        hypotheses, root = plan.hypotheses, self.settings.config.rootpath
        if self.other_side is not None:
            return self.other_side.references
        found = find_references(
            hypotheses,
            lambda known: self.reference_files.of(known.name),
            experiment=self.name,
            names=self.reference_files.names,
        )
        if not found:
            return References()
        return References(
            {key: shortened(it, root) if isinstance(it, str) else it for key, it in found.items()},
            inputs=declared_inputs(root, self.caching.inputs),
            elsewhere=self.is_elsewhere,
            repeats=lambda: self.caching.repeatable and unlike(self.settings.exchange, self.id) is None,
        )

    @cached_property
    def other_side(self) -> OtherSide | None:
        """The experiment at another commit, if the session compares with one and a claim is against it."""
        commit, exchange, cases = self.settings.commit, self.settings.exchange, self.analysis_plan.cases
        against = [hypothesis for hypothesis in self.hypotheses if hypothesis.reference is not None]
        if commit is None or not against:
            return None
        from pytest_crystallize.against.side import OtherSide  # not in other sessions

        return OtherSide(
            commit,
            exchange,
            self.id,
            replicates=self.replicates,
            cases=[] if cases is None else [cases.named(i)[0] for i in range(self.replicates)],
            claimed=metrics_of_claims(against),
            repeatable=self.caching.repeatable,
        )

    def subjects(self, hypothesis: Hypothesis) -> tuple[str, ...]:
        """Return the conditions that a hypothesis has a test for."""
        return Analysis(self.analysis_plan, {}, self.references).subjects(hypothesis)

    # What is needed.

    @property
    def needed_in_order(self) -> list[str]:
        """The conditions that the selected items need, in the order of all of them."""
        return [condition for condition in self.conditions if condition in self.needed]

    def needs(self, item: Claimant) -> None:
        """Note that an item is to give a verdict: its conditions, and those of its family, are to be run.

        What records gives no verdict, so no correction needs the family; nor do A/A tests, which are of no
        treatment.
        """
        self.selected.append(item)
        self.needed.update(item.conditions)
        if item.hypothesis is not None and item.treatment and self.settings.options.save is None:
            family = self.analysis_plan.conditions(item.hypothesis, item.treatment)
            self.needed |= self._tested.intersection(family, self.conditions)

    @cached_property
    def _tested(self) -> frozenset[str]:
        """The conditions of which the marks let some claim of the family be tested, and the baseline."""
        corrected = self.analysis_plan.is_corrected
        claims = [m for m in self.members if m.hypothesis is not None and corrected(m.hypothesis)]
        return frozenset([BASELINE, *(name for m in claims if m.will_run() for name in m.conditions)])

    def for_family(self) -> list[str]:
        """Return the conditions that are run for the correction alone: no selected test is about them."""
        about = {condition for item in self.selected for condition in item.conditions}
        return [condition for condition in self.conditions if condition in self.needed - about]


def _name_of(function: pytest.Function, name: str, part: str) -> str:
    """Return what reports call an experiment: its name, with parameters, and with its part of a graph."""
    callspec = getattr(function, "callspec", None)
    name = f"{name}[{callspec.id}]" if callspec is not None and callspec.id else name
    return f"{name}: {part}" if part else name

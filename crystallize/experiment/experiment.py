"""The experiment: what is run, under which conditions, and what is claimed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from crystallize.analysis.claim_plan import POWER, ExperimentPlan
from crystallize.analysis.planning import FEWEST, check_pilot
from crystallize.claims.hypothesis import Hypothesis
from crystallize.context.seeding import check_root_seed
from crystallize.declare.awaiting import driven
from crystallize.declare.datasource import as_given_source
from crystallize.declare.treatment import Treatment, Treatments
from crystallize.experiment import runner
from crystallize.experiment.builder import PartsBuilder, parts_of
from crystallize.experiment.checks import check_replicate
from crystallize.experiment.declaration import DEFAULT_NAME, ExperimentDeclaration
from crystallize.experiment.optimize import BaseOptimizer
from crystallize.experiment.optimize.search import Search
from crystallize.experiment.result import Result
from crystallize.experiment.runner import Runner, Strategy, beside_loop
from crystallize.run.plugins import LoggingPlugin

_SOURCE: Any = object()


class Experiment(ExperimentDeclaration):
    """Baseline and treatments over seeded replicates, and hypotheses about them.

    Parameters
    ----------
    datasource : DataSource
        Where the data come from; also an un-called factory, a function of the context, or a constant.
    pipeline : Pipeline or list of PipelineStep
        What is done with them; steps may be un-called factories.
    plugins : list of BasePlugin, optional
        Each replaces the default plugin of its own kind (`SeedPlugin`, `ArtifactPlugin`, `LoggingPlugin`,
        `SerialExecution`) and no other.
    name, description : str
        What it is called.
    initial_ctx : mapping, optional
        Keys that the context of every condition begins with.
    treatments : list of Treatment, or mapping of str to change
        The conditions beside the baseline; a mapping gives their changes by name.
    hypotheses : list of Hypothesis
        Claims about each treatment.
    hypothesis : Hypothesis, optional
        Another spelling for a single one.
    outputs : list of Artifact
        What a step writes in every run, for other experiments of an `ExperimentGraph` to read.
    replicates : int, optional
        How often each condition is run, >= 1; once if left out. Not where there are cases.
    cases : Cases, optional
        The data set that it is run on, case by case. Every condition is run on each; the context has the case
        of a run under ``"case"``. Claims are of means over cases, and speak of cases like these.
    samples : int, optional
        How often each condition is run on each case; once if left out.
    slices : str, optional
        Key of the cases whose values part them: each verdict shows what it is in each slice, and a hypothesis
        with ``slices=True`` claims something of each.
    correction : {"holm", "bh", "none"}
        How the p-values of all claims of superiority (each hypothesis, under each treatment) are corrected
        for their number. Claims with a margin must all hold anyway, and verifiers decide by themselves.
    stopping : GroupSequential, AnytimeValid or Curtailment, optional
        Look before all replicates are run, and stop once every claim is decided.
    resampled : float, optional
        Part of one data set that each replicate holds out, if replicates are random resplits of it: they
        overlap, so claims are tested by `ResampledTTest`.
    inputs : iterable of str
        Files that runs read, as patterns relative to the current directory (under pytest, to its rootdir).
        Stored runs count only as long as the files stay as they are.
    env : iterable of str
        Environment variables that runs read; stored runs count only as long as they stay as they are.
    cache_key : str, optional
        Stands for all that runs depend on and that can't be seen, such as a remote model: runs are stored
        that would not be otherwise. Change it when that changes.
    repeatable : bool
        Whether a run gives the same when it is made again. Of an experiment that can't, such as one of a
        remote model, nothing is stored, and it is not said that its runs differ.

    Raises
    ------
    DefinitionError
        If something can't be run as declared; the message says what and where.

    Examples
    --------
    >>> from crystallize import Experiment, Hypothesis, Treatment, pipeline_step
    >>> @pipeline_step()
    ... def total(data, ctx, *, delta=0.0):
    ...     return data, {"total": sum(data) + delta + ctx.rng.normal()}
    >>> experiment = Experiment(
    ...     [1, 2, 3],
    ...     [total],
    ...     treatments=[Treatment("boost", {"delta": 10.0})],
    ...     hypothesis=Hypothesis(metric="total", direction="increase"),
    ...     replicates=10,
    ... )
    >>> experiment.run().metrics["hypothesis"]["accepted"]
    True
    """

    @staticmethod
    def builder(name: str = DEFAULT_NAME) -> ExperimentBuilder:
        """Return a builder whose methods set one part each."""
        return ExperimentBuilder(name)

    def run(
        self,
        *,
        treatments: Treatments | None = None,
        hypotheses: Iterable[Hypothesis] | Hypothesis | None = None,
        replicates: int | None = None,
        strategy: Strategy = "rerun",
        store_results: bool = False,
    ) -> Result:
        """Run every condition in every replicate, and verify the hypotheses.

        A condition that fails in a replicate stops nothing: it is in ``result.errors``, and a hypothesis that
        lacks values for it is invalid.

        Parameters
        ----------
        treatments, hypotheses, replicates : optional
            In place of those of the experiment, for this run.
        strategy : {"rerun", "resume"}
            "resume" stores each run as soon as it is done, in the directory that ``CRYSTALLIZE_CACHE_DIR``
            names or in ``.cache/crystallize``, and uses those that are stored: after an interruption it goes
            on from there, and it runs only what a change concerns. Only runs that are sure to give the same
            again are stored; a warning says why others are not. "rerun" neither reads nor writes.
        store_results : bool
            Keep the result in ``results`` of that directory, for `stored_results`.

        Raises
        ------
        DefinitionError
            If these can't be run together.
        NotPicklableError
            If a part can't be sent to the processes it is to run in.
        """
        used = self.for_run(treatments, hypotheses, replicates)
        return driven(runner.run(used, strategy, on_loop=False, store_results=store_results))

    async def arun(
        self,
        *,
        treatments: Treatments | None = None,
        hypotheses: Iterable[Hypothesis] | Hypothesis | None = None,
        replicates: int | None = None,
        strategy: Strategy = "rerun",
        store_results: bool = False,
    ) -> Result:
        """Do what `run` does, so that the running event loop goes on meanwhile.

        With `AsyncExecution`, on that loop; with any other execution, in a thread of its own.
        """
        used = self.for_run(treatments, hypotheses, replicates)
        return await beside_loop(
            used, lambda awaits: runner.run(used, strategy, on_loop=awaits, store_results=store_results)
        )

    def plan(
        self,
        *,
        effect: float | None = None,
        power: float = POWER,
        pilot: int = FEWEST,
        strategy: Strategy = "rerun",
    ) -> ExperimentPlan:
        """Tell how many replicates the claims need, before they are run.

        A pilot is run, on seeds that `run` never uses, to see how the values vary; nothing is tested. Where
        every claim is against a reference that is there, what it recorded stands for the pilot.

        Parameters
        ----------
        effect : float, optional
            The difference that is to be found, in place of what each claim with a sign declares, and like it
            in the units of the metric, or a part of the baseline's mean of a claim that is relative.
        power : float
            With which it is to be found.
        pilot : int
            Replicates of the pilot, 10 or more.
        strategy : {"rerun", "resume"}
            As in `run`, for the pilot.

        Raises
        ------
        DefinitionError
            If there is no claim, or an argument makes no sense.
        """
        check_pilot(pilot, effect, power)
        claims = runner.plan_claims(
            self.for_run(), pilot, strategy, effect=effect, power=power, on_loop=False
        )
        return driven(claims)

    def optimize(
        self, optimizer: BaseOptimizer, *, num_trials: int, replicates_per_trial: int = 1
    ) -> Treatment:
        """Search for a promising treatment; it is a lead, not a proof.

        The treatments of one `ask` are evaluated in one run, without the baseline. Replicate i of every trial
        has the same seed, so that trials differ by their treatments rather than by their luck; these seeds
        come from a stream of their own, so that `run` confirms on replicates that the search has not seen.

        A trial fails if one of its replicates does, or records a metric of the objective not at all or not as
        a finite number. It is told as the worst value there is (inf for a metric that is minimized, -inf for
        one that is maximized) and is never the best.

        Parameters
        ----------
        optimizer : BaseOptimizer
            What to try next. It is told the mean of each metric over the replicates of a trial.
        num_trials : int
            How many treatments to evaluate at most; an optimizer that asks for nothing ends the search.
        replicates_per_trial : int
            How often to run each; where there are cases, each is run on all samples of them.

        Returns
        -------
        Treatment
            The optimizer's best.

        Raises
        ------
        OptimizationError
            If every trial failed.
        DefinitionError
            If an argument, or what the optimizer asks for, can't be run.
        """
        search = Search(optimizer, num_trials, self.label)
        return driven(runner.search(self, search, replicates_per_trial, on_loop=False))

    async def aoptimize(
        self, optimizer: BaseOptimizer, *, num_trials: int, replicates_per_trial: int = 1
    ) -> Treatment:
        """Do what `optimize` does, as `arun` does what `run` does."""
        search = Search(optimizer, num_trials, self.label)
        return await beside_loop(
            self, lambda awaits: runner.search(self, search, replicates_per_trial, on_loop=awaits)
        )

    def apply(
        self, treatment: Treatment | str | None = None, *, data: Any = _SOURCE, seed: int | None = None
    ) -> Any:
        """Pass data through the pipeline once, and return the output.

        The pass stops behind the step marked by `exit_step`; the steps behind it are not even set up. Hooks
        of plugins, `setup` and `teardown` are called as in a run. Exceptions come through. The global random
        generators are seeded for the pass, and put back after.

        Parameters
        ----------
        treatment : Treatment or str, optional
            A treatment, or the name of one of the experiment's; without it, the baseline.
        data : any, optional
            What to process in place of what the data source gives; a `DataSource` is fetched from, anything
            else is given to the first step as it is.
        seed : int, optional
            Root seed, in place of that of the `SeedPlugin`; the pass has the seed of its replicate 0.

        Returns
        -------
        any
            What the exit step returned (the data, of a pair of data and metrics), or the last step if none
            is marked.
        """
        chosen = () if treatment is None else (self.treatment(treatment),)
        used = self.for_run(chosen, (), self.once)
        plan = used.run_plan(None if seed is None else check_root_seed(seed))
        if data is not _SOURCE:
            plan = plan.with_data(as_given_source(data))
        return Runner(used, plan.until_exit()).output()

    def debug(self, treatment: Treatment | str | None = None, *, replicate: int = 0) -> Result:
        """Run one replicate of the baseline and of `treatment`, in this thread, step by step in the log.

        Exceptions come through, so that a debugger stops where they were raised.

        Parameters
        ----------
        treatment : Treatment or str, optional
            A treatment, or the name of one of the experiment's.
        replicate : int
            Which replicate's seed to use, >= 0.

        Raises
        ------
        DefinitionError
            If there is no such treatment or replicate.
        """
        chosen = () if treatment is None else (self.treatment(treatment),)
        used = self.for_run(chosen, (), self.once)
        used.plugins = [*used.plugins, LoggingPlugin(verbose=True)]
        return Runner(used, used.run_plan()).debugged(check_replicate(replicate))


class ExperimentBuilder(PartsBuilder):
    """Builder of an experiment, part by part; every method but `build` returns the builder.

    Parameters
    ----------
    name : str
        Name of the experiment.

    Examples
    --------
    >>> from crystallize import ExperimentBuilder, pipeline_step
    >>> @pipeline_step()
    ... def total(data):
    ...     return data, {"total": sum(data)}
    >>> ExperimentBuilder("sums").datasource([1, 2]).add_step(total).build().run().metrics.baseline
    {'total': [3]}
    """

    def __init__(self, name: str = DEFAULT_NAME) -> None:
        super().__init__(name)

    def build(self) -> Experiment:
        """Return the experiment.

        Raises
        ------
        DefinitionError
            If the data source or the steps are missing, or something else can't be run.
        """
        return Experiment(**parts_of(self))

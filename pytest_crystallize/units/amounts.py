"""How many runs of each condition a session makes of an experiment, on which cases and from which seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crystallize.errors import DefinitionError
from crystallize.seam import (
    CALIBRATION,
    FEWEST,
    PLANNING,
    CaseDesign,
    SeedStream,
    check_replicates,
    check_root_seed,
)
from pytest_crystallize.options.options import Options


@dataclass(frozen=True)
class Amounts:
    """Runs of each condition, as settled between command line, declaration and ini file.

    Attributes
    ----------
    name : str
        What messages call the experiment.
    options : Options
        What the session was asked for.
    design : CaseDesign or None
        The cases with their samples, if there are any.
    sample_size : int
        Replicates that a verdict rests on.
    root_seed : int
        Number that all seeds come from.
    seed_drawn : bool
        Whether it was drawn at random.
    """

    name: str
    options: Options
    design: CaseDesign | None
    sample_size: int
    root_seed: int
    seed_drawn: bool

    @classmethod
    def settled(
        cls,
        name: str,
        options: Options,
        *,
        replicates: int | None,
        by_default: int | None,
        seed: int | None,
        design: CaseDesign | None,
    ) -> Amounts:
        """Settle what an experiment declares.

        Raises
        ------
        DefinitionError
            If it can't be run as it is declared, or not with these options.
        """
        if design is not None:
            design = _settled_design(design, name, options)
            size = design.replicates
        else:
            size = _settled_replicates(replicates, by_default, name, options)
        if seed is not None:
            check_root_seed(seed)
        root = next(n for n in (options.seed, seed, options.ini_seed, 0) if n is not None)
        drawn = options.drawn_seed is not None and (seed is None or options.seed is not None)
        return cls(name, options, design, size, root, drawn)

    @property
    def replicates(self) -> int:
        """Replicates to run: as many, for A/A tests of them, or of a pilot."""
        if self.options.calibrate:
            return 2 * self.sample_size * self.options.calibrate
        return max(FEWEST, self.options.replicates or 0) if self.options.plan else self.sample_size

    def stream(self) -> SeedStream:
        """Return the seeds: A/A tests and pilots have some of their own."""
        branch = (CALIBRATION,) if self.options.calibrate else (PLANNING,) if self.options.plan else ()
        if self.design is None:
            return SeedStream(self.root_seed, branch)
        return self.design.stream(self.root_seed, branch)

    def counted(self, replicates: int) -> int:
        """Return how many replicates, or cases, a verdict is to rest on."""
        return replicates if self.design is None else replicates // self.design.samples


def _settled_design(declared: CaseDesign, name: str, options: Options) -> CaseDesign:
    """Return the cases, with as many samples of each as the command line says."""
    if options.replicates is not None:
        raise DefinitionError(
            f"{name} is run on {len(declared.cases)} cases, not on a number of replicates "
            "(--crystallize-replicates); how often on each, says "
            f"--crystallize-samples={options.replicates}"
        )
    if options.plan:
        raise DefinitionError(
            f"{name} is run on the cases that there are, so --crystallize-plan has no number to plan"
        )
    return declared if options.samples is None else replace(declared, samples=options.samples)


def _settled_replicates(declared: int | None, by_default: int | None, name: str, options: Options) -> int:
    if declared is not None:
        declared = check_replicates(declared, name)
    ways = (options.replicates, declared, options.ini_replicates, by_default)
    if options.plan:  # what is typed is the pilot's
        ways = (declared, options.ini_replicates, by_default, options.replicates)
    chosen = next((n for n in ways if n is not None), None)
    if chosen is None:
        raise DefinitionError(
            f"{name} declares no replicates; give replicates= in the mark, crystallize_replicates "
            "in the ini file, or --crystallize-replicates"
        )
    return chosen

"""Runs of another commit that this session made, as what claims are against."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.references import References, listed, measured_metrics
from crystallize.analysis.stored_reference import Recording, StoredReference
from crystallize.claims.hypothesis import Hypothesis
from crystallize.claims.reference import Reference
from crystallize.text.formatting import counted, short_commit


class RevisionRuns(References):
    """Runs of another commit, which every claim against a reference is judged on.

    Parameters
    ----------
    held : callable
        Returns what there is of them, or why there is nothing.
    repeats : callable
        Tells whether the same seed gives the same values, there and here.
    """

    def __init__(self, held: Callable[[], Recording | str], *, repeats: Callable[[], bool]) -> None:
        super().__init__(repeats=repeats)
        self._held = held

    def known(self, against: Reference) -> StoredReference | str:
        """Return the runs, or why there are none."""
        held = self._held()
        return held if isinstance(held, str) else StoredReference("", (held,))

    def told(self, against: Reference, condition: str) -> str:
        """Return which runs a condition is compared with, in words; empty if with none."""
        held = self.recording(against, condition)
        if held is None:
            return ""
        made = held.conditions[condition].reached  # looks may have stopped them
        many = counted(made, "replicate")
        commit = short_commit(held.origin.commit)
        return f"run with {many} of root seed {held.root_seed} at commit {commit} in this session"

    def why_not(
        self,
        hypothesis: Hypothesis,
        condition: str,
        today: ConditionRuns | None,
        replicates: int,
        *,
        by_unit: bool = False,
        by_case: bool = False,
    ) -> str | None:
        """Say why a condition can't be compared with what it gives there; None if it can.

        The parameters are those of `References.why_not`.
        """
        against = hypothesis.reference
        if against is None:
            return None
        held = self._held()
        if isinstance(held, str):
            return held
        named = f"{against} (commit {short_commit(held.origin.commit)})"
        if condition not in held.conditions:
            return (
                f"{named} has no condition {condition!r}, but {listed(held.conditions)}: what is new has no "
                "past; name in treatments= what is to be compared"
            )
        if today is None:
            return f"condition {condition!r} is gone: {named} has it"
        there = held.conditions[condition]
        if measured := measured_metrics(hypothesis, there, today):
            return self._why_not_measured(listed(measured), held, by_case=by_case)
        for replicate, (seed, then) in enumerate(zip(today.seeds, there.seeds, strict=False)):
            if not by_case and None not in (seed, then) and seed != then:
                return (
                    f"replicate {replicate} has seed {seed} here and {then} at {named}, which has another "
                    f"root seed; give both the same: --crystallize-seed={held.root_seed}"
                )
        return None

    def _why_not_measured(self, named: str, held: Recording, *, by_case: bool) -> str | None:
        if by_case:
            return f"{named} is measured: what cases are measured by is compared within one commit only"
        if not held.blocks:
            return (
                f"{named} is measured in some runs and not in the first, so that both commits were not run "
                "in processes of their own; record it with measured=True wherever it is recorded"
            )
        return None

    def blocks(self, hypothesis: Hypothesis, condition: str, today: ConditionRuns) -> list[int]:
        """Return the block of each replicate, where a hypothesis is about what was measured by blocks."""
        against = hypothesis.reference
        held = None if against is None else self.recording(against, condition)
        if held is None or not held.blocks:
            return []
        measured = measured_metrics(hypothesis, held.conditions[condition], today)
        return list(held.blocks) if measured else []

    def used_margin(
        self,
        hypothesis: Hypothesis,
        condition: str,
        difference: float | None,
        interval: tuple[float, float] | None,
    ) -> str:
        """Say nothing of an anchor, which is not what is compared with."""
        return ""

    def caveats(self, hypothesis: Hypothesis, condition: str, today: ConditionRuns) -> Iterator[str]:
        """Yield what a comparison with the runs relies on."""
        if blocks := self.blocks(hypothesis, condition, today):
            yield (
                f"measured by {len(set(blocks))} pairs of processes, one of each commit, and compared by the "
                "means of each"
            )

"""Checks for verifiers of your own, to be called from your tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from crystallize.claims.hypothesis import Hypothesis
from crystallize.errors import MissingExtraError, VerifierCheckError
from crystallize.testing.subject import Alternative, subject_of

__all__ = ["check_verifier"]


def check_verifier(
    verifier: Callable[..., Any] | Hypothesis,
    *,
    metrics: str | Sequence[str] | None = None,
    minimum_n: int | None = None,
    paired: bool = True,
    alternative: Alternative | None = "two-sided",
    binary: bool | None = False,
    tolerance: float = 1e-9,
    examples: int = 100,
) -> None:
    """Check that a verifier answers soundly, also to samples that are unusual.

    The verifier is tried on samples of every kind by the Hypothesis library, and called as a run calls it:
    with the global random generators seeded, and without numpy's warnings. Checked are

    - that samples which vary, have ties, are constant, differ by a constant, or are identical get a verdict:
      a p-value from 0 to 1, and True or False;
    - that nothing passes on nan or infinity, on no or one replicate, or on identical arms;
    - that values whose squares overflow or vanish get a p-value or an error, and that numbers get the same
      answer as float, int, bool, or in numpy's types;
    - that the same samples get the same answer, in any order of the replicates, and are left unchanged;
    - that ``significant`` agrees with the p-value, and with ``verifier.alpha`` if there is one;
    - that a two-sided p-value is the same with the arms swapped, and no verdict with a side passes both ways.

    Not checked is how often the verifier is wrong: no sample of a hundred can tell a level of 5 % from one of
    10 %. That takes a simulation with many samples of a known distribution.

    Parameters
    ----------
    verifier : callable or Hypothesis
        What ``Hypothesis(verifier=...)`` takes, or a hypothesis: one with a verifier, or a claim.
    metrics : str or sequence of str, optional
        The metrics that the verifier needs. By default those that the hypothesis names, else ``"metric"``.
    minimum_n : int, optional
        The fewest replicates at which the verifier has to give a verdict. By default 3; for a claim, as many
        as its test needs to reach alpha.
    paired : bool
        Whether the i-th values of both arms belong together. If not, the replicates of each arm may be put
        in an order of their own. A claim says it itself.
    alternative : {"two-sided", "one-sided", "margin"} or None
        What the p-value is about: that the arms differ, that they differ in one direction, or that they do
        not differ by a margin (non-inferiority, equivalence), where identical arms may pass and nothing is
        known of swapped ones. None has it be seen whether p-values have a side. A claim says it itself.
    binary : bool or None
        Whether the values are 0 and 1 only. None has it be seen whether there are verdicts on others.
    tolerance : float
        By how much p-values of the same evidence may differ. The default is for rounding; a Monte Carlo test
        needs a few of its standard errors.
    examples : int
        How many samples each check tries, before it looks for the smallest that fails.

    Raises
    ------
    VerifierCheckError
        If checks fail. The message has, for each of them, the smallest samples found, what was answered, what
        was expected, and why; the attribute `failures` has the same by the check's name.
    DefinitionError
        If the arguments make no sense together.
    MissingExtraError
        If the Hypothesis library is not installed.

    Examples
    --------
    >>> check_verifier(Hypothesis(metric="seconds", direction="decrease"), examples=10)
    >>> def hopeful(baseline, treatment):
    ...     return {"p_value": 0.01, "significant": True}
    >>> try:
    ...     check_verifier(hopeful, examples=10)
    ... except VerifierCheckError as error:
    ...     print(sorted(error.failures)[:2])
    ['identical arms are decided, and not significant', 'nan and infinity are no evidence']
    """
    checked = subject_of(
        verifier,
        metrics=metrics,
        minimum_n=minimum_n,
        paired=paired,
        alternative=alternative,
        binary=binary,
        tolerance=tolerance,
        examples=examples,
    )
    try:
        from crystallize.testing.checks import failures  # optional: extra "testing"
    except ImportError as error:
        raise MissingExtraError(
            "check_verifier needs hypothesis; install it with pip install 'pytest-crystallize[testing]'"
        ) from error
    failed, number = failures(checked, examples)
    if failed:
        paragraphs = (f"{i}. {name}\n{text}" for i, (name, text) in enumerate(failed.items(), 1))
        is_seen = None in (alternative, binary) and checked.hypothesis.claim is None
        seen = f", as {checked.seen}" if is_seen else ""
        heading = f"{checked.label} fails {len(failed)} of {number} checks{seen}"
        raise VerifierCheckError("\n\n".join((heading, *paragraphs)), failed)

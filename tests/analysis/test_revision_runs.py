"""Claims against runs of another commit: what is paired, and what measured values are compared by."""

import numpy as np
import pytest

from crystallize import ConditionRuns, GroupSequential, Hypothesis, Reference, Revision, RunRecord, verifier
from crystallize.analysis.analysis import Analysis
from crystallize.analysis.blocks import blocks_of
from crystallize.analysis.family import AnalysisPlan
from crystallize.analysis.revision_runs import RevisionRuns
from crystallize.analysis.stored_reference import Origin, Recording
from crystallize.claims.policy import Judging
from crystallize.context.recording import MetricEntry


def runs(values, *, measured=True, condition="baseline", seeds=None):
    """Return runs of one condition that gave these values."""
    return ConditionRuns(
        condition,
        [
            RunRecord(
                condition,
                i,
                i if seeds is None else seeds[i],
                (MetricEntry("seconds", v, None, measured, "s"),),
            )
            for i, v in enumerate(values)
        ],
    )


def verdict(here, there, *, blocks=(), judging=None, claim=None, **options):
    """Return the verdict on a claim against runs of another commit."""
    hypothesis = claim or Hypothesis(
        metric="seconds", direction="no_increase", margin=0.5, against=Revision.called("main"), **options
    )
    plan = AnalysisPlan((hypothesis,), (), len(here.records), judging or Judging())
    origin = Origin.now(commit="c" * 40, dirty=False, machine=None)
    seeds = list(there.seeds)
    held = Recording(origin, 0, seeds, {"baseline": there}, (), blocks)
    references = RevisionRuns(lambda: held, repeats=lambda: True)
    return Analysis(plan, {"baseline": here}, references).verdict(hypothesis, "baseline")


def test_an_anchor_is_not_what_another_commit_is():
    """A claim against one is judged on that commit's runs, and nothing is said of the anchor's margin."""
    against = Reference("main", at="v1.0")
    claim = Hypothesis(metric="seconds", direction="no_increase", margin=0.5, against=against)
    values = np.random.default_rng(1).normal(size=10)
    found = verdict(runs(values + 0.1, measured=False), runs(values, measured=False), claim=claim)
    assert found.status == "supported"
    assert "used up" not in found.caveat


def test_blocks_are_ten_of_nearly_the_same_size():
    """Or as many as there are replicates, if these are fewer."""
    assert blocks_of(30) == [i // 3 for i in range(30)]
    sizes = np.bincount(blocks_of(37))
    assert len(sizes) == 10
    assert set(sizes) == {3, 4}
    assert blocks_of(4) == [0, 1, 2, 3]


@pytest.mark.parametrize(("measured", "then"), [(True, True), (True, False), (False, True)])
def test_what_is_measured_is_compared_by_processes(measured, then):
    """What processes differ by is in every value of theirs; many replicates do not make it less."""
    rng = np.random.default_rng(1)
    processes = rng.normal(size=(2, 10)).repeat(30, axis=1)
    here, there = 10 + processes + 0.001 * rng.normal(size=processes.shape)
    found = verdict(runs(here, measured=measured), runs(there, measured=then), blocks=blocks_of(300))
    assert found.n == 10
    assert found.population == "pairs of processes"
    assert "10 pairs of processes" in found.caveat
    difference = processes[0, ::30] - processes[1, ::30]
    half = 1.8331129 * difference.std(ddof=1) / np.sqrt(10)
    assert found.difference == pytest.approx(difference.mean(), abs=0.001)
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * half, rel=0.01)


@pytest.mark.parametrize("scale", [1.0, 2.0**540, 2.0**1020])
def test_values_of_any_size_are_compared_by_processes(scale):
    """Their sums, or the squares of what they vary by, may be beyond floats: a session ended by it."""
    times = np.random.default_rng(4).uniform(9, 10, (2, 300)) * scale
    against = Revision.called("main")
    claim = Hypothesis(metric="seconds", direction="no_increase", margin=0.1, relative=True, against=against)
    for here, there in ((True, True), (False, True), (False, False)):
        arms = runs(times[0], measured=here), runs(times[1], measured=there)
        found = verdict(*arms, blocks=blocks_of(300), claim=claim)
        assert found.status == "supported"
        assert found.difference == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("then", [True, False])
def test_a_verifier_is_given_the_means_of_processes(then):
    """As many as there are."""
    given = []

    @verifier
    def shorter(baseline, treatment):
        given.append((baseline["seconds"], treatment["seconds"]))
        return {"p_value": 0.5, "significant": False}

    claim = Hypothesis(shorter(), "seconds", against=Revision.called("main"))
    values = np.arange(30.0)
    verdict(runs(values + 1), runs(values, measured=then), blocks=blocks_of(30), claim=claim)
    assert given == [(list(values[1::3]), list(values[1::3] + 1))]


@pytest.mark.parametrize(
    ("size", "by_blocks", "judging", "reason"),
    [
        (9, True, None, "9 replicates make 9 pairs of processes"),
        (30, False, None, "'seconds' is measured in some runs and not in the first"),
        (
            30,
            True,
            Judging(stopping=GroupSequential()),
            "compared once, when all pairs of processes have run",
        ),
    ],
    ids=["few", "one process", "looks"],
)
def test_what_was_measured_otherwise_is_no_evidence(size, by_blocks, judging, reason):
    """Whatever the values are."""
    values = np.linspace(1, 2, size)
    blocks = blocks_of(size) if by_blocks else ()
    found = verdict(runs(values), runs(values), blocks=blocks, judging=judging)
    assert found.status == "invalid"
    assert reason in found.reason


def test_a_gap_in_a_block_is_no_mean_of_the_others():
    """Each replicate has to have its value, on both sides."""
    values = [1.0] * 30
    found = verdict(runs([*values[:7], float("nan"), *values[8:]]), runs(values), blocks=blocks_of(30))
    assert found.status == "invalid"
    assert "is nan in replicate 7" in found.reason


def test_what_repeats_is_paired_by_its_seeds():
    """With other seeds nothing is compared."""
    values = np.random.default_rng(2).normal(size=12)
    here, there = runs(values, measured=False), runs(values - 0.1, measured=False)
    found = verdict(here, there)
    assert (found.status, found.comparator, found.n) == ("supported", "revision", 12)
    assert found.recorded == "run with 12 replicates of root seed 0 at commit cccccccccccc in this session"
    found = verdict(here, runs(values, measured=False, seeds=range(1, 13)))
    assert found.status == "invalid"
    assert "replicate 0 has seed 0 here and 1 at revision 'main'" in found.reason


def test_without_pytest_nothing_says_which_commit_it_is():
    """The claim is invalid, and names the option."""
    from crystallize.analysis.references import references_by_path

    claim = Hypothesis(metric="seconds", direction="no_increase", margin=0.5, against=Revision())
    plan = AnalysisPlan((claim,), (), 3, Judging())
    found = Analysis(plan, {"baseline": runs([1.0] * 3)}, references_by_path([claim])).verdict(
        claim, "baseline"
    )
    assert found.status == "invalid"
    assert "--crystallize-against=REV" in found.reason

"""Replicates that need not be run: of decided conditions, and of rates that can't change any more."""

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from recorded import arm, experiment

from crystallize import (
    ArtifactPlugin,
    AsyncExecution,
    Curtailment,
    ExecutorExecution,
    Experiment,
    GroupSequential,
    Hypothesis,
    ParallelExecution,
    Treatment,
    evaluate,
    pipeline_step,
    verifier,
)
from crystallize.claims.policy import Judging
from crystallize.errors import DefinitionError, ReferenceFileError

N = 30
NOISE = [random.Random(i).gauss(0, 1) for i in range(N)]


def moved(by, scale=1.0):
    return [by + scale * e for e in NOISE]


def claim(direction="increase", **options):
    return Hypothesis(metric="x", direction=direction, **options)


def run(make, **options):
    return make(stopping=GroupSequential(), **options).run()


def test_conditions_that_are_decided_are_not_run_on(tmp_path):
    """The baseline is, as long as anything is compared with it."""
    log = tmp_path / "log"
    make = experiment([0.0] * N, [claim()], log=log, far=moved(3.0), near=moved(0.45))
    result = run(make)
    found = result.get_hypothesis("x_increase").verdicts
    assert found["far"].n < found["near"].n == result.replicates
    runs = log.read_text().split()
    for name in ("far", "near"):
        assert sum(line.startswith(f"{name}:") for line in runs) == found[name].n
        assert len(result.metrics.treatments[name]["x"]) == found[name].n
    assert sum(line.startswith("baseline:") for line in runs) == result.replicates
    alone = run(experiment([0.0] * N, [claim()], near=moved(0.45)), correction="none")
    assert alone.replicates <= result.replicates
    assert len(result.records) == len(runs)
    with pytest.raises(ReferenceFileError, match=f"stopped early, after {found['far'].n} of"):
        result.save_reference(tmp_path / "main.json")


@pytest.mark.parametrize("execution", [ParallelExecution(max_workers=2), AsyncExecution(max_concurrency=3)])
def test_however_units_are_run(execution):
    """The same records count, and the same verdicts follow."""
    make = experiment([0.0] * N, [claim()], far=moved(3.0), near=moved(0.45))
    serial = run(make)
    other = run(make, plugins=[execution])
    assert other.digest == serial.digest
    assert other.hypotheses[0].verdicts == serial.hypotheses[0].verdicts
    with ThreadPoolExecutor(2) as pool:  # runs ahead
        assert run(make, plugins=[ExecutorExecution(pool)]).digest == serial.digest
    on_loop = asyncio.run(make(stopping=GroupSequential(), plugins=[execution]).arun())
    assert on_loop.digest == serial.digest


def test_artifacts_of_what_was_run_ahead_are_gone(tmp_path):
    """Those of a condition go that counts less far than others."""

    @pipeline_step()
    def keep(data, ctx, *, by=0.0):
        ctx.artifacts.add("x.txt", b"x")
        return data, {"x": by + (NOISE[ctx.replicate] if by else 0.0)}

    with ThreadPoolExecutor(2) as pool:
        result = Experiment(
            0,
            [keep],
            name="kept",
            replicates=N,
            treatments=[Treatment("far", {"by": 3.0}), Treatment("near", {"by": 0.45})],
            hypotheses=[claim()],
            stopping=GroupSequential(),
            plugins=[ArtifactPlugin(tmp_path), ExecutorExecution(pool)],
        ).run()
    found = result.hypotheses[0].verdicts
    assert found["far"].n < found["near"].n
    for name, verdict in found.items():
        kept = result.version_dir.glob(f"replicate_*/{name}")
        assert {path.parent.name for path in kept} == {f"replicate_{i}" for i in range(verdict.n)}


def test_what_nothing_is_claimed_of_is_run_with_the_others():
    """So is what a verifier waits for, to the end."""

    @verifier
    def never(baseline, treatment):
        return {"p_value": 1.0, "significant": False}

    named = claim(treatments=["far", "near"])
    result = run(experiment([0.0] * N, [named], far=moved(3.0), near=moved(0.45), other=moved(0.0)))
    assert len(result.metrics.treatments["other"]["x"]) == result.replicates
    asked = [claim(treatments="far"), Hypothesis(never(), "x", name="mine", treatments="near")]
    result = run(experiment([0.0] * N, asked, far=moved(3.0), near=moved(0.45)))
    assert result.replicates == N
    assert len(result.metrics.treatments["far"]["x"]) < N


def test_a_comparator_is_run_as_long_as_others_are_compared_with_it():
    """Of pairs and of treatments."""
    make = experiment(
        [0.0] * N, [claim(against="old")], old=moved(0.0), far=moved(3.0, 0.9), near=moved(0.4, 0.2)
    )
    result = run(make)
    found = result.hypotheses[0].verdicts
    treatments = result.metrics.treatments
    assert len(treatments["old"]["x"]) == max(v.n for v in found.values())
    assert len(treatments["far"]["x"]) == found["far"].n


@pytest.mark.parametrize("direction", ["increase", "decrease", "no_decrease"])
@pytest.mark.parametrize("seed", range(12))
def test_curtailment_changes_no_verdict(direction, seed):
    """Whatever the replicates to come would have given."""
    draw = random.Random(seed)
    before = [draw.random() < 0.5 for _ in range(N)]
    after = [draw.random() < (0.9 if seed % 2 else 0.5) for _ in range(N)]
    hypothesis = claim(direction, kind="binary", **({"margin": 0.2} if direction.startswith("no") else {}))
    arms = arm("baseline", before), arm("t", after)
    whole = evaluate(hypothesis, *arms)
    curtailed = evaluate(hypothesis, *arms, judging=Judging(stopping=Curtailment(every=1)))
    assert curtailed.status == whole.status
    assert curtailed.n <= whole.n
    if curtailed.n < N:
        assert "whatever the others give" in curtailed.reason + curtailed.caveat


@pytest.mark.parametrize("options", [{}, {"pairing": "none"}])
@pytest.mark.parametrize("detects", [0.3, 0.6])
@pytest.mark.parametrize("seed", range(8))
def test_an_alarm_that_may_still_go_off_is_not_decided(seed, detects, options):
    """That so large a loss is excluded whatever comes is no verdict yet: a smaller one may be shown."""
    draw = random.Random(seed)
    after = [draw.random() > 0.06 * seed for _ in range(N)]
    alarm = claim("no_decrease", kind="binary", detects=detects, **options)
    arms = arm("baseline", [True] * N), arm("t", after)
    whole = evaluate(alarm, *arms)
    curtailed = evaluate(alarm, *arms, judging=Judging(stopping=Curtailment(every=1)))
    assert curtailed.status == whole.status
    assert curtailed.details["accepted"] == curtailed.passed


def test_what_is_certain_is_decided():
    """Supported, refuted, or neither; the last replicates are not run."""
    for after, status in (([1] * N, "supported"), ([0] * N, "inconclusive")):
        result = experiment([0] * N, [claim(kind="binary")], t=after)(stopping=Curtailment(every=1)).run()
        verdict = result.hypotheses[0].verdicts["t"]
        assert verdict.status == status
        assert result.replicates == verdict.n < N
        assert (verdict.interval[0] > 0) == (status == "supported")
    refuted = evaluate(
        claim(kind="binary"),
        arm("baseline", [1] * N),
        arm("t", [0] * N),
        judging=Judging(stopping=Curtailment()),
    )
    assert (refuted.status, refuted.n) == ("refuted", 25)
    bar = experiment([1] * N, [claim(kind="binary", against=0.5)])(stopping=Curtailment(every=1)).run()
    assert bar.hypotheses[0].verdicts["baseline"].n < N


def test_looks_stop_where_nothing_can_change():
    """Also those of GroupSequential, without futility."""
    verdict = evaluate(
        claim(kind="binary"),
        arm("baseline", [0, 1] * 15),
        arm("t", [0, 1] * 15),
        judging=Judging(stopping=GroupSequential(futility=False)),
    )
    assert (verdict.status, verdict.n) == ("inconclusive", 30) or "whatever the others give" in verdict.reason


def test_counts_that_were_0_and_1_so_far_are_decided_at_the_end():
    """Nothing says that the values to come are no others."""
    arms = arm("baseline", [0] * N), arm("t", [1] * (N - 1) + [7])
    verdict = evaluate(claim(), *arms, judging=Judging(stopping=Curtailment(every=1)))
    assert (verdict.status, verdict.n) == ("supported", N)
    assert verdict.test != evaluate(claim(kind="binary"), arms[0], arm("t", [1] * N)).test


def test_numbers_are_decided_at_the_end():
    """What is to come may be anything."""
    verdict = evaluate(
        claim(), arm("baseline", [0.0] * N), arm("t", moved(3.0)), judging=Judging(stopping=Curtailment())
    )
    assert (verdict.status, verdict.n) == ("supported", N)
    with pytest.raises(DefinitionError, match="Curtailment: every is 0; allowed is an integer >= 1"):
        Curtailment(every=0)

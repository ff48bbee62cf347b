"""Times of two commits, which processes take that do nothing else."""

import json

import pytest

TIMES = """
import json, os
import pkg

@pytest.mark.experiment(
    replicates=10,
    hypotheses=[
        Hypothesis(
            metric=metric, direction="no_increase", margin=1.0, relative=True, against=Revision(), name=metric
        )
        for metric in ("seconds", "steps")
    ],
)
def experiment_times(ctx, rng, replicate):
    ctx.metrics.add("seconds", pkg.SECONDS * rng.uniform(0.9, 1.1), measured=True)  # as if it had taken them
    with open(LOG, "a") as log:
        log.write(json.dumps([replicate, pkg.SECONDS, os.getpid(), os.getppid()]) + "\\n")
    return {"steps": 3}
"""


@pytest.mark.slow
def test_times_are_taken_by_pairs_of_processes(repository):
    """A pair for each block, of which each begins by turns; what the session itself took is left out."""
    log = repository.path / "ran"
    repository.project.write(f"LOG = {str(log)!r}\n{TIMES}")
    repository.package("SECONDS = 0.001\n")
    repository.commit("v1")
    repository.package("SECONDS = 0.05\n")
    found, result = repository.compare("--crystallize-cache=off", apart=True)
    times, steps = (found[f"experiment_times::{metric}[baseline]"] for metric in ("seconds", "steps"))
    assert times["status"] == "refuted", result.stdout.str()
    assert (times["n"], times["population"]) == (10, "pairs of processes")
    assert "measured by 10 pairs of processes" in times["caveat"]
    assert (steps["status"], steps["n"], steps["population"]) == ("supported", 10, "seeds of this data set")
    first, *ran = map(json.loads, log.read_text().splitlines())
    assert len({process for _, _, process, _ in ran} - {first[2]}) == len(ran) == 20
    assert [replicate for replicate, *_ in ran] == [i // 2 for i in range(20)]
    sides = [seconds for _, seconds, *_ in ran]
    assert sides == [0.05, 0.001, 0.001, 0.05] * 5

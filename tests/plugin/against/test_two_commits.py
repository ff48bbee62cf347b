"""Two commits in one session: what is compared, and what can't be."""

import pytest

CLAIM = """
def kept(name="kept", **more):
    options = {"metric": "hits", "direction": "no_decrease", "margin": 0.2, "against": Revision()}
    return Hypothesis(**{**options, "name": name, **more})

def declared(*treatments, **more):
    options = {"replicates": 12, "treatments": {name: {"room": 1.0} for name in treatments}}
    return pytest.mark.experiment(**{**options, "hypotheses": [kept()], **more})
"""
BOTH = """
import pkg

@declared("larger")
def experiment_hits(rng, room=0.0):
    return {"hits": rng.normal() + room - pkg.LOSS * rng.uniform(0.5, 1.5)}

@declared(hypotheses=[kept(against=Reference("main"))])
class TestOthers:
    def experiment_free(self, rng):
        return {"hits": rng.normal()}
"""
THERE = """
@declared("old")
def experiment_conditions(rng, room=0.0):
    return {"hits": rng.normal()}

@declared()
def experiment_metrics(rng):
    return {"score": rng.normal()}

@declared()
def experiment_fails(rng):
    raise ValueError("not yet")

@declared(seed=1)
def experiment_seeds(rng):
    return {"hits": rng.normal()}

@declared()
def experiment_gone(rng):
    return {"hits": rng.normal()}
"""
HERE = """
@declared("new")
def experiment_conditions(rng, room=0.0):
    return {"hits": rng.normal()}

@declared()
def experiment_metrics(rng):
    return {"hits": rng.normal()}

@declared()
def experiment_fails(rng):
    return {"hits": rng.normal()}

@declared(seed=2)
def experiment_seeds(rng):
    return {"hits": rng.normal()}

@declared()
def experiment_new(rng):
    return {"hits": rng.normal()}
"""
REASONS = {
    "experiment_conditions::kept[new]": "has no condition 'new', but 'baseline', 'old': what is new",
    "experiment_conditions::kept[old]": "condition 'old' is gone: revision 'v1' (commit ",
    "experiment_metrics::kept[baseline]": "metric 'hits' is missing in replicate 0 of 'baseline in v1'",
    "experiment_fails::kept[baseline]": "'baseline in v1' are missing: replicate 0 failed with ValueError: ",
    "experiment_seeds::kept[baseline]": "replicate 0 has seed ",
    "experiment_new::kept[baseline]": "v1 has no experiment experiment_b.py::experiment_new",
    "experiment_late::kept[baseline]": "experiment_c.py can't be collected at v1: SyntaxError: ",
    "experiment_last::kept[baseline]": "v1 has no experiment_d.py",
}


@pytest.fixture
def changed(repository):
    """Return a repository with all kinds of changes since ``v1``."""
    write = repository.project.write
    write(CLAIM + BOTH)
    write(CLAIM + THERE, "experiment_b.py")
    write("def experiment_late(:", "experiment_c.py")
    repository.commit("v1")
    write(CLAIM + HERE, "experiment_b.py")
    for name in ("late", "last"):
        body = f"\n@declared()\ndef experiment_{name}(rng):\n    return {{'hits': rng.normal()}}\n"
        write(CLAIM + body, f"experiment_{'c' if name == 'late' else 'd'}.py")
    repository.commit()
    return repository


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_what_is_on_one_side_only_is_said(changed, workers):
    """It is invalid, and nothing else is; the checkout is as it was."""
    changed.package("LOSS, SECONDS = 0.01, 0.0\n")
    before = changed.state()
    found, result = changed.compare(workers, apart=workers != "-n0")
    assert changed.state() == before
    for test, reason in REASONS.items():
        verdict = found.pop(test)
        assert verdict["status"] == "invalid", test
        assert reason in verdict["reason"], verdict["reason"]
    assert {test: verdict["status"] for test, verdict in found.items()} == {
        "experiment_hits::kept[baseline]": "supported",
        "experiment_hits::kept[larger]": "supported",
        "experiment_conditions::kept[baseline]": "supported",
        "TestOthers::experiment_free::kept[baseline]": "supported",
    }
    recorded = found["experiment_hits::kept[larger]"]
    assert recorded["comparator"] == "revision"
    assert recorded["recorded"].startswith("run with 12 replicates of root seed 0 at commit ")
    result.stdout.fnmatch_lines(["*experiment_b.py::experiment_gone is gone: v1 has it*"])


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "passes"), [(0.01, True), (0.5, False)])
def test_harm_is_told_from_what_is_harmless(repository, loss, passes):
    """With the same numbers on workers, and from stored runs."""
    repository.project.write(CLAIM + BOTH)
    repository.commit("v1")
    repository.package(f"LOSS, SECONDS = {loss}, 0.0\n")
    first, result = repository.compare("-n2", "--crystallize-cache=off", apart=True)
    for _ in range(2):
        again, _ = repository.compare("-n0", apart=True)
        assert first == again
    assert result.ret == (0 if passes else 1)
    for name in ("baseline", "larger"):
        expected = "supported" if passes else "refuted"
        assert first[f"experiment_hits::kept[{name}]"]["status"] == expected


def test_without_the_option_the_claim_is_invalid(repository):
    """And what is to be typed is said; with it, but without such a claim, the session fails, too."""
    repository.project.write(CLAIM + BOTH)
    result = repository.project.run("-q", "-k", "hits")
    result.stdout.fnmatch_lines(["*INVALID*--crystallize-against=REV*"])
    result.assert_outcomes(failed=2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--crystallize-against=nowhere"], "no commit 'nowhere'"),
        (["--crystallize-against=main", "--crystallize-save=main"], "give one of them"),
        (["--crystallize-against=main", "--crystallize-shard=1/2"], "give one of them"),
        (["--crystallize-against=main", "--crystallize-dask=localhost:1"], "processes of this machine"),
    ],
)
def test_what_can_not_be_compared_is_a_usage_error(repository, options, said):
    """Before anything is run."""
    repository.project.write(CLAIM + BOTH)
    repository.commit("v1")
    result = repository.project.run_plain(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str()

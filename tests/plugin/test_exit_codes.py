"""The exit code of a session: never 0 where a selected hypothesis failed or gave no verdict."""

import pytest

from plugin.conftest import BODY, MARK

REFUTED = MARK.replace('"increase"', '"decrease"') + BODY


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
@pytest.mark.parametrize("hook", ["record(record)", "verdict(verdict)", "report(results)"])
def test_a_hook_that_exits_ends_nothing(project, hook, workers):
    """What a command-line uploader ends with is told by the hook's name, and the verdicts stand."""
    project.raw("conftest.py", f"import sys\n\ndef pytest_crystallize_{hook}:\n    sys.exit(0)\n")
    project.write(REFUTED)
    result = project.run_apart(workers)
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    output = " ".join(" ".join(result.outlines).split())
    assert f"note: pytest_crystallize_{hook.partition('(')[0]} raised SystemExit: 0" in output


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_verifier_that_skips_gives_no_verdict(project, workers):
    """Its runs are there, so nothing is skipped: the verdict is invalid."""
    project.write(
        """
        @verifier
        def special(baseline, treatment):
            pytest.importorskip("no_such_module")

        @pytest.mark.experiment(
            replicates=3, treatments={"t": {"delta": 1}}, hypotheses=[Hypothesis(special, "y")]
        )
        def experiment_a(rng, delta=0):
            return {"y": rng.normal() + delta}
        """
    )
    result = project.run_apart(workers)
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*INVALID: the verifier raised Skipped: could not import 'no_such_module'*"])

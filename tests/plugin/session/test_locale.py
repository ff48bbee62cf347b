"""Names that the encoding of the file system can't hold."""

import pytest

from plugin.conftest import ITEM, total

ASCII = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_ids_beyond_the_locale_are_escaped(project, monkeypatch, workers):
    """As pytest does with ids of parameters; the verdict is the same, and the id selects the test."""
    for name, value in ASCII.items():
        monkeypatch.setenv(name, value)
    project.write(total(treatments={"größer": {"delta": 3.0}}))
    nodeid = ITEM.replace("boost", r"gr\xf6\xdfer")
    result = (project.run_workers if workers else project.run_apart)("-v", nodeid)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([r"*total_increase?gr\xf6\xdfer?*", r"    gr\xf6\xdfer *  SUPPORTED"])


@pytest.mark.slow
def test_failures_beyond_the_locale_stay_lines(project, monkeypatch):
    """What is told of them is escaped line by line; files called after such conditions are kept."""
    for name, value in ASCII.items():
        monkeypatch.setenv(name, value)
    project.write(
        """
        @pytest.mark.experiment(replicates=2, treatments={"größer": {"gain": 1.0}})
        def experiment_names(ctx, gain=0.0):
            ctx.artifacts.add("a.txt", b"x")
            if gain and ctx.replicate:
                raise ValueError("übel")
        """
    )
    result = project.run_apart("--crystallize-report=r.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [r"INVALID: 1 of 2 *gr\xf6\xdfer*", "", r"replicate 1 of 'gr\xf6\xdfer', *", "", "*"]
    )
    assert r"\n" not in result.stdout.str()
    assert len(list(project.path.rglob("a.txt"))) == 3

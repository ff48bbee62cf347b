"""Options that are typed without --crystallize, blocked parts of the plugin, and values that pytest takes for paths."""

# ruff: noqa: E501 - lines of what pytest prints

import pytest

from plugin.conftest import TOTAL


@pytest.mark.xfail(strict=True, reason="to be mended")
def test_options_that_imply_the_flag(project):
    """To compare with a reference is to run the experiments."""
    project.write(TOTAL)
    project.raw("test_unit.py", "def test_unit():\n    pass\n")
    result = project.run_plain("-p", "no:randomly", "--crystallize-compare=main")
    result.assert_outcomes(passed=2)


@pytest.mark.xfail(strict=True, reason="to be mended")
def test_a_blocked_part(project):
    """Without one of its parts the plugin would lose experiments in silence."""
    project.write(TOTAL)
    project.raw("test_b.py", "def test_b():\n    pass\n")
    result = project.run("-p", "no:crystallize-session")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: -p no:crystallize-session *"])


@pytest.mark.xfail(strict=True, reason="to be mended")
def test_a_value_that_moves_the_root_directory(project, tmp_path_factory):
    """The report of the last session, taken for a test path, would decide where the ini file is looked for."""
    project.ini("xfail_strict = true\n")
    project.write(TOTAL)
    report = tmp_path_factory.mktemp("elsewhere") / "report.json"
    result = project.run("--crystallize-report", str(report))
    assert result.ret == 0
    result = project.run("--crystallize-report", str(report))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *--crystallize-report={report}*"])

"""The hooks that others may implement."""

import re
from pathlib import Path

import pytest

from plugin.conftest import TOTAL, total

SHIPPER = """
import json

def ship(*entry):
    with open("shipped", "a") as file:
        print(json.dumps(entry), file=file)

def pytest_crystallize_record(experiment, record):
    values = [entry.value for entry in record.metrics]
    ship("record", experiment, record.replicate, record.condition, record.seed, values)

def pytest_crystallize_verdict(experiment, verdict):
    ship("verdict", experiment, verdict.hypothesis, verdict.treatment, verdict.status, verdict.interval)

def pytest_crystallize_report(results):
    ship("report", *results.headline(), results.exit_status)
"""

TWO = total(treatments={"boost": {"delta": 3.0}, "worse": {"delta": -3.0}})


@pytest.mark.slow
def test_everything_is_passed_on_once(project):
    """Records, verdicts and the report: the same with and without workers, from one process."""
    project.raw("conftest.py", SHIPPER)
    none = "\n@pytest.mark.experiment(replicates=3)\ndef experiment_none(seed):\n    return {'m': seed}\n"
    project.write(TWO + none)
    project.run_apart().assert_outcomes(passed=2, failed=1)
    entries = project.log("shipped")
    records = [tuple(entry[1:4]) for entry in entries if entry[0] == "record"]
    total, none = "experiment_a.py::experiment_total", "experiment_a.py::experiment_none"
    expected = {(total, i, c) for i in range(6) for c in ("baseline", "boost", "worse")}
    assert sorted(records) == sorted(expected | {(none, i, "baseline") for i in range(3)})
    assert [entry[1:5] for entry in entries if entry[0] == "verdict"] == [
        [total, "total_increase", "boost", "supported"],
        [total, "total_increase", "worse", "refuted"],
    ]
    assert entries[-1] == ["report", "1 of 2 hypotheses supported", "1 refuted", 1]
    (project.path / "shipped").unlink()
    project.run_workers().assert_outcomes(passed=2, failed=1)
    with_workers = project.log("shipped")
    assert sorted(map(repr, with_workers)) == sorted(map(repr, entries))
    assert with_workers[-1] == entries[-1]


def test_arguments_may_be_left_out(project):
    """A hook takes what it wants."""
    project.raw(
        "conftest.py",
        """
        def pytest_crystallize_record(record):
            print("got", record.replicate)

        def pytest_crystallize_verdict(verdict):
            print("got", verdict.status, type(verdict).__name__, type(verdict.interval).__name__)
        """,
    )
    project.write(TOTAL)
    project.run("-s").stdout.fnmatch_lines(["*got supported Verdict tuple", "got 0"])


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_conftest_with_hooks_loads_without_the_option(project, workers):
    """It does no harm, and nothing is called."""
    project.raw("conftest.py", SHIPPER)
    project.raw("test_a.py", "def test_a():\n    pass\n")
    project.write(TOTAL)
    project.pytester.runpytest_subprocess("-p", "no:randomly", workers).assert_outcomes(passed=1)
    assert project.log("shipped") == []


@pytest.mark.parametrize("hook", ["record(record)", "verdict(verdict)", "report(results)"])
@pytest.mark.parametrize(
    "raised", ["ValueError('no route')", "pytest.fail('no route')", "pytest.skip('no route')"]
)
def test_what_a_hook_raises_changes_no_verdict(project, hook, raised):
    """The summary says what and where, and the session passes."""
    call = raised if raised.startswith("pytest.") else f"raise {raised}"
    project.raw("conftest.py", f"import pytest\n\ndef pytest_crystallize_{hook}:\n    {call}\n")
    project.write(TOTAL)
    result = project.run("--crystallize-report=report.json")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    output = " ".join(" ".join(result.outlines).split())
    assert f"note: pytest_crystallize_{hook.partition('(')[0]} raised" in output
    assert "no route" in output
    assert (project.path / "report.json").exists()


def test_a_hook_may_end_the_session(project):
    """`pytest.exit` means what it says."""
    project.raw(
        "conftest.py",
        """
        import pytest

        def pytest_crystallize_verdict(verdict):
            pytest.exit("enough", returncode=7)
        """,
    )
    project.write(TWO)
    assert project.run().ret == 7


def test_runs_that_failed_are_passed_on_too(project):
    """Whoever ships records sees what went wrong."""
    project.raw(
        "conftest.py",
        "def pytest_crystallize_record(record):\n    print('got', record.replicate, record.error)\n",
    )
    project.write(
        """
        @pytest.mark.experiment(replicates=2)
        def experiment_none(replicate):
            if replicate == 1:
                raise ValueError("odd")
            return {"m": 1}
        """
    )
    project.run("-s").stdout.fnmatch_lines(["*got * ValueError: odd*"])


def test_the_example_of_the_guide_works(project):
    """Its conftest keeps records, verdicts and the headline."""
    guide = Path(__file__).parent.parent.parent.parent / "docs" / "reports.md"
    text = guide.read_text(encoding="utf-8")
    (conftest,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    project.raw("conftest.py", conftest)
    project.write(TOTAL)
    project.run()
    assert len(project.log("records.jsonl")) == 12
    assert project.log("verdicts.jsonl") == [["total_increase", "boost", "supported"]]
    assert (project.path / "headline.txt").read_text() == "1 of 1 hypothesis supported: "


def test_no_record_is_alive_behind_a_session(project):
    """Pytest looks for garbage twice behind it, among all that is alive."""
    project.raw(
        "conftest.py",
        """
        import gc
        from pathlib import Path

        from crystallize import RunRecord

        def left():
            return sum(type(known) is RunRecord for known in gc.get_objects())

        def pytest_sessionfinish():
            print(left(), file=open("before", "w"))

        def pytest_configure(config):
            config.add_cleanup(lambda: print(left(), file=open("after", "w")))
        """,
    )
    project.write(total(replicates=10))
    project.run_apart("-n0").assert_outcomes(passed=1)
    before, after = ((project.path / name).read_text() for name in ("before", "after"))
    assert (int(before), int(after)) == (20, 0)

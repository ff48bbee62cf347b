"""Report files at the end of a session."""

import html
import json
import re
import shutil
import signal
import time
from xml.etree import ElementTree

import pytest

from plugin.conftest import ITEM, TOTAL, total
from pytest_crystallize.session import reporter

THREE = [f"--crystallize-report=out/report{suffix}" for suffix in (".json", ".md", ".html")]

MANY = """
@pytest.mark.experiment(
    replicates=6,
    treatments={
        "boost": {"delta": 3.0}, "worse": {"delta": -3.0}, "<script>alert(1)</script>": {"delta": 2.0}
    },
    hypotheses=[
        Hypothesis(metric="total", direction="increase"),
        Hypothesis(metric="total", direction="no_decrease", margin=0.5, name="guard | `it` [or] ünï"),
        pytest.param(Hypothesis(metric="total", direction="decrease"), marks=pytest.mark.xfail(reason="why")),
    ],
)
def experiment_total(ctx, rng, delta=0.0):
    ctx.metrics.add("time", 0.5, measured=True)
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}

@pytest.mark.experiment(
    replicates=8,
    treatments={"boost": {"delta": 3.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase")],
)
def experiment_fails(seed, replicate, delta=0.0):
    if delta and replicate in (2, 5):
        raise ValueError("no | value")
    return {"total": seed + delta}

@pytest.mark.experiment(
    replicates=40,
    treatments={"boost": {"delta": 3.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase", pairing="none")],
    stopping=GroupSequential(),
)
def experiment_stops(rng, delta=0.0):
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}

@pytest.mark.experiment(replicates=2)
def experiment_none(seed):
    return {"m": seed}

@pytest.mark.skip(reason="not today")
@pytest.mark.experiment(replicates=2)
def experiment_skipped():
    return {}

def test_ordinary():
    assert False
"""


def load(project, name="out/report.json"):
    return json.loads((project.path / name).read_text(encoding="utf-8"))


def without_times(report):
    """Return a report without what differs from session to session, and its command line."""
    for key in ("started", "seconds", "arguments"):
        del report[key]
    for one in report["experiments"]:
        del one["seconds"]
    return report


def test_every_format_in_one_session(project):
    """Each file is written, in directories that are made, and says the same verdicts."""
    project.write(MANY)
    result = project.run(*THREE)
    result.stdout.fnmatch_lines(
        [f"*experiment report: *report{suffix}*" for suffix in (".json", ".md", ".html")]
    )
    report = load(project)
    tests = [test for one in report["experiments"] for test in one["tests"]]
    statuses = [test["verdict"] and test["verdict"]["status"] for test in tests]
    assert statuses.count("supported") == 6
    assert statuses.count("refuted") == 4
    assert statuses.count("invalid") == 1
    markdown = (project.path / "out/report.md").read_text(encoding="utf-8")
    assert markdown.startswith("**6 of 11 hypotheses supported**, 4 refuted (2 expected), 1 invalid\n")
    page = (project.path / "out/report.html").read_text(encoding="utf-8")
    assert "6 of 11 hypotheses supported" in page
    # What decides that a guard is refuted is the p of its opposite, which is named wherever it stands.
    guard = next(t["verdict"] for t in report["experiments"][0]["tests"] if t["test"].endswith("ünï[worse]"))
    assert guard["p_value"] > 0.9 > 0.05 > guard["opposite_p"]
    text = result.stdout.str()
    assert len(re.findall(r"p of the opposite = 0\.0\d+ \(alpha 0\.05\)", text)) == 1
    assert "  p of a refuted claim is that of its opposite" in text
    sizes = [test["verdict"]["effect_sizes"] for test in tests if test["verdict"]]
    assert set(sizes[0]) == {"d_z"}
    assert set(sizes[-1]) == {"Hedges g", "Cliff's delta"}
    for name, size in (sizes[0] | sizes[-1]).items():
        assert f"{html.escape(name)} {size['estimate']:.3g} [" in page
    assert "<script" not in page + markdown
    assert not list(project.path.glob("out/.*"))
    ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def test_what_the_json_report_says(project):
    """Samples with their seeds, digests, verdicts, failures, and how to repeat each."""
    project.write(MANY)
    project.run(*THREE, "-v")
    report = load(project)
    assert report["exit_status"] == 1
    total, fails, stops, none, skipped = report["experiments"]
    assert total["where"] == "experiment_a.py:6"
    assert set(total["samples"]) == {"total", "time"}
    assert total["measured"] == ["time"]
    assert [len(values) for values in total["samples"]["total"].values()] == [6] * 4
    assert len(total["seeds"]) == 6
    assert total["condition_runs"] == 24
    first = total["tests"][0]
    assert first["test"] == ITEM
    assert first["command"] == f"pytest --crystallize '{ITEM}'"
    means = {name: sum(values) / 6 for name, values in total["samples"]["total"].items()}
    assert first["verdict"]["difference"] == pytest.approx(means["boost"] - means["baseline"])
    assert [test["outcome"] for test in total["tests"][6:]] == ["xfailed", "xpassed", "xfailed"]
    assert {test["expected"] for test in total["tests"][6:]} == {"why"}
    assert fails["samples"]["total"]["boost"][2] is None
    assert fails["tests"][0]["verdict"]["status"] == "invalid"
    (failure,) = fails["failures"]
    assert failure["replicates"] == [2, 5]
    assert failure["error"] == "ValueError: no | value"
    assert failure["command"].endswith("--crystallize-repro=2:boost")
    assert "ValueError" in failure["traceback"]
    assert stops["run"] < stops["planned"] == 40
    assert stops["tests"][0]["verdict"]["trail"][-1][0] == stops["run"]
    assert len(stops["samples"]["total"]["boost"]) == stops["run"]
    assert none["samples"]["m"]["baseline"] == none["seeds"]
    assert none["tests"][0] == {
        "test": "experiment_a.py::experiment_none::replicates",
        "hypothesis": "",
        "treatment": "",
        "outcome": "passed",
        "command": "pytest --crystallize experiment_a.py::experiment_none::replicates",
        "message": "",
        "expected": "",
        "verdict": None,
        "calibration": None,
        "planned": None,
        "reference": None,
    }
    assert skipped["tests"][0]["outcome"] == "skipped"
    assert skipped["tests"][0]["message"] == "not today"


def test_failed_runs_are_repeated_by_the_command_of_the_report(project):
    """The command line of a failure repeats just that run."""
    project.write(MANY)
    project.run(*THREE)
    (failure,) = load(project)["experiments"][1]["failures"]
    _, *arguments = failure["command"].replace("'", "").split()
    result = project.run_plain(*arguments)
    result.stdout.fnmatch_lines(["*ValueError: no | value"])
    result.assert_outcomes(failed=1)


@pytest.mark.slow
def test_the_same_with_workers(project):
    """Times apart, the JSON report does not depend on the number of workers."""
    project.write(MANY)
    project.run_apart(*THREE)
    alone = without_times(load(project))
    shutil.rmtree(project.path / ".pytest_cache")  # so that neither session knows of the other
    project.run_workers(*THREE)
    assert without_times(load(project)) == alone
    assert "6 of 11 hypotheses supported" in (project.path / "out/report.html").read_text(encoding="utf-8")


def test_digests_are_those_of_the_terminal(project):
    """`-v` prints what the report holds."""
    project.write(TOTAL)
    result = project.run(*THREE, "-v")
    (one,) = load(project)["experiments"]
    for condition, digest in one["digests"].items():
        result.stdout.fnmatch_lines([f"*{condition}={digest}*"])


@pytest.mark.parametrize("name", ["report.txt", "report", "html", "report.html.gz"])
def test_other_suffixes_are_refused_at_once(project, name):
    """A usage error says what is allowed, before anything runs."""
    project.write(TOTAL)
    result = project.run(f"--crystallize-report={name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*'{name}': a report is a file that ends in .html, .json, .md"])


def test_a_report_that_cannot_be_written_is_no_gate(project):
    """The summary says so in red, other reports are written, and the exit status stays."""
    project.write(TOTAL)
    (project.path / "taken").write_text("a file, not a directory")
    arguments = (
        "--crystallize-report=taken/report.md",
        "--crystallize-report=report.json",
        "--color=yes",
        "-q",
    )
    result = project.run(*arguments)
    assert result.ret == 0
    (line,) = (line for line in result.outlines if "could not be written" in line)
    assert "\x1b[31m" in line
    assert "taken/report.md" in line
    assert load(project, "report.json")["exit_status"] == 0
    assert (project.path / "taken").read_text() == "a file, not a directory"


def test_a_report_of_an_earlier_session_does_not_stay(project, monkeypatch):
    """Neither where the new one can't be written, nor where the session does not come to that."""
    project.write(TOTAL)
    paths = [project.path / "report.json", project.path / "report.md"]
    arguments = [f"--crystallize-report={path.name}" for path in paths]
    project.run(*arguments)
    project.run("--collect-only", *arguments)
    assert all(path.exists() for path in paths)

    def fail(*_, **__):
        assert not any(path.exists() for path in paths)
        raise OSError("a full disk")

    monkeypatch.setattr("pytest_crystallize.session.publisher.write_output", fail)
    result = project.run(*arguments)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*report.json could not be written: OSError: a full disk"])
    assert not any(path.exists() for path in paths)


def test_a_fault_in_a_report_is_no_gate(project, monkeypatch):
    """Neither a fault of a format nor one in what it is made of ends a session, or hides."""

    def fail(*_, **__):
        raise RuntimeError("a fault")

    project.write(TOTAL)
    monkeypatch.setattr("crystallize.seam.markdown_report", fail)
    result = project.run(*THREE)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*report.md could not be written: RuntimeError: a fault"])
    assert load(project)["exit_status"] == 0
    monkeypatch.setattr(reporter, "experiment_results", fail)
    result = project.run(*THREE)
    assert result.ret == 0
    result.stdout.fnmatch_lines_random(
        [
            "no table of experiments could be made: RuntimeError: a fault",
            "no experiment report could be made: RuntimeError: a fault",
        ]
    )


def test_paths_are_relative_to_where_pytest_was_started(project, monkeypatch):
    """As those of other reports are."""
    project.ini("")
    project.write(TOTAL, "sub/experiment_a.py")
    monkeypatch.chdir(project.path / "sub")
    project.run("--crystallize-report=report.json")
    (test,) = load(project, "sub/report.json")["experiments"][0]["tests"]
    assert test["test"] == f"sub/{ITEM}"
    assert test["command"] == f"pytest --crystallize '{ITEM}'"


def test_nothing_is_written_unless_asked(project):
    """Neither without the option, nor where nothing runs."""
    project.write(TOTAL)
    before = {path.name for path in project.path.iterdir()}
    project.run("-p", "no:cacheprovider")
    project.run("-p", "no:cacheprovider", "--collect-only", *THREE)
    project.run_plain("-p", "no:cacheprovider", *THREE)
    assert {path.name for path in project.path.iterdir()} - {"__pycache__"} == before


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_session_that_stops_at_a_failure_still_reports(project, workers):
    """What was not run is told as not run."""
    project.write(total(treatments={"a": {"delta": -3.0}, "b": {"delta": 3.0}}))
    arguments = ("-x", *THREE, "--dist=loadfile") if workers else ("-x", *THREE)
    (project.run_workers if workers else project.run_apart)(*arguments)
    tests = load(project)["experiments"][0]["tests"]
    assert [test["treatment"] for test in tests] == ["a", "b"]
    assert tests[0]["verdict"]["status"] == "refuted"
    assert tests[1]["outcome"] in ({"not run", "passed"} if workers else {"not run"})


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupted_session_still_reports(project, workers):
    """It holds the replicates that were done, and names what has no verdict."""
    project.write(
        """
        import time
        from pathlib import Path

        @pytest.mark.experiment(
            replicates=50,
            treatments={"boost": {"delta": 1.0}},
            hypotheses=[Hypothesis(metric="total", direction="increase")],
        )
        def experiment_total(replicate, delta=0.0):
            if replicate >= 4:
                Path(f"reached-{os.getpid()}").touch()
                time.sleep(600)
            return {"total": delta}
        """
    )
    extra = ("-n2",) if workers else ()
    process = project.start(*THREE, *extra)
    while len(list(project.path.glob("reached-*"))) < max(workers, 1):  # all have done what is before
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    report = load(project)
    assert report["exit_status"] == pytest.ExitCode.INTERRUPTED, output
    (one,) = report["experiments"]
    assert one["tests"][0]["outcome"] == "not run"
    assert one["samples"]["total"]["baseline"][:4] == [0.0] * 4
    page = (project.path / "out/report.html").read_text(encoding="utf-8")
    assert "NOT RUN" in page
    assert "0 of 1 hypothesis supported" in page


@pytest.mark.parametrize("beside", ["def test_ordinary():\n    assert 0", "def experiment_b():\n    1 / 0"])
def test_a_session_that_fails_beside_its_verdicts_is_told(project, beside):
    """An ordinary test that fails, or an experiment that is not collected, leaves no headline all green."""
    project.write(f"{TOTAL}\n{beside}\n")
    project.run(*THREE, "--continue-on-collection-errors")
    told = "but the session ended with exit status 1"
    page, summary = ((project.path / f"out/report.{s}").read_text(encoding="utf-8") for s in ("html", "md"))
    assert f'<p class="rest">{told}</p>' in page
    assert summary.startswith(f"**1 of 1 hypothesis supported**, {told}\n")


@pytest.mark.parametrize(
    ("strict", "outcome", "message"),
    [(False, "error", "RuntimeError: does not close"), (True, "failed", "[XPASS(strict)] as expected")],
)
def test_what_fails_in_spite_of_its_verdict_is_told(project, monkeypatch, strict, outcome, message):
    """An error in a fixture, or a strict mark, takes no verdict back, and is told beside it everywhere."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    project.write(
        """
        @pytest.fixture(scope="module")
        def model():
            yield 1.0
            if not STRICT:
                raise RuntimeError("does not close")

        @pytest.mark.xfail(STRICT, reason="as expected", strict=True)
        @pytest.mark.experiment(
            replicates=6,
            treatments={"boost": {"delta": 3.0}},
            hypotheses=[Hypothesis(metric="total", direction="increase")],
        )
        def experiment_total(model, rng, delta=0.0):
            return {"total": rng.normal() + model * delta * rng.uniform(0.5, 1.5)}
        """.replace("STRICT", str(strict))
    )
    result = project.run(*THREE)
    (test,) = load(project)["experiments"][0]["tests"]
    assert test["verdict"]["status"] == "supported"
    assert test["outcome"] == outcome
    assert test["message"] == message
    result.stdout.fnmatch_lines(
        [f"    boost * SUPPORTED ({outcome})", f"::error *title=SUPPORTED ({outcome})%3A *"]
    )
    told = "1 test failed in spite of its verdict"
    page, summary = ((project.path / f"out/report.{s}").read_text(encoding="utf-8") for s in ("html", "md"))
    assert message in page
    assert f'<p class="rest">{told}</p>' in page
    assert 'class="badge good"' not in page
    assert summary.startswith(f"**1 of 1 hypothesis supported**, {told}\n")
    assert f"|⚠️ SUPPORTED ({outcome})|" in summary
    assert "✅" not in summary


def test_a_session_without_experiments_reports_that(project):
    """Whoever reads the report finds it in place."""
    project.raw("test_a.py", "def test_a():\n    pass\n")
    project.run(*THREE)
    assert load(project)["experiments"] == []
    assert (project.path / "out/report.md").read_text().startswith("**No hypotheses tested**")


def test_a_drawn_seed_is_in_the_command(project):
    """Otherwise it would repeat something else."""
    project.write(TOTAL)
    project.run(*THREE, "--crystallize-seed=random", "--crystallize-replicates=7")
    (one,) = load(project)["experiments"]
    assert one["seed_drawn"] is True
    options = f"--crystallize-seed={one['seed']} --crystallize-replicates=7"
    assert one["tests"][0]["command"] == f"pytest --crystallize {options} '{ITEM}'"


def test_what_was_switched_off_is_told(project):
    """Its tests are skipped, which the report says too."""
    project.write(TOTAL)
    project.run(*THREE, "--crystallize-disable=boost")
    (one,) = load(project)["experiments"]
    assert one["off"] == ["boost"]
    assert one["tests"][0]["outcome"] == "skipped"
    assert "--crystallize-enable=boost" in one["tests"][0]["message"]


def test_calibrations_are_reported(project):
    """A/A tests are no verdicts on treatments, and have a form of their own."""
    project.write(TOTAL)
    project.run(*THREE, "--crystallize-calibrate=20")
    (test,) = load(project)["experiments"][0]["tests"]
    assert test["verdict"] is None
    assert test["calibration"]["tests"] == 20
    page = (project.path / "out/report.html").read_text(encoding="utf-8")
    assert "1 of 1 hypothesis calibrated" in page
    assert "of 20 A/A tests" in page


# The summary of a GitHub job.


def test_the_job_summary_is_appended_to(project, monkeypatch):
    """Once, behind what is there, with or without the option."""
    summary = project.raw("summary.md", "# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    project.write(TOTAL)
    project.run()
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("# before\n")
    assert text.count("**1 of 1 hypothesis supported**") == 1


def test_ordinary_sessions_add_nothing_to_the_job_summary(project, monkeypatch):
    """It is for experiments."""
    summary = project.path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    project.raw("test_a.py", "def test_a():\n    pass\n")
    project.run_plain()
    project.run()
    assert not summary.exists()


@pytest.mark.slow
def test_the_job_summary_keeps_to_what_github_takes(project, monkeypatch):
    """What has no room is left out; where there is none at all, the summary of pytest says so."""
    monkeypatch.setattr("pytest_crystallize.session.publisher.STEP_SUMMARY_BYTES", 1000)
    summary = project.path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    project.write(MANY)
    project.run()
    assert len(summary.read_bytes()) <= 1000
    assert b"Left out for lack of room" in summary.read_bytes()
    summary.write_bytes(b"x" * 990)
    result = project.run("--crystallize-report=report.md")
    assert summary.read_bytes() == b"x" * 990
    result.stdout.fnmatch_lines(["experiment report *summary.md could not be written: *1000 bytes*"])
    assert "Left out" not in (project.path / "report.md").read_text(encoding="utf-8")

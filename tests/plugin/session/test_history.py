"""References to which each session adds a recording, and claims against several or one of them."""

import json
from xml.etree import ElementTree

import pytest

SOURCE = """
LOSS = {loss}

def kept(name, margin=0.1, **chosen):
    return Hypothesis(
        metric="score", direction="no_decrease", margin=margin, against=Reference("main", **chosen), name=name
    )

@pytest.mark.experiment(
    replicates=10,
    treatments={{"larger": {{"room": 1.0}}}},
    hypotheses=[kept("last"), kept("mean", pool=3), kept("anchored", at="v1.0")],
)
def experiment_score(rng, room=0.0):
    return {{"score": rng.normal() + room - LOSS}}
"""
ADD = ("-p", "no:cacheprovider", "--crystallize-save=main", "--crystallize-append")
PLACE = "references/main/experiment_a/experiment_score"


def add(project, loss, *more):
    """Record what a loss gives, a minute after the recording before."""
    project.write(SOURCE.format(loss=loss))
    before = {*(project.path / PLACE).glob("*.json")}
    result = project.run(*ADD, *more)
    for file in {*(project.path / PLACE).glob("*.json")} - before:
        data = json.loads(file.read_text(encoding="utf-8"))
        data["recordings"][0]["recorded"] = f"2026-01-01T00:{len(before):02}:00+00:00"
        file.write_text(json.dumps(data), encoding="utf-8")
    return result


@pytest.mark.slow
def test_losses_within_the_margin_cannot_add_up_unseen(project):
    """Each is within the margin of the last recording; the anchor says what they come to."""
    project.git("init", "-q")
    project.write(SOURCE.format(loss=0.0))
    project.git("add", "experiment_a.py")
    project.git("commit", "-qm", "one")
    project.git("tag", "v1.0")
    result = add(project, 0.0)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["added to reference 'main':", f"*{PLACE}/*"])
    for loss in (0.04, 0.06):
        project.write(SOURCE.format(loss=loss))
        project.git("commit", "-qam", str(loss))
        add(project, loss)
    files = sorted((project.path / PLACE).iterdir())
    assert len(files) == 3
    tags = [json.loads(file.read_text())["recordings"][0].get("tags") for file in files]
    assert sorted(tags, key=str) == [None, None, ["v1.0"]]

    project.write(SOURCE.format(loss=0.08))
    reports = [f"--crystallize-report=r{suffix}" for suffix in (".json", ".html")]
    result = project.run(*reports, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=6)
    text = " ".join(result.stdout.str().split())
    assert "'larger' has used up 80 % of the margin 0.1 since v1.0 (recorded at commit" in text
    (tests,) = [known["tests"] for known in project.json("r.json")["experiments"]]
    courses = {
        (test["verdict"]["hypothesis"], test["verdict"]["treatment"]): test["reference"]["recordings"][
            "score"
        ]
        for test in tests
    }
    drops = [point["mean"] - courses["last", "larger"][0]["mean"] for point in courses["last", "larger"]]
    assert drops == pytest.approx([0.0, -0.04, -0.06])
    compared = {name: [point["compared"] for point in points] for (name, _), points in courses.items()}
    assert compared == {
        "last": [False, False, True],
        "mean": [True, True, True],
        "anchored": [True, False, False],
    }
    page = (project.path / "r.html").read_text(encoding="utf-8")
    pictures = [part.partition("</svg>")[0] + "</svg>" for part in page.split("<svg ")[1:]]
    drawn = [
        ElementTree.fromstring("<svg " + picture) for picture in pictures if "over recordings" in picture
    ]
    assert len(drawn) == 6

    project.write(SOURCE.format(loss=0.12))
    result = project.run("-p", "no:cacheprovider")
    result.assert_outcomes(passed=4, failed=2)
    result.stdout.fnmatch_lines(["REFUTED*anchored*"])


@pytest.mark.slow
def test_what_is_no_recording_is_named(project):
    """It is added to by nobody, and compared with by nobody."""
    add(project, 0.0)
    broken = project.raw(f"{PLACE}/broken.json", "<<<<<<< HEAD")
    result = add(project, 0.0)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["NOT SAVED:*experiment_score/broken.json is no"])
    result = project.run("-p", "no:cacheprovider")
    result.assert_outcomes(failed=6)
    broken.unlink()
    result = project.run("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=4)
    text = " ".join(result.stdout.str().split())
    assert "it holds 1 recording of condition 'larger', and pool=3 asks for 3" in text
    assert "has no recording 'v1.0', but" in text


def test_to_append_needs_a_name(project):
    """Which --crystallize-save gives."""
    result = project.run("--crystallize-append")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --crystallize-append adds to a reference: say which by --crystallize-save=NAME"]
    )


CASES = """
@pytest.mark.experiment(
    cases=Cases([{{"id": f"c{{i}}", "x": i + {moved}}} for i in range(8)], id="id"),
    samples=2,
    hypotheses=[
        Hypothesis(metric="y", direction="no_decrease", margin=0.5, against=Reference("main", pool=2)),
    ],
)
def experiment_score(rng, case):
    return {{"y": case["x"] + rng.normal() - {loss}}}
"""


def test_means_of_recordings_by_case(project):
    """Cases that hold something else have no mean with what they held before."""
    for loss in (0.0, 0.2):
        project.write(CASES.format(loss=loss, moved=0))
        project.run(*ADD)
    project.write(CASES.format(loss=0.3, moved=0))
    result = project.run("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["    baseline *-0.2 * 8  SUPPORTED*"])
    project.write(CASES.format(loss=0.3, moved=1))
    project.run(*ADD)
    result = project.run("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: reference 'main' has no mean of recordings: *are of other cases*"])


@pytest.mark.parametrize("leads_to", ["experiment_score", "nowhere"])
def test_recordings_that_can_not_be_read_are_not_taken_for_none(project, leads_to):
    """Else what was recorded before them would be compared with, and nobody told."""
    project.write(SOURCE.format(loss=0.0))
    project.run("-p", "no:cacheprovider", "--crystallize-save=main")
    (project.path / PLACE).symlink_to(leads_to)
    result = project.run("-p", "no:cacheprovider", "-k", "last")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines([f"INVALID: {PLACE} can't be read: *"])
    result = project.run(*ADD)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"NOT SAVED: {PLACE} can't be read: *"])

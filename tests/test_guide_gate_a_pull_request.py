"""The guide to pull requests: its files are those in the repository, and their steps do what it says."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "gate-a-pull-request.md").read_text(encoding="utf-8")
FILES = [ROOT / "example_suite" / name for name in ("github-workflow.yml", "gitlab-ci.yml")]
STAND_IN = """#!{python}
import sys
with open({log!r}, "a") as log:
    print(*sys.argv[1:], sep="|", file=log)
if "--paginate" in sys.argv:
    print({notes!r})
"""


def test_the_page_shows_the_files():
    """Whoever copies one has the other."""
    shown = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert shown == [file.read_text(encoding="utf-8") for file in FILES]


class Branch:
    """A clone with a project, on a branch of its own, and stand-ins for the platforms' commands."""

    def __init__(self, directory):
        self.directory = directory / "clone"
        self.log = directory / "log"
        self.programs = directory / "bin"
        self.programs.mkdir()
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "GIT_", "GITHUB_"))}
        path = os.pathsep.join([str(self.programs), str(Path(sys.executable).parent), keep["PATH"]])
        self.environment = keep | {
            "PATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@example.org",
        }
        self.stand_in()
        self.directory.mkdir()
        (experiment,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        changed = experiment.replace("import pytest\n", "import pytest\nfrom policy import LOSS\n")
        changed = changed.replace("len(requests)}", "len(requests) - LOSS}")
        self.write("experiment_cache.py", changed)
        self.write(".gitignore", ".pytest_cache\nexperiments.md\n")
        self.write("pytest.ini", "[pytest]\npythonpath = .\n")
        self.write("policy.py", "LOSS = 0.0\n")
        self.shell("git init -qb main && git add -A && git commit -qm one && git tag v1.0")
        self.shell("git update-ref refs/remotes/origin/main main && git switch -qc topic")

    def stand_in(self, notes=""):
        for name in ("gh", "glab"):
            program = self.programs / name
            program.write_text(STAND_IN.format(python=sys.executable, log=str(self.log), notes=notes))
            program.chmod(0o755)

    def write(self, name, text):
        (self.directory / name).write_text(text, encoding="utf-8")

    def loss(self, loss):
        """Commit a change that costs as much."""
        self.write("policy.py", f"LOSS = {loss}\n")
        self.shell(f"git commit -qam 'costs {loss}'")

    def shell(self, *commands, **variables):
        """Run commands one after the other until one fails; return the exit code and what was printed."""
        script = "\n".join(commands).replace("-n auto", "-n0")
        done = subprocess.run(
            ["bash", "-ec", script],
            cwd=self.directory,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def called(self):
        """Return how the platforms' commands were called since the last time."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.write_text("")
        return [line.split("|") for line in lines]


@pytest.fixture
def branch(tmp_path):
    return Branch(tmp_path)


def steps(file, job):
    """Return the commands of a job, but those that install."""
    yaml = pytest.importorskip("yaml")
    known = yaml.safe_load(file.read_text(encoding="utf-8"))
    job = known.get("jobs", known)[job]
    commands = job["script"] if "script" in job else [s["run"] for s in job["steps"] if "run" in s]
    return [command for command in commands if not command.startswith("pip ")]


@pytest.mark.slow
def test_the_steps_on_github(branch):
    """What harms fails; the comment is brought up to date whatever comes out."""
    compare, comment = steps(FILES[0], "experiments")
    variables = {"BASE": "merge-base:origin/main", "PULL": "https://example.org/pull/7"}
    for loss, expected in ((0.001, 0), (0.1, 1)):
        branch.loss(loss)
        code, said = branch.shell(compare, **variables)
        assert code == expected, said
        assert branch.shell(comment, **variables)[0] == 0
        (called,) = branch.called()
        assert called[:5] == ["pr", "comment", variables["PULL"], "--body-file", "experiments.md"]
        assert called[5:] == ["--edit-last", "--create-if-none"]
        report = (branch.directory / "experiments.md").read_text(encoding="utf-8")
        assert ("refuted" in report.lower()) == bool(expected)


@pytest.mark.slow
def test_the_steps_on_gitlab(branch):
    """One note is made, and changed from then on."""
    branch.loss(0.1)
    base = branch.shell("git rev-parse main")[1].strip()
    variables = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": base, "CI_PROJECT_ID": "3", "CI_MERGE_REQUEST_IID": "5"}
    code, said = branch.shell(*steps(FILES[1], "experiments"), **variables)
    assert code == 1, said
    notes = "projects/3/merge_requests/5/notes"
    others = '[{"id":10,"type":null,"body":"looks good"}'
    ours = ',{"id":12,"type":null,"body":"\\u003c!-- crystallize-report --\\u003e\\n"}'
    for known, method, place in ((others, "POST", notes), (others + ours, "PUT", f"{notes}/12")):
        branch.stand_in(known + "]")
        code, said = branch.shell(*steps(FILES[1], "comment"), **variables)
        assert code == 0, said
        assert branch.called() == [
            ["api", "--paginate", notes],
            ["api", "--method", method, place, "--field", "body=@note.md"],
        ]
    assert "experiment_cache" in (branch.directory / "note.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_bisect_finds_the_commit_that_did_it(branch):
    """By the commands of the page; what can't be collected on the way is passed over."""
    for loss in (0.001, 0.002):
        branch.loss(loss)
    branch.write("policy.py", "LOSS =\n")
    branch.shell("git commit -qam broken")
    for loss in (0.003, 0.1, 0.102):
        branch.loss(loss)
    *_, started, run, passing_over = re.findall(r"^\$ (git bisect .*)", PAGE, re.MULTILINE)
    node = shlex.split(run)[-1]
    code, said = branch.shell(started, passing_over.replace("NODEID", shlex.quote(node)))
    assert code == 0, said
    assert "costs 0.1\n" in branch.shell("git show --no-patch --format=%s refs/bisect/bad")[1]

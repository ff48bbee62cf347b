"""Sessions for nox: tests on every supported python and pytest, with and without xdist; checks; benchmarks.

Without arguments nox runs what CI runs: lint, types, and the tests on python 3.11 with the newest
pytest.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import tomllib
from pathlib import Path

import nox

PYTHONS = ("3.11", "3.12", "3.13")
NOT_YET_RUN = ("3.14", "3.14t")  # of which nobody has seen the tests pass
PYTESTS = ("8.4", "9.0", "9.1", "9.2")
PARALLEL = {"xdist": (), "no-xdist": ("-p", "no:xdist")}

OTHER_PLUGINS = ("benchmark", "check", "freezer", "html", "repeat", "retry", "sugar", "testmon")
LOADED = ("-p", "xdist", "-p", "timeout")

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests-3.11(pytest='9.2', parallel='xdist')"]


@nox.session(python=(*PYTHONS, *NOT_YET_RUN))
@nox.parametrize("parallel", list(PARALLEL))
@nox.parametrize("pytest", PYTESTS)
def tests(session: nox.Session, pytest: str, parallel: str) -> None:
    """Run the tests, then the example suite; further arguments go to pytest."""
    session.install("-e", ".[test,examples]", f"pytest=={pytest}.*")
    session.run("pytest", *PARALLEL[parallel], *session.posargs)
    workers = ("-n", "auto") if parallel == "xdist" else PARALLEL[parallel]
    session.run("pytest", "--crystallize", *workers, "example_suite")


def oldest() -> list[str]:
    """Return the oldest version of each package that has to be there, as pyproject.toml allows it."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [f"{name}=={version}.*" for name, version in (d.split(">=") for d in project["dependencies"])]


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests on the oldest packages that are allowed."""
    session.install("-e", ".[test,examples]", *oldest())
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[-1])
def newest(session: nox.Session) -> None:
    """Run the tests on the newest python that they have passed on, and the newest packages."""
    session.install("--upgrade", "--upgrade-strategy", "eager", "-e", ".[test,examples]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[0])
def package(session: nox.Session) -> None:
    """Build and check both archives in dist/; try the wheel alone; run the tests of the sdist from its files.

    Further arguments go to pytest.
    """
    session.install("build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")
    (wheel,), (sdist,) = (list(Path("dist").resolve().glob(suffix)) for suffix in ("*.whl", "*.tar.gz"))
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    with tempfile.TemporaryDirectory() as place:  # outside of the project, whose settings would be found
        _try(session, Path(place).resolve(), wheel, sdist)


def _try(session: nox.Session, place: Path, wheel: Path, sdist: Path) -> None:
    """Run the README's example on the wheel alone, and the tests of the sdist from its files."""

    def install(name: str, *packages: str) -> str:
        """Return the python of an environment of that name that holds these packages and nothing else."""
        session.run("python", "-m", "venv", "--clear", str(place / name))
        python = str(place / name / ("Scripts" if os.name == "nt" else "bin") / "python")
        session.run(python, "-m", "pip", "install", "--quiet", *packages, external=True)
        return python

    example = re.findall(r"^```python\n(.*?)^```$", Path("README.md").read_text("utf-8"), re.M | re.S)[0]
    (place / "readme").mkdir()
    (place / "readme" / "experiment_cache.py").write_text(example, encoding="utf-8")
    bare = install("bare", str(wheel))
    with session.chdir(place / "readme"):
        session.run(bare, "-m", "pytest", "--crystallize", external=True)
    shutil.unpack_archive(sdist, place, filter="data")
    unpacked = place / sdist.name.removesuffix(".tar.gz")
    full = install("full", f"{unpacked}[test,examples]")
    with session.chdir(unpacked):
        session.run(full, "-m", "pytest", *session.posargs, external=True)


@nox.session(python=PYTHONS[0])
def slow(session: nox.Session) -> None:
    """Run the tests that take long."""
    session.install("-e", ".[test,examples]")
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session(python=PYTHONS[0])
def laws(session: nox.Session) -> None:
    """Try all laws with ten times as many examples, others each time: it may find what no run has seen."""
    session.install("-e", ".[test,examples]")
    many = ("-m", "hypothesis", "--hypothesis-profile=many", "-o", "timeout=3600")
    session.run("pytest", *many, *session.posargs)


@nox.session(python=PYTHONS[0])
def plugins(session: nox.Session) -> None:
    """Run experiments beside every plugin of pytest that the guide has tried."""
    others = ("anyio", "pyfakefs", *(f"pytest-{name}" for name in OTHER_PLUGINS))
    session.install("-e", ".[compatibility]", *others)
    session.run("pytest", "-m", "plugins", "--disable-plugin-autoload", *LOADED, "tests/compatibility")


@nox.session(python=PYTHONS[0])
def trackers(session: nox.Session) -> None:
    """Send what a session gave to MLflow itself."""
    session.install("-e", ".[testing]", "mlflow", "pytest-timeout")
    session.run("pytest", "-n0", "-m", "", "tests/plugin/report/test_mlflow_tracker.py", *session.posargs)


@nox.session(python=PYTHONS[0])
def ray(session: nox.Session) -> None:
    """Search with searchers of Ray Tune."""
    session.install("-e", ".[ray,optuna,testing]", "hyperopt", "pytest-timeout")
    session.run("pytest", "-n0", "tests/experiment/test_ray_searchers.py", *session.posargs)


@nox.session(python=PYTHONS[0])
def edits(session: nox.Session) -> None:
    """Try all edits of what stored runs depend on; print the table of the guide, docs/caching-edits.md."""
    session.install("-e", ".[test,examples]")
    session.run("python", "tests/identity/edit_matrix.py", *session.posargs)


@nox.session(python=PYTHONS[0])
def docs(session: nox.Session) -> None:
    """Build the documentation site into docs/_build/html; every warning is an error."""
    session.install("-e", ".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-j", "auto", "docs", "docs/_build/html")


@nox.session(python=PYTHONS[0])
def links(session: nox.Session) -> None:
    """Check the links of the documentation that lead elsewhere; needs a network."""
    session.install("-e", ".[docs]")
    online = {"DOCS_ONLINE": "1"}
    session.run("sphinx-build", "-W", "-b", "linkcheck", "docs", "docs/_build/links", env=online)


@nox.session(python=PYTHONS[0])
def notebooks(session: nox.Session) -> None:
    """Run the notebooks of the examples in a kernel; none may raise."""
    session.install("-e", ".[pandas]", "nbconvert", "ipykernel")
    run = ("jupyter", "nbconvert", "--to", "notebook", "--execute", "--output-dir", session.create_tmp())
    for path in sorted(Path("examples").glob("*.ipynb")):
        session.run(*run, str(path))


@nox.session(python=PYTHONS[0])
def accessibility(session: nox.Session) -> None:
    """Look at the page of a report in a browser of the system, and have axe-core (by npm) examine it."""
    session.install("-e", ".[test]", "playwright")
    directory = session.create_tmp()
    session.run("npm", "install", "--no-save", "--prefix", directory, "axe-core", external=True)
    axe = {"AXE_SCRIPT": f"{directory}/node_modules/axe-core/axe.min.js"}
    session.run("pytest", "-n0", "-m", "slow", "tests/plugin/report/test_report_page.py", env=axe)


@nox.session(python=PYTHONS[0])
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("-e", ".[test]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session(python=PYTHONS[0])
def types(session: nox.Session) -> None:
    """Check the types of both packages, and those that a typed program sees."""
    session.install("-e", ".[test]", "pyright")
    session.run("mypy", "--strict")
    session.run("mypy", "--strict", "tests/typed")
    session.run("pyright", "tests/typed")


@nox.session(python=PYTHONS[0])
def benchmarks(session: nox.Session) -> None:
    """Run the benchmarks that are named, or all."""
    session.install("-e", ".[test,examples]")
    apart = {"prompt_tools.py"}  # in an environment of its own
    found = sorted(str(path) for path in Path("benchmarks").glob("*.py") if path.name not in apart)
    for path in session.posargs or found:
        session.run("python", path)


@nox.session(python=PYTHONS[0])
def simulation(session: nox.Session) -> None:
    """Simulate what tests and verdicts do, and print the table of the guide."""
    session.install("-e", ".[test]")
    session.run("python", "benchmarks/statistics_simulation.py", *session.posargs)
    session.run("python", "benchmarks/statistics_simulation.py", "--designs", "--markdown", *session.posargs)


@nox.session(python=PYTHONS[0])
def prompt_tools(session: nox.Session) -> None:
    """Run one comparison of two prompts in other tools, too: lines of code and wall time."""
    session.install("-e", ".[remote]", "openai", "inspect-ai", "pytest-evals")
    session.run("python", "benchmarks/prompt_tools.py")

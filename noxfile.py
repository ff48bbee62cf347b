"""Sessions for nox: tests on every supported python and pytest, with and without xdist; checks; benchmarks.

Without arguments nox runs what CI runs: lint, types, and the tests on python 3.11 with the newest
pytest.
"""

from __future__ import annotations

from pathlib import Path

import nox

PYTHONS = ("3.11", "3.12", "3.13")
PYTESTS = ("8.4", "9.0", "9.1", "9.2")
PARALLEL = {"xdist": (), "no-xdist": ("-p", "no:xdist")}

OTHER_PLUGINS = ("benchmark", "freezer", "html", "repeat", "sugar")
LOADED = ("-p", "xdist", "-p", "timeout")

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests-3.11(pytest='9.2', parallel='xdist')"]


@nox.session(python=PYTHONS)
@nox.parametrize("parallel", list(PARALLEL))
@nox.parametrize("pytest", PYTESTS)
def tests(session: nox.Session, pytest: str, parallel: str) -> None:
    """Run the tests, then the example suite; further arguments go to pytest."""
    session.install("-e", ".[test,examples]", f"pytest=={pytest}.*")
    session.run("pytest", *PARALLEL[parallel], *session.posargs)
    workers = ("-n", "auto") if parallel == "xdist" else PARALLEL[parallel]
    session.run("pytest", "--crystallize", *workers, "example_suite")


@nox.session(python=PYTHONS[0])
def slow(session: nox.Session) -> None:
    """Run the tests that take long."""
    session.install("-e", ".[test,examples]")
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session(python=PYTHONS[0])
def plugins(session: nox.Session) -> None:
    """Run experiments beside every plugin of pytest that the guide has tried."""
    others = ("anyio", "pyfakefs", *(f"pytest-{name}" for name in OTHER_PLUGINS))
    session.install("-e", ".[compatibility]", *others)
    session.run("pytest", "-m", "plugins", "--disable-plugin-autoload", *LOADED, "tests/compatibility")


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
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("-e", ".[test]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session(python=PYTHONS[0])
def types(session: nox.Session) -> None:
    """Check the types of both packages."""
    session.install("-e", ".[test]")
    session.run("mypy", "--strict")


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

"""A cache that is used in another checkout, with packages that were newly installed."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import crystallize
from plugin.conftest import PRELUDE
from plugin.records.conftest import experiment, hits

PACKAGES = ("numpy", "scipy", "pytest", "pluggy", "iniconfig", "packaging", "pygments")
OURS = Path(crystallize.__file__).parents[1]


def installed(home):
    """Return the Python of a new environment, into which the files of these distributions are copied."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    for name in PACKAGES:
        for file in importlib.metadata.files(name) or ():
            if ".." in file.parts or "tests" in file.parts or file.suffix == ".pyc":
                continue
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)  # a file of its own, with times of its own
    for name in ("crystallize", "pytest_crystallize"):
        shutil.copytree(OURS / name, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    return home / "bin" / "python"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="environments lie otherwise there")
def test_a_cache_is_used_in_another_place_with_packages_installed_anew(project, tmp_path, monkeypatch):
    """Neither where they lie, nor when and by whom they were written, makes a difference; an edit does."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    files = {
        "experiment_a.py": PRELUDE
        + "import scipy.stats, helpers\n"
        + experiment("delta *= helpers.factor() * scipy.stats.norm.cdf(9.0)"),
        "helpers.py": "import json\nFACTOR = json.load(open('factor.json'))\ndef factor(): return FACTOR\n",
        "factor.json": "1.0",
        "conftest.py": "import helpers\n",
    }
    pythons = [installed(tmp_path / name) for name in ("one", "two")]

    def session(python, directory):
        command = [python, "-m", "pytest", "-p", "pytest_crystallize.plugin", "--crystallize", "-v"]
        monkeypatch.chdir(directory)
        return project.pytester.run(*command)

    for name, text in files.items():
        project.raw(f"first/{name}", text)
        project.raw(f"another/checkout/{name}", text)
    first, second = project.path / "first", project.path / "another" / "checkout"
    assert hits(session(pythons[0], first)) == 0
    shutil.copytree(first / ".pytest_cache", second / ".pytest_cache", copy_function=shutil.copyfile)
    shutil.rmtree(first)
    assert hits(session(pythons[1], second)) == 10
    (special,) = (tmp_path / "two").glob("lib/python*/site-packages/scipy/stats/__init__.py")
    special.write_text(special.read_text() + "\n# edited\n")
    assert hits(session(pythons[1], second)) == 0

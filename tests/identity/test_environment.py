import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from crystallize.identity.environment import Environment, environment, environment_changes

ROOT = Path(__file__).parents[2]
PROBE = "from crystallize.identity.environment import environment; print(environment().digest)"


def write_distribution(home, name, version, record, **files):
    """Write the metadata of an installed distribution."""
    info = home / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(record)
    for other, text in files.items():
        (info / f"{other}.json").write_text(text)


def parts_with(home):
    """Return the parts of the environment of a process whose path starts with a directory."""
    code = "import json; from crystallize.identity.environment import environment; "
    code += "print(json.dumps(environment().to_json()))"
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(home), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=variables
    )
    return Environment.from_json(json.loads(done.stdout)).parts


def test_it_names_python_the_machine_and_each_distribution():
    """Every one is a part, so that a miss can say what is new."""
    parts = environment().parts
    assert sys.version in parts["Python"]
    assert "optimize=" in parts["Python flags"]
    assert parts["numpy"].startswith(f"{np.__version__} files ")
    assert "editable" in parts["pytest-crystallize"] or "files" in parts["pytest-crystallize"]
    assert parts["crystallize source"].startswith("files ")


def test_it_is_computed_once_and_handed_on():
    """Workers rebuild it from what the controller sends."""
    assert environment() is environment()
    assert Environment.from_json(environment().to_json()) == environment()


def test_it_is_the_same_in_every_process():
    """Neither random hash seeds nor the order of a directory count."""
    digests = set()
    for seed in ("", "random"):
        variables = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", PROBE]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
        digests.add(done.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (("wares", "1.1", "a,sha256=1,1\n"), ["wares 1.0 -> 1.1"]),
        (("wares", "1.0", "a,sha256=2,1\n"), ["wares 1.0 has other files"]),
        (("Wares", "1.0", "a,sha256=1,1\n"), []),
        (("other", "2.0", ""), ["other 2.0 was added", "wares 1.0 was removed"]),
    ],
)
def test_a_change_of_a_distribution_is_said(tmp_path, new, said):
    """Its version counts, and so do the digests of its files."""
    old_home, new_home = tmp_path / "old" / "site-packages", tmp_path / "new" / "site-packages"
    write_distribution(old_home, "wares", "1.0", "a,sha256=1,1\n")
    write_distribution(new_home, *new)
    assert environment_changes(parts_with(old_home), parts_with(new_home)) == said


def test_of_an_editable_install_only_name_and_version_count(tmp_path):
    """Its code is the project's, and its record changes with each installation."""
    homes = tmp_path / "a" / "site-packages", tmp_path / "b" / "site-packages"
    for number, home in enumerate(homes):
        origin = '{"url": "file:///x", "dir_info": {"editable": true}}'
        write_distribution(home, "wares", "1.0", f"a,sha256={number},1\n", direct_url=origin)
    assert parts_with(homes[0]) == parts_with(homes[1])
    assert parts_with(homes[0])["wares"] == "1.0 editable"


def test_what_an_installer_adds_does_not_count(tmp_path):
    """Scripts name the interpreter of their environment; a wheel's own files are the same in each."""
    wheel = "wares/a.py,sha256=1,1\nwares-1.0.dist-info/METADATA,sha256=2,2\n"
    by_pip = wheel + "../../../bin/wares,sha256=3,3\nwares-1.0.dist-info/INSTALLER,sha256=4,4\n"
    by_pip += "wares/__pycache__/a.cpython-311.pyc,,\nwares-1.0.dist-info/RECORD,,\n"
    write_distribution(tmp_path / "old" / "site-packages", "wares", "1.0", wheel)
    write_distribution(tmp_path / "new" / "site-packages", "wares", "1.0", by_pip)
    old, new = (parts_with(tmp_path / name / "site-packages") for name in ("old", "new"))
    assert environment_changes(old, new) == []

"""Each kind of install: the project's modules come from the other commit, or it is an error."""

import subprocess
import sys
import sysconfig

import pytest

from plugin.against.test_processes import TEST, write

BUILD = {
    "setuptools": 'requires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"',
    "hatchling": 'requires = ["hatchling"]\nbuild-backend = "hatchling.build"',
}
NEEDED = {"setuptools": ("setuptools", "70.1"), "hatchling": ("editables",)}
PYPROJECT = """
[build-system]
{build}

[project]
name = "pkg"
version = "1"

[tool.setuptools]
packages = ["pkg"]
package-dir = {{"pkg" = "{home}"}}

[tool.hatch.build.targets.wheel]
packages = ["{home}"]
"""


@pytest.fixture
def changed(repository):
    """Return a function that commits the project, and changes it."""

    def change(home):
        write(repository, "from pkg.part import PART")
        (repository.path / "src" / "pkg" / "__init__.py").unlink()
        repository.project.ini("")
        repository.project.raw(f"{home}/__init__.py", "LOSS = 0.0\n")
        repository.project.raw(f"{home}/part.py", "PART = 1\n")
        repository.commit("v1")
        repository.project.raw(f"{home}/__init__.py", "LOSS = 0.5\n")
        return repository

    return change


def installed(repository, directory, *, tool, home, editable):
    """Install the project elsewhere than where this interpreter looks; return what has it look there."""
    repository.project.raw("pyproject.toml", PYPROJECT.format(build=BUILD[tool], home=home))
    options = ["--no-build-isolation", "--no-deps", "--quiet", f"--prefix={directory}"]
    source = [*(["--editable"] if editable else []), "."]
    command = [sys.executable, "-m", "pip", "install", *options, *source]
    done = subprocess.run(command, cwd=repository.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    base = {"base": str(directory), "platbase": str(directory)}
    places = {sysconfig.get_path(name, vars=base) for name in ("purelib", "platlib")}
    added = "".join(f"site.addsitedir({place!r})\n" for place in sorted(places))
    (directory / "sitecustomize.py").write_text(f"import site\n{added}")
    return str(directory)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "home"),
    [("setuptools", "src/pkg"), ("setuptools", "pkg"), ("setuptools", "lib/code"), ("hatchling", "src/pkg")],
    ids=["setuptools-src", "setuptools-flat", "setuptools-mapped", "hatchling-src"],
)
def test_what_is_installed_for_editing_is_mapped(changed, tmp_path_factory, monkeypatch, tool, home):
    """By a file of paths, or by a finder."""
    pytest.importorskip(*NEEDED[tool])
    repository = changed(home)
    directory = tmp_path_factory.mktemp("prefix")
    path = installed(repository, directory, tool=tool, home=home, editable=True)
    monkeypatch.setenv("PYTHONPATH", path)
    found, result = repository.compare("--import-mode=importlib", apart=True)
    assert found[TEST]["status"] == "refuted", result.stdout.str()


@pytest.mark.slow
def test_what_is_installed_as_a_copy_is_refused(changed, tmp_path_factory, monkeypatch):
    """It would be the same at each commit, so that no change would ever be seen."""
    pytest.importorskip(*NEEDED["setuptools"])
    repository = changed("src/pkg")
    directory = tmp_path_factory.mktemp("prefix")
    path = installed(repository, directory, tool="setuptools", home="src/pkg", editable=False)
    monkeypatch.setenv("PYTHONPATH", path)
    found, _ = repository.compare(apart=True)
    assert found[TEST]["status"] == "invalid"
    assert "a copy of the project that is installed" in found[TEST]["reason"]
    assert "pip install -e ." in found[TEST]["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["conftest", "environment"])
def test_what_is_not_installed_is_mapped(changed, monkeypatch, way):
    """A conftest in the root directory, or the environment, says where it is."""
    repository = changed("pkg" if way == "conftest" else "src/pkg")
    if way == "environment":
        monkeypatch.setenv("PYTHONPATH", str(repository.path / "src"))
    found, _ = repository.compare(apart=True)
    assert found[TEST]["status"] == "refuted"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["itself", "kept", "back"])
def test_what_python_loads_when_it_starts_is_told_though_it_is_taken_out(
    changed, tmp_path_factory, monkeypatch, way
):
    """What is of the checkout would be the same at each commit."""
    repository = changed("src/pkg")
    source = repository.path / "src"
    load = f"import sys\nsys.path.insert(0, {str(source)!r})\nimport pkg.part\ndel sys.path[0]\n"
    lines, directory = {
        "itself": ("import sys\nsys.modules[__name__] = sys\n", source),
        "kept": (f"{load}sys.kept = sys.modules.pop('pkg')\n", tmp_path_factory.mktemp("start")),
        "back": (f"{load}{AS_IT_WAS}", tmp_path_factory.mktemp("start")),
    }[way]
    (directory / "sitecustomize.py").write_text(lines)
    monkeypatch.setenv("PYTHONPATH", str(directory))
    repository.project.ini("pythonpath = src\n")
    found, result = repository.compare(apart=True)
    assert found[TEST]["status"] == "invalid", result.stdout.str()
    assert "is not of v1" in found[TEST]["reason"]


AS_IT_WAS = """
from importlib.machinery import ModuleSpec

class Finder:
    modules = {name: sys.modules.pop(name) for name in ("pkg", "pkg.part")}

    def find_spec(self, name, path=None, target=None):
        if name in self.modules:
            return ModuleSpec(name, self, is_package=name == "pkg")

    def create_module(self, spec):
        return self.modules.pop(spec.name)

    def exec_module(self, module):
        del module.__file__
        if not self.modules:
            sys.meta_path.remove(self)
        if module.__name__ == "pkg":
            module.__path__ = []

sys.meta_path.insert(0, Finder())
"""

"""Where code comes from: the project, whose every edit counts, or what is installed, known by its name."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import site
import sys
import sysconfig
import types
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

Roots = tuple[str, ...]
"""Directories whose code belongs to the project wherever they are, as real paths."""

ABSENT: Final = object()
"""What a namespace has under a name that is not in it."""

Look = Callable[..., Any]
"""How namespaces are read: `look_up`, or what notes it as well."""


def look_up(names: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """Return what a namespace, or `sys.modules`, has under a name."""
    return names.get(name, default)


def package_directories() -> list[str]:
    """Return the directories that packages are installed in, as Python spells them."""
    paths = sysconfig.get_paths()
    of_python = site.getsitepackages() if hasattr(site, "getsitepackages") else []
    return [paths["purelib"], paths["platlib"], *of_python, site.getusersitepackages()]


def _directories() -> tuple[str, ...]:
    """Return the directories of installed code, as real paths that end with a separator."""
    paths = sysconfig.get_paths()
    found = [paths["stdlib"], paths["platstdlib"], *package_directories()]
    ours = Path(__file__).resolve().parents[1]
    found += [str(ours), str(ours.with_name("pytest_crystallize"))]  # `environment` gives their identity
    return tuple({os.path.realpath(path) + os.sep for path in found})


INSTALLED: Final = _directories()


def real_path(filename: str) -> str:
    """Return a path without links; modules are many, and their directories few."""
    directory, name = os.path.split(filename)
    if os.path.islink(filename) or name in ("", os.curdir, os.pardir):  # noqa: PTH114 - a Path costs more
        return os.path.realpath(filename)
    return f"{real_directory(directory).rstrip(os.sep)}{os.sep}{name}"


@lru_cache(maxsize=100_000)
def real_directory(directory: str) -> str:
    """Return the path of a directory without links, as they were when it was first asked for."""
    return os.path.realpath(directory)


@lru_cache(maxsize=100_000)
def is_project_file(filename: str, roots: Roots = ()) -> bool:
    """Return whether a file is the project's; the closest of roots and installed directories decides."""
    if filename.startswith("<frozen "):
        return False
    path = real_path(filename)
    installed = max((len(home) for home in INSTALLED if path.startswith(home)), default=0)
    if not installed and f"{os.sep}site-packages{os.sep}" in path:
        installed = path.rindex(f"{os.sep}site-packages{os.sep}") + 1
    rooted = max((len(root) for root in roots if path.startswith(root.rstrip(os.sep) + os.sep)), default=-1)
    return not installed or rooted >= installed - 1


def is_project_module(module: types.ModuleType, roots: Roots = (), look: Look = look_up) -> bool:
    """Return whether a module that is loaded belongs to the project."""
    names = vars(module)
    filename = look(names, "__file__")
    if isinstance(filename, str):
        return is_project_file(filename, roots)
    return _is_project_spec(look(names, "__spec__"), look(names, "__name__", ""), roots)


def _is_project_spec(spec: importlib.machinery.ModuleSpec | None, name: str, roots: Roots) -> bool:
    if spec is not None and spec.has_location and spec.origin is not None:
        return is_project_file(spec.origin, roots)
    if spec is not None and spec.submodule_search_locations is not None:
        return any(
            is_project_file(f"{path}{os.sep}__init__.py", roots) for path in spec.submodule_search_locations
        )
    return name.partition(".")[0] not in sys.stdlib_module_names


def import_root(module: types.ModuleType, look: Look = look_up) -> Roots:
    """Return the directory that a module was imported from, as it is and as a real path."""
    filename = look(vars(module), "__file__")
    if not isinstance(filename, str):
        return ()
    return _import_root(os.path.abspath(filename), look(vars(module), "__name__", ""))  # noqa: PTH100 - links


@lru_cache(maxsize=100_000)
def _import_root(filename: str, name: str) -> Roots:
    path = Path(filename)
    parts = name.split(".")
    levels = len(parts) + 1 if path.stem == "__init__" else len(parts)
    directory = path.parents[levels - 1] if levels <= len(path.parents) else path.parent
    if name == "__main__" or len(directory.parts) < 2:
        directory = path.parent
    return tuple(dict.fromkeys((str(directory), real_directory(str(directory)))))


def is_project_name(name: str, roots: Roots = (), look: Look = look_up) -> bool:
    """Return whether the module that a function or class says it is from belongs to the project."""
    module = look(sys.modules, name)
    return True if module is None else is_project_module(module, roots, look)


def locate(name: str, roots: Roots = (), look: Look = look_up) -> Literal["project", "installed", "missing"]:
    """Tell where a module is that may not be loaded yet; nothing installed is imported to find out."""
    if (module := look(sys.modules, name)) is not None:
        return "project" if is_project_module(module, roots, look) else "installed"
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # it is loaded, and has no spec
        loaded = sys.modules[top]
        return "project" if is_project_module(loaded, roots) else "installed"
    if spec is None:
        return "missing"
    for part in rest:
        if spec.origin is not None and not _is_project_spec(spec, top, roots):
            return "installed"
        top = f"{top}.{part}"
        inner = importlib.machinery.PathFinder.find_spec(top, spec.submodule_search_locations or [])
        if inner is None:
            return "missing"
        spec = inner
    return "project" if _is_project_spec(spec, name, roots) else "installed"


def installed_name(value: Any, roots: Roots = (), look: Look = look_up) -> str | None:
    """Return the name under which an installed module offers a function or class, if one does.

    Only then does the name say everything: what a factory made, or a decorator returned, is not found.
    """
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if name is None:
        name = getattr(value, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    home = look(sys.modules, module)
    if home is None or is_project_module(home, roots, look):
        return None
    first, *rest = name.split(".")
    found = look(vars(home), first)
    for part in rest:
        found = getattr(found, part, None)
    return f"{module}.{name}" if found is value else None


def held_name(value: Any, roots: Roots = ()) -> str | None:
    """Return the name of an installed module's variable that holds an instance of its own class."""
    module = sys.modules.get(type(value).__module__)
    if module is None or is_project_module(module, roots):
        return None
    for name, held in list(vars(module).items()):
        if held is value:
            return f"{module.__name__}.{name}"
    return None

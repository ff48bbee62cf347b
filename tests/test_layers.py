"""The rooms of the house, read from the imports."""

import ast
import contextlib
import functools
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("crystallize", "pytest_crystallize")
    for path in sorted((ROOT / package).rglob("*.py"))
}

ROOMS = [
    "crystallize.errors",
    "crystallize.boundary",
    "crystallize.text",
    "crystallize.stats",
    "crystallize.storage",
    "crystallize.identity",
    "crystallize.context",
    "crystallize.calls",
    "crystallize.declare",
    "crystallize.claims",
    "crystallize.run",
    "crystallize.analysis",
    "crystallize.engines",
    "crystallize.report",
    "crystallize.experiment",
    "crystallize",
    "crystallize.seam",
    "crystallize.core",
    "crystallize.testing",
    "pytest_crystallize",
    "pytest_crystallize.pytest_seam",
    "pytest_crystallize.boundary",
    "pytest_crystallize.exit_code",
    "pytest_crystallize.unrewritten",
    "pytest_crystallize.naming",
    "pytest_crystallize.options",
    "pytest_crystallize.report",
    "pytest_crystallize.results",
    "pytest_crystallize.hookspecs",
    "pytest_crystallize.records",
    "pytest_crystallize.isolation",
    "pytest_crystallize.cluster",
    "pytest_crystallize.against",
    "pytest_crystallize.units",
    "pytest_crystallize.collect",
    "pytest_crystallize.session",
    "pytest_crystallize.plugin",
    "pytest_crystallize.screen",
    "pytest_crystallize.command",
]
"""The rooms, from the ground up: each imports from itself and from those above it in this list."""

THIRD_PARTY = {
    "numpy",
    "scipy",
    "pytest",
    "xdist",
    "torch",
    "tqdm",
    "optuna",
    "pandas",
    "hypothesis",
    "cloudpickle",
}
THIRD_PARTY |= {"distributed", "rich", "tenacity", "textual", "yaml"}


def of_each(modules):
    """Have a check of a module be one test of all these, which says what it finds in which."""

    def tested(check):
        def test():
            found = {}
            for module in modules:
                try:
                    check(module)
                except AssertionError as error:
                    found[module] = str(error)
            assert found == {}

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return tested


@functools.cache
def tree_of(module):
    """Return the syntax tree of a module, which most of these tests look through."""
    return ast.parse(MODULES[module].read_text())


@pytest.fixture(scope="module", autouse=True)
def _no_trees_left():
    """Keep nothing behind the last test that the garbage collector would look through."""
    yield
    tree_of.cache_clear()


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@functools.cache
def imports(module, *, types=False):
    """Return (imported module, line, whether inside a function); on request for type checkers, too."""

    def visit(node, inside):
        if is_type_checking(node) and not types:
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield (name if name in MODULES else node.module), node.lineno, inside
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    return list(visit(tree_of(module), False))


def ours(module):
    """Return the modules of both packages that a module imports, wherever in it, and for whatever."""
    found = (name for name, _, _ in imports(module, types=True))
    return {name for name in found if name.split(".")[0] in ("crystallize", "pytest_crystallize")}


def room(module):
    """Return the number of a module's room."""
    known = [name for name in ROOMS if f"{module}.".startswith(f"{name}.")]
    name = max(known, key=len)
    assert "." in name or name == module, f"{module} is in no room: put it into one"
    return ROOMS.index(name)


@of_each(list(MODULES))
def test_imports_point_down(module):
    """A module imports its own room and those below, wherever in it the import stands."""
    for name in ours(module):
        assert room(name) <= room(module), f"{module} imports {name}, which is above it"


CACHING = {
    f"crystallize.run.{name}"
    for name in (
        "plan_subject",
        "repeatability",
        "resumed_runs",
        "run_key",
        "step_effects",
        "step_results",
        "stored_runs",
        "verification",
    )
}
CACHING |= {f"crystallize.run.{name}" for name in ("watched_plan", "watched_runs")}
CACHING |= {f"crystallize.engines.{name}" for name in ("expectation", "interference", "payload")}
CACHING |= {f"crystallize.engines.{name}" for name in ("on_executor", "on_dask")}
STORES = tuple(f"crystallize.storage.{name}" for name in ("codec", "place", "sealed", "secret", "store"))
STORES += tuple(f"crystallize.calls.{name}" for name in ("endpoint", "making", "replies"))
DIGESTS = ("crystallize.identity.",)
"""What only those load who store runs, or send them elsewhere; the others at need."""


@of_each([m for m in MODULES if m.split(".")[0] == "crystallize"])
def test_nothing_of_caching_is_loaded_where_nothing_is_cached(module):
    """It costs a session time that it need not spend."""
    if module in CACHING or module.startswith((*DIGESTS, *STORES)):
        return
    at_load = {name for name, _, inside in imports(module) if not inside and name in MODULES}
    at_load -= {f"crystallize.identity.{name}" for name in ("provenance", "seed_sequences")}
    assert not [name for name in at_load if name in CACHING or name.startswith((*DIGESTS, *STORES))]


@of_each([m for m in MODULES if m.split(".")[0] == "crystallize"])
def test_the_library_knows_nothing_of_pytest(module):
    """Neither pytest nor the plugin is imported, anywhere in it."""
    roots = {name.split(".")[0] for name, _, _ in imports(module)}
    assert not roots & {"pytest", "_pytest", "xdist", "pluggy", "pytest_crystallize"}


def test_the_entry_point_is_light():
    """An installed but unused plugin imports nothing of the library."""
    loaded = {name.split(".")[0] for name, _, inside in imports("pytest_crystallize.plugin") if not inside}
    assert not loaded & {"crystallize", "numpy", "scipy"}


def test_there_are_no_cycles():
    """Not even one that works by luck; packages that re-export count with what they import."""
    below = {module: ours(module) & set(MODULES) - {module} for module in MODULES}
    done, path = set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        path.append(module)
        for name in sorted(below[module]):
            visit(name)
        path.pop()
        done.add(module)

    for module in MODULES:
        visit(module)


@of_each(list(MODULES))
def test_imports_inside_functions_say_why(module):
    """A comment on the line, or above it, names the heavy or optional thing that is kept out."""
    lines = MODULES[module].read_text().splitlines()
    for name, number, inside in imports(module):
        if inside:
            # A block of imports may share the comment above its first line.
            above = itertools.takewhile(
                lambda line: line.strip().startswith(("#", "from ", "import ")), reversed(lines[: number - 1])
            )
            assert any("#" in line for line in (lines[number - 1], *above)), f"{module}:{number} {name}"


@of_each(list(MODULES))
def test_modules_are_named_for_what_they_hold(module):
    """A name that fits anything collects everything."""
    assert not set(module.split(".")) & {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


@of_each(list(MODULES))
def test_third_parties_are_the_declared_ones(module):
    """What is imported is in the standard library, or among the dependencies."""
    import sys  # only its list of names

    for name, _, _ in imports(module):
        root = name.split(".")[0]
        known = root in sys.stdlib_module_names or root in THIRD_PARTY | {"_pytest", "pluggy"}
        assert known or root in ("crystallize", "pytest_crystallize"), f"{module} imports {name}"


LIBRARY = {f"crystallize{module}" for module in ("", ".errors", ".seam", ".stats", ".testing")}
"""What the plugin may import of the library: its public names, and the seam."""


@of_each([m for m in MODULES if m.startswith("pytest_crystallize")])
def test_the_plugin_reaches_the_library_through_its_seam(module):
    """No module of the plugin knows where in the library a name is."""
    assert not {name for name in ours(module) if name.split(".")[0] == "crystallize"} - LIBRARY


def test_the_seam_of_the_library_is_what_the_plugin_needs():
    """Both lists in it name the same; each name is there, and used."""
    from crystallize import seam

    typed = {
        f"{node.module.removeprefix('crystallize.')}.{alias.name}"
        for block in tree_of("crystallize.seam").body
        if is_type_checking(block)
        for node in block.body
        for alias in node.names
    }
    assert typed == {f"{module}.{name}" for name, module in seam._HOMES.items()}
    asked = {
        alias.name
        for module in MODULES
        if module.startswith("pytest_crystallize")
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ImportFrom) and node.module == "crystallize.seam"
        for alias in node.names
    }
    assert asked == set(seam.__all__)
    assert all(hasattr(seam, name) for name in asked)


SEAM = "pytest_crystallize.pytest_seam"
PLUGIN = [module for module in MODULES if module.startswith("pytest_crystallize") and module != SEAM]
PRIVATE_ELSEWHERE = {"_replace", "_asdict", "_fields"}
"""Public names of named tuples."""
PRIVATE_ELSEWHERE |= {"_current_frames", "_exit", "_getframe"}
PRIVATE_ELSEWHERE |= {"_xoptions", "_lru_cache_wrapper", "_GenericAlias"}
PRIVATE_ELSEWHERE |= {"_threads_queues", "_get_running_loop", "_set_running_loop", "_swap_current_task"}
PRIVATE_ELSEWHERE |= {
    "_data",
    "_get_dump",
    "_inheriting",
    "_max_workers",
    "_varname_from_oparg",
    "_rand",
    "_get_item_settings",
}
"""Of the standard library, numpy and pytest-timeout, which offer no other way."""


def is_private(name):
    return name.startswith("_") and not name.endswith("_")


def private_names(tree):
    """Yield (name, line) of each private attribute, keyword or attribute by name that a module asks for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant):
                yield name.value, node.lineno


def own_names(tree):
    """Yield what a module defines: functions, classes, variables, attributes of its own and arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if ast.unparse(node.value) in ("self", "cls"):
                yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__":
            with contextlib.suppress(ValueError):  # computed
                yield from ast.literal_eval(node.value)


@of_each([module for module in MODULES if module != SEAM])
def test_private_names_stay_in_their_module(module):
    """What another module needs, and what a class in another module inherits, has a public name."""
    tree = tree_of(module)
    known = {*own_names(tree), *PRIVATE_ELSEWHERE}
    assert [entry for entry in private_names(tree) if is_private(entry[0]) and entry[0] not in known] == []
    asked = [
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    assert [name for name in asked if is_private(name)] == []


@of_each(PLUGIN)
def test_only_the_seam_knows_private_names_of_pytest(module):
    """No other module imports `_pytest`, names it, or overrides a private attribute."""
    tree = tree_of(module)
    assert not {name for name, _, _ in imports(module) if name.split(".")[0] == "_pytest"}
    assert not [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("_pytest")
    ]
    pytests = {*dir(pytest.Function), *dir(pytest.Class), *dir(pytest.Session)}
    assert [name for name in own_names(tree) if is_private(name) and name in pytests] == []


def test_the_seam_holds_nothing_that_is_unused():
    """A private name that nobody needs any more is not kept."""
    from pytest_crystallize import pytest_seam

    used = {name for module in PLUGIN for name in re.findall(r"\w+", MODULES[module].read_text())}
    assert [name for name in pytest_seam.__all__ if name not in used | set(seam_uses())] == []


def seam_uses():
    tree = tree_of(SEAM)
    return (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


ASKING = {"What", "Whether", "How", "Which", "Where", "Why", "One", "Something"}
"""Words that begin a clause, where a class has a noun, and a function a verb in the imperative."""


def is_property(node):
    return any(ast.unparse(each).split(".")[-1].endswith("property") for each in node.decorator_list)


@of_each(list(MODULES))
def test_docstrings_name_classes_and_tell_functions(module):
    """A property that is true or false may say whether."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            allowed = {"Whether"} if is_property(node) else set()
            assert summary.partition(" ")[0] not in ASKING - allowed, f"{module}.{node.name}: {summary}"
            assert not summary.startswith("Tell whether"), f"{module}.{node.name}: {summary}"


def test_files_of_tests_are_about_one_thing():
    """One that has grown longer is about several, and is split between them."""
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "tests").rglob("*.py")}
    assert {path: length for path, length in lengths.items() if length > 600} == {}

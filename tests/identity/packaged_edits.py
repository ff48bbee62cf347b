"""Edits of code that was not installed by pip, nor lies as plain files."""

# ruff: noqa: E501 - lines of projects under test

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edit_harness import Case, experiment
from unusual_edits import JOIN, LONG, SHORT, packed


def compiled(value: int) -> tuple[bytes, bytes] | None:
    """Return a plain library and an extension module that give a value, if there is a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    include = sysconfig.get_path("include")
    if compiler is None or not Path(include, "Python.h").exists():
        return None
    plain = f"int rate(void) {{ return {value}; }}"
    module = f"""#include <Python.h>
static PyObject *rate(PyObject *self, PyObject *none) {{ return PyLong_FromLong({value}); }}
static PyMethodDef methods[] = {{{{"rate", rate, METH_NOARGS, ""}}, {{NULL}}}};
static struct PyModuleDef def = {{PyModuleDef_HEAD_INIT, "native", "", -1, methods}};
PyMODINIT_FUNC PyInit_native(void) {{ return PyModule_Create(&def); }}
"""
    found = []
    with tempfile.TemporaryDirectory() as home:
        for number, source in enumerate((plain, module)):
            path = Path(home, f"{number}.c")
            path.write_text(source)
            target = path.with_suffix(".so")
            command = [compiler, "-shared", "-fPIC", f"-I{include}", str(path), "-o", str(target)]
            subprocess.run(command, check=True, capture_output=True)
            found.append(target.read_bytes())
    return found[0], found[1]


def packages() -> Iterator[Case]:
    """Yield edits of code that was not installed by pip, nor lies as plain files."""
    libraries = compiled(1), compiled(2)
    if libraries[0] is not None and libraries[1] is not None:
        (old, old_module), (new, new_module) = libraries
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        yield Case(
            "packages",
            "extension module",
            {"experiment_a.py": experiment("native.rate()", "import native"), f"native{suffix}": old_module},
            {f"native{suffix}": new_module},
        )
        ways = {
            "library in a module": ("shop.L.rate()", "import ctypes\nL = ctypes.CDLL('./libshop.so')\n"),
            "library in a run": (
                "shop.rate()",
                "import ctypes\ndef rate(): return ctypes.CDLL('./libshop.so').rate()\n",
            ),
            "library in a memo": (
                "shop.rate()",
                "import ctypes, functools\n@functools.cache\ndef load(): return ctypes.CDLL('./libshop.so')\ndef rate(): return load().rate()\nload()\n",
            ),
            "function of a library": ("shop.F()", "import ctypes\nF = ctypes.CDLL('./libshop.so').rate\n"),
        }
        for name, (value, source) in ways.items():
            yield Case(
                "packages",
                name,
                {"experiment_a.py": experiment(value, "import shop"), "shop.py": source, "libshop.so": old},
                {"libshop.so": new},
            )
    add = "import sys\nsys.path.insert(0, 'vendor.zip')\n"
    yield Case(
        "packages",
        "function in an archive",
        {
            "conftest.py": add,
            "experiment_a.py": experiment("packed.rate()", "import packed"),
            "vendor.zip": packed(packed="def rate(): return 1\n"),
        },
        {"vendor.zip": packed(packed="def rate(): return 2\n")},
    )
    yield Case(
        "packages",
        "set-up in an archive",
        {
            "conftest.py": add + "import packed\n",
            "experiment_a.py": experiment(JOIN, "import fractions"),
            "vendor.zip": packed(packed="import fractions\n" + SHORT),
        },
        {"vendor.zip": packed(packed="import fractions\n" + LONG)},
    )
    yield Case(
        "packages",
        "paths file of a directory",
        {
            "conftest.py": "import site\nsite.addsitedir('vendor')\n",
            "experiment_a.py": experiment(JOIN, "import fractions"),
            "vendor/shop.pth": "import fractions; " + SHORT,
        },
        {"vendor/shop.pth": "import fractions; " + LONG},
    )
    yield Case(
        "packages",
        "module by its file",
        {
            "shop.py": "import importlib.util\nspec = importlib.util.spec_from_file_location('goods', 'goods/goods_1.py')\nm = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(m)\nrate = m.rate\n",
            "experiment_a.py": experiment("shop.rate()", "import shop"),
            "goods/goods_1.py": "import fractions\nfractions.shop_rate = 1\ndef rate(): return fractions.shop_rate\n",
        },
        {
            "goods/goods_1.py": "import fractions\nfractions.shop_rate = 2\ndef rate(): return fractions.shop_rate\n"
        },
    )
    model = "class Model:\n    def rate(self): return {}\n"
    body = "pickle.load(open('model.pkl', 'rb')).rate()"
    yield Case(
        "packages",
        "class of a model that is unpickled",
        {
            "conftest.py": "import shop\n",
            "shop.py": model.format(1),
            "experiment_a.py": experiment(body, "import pickle", mark=", inputs=['model.pkl']"),
            "model.pkl": b"\x80\x04cshop\nModel\n)\x81.",
        },
        {"shop.py": model.format(2)},
    )
    yield Case(
        "packages",
        "class of a model that a memo keeps",
        {
            "conftest.py": "import memo\nmemo.model()\n",
            "shop.py": model.format(1),
            "memo.py": "import functools, pickle\n@functools.cache\ndef model(): return pickle.load(open('model.pkl', 'rb'))\n",
            "experiment_a.py": experiment("memo.model().rate()", "import memo"),
            "model.pkl": b"\x80\x04cshop\nModel\n)\x81.",
        },
        {"shop.py": model.format(2)},
    )

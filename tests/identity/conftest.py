"""What tests of identities share."""

import sys
import types

import pytest


@pytest.fixture
def load(monkeypatch):
    """Execute sources as the module `step`, and return its function `f`."""
    made = []

    def load(source, name="step"):
        module = types.ModuleType(name)
        module.__file__ = f"/nowhere/{name}.py"
        monkeypatch.setitem(sys.modules, name, module)
        made.append(module)
        exec(compile(source, module.__file__, "exec"), vars(module))
        return getattr(module, "f", None)

    yield load
    for name in ("s", "h"):  # sockets and files
        for module in made:
            if hasattr(vars(module).get(name), "close"):
                getattr(module, name).close()

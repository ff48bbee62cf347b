"""The example suite's server of chat completions, for tests."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_FILE = Path(__file__).parent.parent / "example_suite" / "model_server.py"
_SPEC = importlib.util.spec_from_file_location("model_server", _FILE)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = sys.modules["model_server"] = importlib.util.module_from_spec(_SPEC)  # dataclasses look there
_SPEC.loader.exec_module(_MODULE)

Fault: Any = _MODULE.Fault
ModelServer: Any = _MODULE.ModelServer


@pytest.fixture
def models() -> Iterator[Any]:
    """Serve answers until the end of the test."""
    with ModelServer() as server:
        yield server

"""Settings of packages that are not at hand here: known by the names of what sets them."""

import sys
import types

import pytest

from crystallize.identity.settings import SETTINGS


@pytest.mark.parametrize(
    ("name", "put", "get"),
    [
        (
            "use_deterministic_algorithms",
            "use_deterministic_algorithms",
            "are_deterministic_algorithms_enabled",
        ),
        ("no_grad", "set_grad_enabled", "is_grad_enabled"),
        ("inference_mode", "set_grad_enabled", "is_grad_enabled"),
    ],
)
def test_settings_of_torch(monkeypatch, name, put, get):
    """Each is looked at and put back by functions that torch has; before it is loaded, there is none."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    (setting,) = SETTINGS[name]
    assert setting.get() is None
    states = [True]
    functions = {put: states.append, get: lambda: states[-1]}
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(**functions))
    assert setting.get() is True
    setting.put(None)
    setting.put(False)
    assert states == [True, False]
    assert setting.get() is False

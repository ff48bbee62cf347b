"""The hooks that fixtures of condition runs call, without those of pytest's that would do nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_crystallize.isolation.fixtures import RESERVED, refuse_hiding

_IDLE = {"setuponly": "setupshow", "setupplan": "setupplan"}
"""Plugins of pytest's -> the option without which their hooks around fixtures do nothing."""


class UnitHooks:
    """The hooks of a node; each fixture of a condition run calls two of them.

    Parameters
    ----------
    config : pytest.Config
        Of this process.
    hooks : object
        What pytest would call.
    """

    pytest_fixture_setup: Callable[..., Any]
    pytest_fixture_post_finalizer: Callable[..., Any]

    def __init__(self, config: pytest.Config, hooks: Any) -> None:
        self._config = config
        self._hooks = hooks
        self._make: Callable[..., Any]
        self.settle()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hooks, name)

    def settle(self) -> None:
        """Find out who would hear of a fixture; plugins may have come or gone."""
        option, plugin = self._config.option, self._config.pluginmanager.getplugin
        silent = {id(plugin("crystallize-session"))}
        if not getattr(option, "debug", None):  # with it, every call is traced
            silent |= {id(plugin(name)) for name, of in _IDLE.items() if not getattr(option, of, False)}
        setup, behind = self._hooks.pytest_fixture_setup, self._hooks.pytest_fixture_post_finalizer
        heard = [impl for impl in setup.get_hookimpls() if id(impl.plugin) not in silent]
        if len(heard) == 1 and heard[0].plugin is plugin("fixtures"):
            self._make = heard[0].function
            setup = self._set_up
        if all(id(impl.plugin) in silent for impl in behind.get_hookimpls()):
            behind = _unheard
        self.pytest_fixture_setup, self.pytest_fixture_post_finalizer = setup, behind

    def _set_up(self, *, fixturedef: Any, request: Any) -> Any:
        __tracebackhide__ = True
        if fixturedef.argname in RESERVED:
            refuse_hiding(fixturedef, self._config.rootpath)
        return self._make(fixturedef=fixturedef, request=request)


def _unheard(*, fixturedef: Any, request: Any) -> None:
    """Stand for a hook that nobody implements."""

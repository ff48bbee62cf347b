"""The hooks that fixtures of condition runs call, without those of pytest's that would do nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest

from pytest_crystallize.isolation.fixtures import CHECKED, refuse_unfit

_IDLE = {"setuponly": "setupshow", "setupplan": "setupplan"}
"""Plugins of pytest's -> the option without which their hooks around fixtures do nothing."""
_OF_ASYNCHRONOUS = ("anyio",)
"""Plugins whose hooks around fixtures do nothing where the fixture's function is not asynchronous."""
_ASYNCHRONOUS = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR


class UnitHooks:
    """The hooks of a node; each fixture of a condition run calls two of them.

    Parameters
    ----------
    config : pytest.Config
        Of this process.
    hooks : object
        What pytest would call.

    Attributes
    ----------
    are_unheard : bool
        Whether nobody but pytest itself hears of a fixture.
    """

    pytest_fixture_setup: Callable[..., Any]
    pytest_fixture_post_finalizer: Callable[..., Any]

    def __init__(self, config: pytest.Config, hooks: Any) -> None:
        self._config = config
        self._hooks = hooks
        self._make: Callable[..., Any]
        self._make_any: Callable[..., Any]
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
        asynchronous = {id(plugin(name)) for name in _OF_ASYNCHRONOUS}
        heard = [impl for impl in setup.get_hookimpls() if id(impl.plugin) not in silent]
        plain = [impl for impl in heard if id(impl.plugin) not in asynchronous]
        if len(plain) == 1 and plain[0].plugin is plugin("fixtures"):
            self._make = plain[0].function
            self._make_any = self._make if plain == heard else setup
            setup = self._set_up
        if all(id(impl.plugin) in silent for impl in behind.get_hookimpls()):
            behind = _unheard
        self.pytest_fixture_setup, self.pytest_fixture_post_finalizer = setup, behind
        self.are_unheard = setup == self._set_up and behind is _unheard

    def _set_up(self, *, fixturedef: Any, request: Any) -> Any:
        __tracebackhide__ = True
        if fixturedef.argname in CHECKED:
            refuse_unfit(fixturedef, request)
        make = self._make if _is_plain(fixturedef.func) else self._make_any
        return make(fixturedef=fixturedef, request=request)


def _is_plain(function: Any) -> bool:
    """Return whether a function, or a method, is sure to be called for what it returns."""
    function = getattr(function, "__func__", function)
    if type(function) is not FunctionType or function.__code__.co_flags & _ASYNCHRONOUS:
        return False
    return not vars(function)  # a mark may declare it asynchronous


def _unheard(*, fixturedef: Any, request: Any) -> None:
    """Stand for a hook that nobody implements."""

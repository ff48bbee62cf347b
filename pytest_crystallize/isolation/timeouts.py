"""Timers of pytest-timeout and of pytest's faulthandler, started anew for each unit: many run in one item."""

from __future__ import annotations

import faulthandler
from typing import Any

import pytest

from pytest_crystallize.pytest_seam import fault_handler_stderr_fd_key


class Timer:
    """Timers of the item under way, which are suspended and restarted.

    Parameters
    ----------
    config : pytest.Config
        Of this process.
    """

    def __init__(self, config: pytest.Config) -> None:
        plugin = config.pluginmanager.getplugin("timeout")
        self._settings_of = getattr(plugin, "_get_item_settings", None)
        self._hook: Any = config.hook
        self._dump_after = (
            float(config.getini("faulthandler_timeout") or 0) if _has_faulthandler(config) else 0.0
        )
        self._config = config
        self._item: pytest.Item | None = None
        self._settings: Any = None

    def belongs_to(self, item: pytest.Item) -> None:
        """Note whose timer it is."""
        self._item = item
        self._settings = None if self._settings_of is None else self._settings_of(item)

    def restart(self) -> None:
        """Give what comes next the whole time."""
        if self._dump_after > 0:
            faulthandler.dump_traceback_later(
                self._dump_after,
                file=self._config.stash[fault_handler_stderr_fd_key],
                exit=bool(self._config.getini("faulthandler_exit_on_timeout")),
            )
        if self._settings is not None and self._settings.timeout:
            self._hook.pytest_timeout_cancel_timer(item=self._item)
            self._hook.pytest_timeout_set_timer(item=self._item, settings=self._settings)

    def suspend(self) -> None:
        """Stop the timers while another process is waited for, whose own run."""
        if self._dump_after > 0:
            faulthandler.cancel_dump_traceback_later()
        if self._settings is not None and self._settings.timeout:
            self._hook.pytest_timeout_cancel_timer(item=self._item)


def _has_faulthandler(config: pytest.Config) -> bool:
    return config.pluginmanager.hasplugin("faulthandler")

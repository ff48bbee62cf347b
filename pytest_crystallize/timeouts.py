"""The timer of pytest-timeout, started anew for each unit: many of them run in one item."""

from __future__ import annotations

from typing import Any

import pytest


class Timer:
    """Restarts and suspends the timer of the item under way, if pytest-timeout is installed and armed.

    Parameters
    ----------
    config : pytest.Config
        Of this process.
    """

    def __init__(self, config: pytest.Config) -> None:
        plugin = config.pluginmanager.getplugin("timeout")
        self._settings_of = getattr(plugin, "_get_item_settings", None)
        self._hook: Any = config.hook
        self._item: pytest.Item | None = None
        self._settings: Any = None

    def belongs_to(self, item: pytest.Item) -> None:
        """Note whose timer it is."""
        self._item = item
        self._settings = None if self._settings_of is None else self._settings_of(item)

    def restart(self) -> None:
        """Give what comes next the whole time."""
        if self._settings is not None and self._settings.timeout:
            self.suspend()
            self._hook.pytest_timeout_set_timer(item=self._item, settings=self._settings)

    def suspend(self) -> None:
        """Stop the timer while another process is waited for, whose own timer runs."""
        if self._settings is not None and self._settings.timeout:
            self._hook.pytest_timeout_cancel_timer(item=self._item)

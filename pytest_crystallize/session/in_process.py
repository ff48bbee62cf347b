"""Sessions that are started by code of ours, in a process that has loaded the plugin before pytest."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import pytest

_FILTER: Final = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
IN_PROCESS: Final = ("-W", _FILTER)
"""What such a session is to be given: pytest would warn of our modules, which it can't rewrite any more."""


class InProcess:
    """Base of plugins of such a session, which runs in this process alone."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, object, object]:
        """Keep pytest-xdist from starting workers, whatever ``addopts`` says."""
        if hasattr(config.option, "numprocesses"):
            config.option.numprocesses = 0
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Take the filter back: runs depend on filters, and other sessions have none of ours."""
        given = config.option.pythonwarnings or []
        config.option.pythonwarnings = [each for each in given if each != _FILTER] or None

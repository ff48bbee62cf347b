"""Devices that workers have to themselves, each leased by a lock that ends with its process."""

from __future__ import annotations

import getpass
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import pytest

from crystallize.seam import Locks, counted
from pytest_crystallize.naming.ids import checksum

INI: Final = "crystallize_devices"
DEVICE: Final = "CRYSTALLIZE_DEVICE"
"""Variable of the environment that says which device a process has; what it starts has the same one."""
_POLL: Final = 0.2  # seconds
_NUMBERED: Final = re.compile(r"\d+(\.\d+)?")


def variables(device: str) -> dict[str, str]:
    """Return the variables of the environment by which libraries see one device, and no other.

    `ROCR_VISIBLE_DEVICES` is none of them: what it leaves is numbered anew, and `HIP_VISIBLE_DEVICES`, which
    means those numbers, would then name another device, or none.
    """
    names = ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", DEVICE]
    if _NUMBERED.fullmatch(device):
        names.append("ZE_AFFINITY_MASK")
    return dict.fromkeys(names, device)


class Lease:
    """Devices that this process holds, until it is closed or the process ends.

    Parameters
    ----------
    config : pytest.Config
        Whose ini file names the devices.
    count : int
        How many are wanted. They are had at once, so that no two sessions wait for each other.

    Raises
    ------
    pytest.UsageError
        If fewer are named.
    """

    def __init__(self, config: pytest.Config, count: int) -> None:
        self._config = config
        named: Sequence[str] = config.getini(INI)
        if count > len(named):
            raise pytest.UsageError(
                f"ini option {INI} names {counted(len(named), 'device')} ({' '.join(named)}) for "
                f"{count} workers, of which each has one of its own: run at most -n{len(named)}, name more, "
                "or name those twice that two workers may share"
            )
        self._locks = Locks(Path(tempfile.gettempdir()) / f"pytest-crystallize-devices-{getpass.getuser()}")
        self.devices = self._waited_for(named, count)

    def _waited_for(self, named: Sequence[str], count: int) -> list[str]:
        self._locks.acquire(0, wait=True)  # whoever comes later stands behind
        try:
            told = False
            while len(held := self._free(named, count)) < count:
                for place in held:
                    self._locks.release(place)
                if not told:
                    self._tell(named, count)
                    told = True
                time.sleep(_POLL)
            return list(held.values())
        finally:
            self._locks.release(0)

    def _free(self, named: Sequence[str], count: int) -> dict[int, str]:
        held: dict[int, str] = {}
        before: Counter[str] = Counter()
        for device in named:
            place = _place(device, before[device])
            before[device] += 1
            if len(held) < count and self._locks.acquire(place, wait=False):
                held[place] = device
        return held

    def _tell(self, named: Sequence[str], count: int) -> None:
        capture: Any = self._config.pluginmanager.getplugin("capturemanager")
        with nullcontext() if capture is None else capture.global_and_fixture_disabled():
            print(
                f"crystallize: waiting for {count} of the devices {' '.join(named)}, which others have",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Give the devices back."""
        self._locks.close()


def lease_here(config: pytest.Config) -> None:
    """Have this process see one device until the configuration ends, unless what started it has one."""
    if not config.getini(INI) or DEVICE in os.environ:
        return
    lease = Lease(config, 1)
    before = {name: os.environ.get(name) for name in variables(lease.devices[0])}
    os.environ.update(variables(lease.devices[0]))

    def end() -> None:
        _put_back(before)
        lease.close()

    config.add_cleanup(end)


def lease_for(config: pytest.Config, specs: Sequence[Any]) -> None:
    """Have each process that is to be started see a device of its own, and one that replaces it the same."""
    if config.getini(INI) and DEVICE not in os.environ:
        lease = Lease(config, len(specs))
        config.add_cleanup(lease.close)
        for spec, device in zip(specs, lease.devices, strict=True):
            spec.env.update(variables(device))


def _put_back(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _place(device: str, ordinal: int) -> int:
    """Return the byte that stands for a device, or for the next of those that two may share."""
    return 1 + ordinal + (checksum(device) << 8)

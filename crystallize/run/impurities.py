"""What impure runs of a process may have left in memory, and whom that concerns."""

from __future__ import annotations

import sys


class Impurities:
    """Code that may keep in memory what no key has seen, since an impure run of this process used it.

    What is kept (by `functools.lru_cache`, in a variable of a module) may have come from any run, so another
    experiment that shares code with an impure one is impure as well.
    """

    def __init__(self) -> None:
        self._fed: dict[str, str] = {}
        self._all: str | None = None

    def add(self, labels: frozenset[str] | None, reason: str) -> None:
        """Note that code was used by an impure run; None is code that is not known."""
        if labels is None:
            self._all = self._all or reason
        else:
            self._fed.update(
                (label, reason) for label in labels if label not in self._fed and not _is_of_python(label)
            )

    def reason(self, labels: frozenset[str]) -> str | None:
        """Say why code can't be trusted, or None."""
        if self._all is not None:
            return f"may share code with {self._all}"
        if self._fed:
            for label in sorted(labels):
                if label in self._fed:
                    return f"shares {label} with {self._fed[label]}"
        return None


def _is_of_python(label: str) -> bool:
    """Return whether code is of the standard library; a module of the project may have the name of one of it.

    A function of it that encloses something, such as those that `dataclasses` makes for each class, is
    another one each time; what code of the project keeps in one, it shares itself.
    """
    from crystallize.identity.origin import is_project_name  # needed where a run was impure

    top = label.partition(".")[0]
    return top in sys.stdlib_module_names and not is_project_name(top)

"""What a process has to have in common with the one that sends it units: code, values, packages."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from crystallize.declare.dependencies import Caching
from crystallize.errors import FingerprintError, OtherCodeError
from crystallize.identity.environment import environment, environment_changes
from crystallize.identity.fingerprint import changes
from crystallize.run.execute import RunPlan
from crystallize.run.plan_subject import subject_of
from crystallize.run.plugins import BasePlugin
from crystallize.run.run_key import Subject

_MOST_SHOWN: Final = 4
_ALWAYS: Final = frozenset({"Python", "Python flags", "crystallize source", "numpy", "scipy"})
_PATCH: Final = re.compile(r"\S+ \S+")
_AS_FAR_AS_POSSIBLE: Final = "what can't be identified is not compared"
"""Stands for a `cache_key` where code is compared: a part that has no fingerprint does not end it."""


@dataclass(frozen=True)
class Expectation:
    """Code, values and environment that units depend on, as they are in the process that sends them.

    Attributes
    ----------
    name : str
        Name of the experiment.
    environment : mapping
        Parts of the environment.
    subject : Subject
        What the units are made of.
    parts : mapping
        Condition -> name of each part of the code, of inputs and variables -> digest.
    """

    name: str
    environment: Mapping[str, str]
    subject: Subject
    parts: Mapping[str, Mapping[str, str]]

    @classmethod
    def of_plan(
        cls,
        plan: RunPlan,
        plugins: Iterable[BasePlugin],
        caching: Caching,
        *,
        root: Path,
        roots: tuple[Path, ...] = (),
    ) -> Expectation:
        """Return what the units of a plan depend on now; the arguments are those of `subject_of`.

        That a part has no fingerprint, that a plugin has hooks or that a declared file is not there keeps a
        run from being stored, not from travelling: what can't be identified is not compared.
        """
        here = environment()
        sent = [plugin for plugin in plugins if not plugin.is_local()]
        compared = replace(caching, cache_key=_AS_FAR_AS_POSSIBLE)
        subject = subject_of(plan, sent, compared, root=root, roots=roots).with_readable_inputs()
        return cls(plan.name, here.parts, subject, subject.identify(here).parts)

    @classmethod
    def of_run(cls, plan: RunPlan) -> Expectation:
        """Return what the units of an experiment that is run from the working directory depend on now."""
        experiment = plan.hooks.experiment
        return cls.of_plan(plan, experiment.given_plugins, experiment.caching, root=Path.cwd())

    def check_environment(self, where: str) -> None:
        """Raise `OtherCodeError` if Python, numpy, scipy or Crystallize are of another version here."""
        self._refuse(where, self._fatal(self._other_parts(), loaded=frozenset()))

    def check_code(self, where: str) -> str | None:
        """Compare code, values and versions with those of this process, which has loaded them.

        Returns
        -------
        str or None
            What is another build or machine, so that results may differ in their last bits.

        Raises
        ------
        OtherCodeError
            If results would be those of other code, inputs or packages.
        """
        try:
            now = self.subject.identify(environment()).parts
        except FingerprintError as fault:
            raise OtherCodeError(f"{where} can't run {self.name}: {fault}") from fault
        said = (
            change
            for condition, parts in self.parts.items()
            for change in changes(_code(parts), _code(now[condition]))
        )
        other = self._other_parts()
        self._refuse(where, [*dict.fromkeys(said)])
        self.check_versions(where)
        return ", ".join(environment_changes(*other)) if other else None

    def check_versions(self, where: str) -> None:
        """Raise `OtherCodeError` if a package that is loaded by now is of another version."""
        other = self._other_parts()
        if other is not None:
            self._refuse(where, self._fatal(other, loaded=_loaded()))

    def _other_parts(self) -> tuple[dict[str, str], dict[str, str]] | None:
        """Return the parts of both environments that are not the same."""
        there, here = self.environment, environment().parts
        names = [name for name in sorted(there.keys() | here.keys()) if there.get(name) != here.get(name)]
        if not names:
            return None
        return {n: there[n] for n in names if n in there}, {n: here[n] for n in names if n in here}

    def _fatal(
        self, other: tuple[dict[str, str], dict[str, str]] | None, *, loaded: frozenset[str]
    ) -> list[str]:
        """Return the changes that make other results: of versions of what is used."""
        if other is None:
            return []
        there, here = other
        names = [
            name
            for name in there.keys() & here.keys()
            if name in _ALWAYS | loaded and _version(name, there[name]) != _version(name, here[name])
        ]
        return environment_changes({n: there[n] for n in names}, {n: here[n] for n in names})

    def _refuse(self, where: str, differences: list[str]) -> None:
        if not differences:
            return
        more = len(differences) - _MOST_SHOWN
        shown = ", ".join(differences[:_MOST_SHOWN]) + (f", and {more} more" if more > 0 else "")
        raise OtherCodeError(
            f"{where} has other code than the process that sends it units of {self.name}: {shown}; give it "
            "the same (install the package there, or client.upload_file) and start it again; variables are "
            "compared as modules set them when they are loaded, not as something changed them later"
        )


def _code(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the parts but those of the script that was started.

    Its code travels with the experiment, or is the same file's.
    """
    left: tuple[str, ...] = ("__main__.",)
    if any(name.startswith("__main__.") for name in parts):
        left += ("data source ", "step ", "treatment ", "seeding", "initial context", "output ", "plugin ")
    return {name: part for name, part in parts.items() if not name.startswith(left)}


def _version(name: str, part: str) -> str:
    """Return what of a part makes other results: for Python not who built it, for packages not how."""
    if name == "Python":
        found = _PATCH.match(part)
        return found[0] if found else part
    return part if name in ("Python flags", "crystallize source") else part.partition(" ")[0]


def _loaded() -> frozenset[str]:
    """Return the distributions of which a module is loaded."""
    return _distributions(frozenset(name.partition(".")[0] for name in sys.modules.copy()))


@lru_cache(maxsize=4)
def _distributions(tops: frozenset[str]) -> frozenset[str]:
    found: Iterator[Any] = (
        distribution
        for top, distributions in importlib.metadata.packages_distributions().items()
        if top in tops
        for distribution in distributions
    )
    return frozenset(re.sub(r"[-_.]+", "-", name).lower() for name in found)

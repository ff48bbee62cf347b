"""What identifies the condition runs of an experiment: all that their records depend on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from crystallize.context.seeding import SeedStream
from crystallize.declare.dependencies import Caching
from crystallize.declare.treatment import Treatment
from crystallize.errors import FingerprintError
from crystallize.identity.environment import Environment
from crystallize.identity.fingerprint import found_by, spellings
from crystallize.identity.inputs import input_digests
from crystallize.identity.origin import Roots
from crystallize.identity.reach import Reach
from crystallize.identity.set_up import reached_modules
from crystallize.run.units import Unit

_SCHEMA: Final = "crystallize-records-1"
ENVIRONMENT: Final = "(environment)"
"""Name of the part that stands for the environment, of which all that is stored has some hundred parts."""

_REPLACED: Final = "cache_key"
_quoted: Final = json.JSONEncoder().encode  # of a text; `dumps` would take four times as long


@dataclass(frozen=True)
class RunIdentity:
    """Identity of the condition runs of one experiment.

    Attributes
    ----------
    slot : str
        What records are stored under: names of code, so that titles may change.
    common : mapping
        Name of each part that all conditions have -> short digest of it; the environment is one of them.
    own : mapping
        Condition -> name of each further part -> digest.
    labels : frozenset of str or None
        Names of all code of the project that runs may reach; None if some of it is not known.
    digest : str
        Of everything.
    seals : mapping of str to bytes
        Condition -> digest of all that its runs depend on, the replicate apart.
    stream : SeedStream
        Says what tells a replicate from others.
    environment : Environment
        What the runs are made in.
    """

    slot: str
    common: Mapping[str, str]
    own: Mapping[str, Mapping[str, str]]
    labels: frozenset[str] | None
    digest: str
    seals: Mapping[str, bytes] = field(repr=False)
    stream: SeedStream = field(repr=False)
    environment: Environment = field(repr=False)

    def key(self, unit: Unit) -> str:
        """Return the key of a unit's record, 32 hexadecimal digits."""
        of = self.stream.key(unit.replicate)
        return blake2b(of, digest_size=16, key=self.seals[unit.condition]).hexdigest()

    @property
    def parts(self) -> dict[str, dict[str, str]]:
        """Condition -> name of each part -> digest, the environment apart."""
        common = {name: part for name, part in self.common.items() if name != ENVIRONMENT}
        return {condition: {**common, **own} for condition, own in self.own.items()}

    def with_set_up(self, found: Mapping[str, str]) -> RunIdentity:
        """Return it with what the project does to its process before runs: file -> digest."""
        if not found:
            return self
        said = {f"what {path} does before runs": digest[:16] for path, digest in found.items()}
        text = json.dumps(sorted(found.items())).encode()
        seals = {
            condition: blake2b(text, digest_size=32, key=seal).digest()
            for condition, seal in self.seals.items()
        }
        return replace(self, common={**self.common, **said}, seals=seals)

    def modules(self) -> dict[str, ModuleType]:
        """Return the modules of the project that runs may reach, by name."""
        return reached_modules(self.labels or ())

    def sources(self) -> list[str]:
        """Return the source files of the project that runs may reach."""
        paths = {getattr(module, "__file__", None) for module in self.modules().values()}
        return sorted(path for path in paths if isinstance(path, str))


@dataclass(frozen=True)
class Subject:
    """Ingredients of condition runs, to be identified now and again.

    Attributes
    ----------
    names : tuple of str
        Names of code that tell the experiment from others.
    components : mapping
        Name -> function, class, instance or value that every run depends on.
    treatments : mapping
        Condition -> its treatment, None for the baseline.
    stream : SeedStream
        Seeds of the replicates.
    caching : Caching
        What is declared.
    root : path
        Of the project; `inputs` are relative to it.
    roots : tuple of path
        Directories whose code counts even where packages are installed.
    upstream : mapping
        Condition -> name of each experiment upstream, its subject and its condition.
    """

    names: tuple[str, ...]
    components: Mapping[str, Any]
    treatments: Mapping[str, Treatment | None]
    stream: SeedStream
    caching: Caching
    root: Path
    roots: tuple[Path, ...] = ()
    upstream: Mapping[str, tuple[tuple[str, Subject, str], ...]] = field(default_factory=dict)

    def identify(self, environment: Environment) -> RunIdentity:
        """Return the identity as it is now.

        Raises
        ------
        FingerprintError
            If a part can't be identified and there is no `cache_key`; the message says which, and why.
        """
        common = self._common(environment)
        identified: dict[int, RunIdentity] = {}  # experiments upstream, by their subject
        own_parts, seals = {}, {}
        labels, complete = set(common.labels), common.complete
        for condition in self.treatments:
            own = self._own(common, condition, environment, identified)
            own_parts[condition] = own.said
            seals[condition] = own.total.digest()
            labels |= own.labels
            complete = complete and own.complete
        digest = blake2b(repr(sorted(seals.items())).encode(), digest_size=32).hexdigest()
        slot = json.dumps(["records", *self.names])
        known_code = frozenset(labels) if complete else None
        return RunIdentity(slot, common.said, own_parts, known_code, digest, seals, self.stream, environment)

    def _common(self, environment: Environment) -> _Parts:
        """Return what the runs of all conditions depend on."""
        common = _Parts(self, spellings(self.roots), {})
        common.value("schema", _SCHEMA)
        common.said[ENVIRONMENT] = environment.digest
        common.seal("environment", environment.digest)
        for name, component in self.components.items():
            common.code(name, component)
        common.value("root seed", [self.stream.root, list(self.stream.branch)])
        for pattern in self.caching.inputs:
            for name, content in input_digests(self.root, pattern):
                common.value(f"input {name}", content)
        for name in self.caching.env:
            common.value(f"environment variable {name}", os.environ.get(name))
        if self.caching.cache_key is not None:
            common.value("cache_key", self.caching.cache_key)
        return common

    def _own(
        self,
        common: _Parts,
        condition: str,
        environment: Environment,
        identified: dict[int, RunIdentity],
    ) -> _Parts:
        """Return what the runs of one condition depend on: its treatment, and experiments upstream."""
        own = common.branch()
        own.value("condition", condition)
        treatment = self.treatments[condition]
        if treatment is not None:
            own.code(f"treatment {condition}", treatment.change)
        for name, subject, theirs in self.upstream.get(condition, ()):
            if id(subject) not in identified:
                identified[id(subject)] = subject.identify(environment)
            other = identified[id(subject)]
            own.add(name, other.parts[theirs])
            own.seal(f"upstream {name}", other.seals[theirs].hex())
            own.labels |= other.labels or set()
            own.complete = own.complete and other.labels is not None
        return own

    def with_readable_inputs(self) -> Subject:
        """Return it without the patterns of `inputs` that name no file, or one that can't be read."""
        kept = []
        for pattern in self.caching.inputs:
            with suppress(FingerprintError):
                input_digests(self.root, pattern)
                kept.append(pattern)
        return replace(self, caching=replace(self.caching, inputs=tuple(kept)))

    def input_paths(self) -> list[str]:
        """Return the patterns of `inputs`, those of experiments upstream too, as absolute paths."""
        found = [os.path.join(self.root, pattern) for pattern in self.caching.inputs]  # noqa: PTH118 - patterns
        for entries in self.upstream.values():
            for _, subject, _ in entries:
                found += subject.input_paths()
        return list(dict.fromkeys(found))


class _Parts:
    """Parts of an identity, taken up one by one: what is `said`, beside what was `known` before."""

    def __init__(self, subject: Subject, roots: Roots, known: Mapping[str, str]) -> None:
        self._subject = subject
        self._roots = roots
        self._known = known
        self.said: dict[str, str] = {}
        self.labels: set[str] = set()
        self.total = blake2b(digest_size=32, person=b"crystallize")
        self.complete = True

    def branch(self) -> _Parts:
        """Return another one that goes on from here, and says what comes from then on."""
        other = _Parts(self._subject, self._roots, self.said)
        other.total, other.complete = self.total.copy(), self.complete
        return other

    def add(self, name: str, parts: Mapping[str, str]) -> None:
        """Say the parts of something that has a name; of those that are known, only what differs."""
        for label, part in parts.items():
            known = self.said.get(label, self._known.get(label))
            if known is None:
                self.said[label] = part
            elif known != part:
                self.said[f"{name}: {label}"] = part

    def seal(self, name: str, digest: str) -> None:
        """Have the keys depend on something."""
        encoded = f"[{_quoted(name)}, {_quoted(digest)}]".encode()
        self.total.update(b"%d:%s" % (len(encoded), encoded))

    def value(self, name: str, value: Any) -> None:
        """Add a value that JSON carries."""
        digest = blake2b(json.dumps(value).encode(), digest_size=32).hexdigest()
        self.said[name] = digest[:16]
        self.seal(name, digest)

    def code(self, name: str, target: Any) -> None:
        """Add a function, a class, or a value with the code of its classes."""
        try:
            found = found_by(Reach(name, self._roots), target)
        except FingerprintError:
            if self._subject.caching.cache_key is None:
                raise
            self.complete = False
            self.seal(name, _REPLACED)
            return
        self.add(name, found.parts)
        self.labels.update(label for label in found.parts if label != name)
        self.seal(name, found.digest)

"""Runs of another commit in one process of a session: what makes them, and what has been collected there."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from crystallize import RunRecord
from crystallize.seam import RunError, Unit
from pytest_crystallize.against.partner import Partner, PartnerLost, start_task
from pytest_crystallize.against.revision import Checkout
from pytest_crystallize.isolation.timeouts import Timer
from pytest_crystallize.options.options import Options
from pytest_crystallize.records.exchange import UNLIKE, Exchange

AT_REVISION = "OtherCommit"
"""Error type of a record that stands for a run which could not be made there."""

Made: TypeAlias = RunRecord | RunError
"""What a run gave, or why it gave nothing."""


class CommitRuns:
    """Maker of the runs of another commit, in a process that lives as long as this one has runs to ask for.

    Parameters
    ----------
    config : pytest.Config
        Of this process.
    checkout : Checkout
        The commit, and where it is.
    options : Options
        What the session was asked for.
    exchange : Exchange
        Where the processes of the session agree on what has been collected there.
    timer : Timer
        Of the runs.
    """

    def __init__(
        self, config: pytest.Config, checkout: Checkout, options: Options, exchange: Exchange, timer: Timer
    ) -> None:
        self.checkout = checkout
        self._config = config
        self._options = options
        self._exchange = exchange
        self._timer = timer
        self._partner: Partner | None = None
        self._fault: str | None = None
        self._told: dict[str, Any] | None = None
        self._pair: tuple[Partner, Partner] | None = None
        self._paired: tuple[str, int] | None = None

    @property
    def name(self) -> str:
        """The commit as it was asked for."""
        return self.checkout.name

    def start(self) -> None:
        """Start the process, which collects while this one does."""
        task = self._task(self.checkout)
        if task["paths"]:
            self._partner = Partner(task)

    def _task(self, checkout: Checkout | None) -> dict[str, Any]:
        options, given = self._options, {"crystallize_cache": self._options.cache_mode}
        drawn = {"crystallize_seed": options.seed} if options.seed is not None else {}
        task = start_task(self._config, checkout, options.directory, **given, **drawn)
        if options.ini_seed is not None and options.drawn_seed is not None:
            task["args"] += ["-o", f"crystallize_seed={options.drawn_seed}"]
        return task

    # What is there.

    def described(self, experiment: str) -> Mapping[str, Any] | str:
        """Return the conditions of an experiment there, its root seed and cases; or why there is none."""
        told = self._collected()
        if (fault := told["fault"]) is not None:
            return f"{self.name} can't be collected: {fault}"
        if (known := told["experiments"].get(experiment)) is not None:
            return known  # type: ignore[no-any-return]
        file = experiment.partition("::")[0]
        error = next((said for node, said in told["errors"].items() if _holds(node, experiment)), None)
        if error is not None:
            return f"{file} can't be collected at {self.name}: {error}"
        place = self.checkout.there(self._config.rootpath / file)
        if place is None or not Path(place).exists():
            return f"{self.name} has no {file}, so there is nothing to compare with: what is new has no past"
        return f"{self.name} has no experiment {experiment}: what is new, or renamed, has no past"

    @property
    def experiments(self) -> list[str]:
        """The ids of the experiments there."""
        return [] if self._told is None else list(self._told["experiments"])

    def _collected(self) -> dict[str, Any]:
        if self._told is None:
            self._told = json.loads(self._exchange.agree("experiments of the revision", self._collect))
        return self._told

    def _collect(self) -> str:
        told: dict[str, Any] = {"experiments": {}, "errors": {}, "fault": None}
        if self._partner is not None:
            try:
                ready = self._partner.ready()
                told |= {name: ready[name] for name in ("experiments", "errors")}
                told["fault"] = "; ".join(ready["strays"]) or None
            except PartnerLost as fault:
                told["fault"] = str(fault)
        return json.dumps(told)

    # Runs.

    def run(self, experiment: str, units: Sequence[Unit], take: Callable[[Unit, Made], object]) -> None:
        """Have runs made there, or taken from the store; tell at once what each gave, or why nothing."""
        anew = []

        def taken(unit: Unit, made: Made) -> None:
            if isinstance(made, RunRecord) and made.cached and any(entry.measured for entry in made.metrics):
                anew.append(unit)
            else:
                take(unit, made)

        self._make(experiment, units, taken, anew=False)
        self._make(experiment, anew, take, anew=True)

    def _make(
        self, experiment: str, units: Sequence[Unit], take: Callable[[Unit, Made], object], *, anew: bool
    ) -> None:
        """Have runs made; where a process dies, another one goes on with the next."""
        left = deque(units)
        while left:
            if self._fault is not None:
                take(left.popleft(), self._error(self._fault))
                continue
            self._ask(self._begun(), experiment, [*left], lambda made: take(left.popleft(), made), anew=anew)

    def _begun(self) -> Partner:
        """Return the process, which has collected; if it died, another one."""
        if self._partner is None or not self._partner.is_ready:
            with self._untimed():
                if self._partner is None:
                    self.start()
                assert self._partner is not None  # or nothing would have been collected
                with suppress(PartnerLost):  # which is told when it is asked
                    self._partner.ready()
        return self._partner

    def run_apart(self, experiment: str, unit: Unit, block: int, *, there: bool) -> Made:
        """Have a run made in a pair of processes, one of each commit, that makes those of a block alone."""
        pair = self._pair
        if self._paired != (experiment, block) or pair is None:
            with self._untimed():
                pair = self._begin_pair(experiment, block)
        made: list[Made] = []
        self._ask(pair[there], experiment, [unit], made.append, anew=True)
        return made[0]

    def _begin_pair(self, experiment: str, block: int) -> tuple[Partner, Partner]:
        self._end_pair()
        file = self._config.rootpath / experiment.partition("::")[0]
        here, there = (Partner(self._task(c), [self._place(file, c)]) for c in (None, self.checkout))
        self._pair, self._paired = (here, there), (experiment, block)
        for partner in self._pair:  # neither runs while the other one loads what it needs
            with suppress(PartnerLost):  # which is told when it is asked
                partner.ready()
        return self._pair

    @contextmanager
    def _untimed(self) -> Iterator[None]:
        """Let a process begin, which is no part of the run that is asked of it."""
        self._timer.suspend()
        try:
            yield
        finally:
            self._timer.restart()

    def _place(self, file: Path, checkout: Checkout | None) -> str:
        place = str(file) if checkout is None else checkout.there(file)
        assert place is not None  # or nothing would have been collected
        return place

    def _ask(
        self,
        partner: Partner,
        experiment: str,
        units: Sequence[Unit],
        take: Callable[[Made], object],
        *,
        anew: bool,
    ) -> None:
        """Say what a process gives for units, up to the one at which it dies."""
        try:
            ready = partner.ready()
            self._fault = self._fault or "; ".join(ready.get("strays", ())) or None
            if experiment not in ready.get("experiments", ()):
                why = f"a process has collected {experiment}, and another one has not"
                for _ in units:
                    take(self._error(why))
                return
            for reply in partner.ask(experiment, units, anew=anew):
                take(self._taken(experiment, reply))
        except PartnerLost as fault:
            self._lose(partner)
            take(self._error(f"the process died while it ran this condition: {fault}"))
        except BaseException:  # a time-out: what comes now would be taken for the answer to what comes next
            self._lose(partner)
            raise

    def _taken(self, experiment: str, reply: Mapping[str, Any]) -> Made:
        if reply["kind"] != "record":
            return self._error(reply["fault"])
        if reply["strays"]:
            self._fault = "; ".join(reply["strays"])
        if self._fault is not None:
            return self._error(self._fault)
        if (unlike := reply["unlike"]) is not None:
            self._exchange.agree(f"{UNLIKE} {self.id_of(experiment)}", lambda: str(unlike))
        try:
            return RunRecord.from_json(reply["record"])
        except ValueError as fault:
            raise PartnerLost("it had not told all of what it gave") from fault

    def _error(self, text: str) -> RunError:
        return RunError(
            AT_REVISION, f"at {self.name}, {text}", self.name, f"{AT_REVISION}: at {self.name}, {text}\n"
        )

    def _lose(self, partner: Partner) -> None:
        """Leave a process that has died to nobody; the next run starts another one."""
        partner.kill()
        if partner is self._partner:
            self._partner = None
        else:
            self._end_pair()

    def id_of(self, experiment: str) -> str:
        """Return what the processes of the session call an experiment as it is there."""
        return f"{experiment} at {self.checkout.commit}"

    def is_of_it(self, experiment: str) -> bool:
        """Return whether an id is one of those."""
        return experiment.endswith(f" at {self.checkout.commit}")

    def _end_pair(self) -> None:
        for partner in self._pair or ():
            partner.kill()
        self._pair = self._paired = None

    def end(self) -> list[str]:
        """End what runs, and return what it has noted."""
        if self._partner is None or self._told is None:  # nobody has asked it for anything
            self.kill()
            return []
        notes = self._partner.end()
        self.kill()
        return notes

    def kill(self) -> None:
        """End at once what runs."""
        self._end_pair()
        if self._partner is not None:
            self._partner.kill()
        self._partner = None


def _holds(node: str, experiment: str) -> bool:
    return (
        node in ("", ".")
        or experiment == node
        or experiment.startswith((f"{node}::", f"{node}/", f"{node}["))
    )

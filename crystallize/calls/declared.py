"""What is declared of a remote function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crystallize.calls.arguments import Arguments
from crystallize.calls.keeping import CASSETTES, Mode
from crystallize.calls.transient import is_transient
from crystallize.context.current import ask_for_runs

ask_for_runs("remote functions")  # when this is loaded, be it with a function that came by pickle


@dataclass(frozen=True)
class Remote:
    """Declaration of a remote function; see `remote`."""

    function: Callable[..., Any]
    key: str
    name: str
    concurrency: int
    retries: int
    timeout: float | None
    seed: bool
    interval: float
    cassette: str | None
    redact: Callable[[dict[str, Any]], Mapping[str, Any]] | None
    retry_on: Any
    ignore: frozenset[str] | None
    mode: Mode | None

    def __post_init__(self) -> None:
        CASSETTES[self.name, self.key] = self.cassette

    @property
    def arguments(self) -> Arguments:
        """Arguments that count, as the function tells them."""
        return Arguments(self.function, self.name, self.ignore)

    def passes(self, error: BaseException) -> bool:
        """Return whether a failure may pass."""
        if self.retry_on is None:
            return is_transient(error)
        if isinstance(self.retry_on, type | tuple):
            return isinstance(error, self.retry_on)
        return bool(self.retry_on(error))

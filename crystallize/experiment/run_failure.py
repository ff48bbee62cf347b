"""What raised in an experiment, in words."""

from __future__ import annotations

from dataclasses import dataclass

from crystallize.context.record import RunError, RunRecord


@dataclass(frozen=True, slots=True)
class RunFailure:
    """A condition run, or a hook around the whole run, that raised.

    Attributes
    ----------
    condition : str
        Name of the condition; empty for a hook around the whole run.
    replicate : int or None
        Number of the replicate.
    step : str
        Data source, treatment, step or hook that raised.
    message : str
        Type and text of the exception.
    traceback : str
        Its traceback.
    case : str
        Which sample of which case it is, in words; empty where there are no cases.
    """

    condition: str
    replicate: int | None
    step: str
    message: str
    traceback: str
    case: str = ""

    @classmethod
    def of(cls, record: RunRecord, error: RunError, case: str) -> RunFailure:
        """Return the failure of a run."""
        return cls(record.condition, record.replicate, error.step, str(error), error.traceback, case)

    def __str__(self) -> str:
        which = self.case or f"replicate {self.replicate}"
        where = f"{which} of {self.condition!r}, " if self.condition else ""
        return f"{where}{self.step}: {self.message}"

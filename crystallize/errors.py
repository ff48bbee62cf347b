"""Every exception that Crystallize raises on purpose."""

from __future__ import annotations

from collections.abc import Mapping


class CrystallizeError(Exception):
    """Base of every exception of this package."""


class ContextMutationError(CrystallizeError):
    """A key of the immutable context was to be replaced or deleted."""


class ContextValueError(CrystallizeError, TypeError):
    """A value can't be kept immutable, so the context does not accept it."""


class DefinitionError(CrystallizeError, ValueError):
    """An experiment, or a part of one, is declared in a way that can't be run."""


class MetricError(CrystallizeError, TypeError):
    """A metric was recorded under a bad name, or with a value that JSON can't carry."""


class ArtifactError(CrystallizeError, ValueError):
    """An artifact has an unsafe name, or its content is not bytes."""


class UpstreamError(CrystallizeError):
    """A condition run has nothing to read, since one that it depends on failed."""


class StepParameterError(CrystallizeError, TypeError):
    """A step or data source was given an unknown parameter, or lacks one."""


class NotPicklableError(CrystallizeError, TypeError):
    """A part of an experiment can't be sent to another process."""


class EngineError(CrystallizeError, RuntimeError):
    """An engine outside this process can't be reached, was lost, or takes no work."""


class OtherCodeError(EngineError):
    """A process that was to run units has other code, or other versions, than the one that sent them."""


class NotStorableError(CrystallizeError, TypeError):
    """A value can't be turned into bytes that are to be stored, or not back."""


class EventLoopError(CrystallizeError, RuntimeError):
    """Something asynchronous can't be run to completion: an event loop is running already."""


class OptimizationError(CrystallizeError, RuntimeError):
    """A search has no winner, since every trial failed."""


class MissingExtraError(CrystallizeError, ImportError):
    """An optional dependency is needed; the message names the extra that brings it."""


class SampleError(CrystallizeError, ValueError):
    """A statistical function was given samples that it can't take."""


class UnhashableValueError(CrystallizeError, TypeError):
    """A value has no hash by value, so nothing that depends on it is cached."""


class FingerprintError(CrystallizeError, TypeError):
    """Code reaches something that has no fingerprint, so nothing that depends on it is cached."""


class VerifierCheckError(CrystallizeError, AssertionError):
    """A verifier fails checks of `crystallize.testing.check_verifier`.

    Attributes
    ----------
    failures : mapping of str to str
        Name of each check that failed -> the smallest samples, the answer, and what was expected.
    """

    def __init__(self, message: str, failures: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.failures = dict(failures or {})


class ReferenceFileError(CrystallizeError, ValueError):
    """A stored reference can't be read, or does not fit what was run."""


class CrystallizeWarning(UserWarning):
    """Something works, but not as well as its user may think."""

"""Every exception that Crystallize raises on purpose."""

from __future__ import annotations

from collections.abc import Mapping


class CrystallizeError(Exception):
    """Base of every exception of this package."""


class ContextMutationError(CrystallizeError):
    """Attempt to replace or to delete a key of the immutable context."""


class ContextValueError(CrystallizeError, TypeError):
    """Value that can't be kept immutable, so that the context does not accept it."""


class DefinitionError(CrystallizeError, ValueError):
    """Declaration of an experiment, or of a part of one, that can't be run."""


class MetricError(CrystallizeError, TypeError):
    """Metric recorded under a bad name, or with a value that JSON can't carry."""


class ArtifactError(CrystallizeError, ValueError):
    """Artifact with an unsafe name, or with content that is not bytes."""


class UpstreamError(CrystallizeError):
    """Failure of a condition run that another one was to read."""


class StepParameterError(CrystallizeError, TypeError):
    """Unknown or missing parameter of a step or of a data source."""


class NotPicklableError(CrystallizeError, TypeError):
    """Part of an experiment that can't be sent to another process."""


class EngineError(CrystallizeError, RuntimeError):
    """Engine outside this process that can't be reached, was lost, or takes no work."""


class OtherCodeError(EngineError):
    """Process that was to run units, with other code or other versions than the one that sent them."""


class NotStorableError(CrystallizeError, TypeError):
    """Value that can't be turned into bytes that are to be stored, or not back."""


class RemoteError(CrystallizeError, RuntimeError):
    """A call of a remote function can't be made, or its reply can't be kept or read."""


class MissingReplyError(RemoteError):
    """A reply is not among those that are kept, where no calls are made."""


class RemoteTimeoutError(RemoteError, TimeoutError):
    """A call of a remote function gave no reply in time."""


class EventLoopError(CrystallizeError, RuntimeError):
    """Asynchronous code that can't be run to completion, as an event loop is running already."""


class OptimizationError(CrystallizeError, RuntimeError):
    """Search without a winner, since every trial failed."""


class MissingExtraError(CrystallizeError, ImportError):
    """Missing optional dependency; the message names the extra that brings it."""


class SampleError(CrystallizeError, ValueError):
    """Samples that a statistical function can't take."""


class UnhashableValueError(CrystallizeError, TypeError):
    """Value without a hash by value, so that nothing that depends on it is cached."""


class FingerprintError(CrystallizeError, TypeError):
    """Code that reaches something without a fingerprint, so that nothing that depends on it is cached."""


class VerifierCheckError(CrystallizeError, AssertionError):
    """Verifier that fails checks of `crystallize.testing.check_verifier`.

    Attributes
    ----------
    failures : mapping of str to str
        Name of each check that failed -> the smallest samples, the answer, and what was expected.
    """

    def __init__(self, message: str, failures: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.failures = dict(failures or {})


class FileFormatError(CrystallizeError, ValueError):
    """File that can't be read: it is none of the kind, of a version that is not read, or damaged."""


class ReferenceFileError(FileFormatError):
    """Stored reference that can't be read, or does not fit what was run."""


class ResultFileError(FileFormatError):
    """File that holds no result, or not all of one that was saved in it."""


class CrystallizeWarning(UserWarning):
    """Warning of something that works, but not as well as its user may think."""

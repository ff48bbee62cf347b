"""Examples with which laws are tried: the same everywhere, or with `nox -s laws` others and many more.

Nothing of it depends on how quick a machine is, or on what else was run there.
"""

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

FEW = 100
"""Examples of a law that asks for no other number."""
UNTIMED = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("same", max_examples=FEW, derandomize=True, **UNTIMED)
settings.register_profile("many", max_examples=10 * FEW, **UNTIMED)
settings.load_profile("same")


def examples(number, *, suppress=()):
    """Return settings of so many examples, or of as many times more as the profile has."""
    now = settings()
    checks = [*now.suppress_health_check, *suppress]
    return settings(max_examples=number * now.max_examples // FEW, suppress_health_check=checks)


def leave_out_constants():
    """Make no example of constants of our modules: which of them are loaded depends on what else has run."""
    if hasattr(providers, "_get_local_constants"):  # since 6.131
        providers._get_local_constants = lambda: providers._local_constants

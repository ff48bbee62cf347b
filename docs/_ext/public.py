"""All public names: those of which the reference has an entry. The test suite reads this, too."""

import inspect
from importlib import import_module

MODULES = {
    "crystallize": "what experiments are declared with, and what they give",
    "crystallize.stats": "statistics as pure functions of arrays",
    "crystallize.stats.power": "power, sample sizes, and what a pilot knows",
    "crystallize.testing": "checks of verifiers",
    "crystallize.core.optimizers": "searches",
    "crystallize.errors": "what is raised",
    "pytest_crystallize.results": "what hooks are given",
}


def public_of(module):
    """Return the public names of a module that have their page there, each with its object."""
    loaded = import_module(module)
    names = getattr(loaded, "__all__", None) or [
        name for name, value in vars(loaded).items() if getattr(value, "__module__", None) == module
    ]
    first = {} if module == "crystallize" else public_of("crystallize")
    return {name: getattr(loaded, name) for name in sorted(names) if name not in first and name[0] != "_"}


def is_defined(value):
    """Return whether something is a class or a function, rather than another name of a type."""
    return inspect.isclass(value) or inspect.isroutine(value)

"""Factories whose units run on a Dask cluster."""

from __future__ import annotations

import re
from string import Template

import pytest

HELPERS = """
    import warnings
    FACTOR = 1.0

    def factor():
        return FACTOR
"""
STEPS = Template("""
    import $imported, logging, os, time
    from pathlib import Path

    @data_source
    def numbers(ctx):
        return ctx.rng.normal(size=3)

    @pipeline_step()
    def total(data, ctx, *, delta=0.0, seconds=0.0):
        assert len(data) == 3, "asserts are rewritten by pytest"
        time.sleep(seconds)
        drawn = random.random() + np.random.random()
        return data, {"total": $factor * data.sum() + drawn + delta * ctx.rng.uniform(0.5, 1.5)}

    @pipeline_step()
    def log(data, ctx, *, path="", until=""):
        if path:
            with open(path, "a") as file:
                file.write(json.dumps([os.getpid(), ctx.replicate, ctx.condition]) + "\\n")
        while until and ctx.replicate >= 50 and not os.path.exists(until):
            time.sleep(0.01)
        return data

    def build(*steps, **options):
        declared = {"treatments": [Treatment("boost", {"delta": 3.0})], "replicates": 12}
        declared |= {"hypotheses": [Hypothesis(metric="total", direction="increase")]}
        return Experiment(numbers, [*steps, total], **declared | options)
""")


def factory(imported="helpers", factor="helpers.factor()"):
    """Return steps, and a function that makes experiments of them."""
    return STEPS.substitute(imported=imported, factor=factor)


FACTORY = factory()
TOTAL = (
    FACTORY
    + """
    def experiment_total():
        return build()
"""
)


@pytest.fixture
def suite(project):
    """Return a project with helpers, to which experiments are written."""
    project.raw("helpers.py", HELPERS)
    project.raw("conftest.py", "")
    return project


def write(suite, text, **files):
    suite.write("import json\n" + "\n".join(line[4:] for line in text.splitlines()), **files)


def digests(session):
    """Return the digests that -v prints."""
    found = re.findall(r"^\s+digests? .*$|^.*\bdigest\b.*$", session.stdout.str(), re.MULTILINE)
    assert found
    return found


def on(cluster, *more):
    return ("--crystallize-dask", cluster.address, *more)

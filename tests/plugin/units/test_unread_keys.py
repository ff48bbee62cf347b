"""A treatment that reaches nothing supports no claim."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

from plugin.conftest import mark

NO_WORSE = mark(hypotheses='[Hypothesis(metric="total", direction="no_decrease", margin=0.1)]')


def test_key_that_no_argument_takes(project):
    """Where nothing could read a key, the experiment is refused before it is run."""
    project.write(NO_WORSE + "def experiment_total(rng, detla=0.0):\n    return {'total': rng.normal()}\n")
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["experiment_a.py:6: treatment 'boost' sets 'delta', *'detla'*"])


def test_key_that_nothing_read(project):
    """Where something might have read it, the verdict is INVALID, and names the key and what was looked up."""
    project.write(
        NO_WORSE + "def experiment_total(ctx, layers=10):\n    return {'total': ctx.rng.normal() + layers}\n"
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["INVALID: treatment 'boost' sets 'delta', which no run read; known are: 'layers'*"]
    )

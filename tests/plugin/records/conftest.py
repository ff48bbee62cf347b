"""An experiment whose runs are stored, and what a session says of them."""

import re

from plugin.conftest import total


def experiment(lines="pass", **changes):
    """Return an experiment of ten runs whose body does something besides."""
    return total(lines=lines, **{"replicates": 5, **changes})


def cached(result):
    """Return experiment -> (runs from cache, runs, verified), as the summary tells them."""
    found, name = {}, None
    for line in result.outlines:
        head = r"\S+::experiment_(\w+)(?: (\[.*\]))?(: \w+)?: (?:stopped at )?\d+ "
        if heading := re.match(head, line):
            name = "".join(filter(None, heading.groups()))
            found[name] = (0, None, 0)
        if told := re.match(r"  (\d+) of (\d+) runs? from cache(?:, (\d+) verified)?$", line):
            found[name] = (int(told[1]), int(told[2]), int(told[3] or 0))
    return found


def digests(result):
    """Return the lines with digests, which -v prints, and those with verdicts."""
    lines = [line for line in result.outlines if "digest " in line or line.endswith("SUPPORTED")]
    assert lines
    return lines


def hits(result, name="total"):
    """Return how many runs of an experiment were stored."""
    return cached(result)[name][0]


def packs(project):
    """Return the files of stored runs."""
    return sorted((project.path / ".pytest_cache/d/crystallize/records").rglob("*.pack"))

"""Reports of claims against a reference: what it held stands on the left, with its commit and date."""

import json
import sys
from xml.etree import ElementTree

import pytest

GATE = """
HARM = {harm}

@pytest.mark.experiment(
    replicates=20,
    treatments={{"smooth": {{"shift": -0.2}}}},
    hypotheses=[
        Hypothesis(
            metric="accuracy", direction="no_decrease", margin=0.02, name="no_worse",
            against=Reference("main"),
        )
    ],
)
def experiment_gate(rng, shift=0.0):
    return {{"accuracy": 0.6 + shift + rng.normal(scale=0.03) - HARM * rng.uniform(0.5, 1.5)}}
"""
FILE = "references/main/experiment_a/experiment_gate.json"


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_reports_show_what_the_reference_held(project, monkeypatch, workers):
    """In the plots, as data, and in Markdown."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    project.write(GATE.format(harm=0.0))
    project.run("-q", "--crystallize-save", "main")
    (recording,) = json.loads((project.path / FILE).read_text(encoding="utf-8"))["recordings"]
    project.write(GATE.format(harm=0.05))
    options = [f"--crystallize-report=r{suffix}" for suffix in (".json", ".md", ".html")]
    run = project.run if workers == "0" else project.run_workers
    run(*options).assert_outcomes(failed=2)
    json_text, markdown, page = (
        (project.path / f"r{suffix}").read_text(encoding="utf-8") for suffix in (".json", ".md", ".html")
    )
    (experiment,) = json.loads(json_text)["experiments"]
    for test in experiment["tests"]:
        held = recording["conditions"][test["treatment"]]["metrics"]["accuracy"]["values"]
        reference = test["reference"]
        assert reference["name"] == "main"
        assert reference["recorded"] == recording["recorded"]
        assert reference["replicates"] == 20
        assert reference["samples"] == {"accuracy": held}
        assert reference["samples"]["accuracy"] != experiment["samples"]["accuracy"][test["treatment"]]
        before, after = test["verdict"]["baseline_mean"], test["verdict"]["treatment_mean"]
        assert f"mean {before:.4g}" in markdown
        assert f"mean {after:.4g}" in markdown
    date = recording["recorded"][:10]
    assert f"on {date}" in markdown.replace("&#8288;", "")
    tree = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))
    plots = [p for p in tree.iter("{http://www.w3.org/2000/svg}svg") if p.get("role") == "img"]
    for plot, test in zip(plots, experiment["tests"], strict=True):
        described = "".join(plot.itertext())
        assert f"mean {test['verdict']['baseline_mean']:.4g}" in described
        assert "main" in described
    assert page.count(f"on {date}") >= 2

"""The notebook of the examples: its cells run, and print what it shows."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples" / "prices.ipynb"


def test_the_notebook_shows_what_it_prints(tmp_path, monkeypatch, capsys):
    """Without a kernel; the session notebooks of nox runs it in one."""
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    names = {}
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        capsys.readouterr()
        exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), names)
        printed = [out["text"] for out in cell["outputs"] if out.get("name") == "stdout"]
        assert capsys.readouterr().out == "".join(line for text in printed for line in text)
    outputs = [out for cell in cells for out in cell.get("outputs", ()) if "data" in out]
    plot, now = map(plot_of, ("".join(outputs[0]["data"]["text/html"]), names["result"]._repr_html_()))
    assert plot == now


def plot_of(page):
    """Return the plot of all treatments in a section."""
    return page.partition('<figure class="forest">')[2].partition("</figure>")[0]

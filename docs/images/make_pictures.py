"""Make the pictures of the README: its first example in a terminal, and the page of its report.

Needs Chromium for the page; run it from anywhere, with the Python that has Crystallize.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
README = HERE.parent.parent / "README.md"
COLUMNS = 80
CELL, LINE, EDGE = 8.4, 19.0, 16.0  # pixels at a font of 14
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

SGR = re.compile(r"\x1b\[([\d;]*)m")
COLOURS = {
    31: "#ff7b72",
    32: "#56d364",
    33: "#e3b341",
    34: "#79c0ff",
    35: "#d2a8ff",
    36: "#76e3ea",
    90: "#8b949e",
}


def first_example() -> tuple[str, str]:
    """Return the README's first example, and the command below it."""
    text = README.read_text(encoding="utf-8")
    (code, command), *_ = re.findall(r"^```python\n(.*?)^```\n\n```console\n\$ (.*?)\n", text, re.M | re.S)
    return code, command


def spans(line: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of a line that look the same, each with its attributes of SVG."""
    colour, bold = "", False
    for text, codes in zip(*[iter([*SGR.split(line), "0"])] * 2, strict=True):
        if text:
            yield text, (f' fill="{colour}"' if colour else "") + (' font-weight="bold"' if bold else "")
        for code in map(int, (codes or "0").split(";")):
            bold = code == 1 or (bold and code not in (0, 22))
            colour = COLOURS.get(code, "" if code in (0, 39) else colour)


def terminal(printed: str) -> str:
    """Return what a terminal shows, in colours, as SVG."""
    lines = printed.rstrip().splitlines()
    width, height = COLUMNS * CELL + 2 * EDGE, len(lines) * LINE + 2 * EDGE
    rows = []
    for number, line in enumerate(lines):
        column, y = 0, EDGE + LINE * (number + 0.75)
        for text, attributes in spans(line):
            x, length = EDGE + CELL * column, CELL * len(text)
            shown = html.escape(text).replace(" ", "&#160;")  # in SVG, other spaces are one
            rows.append(f'<text x="{x:.1f}" y="{y:.1f}" textLength="{length:.1f}"{attributes}>{shown}</text>')
            column += len(text)
        rows.append("")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'role="img" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" '
        f'fill="#e6edf3">\n<title>pytest --crystallize</title>\n'
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n' + "\n".join(rows) + "\n</svg>\n"
    )


def main() -> None:
    """Run the example, and write both pictures beside this file."""
    code, command = first_example()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "experiment_cache.py").write_text(code, encoding="utf-8")
        arguments = [
            *command.split()[1:],
            "--color=yes",
            "-p",
            "no:randomly",
            "--crystallize-report=report.html",
        ]
        session = subprocess.run(
            [sys.executable, "-P", "-m", "pytest", *arguments],
            cwd=directory,
            env=environment | {"COLUMNS": str(COLUMNS)},
            capture_output=True,
            text=True,
            check=True,
        )
        lines = [line for line in session.stdout.splitlines() if "report.html" not in line]
        shown = "\n".join([f"$ {command}", *lines])
        (HERE / "session.svg").write_text(terminal(shown), encoding="utf-8")
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            sys.exit(f"none of {', '.join(BROWSERS)} is there to look at the report")
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1000,960"]
        picture = f"--screenshot={HERE / 'report.png'}"
        subprocess.run(
            [browser, *options, picture, (directory / "report.html").as_uri()],
            capture_output=True,
            check=True,
        )


if __name__ == "__main__":
    main()

"""The page of a report in a real browser, which is Playwright's own or one of the system."""

import os
import shutil
from pathlib import Path

import pytest

SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome")

SOURCE = """
@pytest.mark.experiment(
    replicates=30,
    treatments={
        "boost": {"delta": 1.0},
        "<script>document.title = 'run'</script><img src=x onerror=alert(1)>": {"delta": -1.0},
        "a_very_long_name_of_a_treatment_without_any_place_to_break_it_in_two": {"delta": 0.1},
    },
    hypotheses=[
        Hypothesis(metric="total", direction="increase"),
        Hypothesis(metric="total", direction="equal", margin=0.5),
    ],
)
def experiment_total(rng, delta=0.0):
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}

@pytest.mark.experiment(
    replicates=300,
    treatments={"boost": {"delta": 0.1}},
    hypotheses=[Hypothesis(metric="hit", direction="increase")],
    stopping=GroupSequential(),
)
def experiment_many(rng, delta=0.0):
    return {"hit": float(rng.uniform() < 0.5 + delta)}

@pytest.mark.experiment(
    replicates=8, treatments={"t": {"x": 1}}, hypotheses=[Hypothesis(metric="m", direction="increase")]
)
def experiment_fails(replicate, x=0):
    if x:
        raise ValueError("a message without a place to break it " + "x" * 200)
    return {"m": 1.0}
"""


@pytest.fixture
def chromium():
    """Return a headless Chromium; skip where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with api.sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        found = str(own) if own.exists() else next(filter(None, map(shutil.which, SYSTEM_BROWSERS)), None)
        if found is None:
            pytest.skip("no Chromium: neither Playwright's own nor one of the system")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def report(project):
    """Return the path of a report in which everything occurs that a page can show."""
    project.write(SOURCE)
    project.run_apart("--crystallize-report=report.html")
    return project.path / "report.html"


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(chromium, report, tmp_path, width, scheme):
    """It fits, in print too; nothing is fetched or executed; and the keyboard gets to the verdicts."""
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri())
    for media in ("screen", "print"):
        page.emulate_media(media=media)
        for details in page.locator("details").all():
            details.evaluate("element => { element.open = true }")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        picture = tmp_path / f"{media}-{width}-{scheme}.png"
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 10_000
    page.emulate_media(media="screen")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    assert page.title() == "4 of 8 hypotheses supported: experiments"
    for landmark in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1
    assert page.get_by_role("heading", level=1).inner_text() == "4 of 8 hypotheses supported"
    assert page.get_by_role("heading", level=2).count() == 5
    assert page.get_by_role("heading", level=3).count() == 4
    assert page.get_by_role("heading", level=4).count() == 8
    assert page.get_by_role("img", name="total: baseline and boost").count() == 2
    assert page.get_by_role("table").count() >= 5
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the verdicts")
    assert skip.evaluate("element => element === document.activeElement")
    assert skip.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.get_by_role("main").evaluate("element => element === document.activeElement")
    assert {request.partition("#")[0] for request in requests} == {report.as_uri()}
    assert complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_effect_interval_and_p_are_in_view(chromium, report, width):
    """Of every verdict, twice, without scrolling sideways; a link to a treatment opens its samples."""
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.goto(report.as_uri())
    for kind in ("effect", "interval", "p"):
        boxes = [cell.bounding_box() for cell in page.locator(f"table.cards td.{kind}").all()]
        seen = [box for box in boxes if box is not None]
        assert len(seen) == 16
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in seen)
    samples = page.get_by_role("img", name="total: baseline and boost")
    assert samples.count() == 0
    page.get_by_role("link", name="boost", exact=True).first.click()
    assert samples.count() == 1


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(chromium, report, width, scheme):
    """With all that can be opened closed, and open; AXE_SCRIPT names axe.min.js."""
    script = os.environ.get("AXE_SCRIPT")
    if script is None:
        pytest.skip("AXE_SCRIPT does not name axe.min.js; the session accessibility of nox brings it")
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(report.as_uri())
    page.add_script_tag(path=script)
    for opened in ("false", "true"):
        page.evaluate(f"document.querySelectorAll('details').forEach(each => {{ each.open = {opened} }})")
        found = page.evaluate("axe.run()")["violations"]
        assert [(each["id"], each["impact"], each["nodes"][0]["html"]) for each in found] == []

"""The Space as a visitor meets it, in a real browser: from the upload to the answer, on a desk and on a phone.

With MED3D_R1_SCREENSHOTS set to a folder, pictures of the pages are written there.
"""

import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the Space's extra is not installed")

import limits
from scans import synthetic_chest, write_nifti
from space_server import space_server
from tiny import tiny_checkpoint

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
DESKTOP, PHONE = {"width": 1440, "height": 1000}, {"width": 390, "height": 844}
PATIENCE_MS = 60_000
"""A busy machine is slow; nothing here waits for longer than it must."""

pytestmark = [
    pytest.mark.skipif(find_spec("playwright") is None, reason="the package playwright is not installed"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is on the path"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("patients.SYNTHETIC_SHAPE", (24, 40, 40))
        with space_server(tiny_checkpoint(tmp_path_factory.mktemp("browser") / "model")) as running:
            yield running


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """On disk under a name that should not travel."""
    path = tmp_path_factory.mktemp("scans") / "DOE_JOHN_1961.nii.gz"
    return write_nifti(path, synthetic_chest((28, 40, 40)))


@pytest.fixture
def visit(browser, server):
    """Opens the Space in a window of a size, and waits for the first planes."""
    pages = []

    def open_page(viewport):
        page = browser.new_page(viewport=viewport)
        page.set_default_timeout(PATIENCE_MS)
        page.strangers = []
        page.on("request", lambda request: page.strangers.append(request.url) if _outside(request.url) else None)
        pages.append(page)
        page.goto(server.url)
        page.wait_for_selector("#axial-plane svg.plane")
        return page

    def _outside(url):
        return not url.startswith((server.url, "data:", "blob:"))

    yield open_page
    for page in pages:
        page.close()


def picture(page, name: str) -> None:
    if folder := os.environ.get("MED3D_R1_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"space-{name}.png", full_page=True)


def upload(page, scan) -> None:
    page.set_input_files("#upload input[type=file]", str(scan))
    page.wait_for_selector("#facts :text('28 x 40 x 40 voxels')")


def slice_number(page, view: str) -> int:
    return int(page.input_value(f"#{view}-slice input[type=range]"))


def label(page, view: str) -> str:
    return page.get_attribute(f"#{view}-plane svg.plane", "aria-label")


def until_label_changes(page, view: str, before: str) -> str:
    page.wait_for_function(
        "([id, before]) => document.querySelector(`#${id}-plane svg.plane`).getAttribute('aria-label') !== before",
        arg=[view, before],
    )
    return label(page, view)


def test_a_visitor_uploads_looks_asks_and_reads_the_answer(visit, server, scan, monkeypatch):
    monkeypatch.setattr(limits, "MAX_NEW_TOKENS", 24)
    page = visit(DESKTOP)
    assert "not a medical device" in page.inner_text("header")
    upload(page, scan)
    page.wait_for_function("!document.body.innerText.includes('DOE')")
    assert not [path for path in server.files() if path.stat().st_size or "DOE" in str(path)]
    assert len(server.sessions) == 1

    # The slider moves the plane and the crosshair of the others.
    axial, coronal = label(page, "axial"), label(page, "coronal")
    page.fill("#axial-slice input[type=number]", "30")
    axial = until_label_changes(page, "axial", axial)
    assert label(page, "coronal") != coronal
    assert re.search(r"[SI] \d+ mm$", axial)

    # So do the keys, on a plane that was reached by the keyboard, and a click.
    page.focus("#axial-plane [tabindex='0']")
    page.keyboard.press("ArrowUp")
    axial = until_label_changes(page, "axial", axial)
    assert slice_number(page, "axial") == 31
    page.keyboard.press("Home")
    axial = until_label_changes(page, "axial", axial)
    assert slice_number(page, "axial") == 1
    box = page.locator("#coronal-plane svg.plane").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.25)
    until_label_changes(page, "axial", axial)
    assert slice_number(page, "axial") == pytest.approx(0.75 * 112, abs=1)  # a quarter from the head
    assert slice_number(page, "sagittal") == pytest.approx(0.25 * 224, abs=1)

    before = label(page, "axial")
    page.get_by_label("bone").check()
    assert "bone window" in until_label_changes(page, "axial", before)

    # A question with options of one's own: the buttons change places while the answer is written.
    page.get_by_label("Own options").check()
    page.wait_for_selector("#options textarea")
    page.click("#ask")
    page.wait_for_selector("#stop:enabled")
    page.wait_for_selector("#where [data-region]")
    page.wait_for_selector("#ask:enabled")
    assert page.locator("#bars li").count() == 4
    assert page.locator("#bars li.chosen").count() == 1
    assert "It is not a finding" in page.inner_text("#where")
    assert page.locator(".plane rect.cell").count() > 0
    picture(page, "desktop")

    # The cells that spoke for it lead the crosshair; the map can be taken away.
    before = label(page, "axial")
    page.locator("#where [data-region]").last.click()
    until_label_changes(page, "axial", before)
    page.get_by_label("Show where it looked").uncheck()
    page.wait_for_function("document.querySelectorAll('.plane rect.cell').length === 0")

    assert page.strangers == []
    page.close()
    _wait_until(lambda: len(server.sessions) == 0)


def test_reasoning_streams_and_folds_away_and_can_be_stopped(visit, server, monkeypatch):
    """The words are given: an untrained model writes no tags."""
    from threading import Event

    from med3d_r1.inference import diagnose

    go = Event()
    engine = server.engine

    def scripted(scan, question, options, think, abstain_below):
        yield "<think>The right lung"
        go.wait(60)
        yield "<think>The right lung is dark.</think><answer>"
        encoded = next(iter(engine._encoded(scan))) if hasattr(scan, "hu") else scan
        said = "<think>The right lung is dark.</think><answer>B</answer>"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("med3d_r1.inference._generate", lambda *args, **options: said)
            yield diagnose(engine.model, engine.processor, encoded, question, options)

    monkeypatch.setattr(engine, "diagnose", scripted)
    page = visit(DESKTOP)
    page.click("#ask")
    page.wait_for_selector("#chat :text('The right lung'):visible")
    picture(page, "streaming")
    go.set()
    page.wait_for_selector("#chat :text('B) Arterial wall calcification')")
    page.wait_for_selector("#chat :text('The right lung is dark.')", state="hidden")
    page.get_by_role("button", name="Reasoning").click()
    page.wait_for_selector("#chat :text('The right lung is dark.'):visible")

    go.clear()
    page.wait_for_selector("#ask:enabled")
    page.click("#ask")
    page.click("#stop")
    go.set()
    page.wait_for_selector("#chat :text('Stopped.')")
    page.wait_for_selector("#ask:enabled")


def test_a_refused_scan_is_explained_and_a_question_without_one_too(visit, tmp_path):
    page = visit(DESKTOP)
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no scan at all")
    page.set_input_files("#upload input[type=file]", str(broken))
    page.wait_for_selector("#facts .refusal")
    assert page.inner_text("#facts").startswith("Refused. ")
    assert page.locator("svg.plane").count() == 0
    page.click("#ask")
    page.wait_for_selector(":text('Load a scan first')")


def test_on_a_phone_nothing_sticks_out_and_everything_can_be_reached(visit, scan, monkeypatch):
    monkeypatch.setattr(limits, "MAX_NEW_TOKENS", 4)
    page = visit(PHONE)
    upload(page, scan)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    small = page.evaluate(
        """[...document.querySelectorAll("button:not([tabindex='-1']), .wrap label")]
        .filter((e) => e.checkVisibility() && e.closest("#ask, #stop, #window, #kind, #synthetic"))
        .map((e) => e.getBoundingClientRect().height).filter((height) => height < 32)"""
    )
    assert small == []
    page.get_by_label("Report").check()
    page.wait_for_selector("#question", state="hidden")
    page.click("#ask")
    page.wait_for_selector("#chat :text('Write the report.')")
    page.wait_for_selector("#ask:enabled")
    picture(page, "phone")


def _wait_until(condition, seconds: float = 30) -> None:
    import time

    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)

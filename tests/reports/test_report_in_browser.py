"""The page of an accuracy report in a browser: it shows, sorts, prints, and asks for nothing."""

import base64

import pytest
from chromium import Chromium, find_chromium
from hostile_report import NAMES, make_report

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, content, _ = make_report(tmp_path_factory.mktemp("page"))
    return folder / "report.html", content


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def tab(browser, made):
    browser.open(made[0])
    return browser


def column(tab, table, place):
    """The text of a column, from top to bottom."""
    return tab.run(
        f"[...document.querySelectorAll('#{table} tbody tr')]"
        f".map((row) => row.cells[{place}].textContent)"
    )


def click(tab, table, place):
    tab.run(f"document.querySelectorAll('#{table} thead th button')[{place}].click()")


def test_it_shows_everything_without_a_complaint(tab):
    assert tab.run("document.title") == "Accuracy of 3 maps"
    assert tab.run("document.querySelectorAll('section').length") == 11
    assert tab.run("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
    assert tab.failures == []


def test_no_request_leaves_the_file(tab, made):
    own = made[0].absolute().as_uri()
    assert own in tab.requests
    assert [url for url in tab.requests if url != own and not url.startswith("data:")] == []


def test_hostile_names_are_text(tab):
    assert column(tab, "classes", 0) == list(NAMES)
    assert tab.run("document.querySelectorAll('script').length") == 1
    assert tab.run("document.querySelectorAll('img[src=x]').length") == 0


@pytest.mark.parametrize(("place", "key"), [(1, "iou"), (4, "recall"), (5, "reference_pixels")])
def test_numbers_sort_from_the_largest_and_back(tab, made, place, key):
    rows = sorted(made[1]["classes"], key=lambda row: -row[key])
    click(tab, "classes", place)
    assert column(tab, "classes", 0) == [row["name"] for row in rows]
    assert tab.run("document.querySelector('[aria-sort]').ariaSort") == "descending"
    click(tab, "classes", place)
    assert column(tab, "classes", 0) == [row["name"] for row in rows[::-1]]
    assert tab.run("document.querySelectorAll('[aria-sort]').length") == 1


def test_names_sort_from_a_to_z(tab):
    click(tab, "scenes", 0)
    names = column(tab, "scenes", 0)
    assert [name.rpartition("/")[2] for name in names] == ["a&b.tif", "c.tif", "it's <i>.tif"]


def test_what_is_undefined_comes_last_in_both_orders(tab):
    tab.run("document.querySelector('#classes tbody').rows[1].cells[1].dataset.value = ''")
    for _ in range(2):
        click(tab, "classes", 1)
        assert column(tab, "classes", 0)[-1] == NAMES[1]


def test_without_scripts_all_is_read_all_the_same(tab, made):
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(made[0])
    tab.call("Emulation.setScriptExecutionDisabled", value=False)
    assert tab.run("document.querySelectorAll('th button').length") == 0
    assert column(tab, "classes", 0) == list(NAMES)


@pytest.mark.parametrize("width", [390, 800, 1366, 2560])
def test_the_page_is_never_wider_than_the_window(browser, made, width):
    browser.open(made[0], width=width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("Math.min(...[...document.querySelectorAll('td, th, small, figcaption')]"
                       ".map((e) => parseFloat(getComputedStyle(e).fontSize)))") >= 11  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_page(tab, scheme):
    """Contrast as WCAG 2 reckons it, from the colours that the browser has computed."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    tab.call("Emulation.setEmulatedMedia", features=features)
    script = """(() => {
      const light = (color) => {
        const parts = color.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
          .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]; };
      const paper = light(getComputedStyle(document.body).backgroundColor);
      return Math.min(...["h1", ".lead", "td", "thead th", "a", ".card small"].map((name) => {
        const ink = light(getComputedStyle(document.querySelector(name)).color);
        return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05); })); })()"""
    contrast, paper = tab.run(script), tab.run("getComputedStyle(document.body).backgroundColor")
    tab.call("Emulation.setEmulatedMedia", features=[])
    assert contrast >= 4.5
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


def test_it_prints(tab):
    printed = base64.b64decode(tab.call("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") in range(3, 15)
    assert tab.failures == []

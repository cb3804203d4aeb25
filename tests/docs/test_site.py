"""The documentation site: it builds without a warning, shows all there is, loads nothing else."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import geoseg

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NEEDED = ("mkdocs", "material", "mkdocstrings")
FOREIGN = re.compile(
    r"<(?:script|img|iframe)[^>]*\bsrc=[\"']?(?:https?:)?//"
    r"|<link[^>]*rel=[\"']?(?:stylesheet|preload|preconnect|icon)[^>]*href=[\"']?(?:https?:)?//"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if any(find_spec(name) is None for name in NEEDED):
        pytest.skip("needs mkdocs-material and mkdocstrings: pip install geoseg[docs]")
    folder = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_each_page_is_in_the_navigation(site):
    start = (site / "index.html").read_text(encoding="utf-8")
    pages = [path.stem for path in DOCS.glob("*.md") if path.stem != "index"]
    notebooks = [f"notebooks/{path.stem}" for path in DOCS.glob("notebooks/*.ipynb")]
    assert len(pages) > 30 and len(notebooks) == 2
    missing = [name for name in pages + notebooks if f'href="{name}/"' not in start]
    assert missing == []


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    found = {page.name: FOREIGN.findall(page.read_text(encoding="utf-8")) for page in pages}
    assert {name: hits for name, hits in found.items() if hits} == {}
    assert not any("fonts.g" in page.read_text(encoding="utf-8") for page in pages)


@pytest.mark.slow
def test_the_api_has_signatures_and_docstrings(site):
    page = (site / "api" / "index.html").read_text(encoding="utf-8")
    assert 'id="geoseg.predict.predict"' in page
    assert 'id="geoseg.predict.PredictOptions"' in page or 'id="geoseg.engine.options' in page
    assert "Predict scenes, each on its own grid." in page


@pytest.mark.slow
def test_notebooks_are_pages_with_their_pictures(site):
    for page in (site / "notebooks").glob("*/index.html"):
        text = page.read_text(encoding="utf-8")
        pictures = re.findall(r'<img[^>]*src="([^"]+)"', text)
        assert len(pictures) >= 2
        assert all((page.parent / picture).resolve().is_file() for picture in pictures)


def test_all_public_names_are_in_the_api():
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE))
    homes = {f"{home}.{name}" for name, home in geoseg._HOMES.items()}
    assert homes - told == set()
    assert len(told) < len(homes) + 12  # and what jobs return

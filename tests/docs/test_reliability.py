"""Each test that a promise names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("reliability*.md"))
NAMED = sorted(
    {name for page in PAGES for name in re.findall(r"`(tests/[^`]+)`", page.read_text())}
)


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_is_named_exists(name):
    file, _, test = name.partition("::")
    path = ROOT / file
    assert path.exists()
    if test:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        assert test.partition("[")[0].rpartition("::")[2] in functions


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_row_names_a_test_or_says_why_not(page):
    rows = [line for line in page.read_text().splitlines() if re.match(r"\| F\d+ ", line)]
    numbers = [int(re.match(r"\| F(\d+) ", row)[1]) for row in rows]
    assert len(numbers) == len(set(numbers))
    for row in rows:
        held_by = row.rstrip("| ").rpartition("|")[2]
        assert "`tests/" in held_by or "no test" in held_by or "none" in held_by, row

"""Locks what the tests install: `.ci/lock.txt` with hashes, and docs/licences.md with licences.

`make lock` runs this in the environment of the tests; words after it are handed to pip. Users are
not bound by the lock: what they install goes by the ranges of pyproject.toml.
"""

# ruff: noqa: INP001 - a script, not a package

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK, PAGE = ROOT / ".ci" / "lock.txt", ROOT / "docs" / "licences.md"
HEAD = """\
# What `make test` installs, and what `make audit` looks at. Made by `make lock`, for Python {}
# on Linux; elsewhere, or where a package is not to be had, the newest that fit are installed.
"""
TOLD_ELSEWHERE = {"cuda-toolkit": "NVIDIA Proprietary Software"}
"""It holds no file but names of packages of NVIDIA, which tell this licence."""

PAGE_HEAD = """\
# Licences

Every package that the tests install, directly or through another, by what it says of itself.
`make lock` writes this page; `tests/test_supply_chain.py` compares it with the lock, and refuses
licences that are unknown or would bind what uses geoseg (AGPL, GPL).

| Package | Version | Licence |
|---|---|---|
"""


def main() -> int:
    """Resolve anew, and write both files."""
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    words += ["--report", "-", "--editable", f"{ROOT}[test]", *sys.argv[1:]]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - pip
    write(json.loads(done.stdout))
    return 0


def write(found: dict) -> None:
    """Write the lock and the page from pip's report."""
    rows, lines = [], []
    for item in sorted(found["install"], key=lambda item: canonical(item["metadata"]["name"])):
        name, version = canonical(item["metadata"]["name"]), item["metadata"]["version"]
        if name == "geoseg":
            continue
        digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.append(f"{name}=={version} --hash=sha256:{digest}")
        rows.append(f"| {name} | {version} | {licence_of(name, item['metadata'])} |")
    python = ".".join(map(str, sys.version_info[:2]))
    LOCK.write_text(HEAD.format(python) + "\n".join(lines) + "\n", encoding="utf-8")
    PAGE.write_text(PAGE_HEAD + "\n".join(rows) + "\n", encoding="utf-8")


def canonical(name: str) -> str:
    """The name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(name: str, told: dict) -> str:
    """By its expression, else its classifiers, else its first words, else the file beside it."""
    if told.get("license_expression"):
        return told["license_expression"]
    classes = [c for c in told.get("classifier", []) if c.startswith("License :: ")]
    named = [c.rpartition(" :: ")[2] for c in classes if c != "License :: OSI Approved"]
    if named:
        return ", ".join(named)
    words = (told.get("license") or "").strip().partition("\n")[0]
    if words and words != "UNKNOWN":
        return words[:60]
    return TOLD_ELSEWHERE.get(name) or from_file(name)


def from_file(name: str) -> str:
    """The first line of the licence that is installed with a package."""
    try:
        installed: Distribution = distribution(name)
    except PackageNotFoundError:
        return "unknown"
    for file in installed.files or ():
        if file.name.lower().startswith(("license", "licence", "copying", "eula")):
            lines = file.locate().read_text(encoding="utf-8", errors="replace").split("\n")
            return next((line.strip()[:60] for line in lines if line.strip()), "unknown")
    return "unknown"


if __name__ == "__main__":
    sys.exit(main())

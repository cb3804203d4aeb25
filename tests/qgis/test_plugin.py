"""The plugin's files: light, for old Pythons too, and packed the same each time."""

import ast
import configparser
import hashlib
import re
import runpy
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

import geoseg

CLI = Path(__file__).parents[2] / "cli"
FILES = sorted((CLI / "geoseg_qgis").glob("*.py"))
OF_QGIS_ONLY = {"algorithm", "evaluate", "options", "plugin", "predict", "provider", "styling"} | {
    *("tile", "vectorize"),
}


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nothing_but_qgis_and_python_itself_is_imported(file):
    found = {name.split(".")[0] for name in imported(file)} - {"geoseg_qgis"}
    assert found - {"qgis"} <= sys.stdlib_module_names
    assert file.stem in OF_QGIS_ONLY or "qgis" not in found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_are_short_and_for_the_python_of_qgis_3_22(file):
    text = file.read_text()
    assert text.count("\n") <= 400
    ast.parse(text, feature_version=(3, 9))
    assert "from __future__ import annotations" in text


@pytest.mark.parametrize("command", ["predict", "vectorize", "tile", "evaluate"])
def test_the_options_handed_on_are_those_of_the_command(command):
    text = (CLI / "geoseg_qgis" / f"{command}.py").read_text()
    if "label_parameters" in text:
        text += (CLI / "geoseg_qgis" / "algorithm.py").read_text()
    handed = set(re.findall(r'"(--[a-z-]+)"', text))
    options = {
        name: param
        for param in import_module(f"geoseg_cli.{command}").command.params
        for name in param.opts
    }
    assert handed
    assert handed <= set(options)
    lists = {"--blend": "BLENDS", "--tta": "SYMMETRIES", "--method": "METHODS", "--mode": "MODES"}
    lists["--connectivity"] = "NEIGHBOURS"
    for option in handed & set(lists):
        listed = re.search(rf"^{lists[option]} = (\[.*\])$", text, re.MULTILINE)
        assert ast.literal_eval(listed[1]) == list(options[option].type.choices)


def test_metadata():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(CLI / "geoseg_qgis" / "metadata.txt", encoding="utf-8")
    told = dict(parser["general"])
    assert told["version"] == geoseg.__version__
    assert (told["qgisminimumversion"], told["hasprocessingprovider"]) == ("3.22", "yes")
    assert told["supportsqt6"] == "True"
    assert (CLI / "geoseg_qgis" / told["icon"]).exists()
    assert {"name", "description", "about", "author", "qgismaximumversion"} <= set(told)


def test_the_zip_has_the_folder_and_the_same_bytes_each_time(tmp_path):
    script = CLI / "zip_qgis_plugin.py"
    first, second = tmp_path / "a" / "x.zip", tmp_path / "y.zip"
    subprocess.run([sys.executable, script, "-o", first], check=True, capture_output=True)
    runpy.run_path(str(script))["pack"](second)
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, second)}
    assert len(digests) == 1
    with zipfile.ZipFile(first) as packed:
        assert packed.testzip() is None
        names = packed.namelist()
        assert {name.split("/")[0] for name in names} == {"geoseg_qgis"}
        assert {file.name for file in FILES} <= {name.split("/")[1] for name in names}
        assert {"geoseg_qgis/metadata.txt", "geoseg_qgis/LICENSE"} <= set(names)
        assert packed.read("geoseg_qgis/plugin.py") == (CLI / "geoseg_qgis/plugin.py").read_bytes()

"""The words are those that the commands take."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from geoseg_cli.main import group
from geoseg_qgis.command_lines import command_line


def test_words():
    options = {
        "--output": "/a b/out.tif",
        "--window": None,
        "--aoi": "",
        "--overwrite": True,
        "--quiet": False,
        "--min-area": 2.0,
        "--simplify": 0.1 + 0.2,
        "--exclude": ["road", "2"],
    }
    words = command_line("predict", ["-x.tif"], options, extra="--co 'COMPRESS=ZSTD' -v")
    assert words == [
        *("predict", "--output=/a b/out.tif", "--overwrite", "--min-area=2", "--simplify=0.3"),
        *("--exclude=road", "--exclude=2", "--co", "COMPRESS=ZSTD", "-v", "--progress=json"),
        *("--", "-x.tif"),
    ]


@pytest.mark.parametrize(
    ("system", "word"), [("nt", r"C:\maps\new.toml"), ("posix", "C:mapsnew.toml")]
)
def test_backslashes_part_folders_on_windows(monkeypatch, system, word):
    monkeypatch.setattr("geoseg_qgis.command_lines.os", SimpleNamespace(name=system))
    words = command_line("evaluate", [], {}, extra=r"--legend C:\maps\new.toml # 'a b'")
    assert words[1:5] == ["--legend", word, "#", "a b"]


def test_an_open_quote_is_refused():
    with pytest.raises(ValueError, match="quotation"):
        command_line("predict", [], {}, extra="--co 'x")


def test_a_name_like_an_option_is_a_file_for_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = command_line("vectorize", ["--json"], {"--output": "p.gpkg"})
    result = CliRunner().invoke(group, words)
    assert "--json: " in str(result.exception)

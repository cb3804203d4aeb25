"""`geoseg models`."""

import json

import pytest

from geoseg.models import list_encoders
from geoseg_cli.main import main


def run(capsys, *words):
    code = main(["models", *words])
    return code, capsys.readouterr()


def test_a_table_of_architectures(capsys):
    code, told = run(capsys, "deeplabv3p*")
    header, *rows = told.out.splitlines()
    assert code == 0 and told.err == ""
    assert header.split()[:4] == ["name", "encoder", "parameters", "GMACs"]
    (row,) = rows
    # Its figures are published for 19 classes: 26.682 M, 36.6 GMACs. Its classifier
    # of 256 x 19 + 19 lies on 128 x 128 cells.
    name, encoder, parameters, unit, macs, *summary = row.split()
    assert (name, encoder, unit) == ("deeplabv3plus", "resnet50", "M")
    assert float(parameters) == pytest.approx(26.682 - 17 * 257 / 1e6, rel=1e-3)
    assert float(macs) == pytest.approx(36.6 - 17 * 256 * 128**2 / 1e9, rel=3e-3)
    assert "arXiv 1802.02611" in " ".join(summary)


def test_json_tells_the_same(capsys):
    code, told = run(capsys, "linear", "--json")
    assert code == 0
    (linear,) = json.loads(told.out)
    summary = linear.pop("summary")
    macs = 512 * 512 * 3 * 2
    assert linear == {"name": "linear", "encoder": "none", "parameters": 8, "macs": macs}
    assert "1x1" in summary


def test_progress_goes_to_stderr(capsys):
    _, told = run(capsys, "linear", "--progress", "json", "--json")
    assert json.loads(told.out)
    events = [json.loads(line) for line in told.err.splitlines()]
    assert (events[-1]["done"], events[-1]["total"], events[-1]["unit"]) == (1, 1, "network")


def test_encoders_are_listed_without_counting(capsys, monkeypatch):
    monkeypatch.setattr("geoseg.models.count_encoder", None)
    code, told = run(capsys, "--encoders")
    assert code == 0
    assert told.out.split() == list_encoders()


def test_encoders_of_a_pattern_are_counted(capsys):
    code, told = run(capsys, "--encoders", "mit_b[01]")
    assert code == 0
    rows = [line.split() for line in told.out.splitlines()]
    assert rows[0] == ["name", "parameters"]
    assert [row[0] for row in rows[1:]] == ["mit_b0", "mit_b1"]
    # SegFormer's encoders are given with 3.4 and 13.1 M (arXiv 2105.15203, table 1).
    assert [float(row[1]) for row in rows[1:]] == pytest.approx([3.4, 13.1], rel=0.03)
    code, told = run(capsys, "--encoders", "mit_b0", "--json")
    assert [each["name"] for each in json.loads(told.out)] == ["mit_b0"]


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["unte"], "Did you mean 'unet'? The choices are: "),
        (["Unte*"], "Did you mean 'unet'? The choices are: "),
        (["zzz"], "The choices are: "),
        (["--encoders", "resnte18"], "Near to it are: resnet18, "),
        (["--encoders", "zzz"], "such as resnet18"),
    ],
)
def test_a_pattern_without_a_match_is_refused(capsys, words, cure):
    code, told = run(capsys, *words)
    assert code == 2
    assert told.out == ""
    assert f"matches {words[-1]!r}. " in told.err and cure in told.err
    assert told.err.count("\n") == 1

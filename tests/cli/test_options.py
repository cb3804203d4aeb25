"""What the shared options make of a user's words."""

import click
import pytest

from geoseg.geo.raster import SceneOptions
from geoseg_cli import options


def test_comma_list():
    assert options.comma_list("a, b,c") == ("a", "b", "c")


@pytest.mark.parametrize("text", ["", "a,", ",", "a,,b", " "])
def test_comma_list_refuses_empty_parts(text):
    with pytest.raises(click.BadParameter, match="empty part"):
        options.comma_list(text)


def test_number_list():
    assert options.number_list("0.7,.2, 1e-1") == (0.7, 0.2, 0.1)


def test_number_list_refuses_words():
    with pytest.raises(click.BadParameter, match=r"0\.7,most"):
        options.number_list("0.7,most")


def test_bands_are_numbers_or_names():
    assert options.band_list("4,3, B08,nir") == (4, 3, "B08", "nir")


@pytest.mark.parametrize("text", ["0", "1,-2"])
def test_bands_count_from_one(text):
    with pytest.raises(click.BadParameter, match="counted from 1"):
        options.band_list(text)


@pytest.mark.parametrize(
    ("text", "pair"),
    [("a=1", ("a", "1")), ("a.b=", ("a.b", "")), (" a = x=y ", ("a", "x=y"))],
)
def test_key_value(text, pair):
    assert options.key_value(text) == pair


@pytest.mark.parametrize("text", ["a", "=1", " =1", ""])
def test_key_value_needs_both(text):
    with pytest.raises(click.BadParameter, match="KEY=VALUE"):
        options.key_value(text)


def received(words):
    """What a command with all shared options receives for these words."""
    found = {}

    @click.command()
    @options.output("A file.")
    @options.jobs
    @options.scene
    @options.as_json
    @options.messages
    def command(**arguments):
        found.update(arguments)

    command.main(words, standalone_mode=False)
    return found


def test_defaults_of_the_shared_options():
    found = received(["-o", "a.tif"])
    assert str(found.pop("output")) == "a.tif"
    assert found.pop("progress").mode == "none"
    assert found.pop("scene") == SceneOptions()
    assert found == {
        "overwrite": False,
        "jobs": None,
        "as_json": False,
    }


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ([], "none"),
        (["--progress", "bar"], "bar"),
        (["--progress", "json"], "json"),
        (["-q", "--progress", "json"], "json"),
    ],
)
def test_progress(words, mode):
    assert received(["-o", "x", *words])["progress"].mode == mode


def test_how_scenes_are_read():
    words = ["--bands", "3,nir", "--resolution", "0.5", "--assume-crs", "none", "--trust-vrt"]
    words += ["--allow-remote"]
    expected = SceneOptions(
        bands=(3, "nir"),
        resolution=0.5,
        assume_crs="none",
        expand_palette=False,
        trust_vrt=True,
        allow_remote=True,
    )
    assert received(["-o", "x", *words])["scene"] == expected


@pytest.mark.parametrize("words", [["-j", "0"], ["--resolution", "0"], ["--jobs", "many"]])
def test_numbers_out_of_range_are_refused(words):
    with pytest.raises(click.BadParameter):
        received(["-o", "x", *words])

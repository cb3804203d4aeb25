"""Tables of weights of tiles: what is read, what is refused."""

import pytest

from geoseg.errors import ConfigError
from geoseg.geo.tile_weights import read_tile_weights

NAMES = {"west_0", "west_1", "east_0"}


def read(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "weights.csv"
    path.write_bytes(text.encode(encoding))
    return read_tile_weights(path, NAMES)


def test_names_and_weights(tmp_path):
    assert read(tmp_path, "name,weight\nwest_0,2\neast_0,0\n") == {"west_0": 2, "east_0": 0}


def test_other_columns_spaces_and_a_byte_order_mark_do_no_harm(tmp_path):
    text = "note, weight, name\r\nold, 0.5, west_1\r\n"
    assert read(tmp_path, text, "utf-8-sig") == {"west_1": 0.5}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,weight\nwest_2,1\n", "line 2 names the tile 'west_2'.* Did you mean west_"),
        ("name,weight\nwest_0,1\nwest_0,2\n", "line 3 names west_0 once more"),
        ("name,weight\nwest_0,-1\n", "line 2 has the weight '-1'"),
        ("name,weight\nwest_0,nan\n", "line 2 has the weight 'nan'"),
        ("name,weight\nwest_0,inf\n", "line 2 has the weight 'inf'"),
        ("name,weight\nwest_0,much\n", "line 2 has the weight 'much'"),
        ("name,weight\nwest_0\n", "line 2 has the weight 'None'"),
        ("name;weight\nwest_0;1\n", "lacks the column name; it has name;weight"),
        ("name,gewicht\nwest_0,1\n", "lacks the column weight; it has name, gewicht"),
        ("", "lacks the column name; it has none"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, told):
    with pytest.raises(ConfigError, match=f"weights.csv: {told}"):
        read(tmp_path, text)


def test_what_is_no_text_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"weights.csv: cannot be read"):
        read(tmp_path, "name,weight\nä,1\n", "utf-16")
    with pytest.raises(ConfigError, match="No such file"):
        read_tile_weights(tmp_path / "none.csv", NAMES)

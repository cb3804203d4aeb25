"""Tables of run lengths in the forms in which contests hand them out."""

import numpy as np
import pytest

from geoseg.errors import LabelError
from geoseg.geo.rle import encode_runs
from geoseg.geo.rle_table import read_rle_table, rle_table_text

TABLE = {"b.jpg": "1 2 5 3", "a.jpg": "", "c d.jpg": "7 1"}


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "masks.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_without_header_tab(tmp_path):
    path = write(tmp_path, "b.jpg\t1 2 5 3\na.jpg\t\nc d.jpg\t7 1\n")
    assert read_rle_table(path) == TABLE
    assert list(read_rle_table(path)) == list(TABLE)


@pytest.mark.parametrize(
    "text",
    [
        "name\tmask\nb.jpg\t1 2 5 3\na.jpg\t\nc d.jpg\t7 1\n",
        "ImageId,EncodedPixels\nb.jpg,1 2 5 3\na.jpg,\nc d.jpg,7 1",
        'b.jpg,"1 2 5 3"\r\na.jpg,NaN\r\n"c d.jpg",7 1\r\n',
        "\n\nb.jpg\t1 2 5 3\na.jpg\n\nc d.jpg\t7 1\n\n",
        "\ufeffname,rle\nb.jpg,1 2 5 3\na.jpg,nan\nc d.jpg,7 1\n",
    ],
    ids=["header", "comma", "quotes", "empty lines", "mark"],
)
def test_other_forms(tmp_path, text):
    assert read_rle_table(write(tmp_path, text)) == TABLE


def test_first_image_without_runs_is_no_header(tmp_path):
    assert read_rle_table(write(tmp_path, "a.jpg\t\nb.jpg\t1 2\n")) == {"a.jpg": "", "b.jpg": "1 2"}


def test_broken_runs_of_the_first_image_are_no_header(tmp_path):
    assert read_rle_table(write(tmp_path, "a.jpg\t1 x\n")) == {"a.jpg": "1 x"}


def test_columns_by_name(tmp_path):
    path = write(tmp_path, "id,rle,file\n0,1 2,a.jpg\n1,,b.jpg\n")
    assert read_rle_table(path, name="file", runs="rle") == {"a.jpg": "1 2", "b.jpg": ""}


def test_columns_by_name_without_a_header(tmp_path):
    path = write(tmp_path, "a.jpg\t1 2\n")
    with pytest.raises(LabelError, match=r"no column 'file'; its first line is 'a\.jpg, 1 2'"):
        read_rle_table(path, name="file")


def test_long_runs(tmp_path):
    mask = np.indices((512, 512)).sum(0) % 2
    table = {"a.jpg": encode_runs(mask), "b.jpg": ""}
    assert len(table["a.jpg"]) > 131_072  # what the reader takes by itself
    assert read_rle_table(write(tmp_path, rle_table_text(table))) == table


def test_round_trip(tmp_path):
    assert read_rle_table(write(tmp_path, rle_table_text(TABLE))) == TABLE


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no line"),
        ("\n \n", "holds no line"),
        ("a.jpg\t1 2\na.jpg\t3 4\n", "names a.jpg twice (line 2)"),
        ("a.jpg\t1 2\n\t3 4\n", "line 2 names no image"),
    ],
)
def test_bad_tables(tmp_path, text, told):
    with pytest.raises(LabelError) as caught:
        read_rle_table(write(tmp_path, text))
    assert told in str(caught.value)


def test_no_text(tmp_path):
    with pytest.raises(LabelError, match="is no text"):
        read_rle_table(write(tmp_path, "é\t1 2", "latin-1"))
    with pytest.raises(LabelError, match="no such file"):
        read_rle_table(tmp_path / "none.csv")


@pytest.mark.parametrize("name", ["a\tb.jpg", "a\nb.jpg", 'a"b.jpg'])
def test_names_that_break_the_table(name):
    with pytest.raises(LabelError):
        rle_table_text({name: "1 2"})


@pytest.mark.parametrize("text", ["a.jpg 1 3 5 2\nb.jpg 7 1\n", "a.jpg;1 3\nb.jpg;7 1\n"])
def test_other_separators_are_refused(tmp_path, text):
    with pytest.raises(LabelError, match="has one column: tabs or commas"):
        read_rle_table(write(tmp_path, text))


def test_words_behind_the_first_image_are_no_header(tmp_path):
    table = read_rle_table(write(tmp_path, "a.jpg\tx y\nb.jpg\t1 3\n"))
    assert table == {"a.jpg": "x y", "b.jpg": "1 3"}

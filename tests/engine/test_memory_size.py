import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.engine.memory_size import format_size, parse_size, round_size
from geoseg.errors import ConfigError

SIZES = [
    ("2000000000", 2_000_000_000),
    ("1", 1),
    ("1B", 1),
    ("4G", 4 * 1024**3),
    ("4g", 4 * 1024**3),
    ("4GiB", 4 * 1024**3),
    ("4gib", 4 * 1024**3),
    (" 4 GiB ", 4 * 1024**3),
    ("4GB", 4 * 1000**3),
    ("800M", 800 * 1024**2),
    ("1.5GiB", 3 * 1024**3 // 2),
    (".5K", 512),
    ("2.k", 2048),
    ("1T", 1024**4),
    ("1P", 1024**5),
    ("0.1G", 107_374_182),  # 107 374 182.4
    ("0.3KB", 300),  # 0.3 * 1000 is below 300 in binary floats
]


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", " ", "G", "4X", "4GG", "4 G iB", "four", "-1", "-4G", "+4G", "1e9", "nan", "inf", "1,5G",
     "4iB", "0x10", "1_000", "4\nG", "٤G", "4G;", "9" * 5000, "." + "1" * 5000],
)  # fmt: skip
def test_nonsense_is_refused_in_one_line(text):
    with pytest.raises(ConfigError, match="is not a size of memory") as caught:
        parse_size(text)
    assert str(caught.value).startswith("--max-memory: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["0", "0G", "0.0M", ".0", "0.0001K"])
def test_less_than_a_byte_is_refused(text):
    with pytest.raises(ConfigError, match="is below 1 byte"):
        parse_size(text)


def test_the_option_is_named():
    with pytest.raises(ConfigError, match=r"^--cache: "):
        parse_size("much", "--cache")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (10188, "9.9 KiB"),  # 9.9492
        (10189, "10 KiB"),  # 9.9502
        (1024**2 - 1, "1.0 MiB"),
        (800 * 1024**2, "800 MiB"),
        (1023 * 1024**2 + 1024**2 // 4, "1023 MiB"),
        (1023 * 1024**2 + 3 * 1024**2 // 4, "1.0 GiB"),
        (3 * 1024**3 // 2, "1.5 GiB"),
        (245 * 1024**3, "245 GiB"),
        (1024**6, "1024 PiB"),
    ],
)
def test_sizes_are_printed(size, text):
    assert format_size(size) == text


@given(st.integers(1, 1 << 60))
def test_what_is_printed_is_near_what_is_meant(size):
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.051)


@given(st.integers(1, 1 << 60))
def test_a_rounded_size_is_enough_and_little_more(size):
    rounded = parse_size(round_size(size))
    assert size <= rounded < size * 1.1 + 2**20

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from geoseg.engine.memory_size import parse_size
from geoseg.engine.panels import Need, bands, panel_width, split
from geoseg.errors import ConfigError

MIB = 1 << 20
LENGTHS = st.integers(1, 100_000)
BLOCKS = st.integers(1, 1000)
NEEDS = st.builds(
    lambda fixed, per_column: Need(fixed=fixed, per_column=per_column),
    st.integers(0, 1 << 34),
    st.integers(0, 1 << 20),
)


def check_cuts(parts, length, block):
    """Each pixel once and in order, from block to block."""
    assert parts[0][0] == 0
    assert parts[-1][1] == length
    assert all(stop == start for (_, stop), (start, _) in pairwise(parts))
    assert all(start % block == 0 for start, _ in parts)
    assert all(stop > start for start, stop in parts)


def check_equal(parts, block):
    """But for what is cut off at the end, no part has more than one block more than another."""
    blocks = [-(-(stop - start) // block) for start, stop in parts]
    assert max(blocks) - min(blocks) <= 1


@given(st.integers(1, 1 << 36), NEEDS, LENGTHS, st.integers(1, 5000), BLOCKS)
def test_panels_are_the_widest_that_fit(max_memory, need, width, least, block):
    narrowest = min(-(-least // block) * block, width)
    try:
        found = panel_width(max_memory, need, width, least, block)
    except ConfigError:
        assert need.fixed + need.per_column * narrowest > max_memory
        return
    assert need.fixed + need.per_column * found <= max_memory
    assert narrowest <= found <= width
    if found < width:
        assert found % block == 0
        assert need.fixed + need.per_column * min(found + block, width) > max_memory


@given(NEEDS, LENGTHS, st.integers(1, 5000), BLOCKS, st.floats(0.01, 0.999999))
def test_what_the_error_tells_to_give_is_enough(need, width, least, block, share):
    needed = need.fixed + need.per_column * min(-(-least // block) * block, width)
    assume(needed * share >= 1)
    with pytest.raises(ConfigError) as caught:
        panel_width(int(needed * share), need, width, least, block)
    told = caught.value.cure.split()[2].rstrip(",")
    assert panel_width(parse_size(told), need, width, least, block) >= 1


@pytest.mark.parametrize(
    ("max_memory", "columns"),
    [
        (100 * MIB + 20_000 * 10_000, 20_000),  # the whole scene fits to the byte
        (100 * MIB + 20_000 * 10_000 - 1, 19_968),  # 39 blocks of 512
        (100 * MIB + 1024 * 10_000, 1024),
        (100 * MIB + 1024 * 10_000 - 1, 512),
    ],
)
def test_panels_of_a_known_need(max_memory, columns):
    need = Need(fixed=100 * MIB, per_column=10_000)
    assert panel_width(max_memory, need, 20_000, 512, 512) == columns


def test_a_scene_that_is_narrower_than_a_panel_is_one():
    assert panel_width(300, Need(fixed=0, per_column=1), 300, 512, 256) == 300


def test_too_little_memory_is_told_in_one_line():
    need = Need(fixed=1300 * MIB, per_column=31 * MIB // 512)
    with pytest.raises(ConfigError) as caught:
        panel_width(1024 * MIB, need, 20_000, 512, 512)
    assert str(caught.value) == (
        "--max-memory: 1.0 GiB is too small: the narrowest panel needs at least 1.3 GiB. "
        "Give --max-memory 1400M, or a smaller --window."
    )


def test_a_need_just_above_the_limit_is_told_in_bytes():
    with pytest.raises(ConfigError, match=r"1073741823 B is too small.* 1073741824 B"):
        panel_width(1024 * MIB - 1, Need(fixed=1024 * MIB, per_column=0), 20_000, 512, 512)


@given(LENGTHS, st.integers(1, 50), st.integers(0, 999), BLOCKS)
def test_split_cuts_into_as_few_equal_parts_as_the_block_allows(length, blocks, more, block):
    part = blocks * block + more % block
    parts = split(length, part, block)
    check_cuts(parts, length, block)
    check_equal(parts, block)
    assert all(stop - start <= part for start, stop in parts)
    if len(parts) > 1:  # one part fewer would need longer ones
        assert (len(parts) - 1) * blocks * block < length


def test_split_keeps_whole_what_is_short_enough():
    assert split(300, 300, 512) == [(0, 300)]


@given(LENGTHS, st.integers(1, 64), BLOCKS)
def test_bands_are_as_many_as_wanted_or_one_for_each_block(length, count, block):
    parts = bands(length, count, block)
    check_cuts(parts, length, block)
    check_equal(parts, block)
    assert len(parts) == min(count, -(-length // block))


def test_a_band_alone_is_the_whole_axis():
    assert bands(12_345, 1, 512) == [(0, 12_345)]

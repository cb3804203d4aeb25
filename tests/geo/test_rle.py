"""Run lengths against a counting by hand, the format's own vectors, and broken text."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from geoseg.errors import LabelError
from geoseg.geo.rle import decode_runs, encode_runs

MASKS = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.sampled_from([0, 1]),
)


def runs_by_hand(mask):
    """Walk down the columns pixel by pixel; the transposition makes columns rows."""
    pixels = [int(value) for column in zip(*mask.tolist(), strict=True) for value in column]
    text, place = [], 1
    for value, run in itertools.groupby(pixels):
        length = len(list(run))
        if value:
            text += [str(place), str(length)]
        place += length
    return " ".join(text)


def coco_counts(mask):
    """Lengths of zeros and ones in turn, zeros first, as pycocotools keeps them uncompressed."""
    counts, last = [], 0
    for value in np.asfortranarray(mask).ravel(order="F").tolist():
        if not counts:
            counts = [0]
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return counts


@given(MASKS)
def test_runs_are_those_counted_by_hand(mask):
    assert encode_runs(mask) == runs_by_hand(mask)


@given(MASKS)
def test_round_trip(mask):
    assert np.array_equal(decode_runs(encode_runs(mask), mask.shape), mask.astype(bool))


@given(MASKS)
def test_runs_are_coco_counts_with_places(mask):
    numbers = [int(word) for word in encode_runs(mask).split()]
    counts = coco_counts(mask)
    starts = [sum(counts[:i]) + 1 for i in range(1, len(counts), 2)]
    assert numbers[::2] == starts
    assert numbers[1::2] == counts[1::2]


def test_known_vectors():
    mask = np.zeros((4, 5), np.uint8)
    mask[[1, 2, 0, 3], [0, 0, 1, 4]] = 255
    assert encode_runs(mask) == "2 2 5 1 20 1"
    assert encode_runs(np.ones((2, 3), bool)) == "1 6"
    assert encode_runs(np.zeros((2, 3), bool)) == ""
    assert not decode_runs("", (2, 3)).any()
    assert decode_runs(" 1  6\n", (2, 3)).all()


def test_any_value_but_zero_counts():
    assert encode_runs(np.array([[7, -3], [0.5, 0]])) == "1 3"


@given(MASKS, st.randoms())
def test_runs_may_stand_in_any_order(mask, random):
    words = encode_runs(mask).split()
    pairs = list(zip(words[::2], words[1::2], strict=True))
    random.shuffle(pairs)
    text = " ".join(word for pair in pairs for word in pair)
    assert np.array_equal(decode_runs(text, mask.shape), mask.astype(bool))


def test_runs_that_touch_are_one():
    assert encode_runs(decode_runs("3 2 5 1 1 2", (2, 3))) == "1 5"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 2 3", "3 numbers, an odd count"),
        ("1 x", "hold 'x'"),
        ("1.0 2", "hold '1.0'"),
        ("-1 2", "hold '-1'"),
        ("nan", "hold 'nan'"),
        ("\uff11 \uff12", "hold"),
        ("1 " + "9" * 400, "hold '9999"),
        ("0 2", "run `0 2` leaves the 2 x 3 pixels"),
        ("6 2", "run `6 2` leaves the 2 x 3 pixels"),
        ("7 1", "leaves"),
        ("1 9223372036854775807", "hold"),
        ("2 999999999999999999", "leaves"),
        ("2 0", "run `2 0` is empty"),
        ("1 3 3 2", "run `3 2` overlaps the one before"),
        ("5 1 1 6", "overlaps"),
        ("2 2 2 2", "overlaps"),
    ],
)
def test_broken_text_is_refused(text, told):
    with pytest.raises(LabelError) as caught:
        decode_runs(text, (2, 3), "a.jpg")
    assert told in str(caught.value)
    assert str(caught.value).startswith("a.jpg: ")

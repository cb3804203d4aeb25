"""Masks as text of run lengths, as building contests want them.

Pixels are counted from 1, down the columns from left to right (column-major); the text lists
`start length start length ...` of the runs of ones. A mask without ones is the empty text. The
same runs without the places of the zeros, after transposition, are what pycocotools counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import LabelError

_MOST_DIGITS = 18
"""Longer numbers do not fit 64 bits, and no image has so many pixels."""


def encode_runs(mask: npt.NDArray[Any]) -> str:
    """Write a mask as run lengths.

    Args:
        mask: (height, width); whatever is not 0 is part of a run.

    Returns:
        `start length start length ...`, ascending; empty where the mask is all 0.

    Examples:
        >>> encode_runs(np.array([[0, 1], [1, 1]]))
        '2 3'
    """
    # The padding lets runs begin and end at the ends of the image.
    ones = np.pad(mask.T.ravel() != 0, 1)
    turns = np.flatnonzero(ones[1:] != ones[:-1])
    starts, ends = turns[::2], turns[1::2]
    return " ".join(map(str, np.stack([starts + 1, ends - starts], axis=1).ravel().tolist()))


def decode_runs(
    text: str, shape: tuple[int, int], subject: object = "run lengths"
) -> npt.NDArray[np.bool_]:
    """Read run lengths into a mask.

    Args:
        text: `start length start length ...`; runs may touch and stand in any order.
        shape: Height and width of the mask.
        subject: The file or image they are of, for the error.

    Returns:
        (height, width) True where a run is.

    Raises:
        LabelError: If the text has other than whole numbers, an odd number of them, empty runs,
            runs that leave the image, or runs that overlap.

    Examples:
        >>> decode_runs("2 3", (2, 2)).astype(int).tolist()
        [[0, 1], [1, 1]]
    """
    height, width = shape
    runs = _numbers(text, subject)
    starts, lengths = runs[:, 0] - 1, runs[:, 1]
    _refuse(lengths < 1, runs, subject, "is empty")
    outside = (starts < 0) | (starts >= height * width) | (lengths > height * width - starts)
    _refuse(outside, runs, subject, f"leaves the {height} x {width} pixels of the mask")
    order = np.argsort(starts, kind="stable")
    runs, starts, lengths = runs[order], starts[order], lengths[order]
    overlapping = np.zeros(len(runs), bool)
    overlapping[1:] = starts[1:] < (starts + lengths)[:-1]
    _refuse(overlapping, runs, subject, "overlaps the one before")
    # Runs that touch end and begin at the same pixel: the steps are added up.
    steps = np.zeros(height * width + 1, np.int8)
    np.add.at(steps, starts, 1)
    np.add.at(steps, starts + lengths, -1)
    ones = np.cumsum(steps[:-1], dtype=np.int8).astype(bool)
    return np.ascontiguousarray(ones.reshape(width, height).T)


def _numbers(text: str, subject: object) -> npt.NDArray[np.int64]:
    """The runs (n, 2) of a text: start and length."""
    words = text.split()
    wrong = [w for w in words if not (w.isascii() and w.isdigit() and len(w) <= _MOST_DIGITS)]
    if wrong:
        raise LabelError(
            subject, f"run lengths hold {wrong[0][:20]!r}", "Write `start length ...` from 1"
        )
    if len(words) % 2:
        raise LabelError(
            subject,
            f"run lengths hold {len(words)} numbers, an odd count",
            "Each run is a start and a length",
        )
    return np.array(words, np.int64).reshape(-1, 2)


def _refuse(
    wrong: npt.NDArray[np.bool_], runs: npt.NDArray[np.int64], subject: object, problem: str
) -> None:
    """Name the first run that is wrong, and how many are."""
    if wrong.any():
        start, length = runs[wrong][0].tolist()
        raise LabelError(
            subject,
            f"run `{start} {length}` {problem} ({int(wrong.sum())} of {len(runs)} runs)",
            "Runs are counted from 1, down the columns; check the size of the mask",
        )

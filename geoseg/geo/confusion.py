"""Confusion matrices and the scores that follow from them; plain numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geo.ratios import divide, mean_of

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


def confusion(
    reference: npt.NDArray[Any],
    prediction: npt.NDArray[Any],
    count: int,
    ignore: int | None = None,
) -> Counts:
    """Count the pixels of each pair of reference and predicted class.

    Matrices of parts add up to the matrix of the whole.

    Args:
        reference: Channel indices 0 to `count` - 1 or `ignore`; any shape, unsigned integers.
        prediction: The same for what was predicted; the same shape.
        count: Number of classes.
        ignore: The index that is not counted on either side; by default 255 and 65535, which
            `Legend.encode` puts there, as far as they are no class.

    Returns:
        (count, count) matrix: rows are the reference, columns the prediction.

    Raises:
        ValueError: If the shapes differ, or an index is neither a class nor `ignore`.
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"shapes differ: {reference.shape} and {prediction.shape}")
    ignored = [i for i in (255, 65535) if i >= count] if ignore is None else [ignore]
    counted = np.ones(reference.shape, bool)
    for index in ignored:
        counted &= (reference != index) & (prediction != index)
    rows, columns = reference[counted], prediction[counted]
    _check_indices(rows, count, "reference")
    _check_indices(columns, count, "prediction")
    pairs = rows.astype(np.intp)
    pairs *= count
    pairs += columns
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def scores(
    matrix: npt.NDArray[Any],
    names: Sequence[str] = (),
    left_out: Sequence[int] = (),
) -> dict[str, Any]:
    """Derive every score of a report from a confusion matrix.

    A score that is not defined is NaN, never 0: a class that is neither in the reference nor
    predicted has no IoU and no Dice, one that is never predicted no precision, one that is not
    in the reference no recall. Means go over the classes that have the score. Accuracy is
    recall (producer's accuracy), precision is user's accuracy; on pixels Dice and F1 are the
    same number. `fw_iou` weights each IoU by the class's share of the reference.

    Args:
        matrix: (C, C) pixel counts, rows are the reference.
        names: Name of each class; its index where none is given.
        left_out: Indices of classes that take no part: reference pixels of them are not
            counted, and they stay out of the means. Pixels of another class predicted as one
            of them stay the errors that they are.

    Returns:
        `pixel_accuracy`, `mean_accuracy`, `mean_iou`, `fw_iou`, `mean_dice`, `mean_f1`,
        `kappa` (floats), `confusion` (nested lists of ints), `classes` (one dict a class:
        `name`, `iou`, `dice`, `precision`, `recall`, `f1`, `reference_pixels`,
        `predicted_pixels`).

    Raises:
        ValueError: If the matrix is not square, or the names are not one a class.

    Examples:
        >>> found = scores(np.array([[8, 2], [1, 9]]), ["land", "water"])
        >>> found["pixel_accuracy"], round(found["mean_iou"], 4)
        (0.85, 0.7386)
    """
    matrix = np.array(matrix, dtype=np.int64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a confusion matrix is square, not {matrix.shape}")
    names = list(names) or [str(index) for index in range(len(matrix))]
    if len(names) != len(matrix):
        raise ValueError(f"{len(names)} names for {len(matrix)} classes")
    matrix[list(left_out)] = 0
    by_class = _class_scores(matrix)
    for values in by_class.values():
        values[list(left_out)] = np.nan
    return {
        **_summary(matrix, by_class),
        "confusion": matrix.tolist(),
        "classes": _class_rows(matrix, by_class, names),
    }


def majority_scores(
    matrix: npt.NDArray[Any], left_out: Sequence[int] = (), majority: int | None = None
) -> dict[str, Any]:
    """Score what says the reference's most frequent class everywhere: the bar to clear.

    Args:
        matrix: (C, C) pixel counts, rows are the reference.
        left_out: Indices of classes whose reference pixels are not counted.
        majority: The class it says; by default the most frequent one of this matrix.

    Returns:
        `class` (the index), `pixel_accuracy`, `mean_accuracy`, `mean_iou`, `fw_iou`, `kappa`.

    Raises:
        ValueError: If the matrix is not square.
    """
    reference = np.array(matrix, dtype=np.int64).sum(axis=1)
    reference[list(left_out)] = 0
    best = int(reference.argmax()) if majority is None else majority
    constant = np.zeros((len(reference), len(reference)), np.int64)
    constant[:, best] = reference
    found = scores(constant, left_out=left_out)
    kept = ("pixel_accuracy", "mean_accuracy", "mean_iou", "fw_iou", "kappa")
    return {"class": best, **{key: found[key] for key in kept}}


def _check_indices(indices: npt.NDArray[Any], count: int, side: str) -> None:
    if not indices.size:
        return
    for index in (int(indices.min()), int(indices.max())):
        if not 0 <= index < count:
            raise ValueError(f"index {index} in the {side} is none of the {count} classes")


def _class_scores(matrix: Counts) -> dict[str, Shares]:
    """Every score of a class, NaN where it is not defined."""
    hits = np.diag(matrix)
    reference, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    dice = divide(2 * hits, reference + predicted)
    return {
        "iou": divide(hits, reference + predicted - hits),
        "dice": dice,
        "precision": divide(hits, predicted),
        "recall": divide(hits, reference),
        "f1": dice.copy(),
    }


def _summary(matrix: Counts, by_class: dict[str, Shares]) -> dict[str, float]:
    total = matrix.sum()
    reference, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    frequencies = divide(reference, total)
    present = reference > 0
    by_chance = float(divide(reference @ predicted.astype(np.float64), float(total) ** 2))
    accuracy = float(divide(np.trace(matrix), total))
    return {
        "pixel_accuracy": accuracy,
        "mean_accuracy": mean_of(by_class["recall"]),
        "mean_iou": mean_of(by_class["iou"]),
        "fw_iou": float(frequencies[present] @ by_class["iou"][present])
        if present.any()
        else float("nan"),
        "mean_dice": mean_of(by_class["dice"]),
        "mean_f1": mean_of(by_class["f1"]),
        "kappa": float(divide(accuracy - by_chance, 1 - by_chance)),
    }


def _class_rows(
    matrix: Counts, by_class: dict[str, Shares], names: Sequence[str]
) -> list[dict[str, Any]]:
    reference, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    return [
        {
            "name": name,
            **{key: float(values[index]) for key, values in by_class.items()},
            "reference_pixels": int(reference[index]),
            "predicted_pixels": int(predicted[index]),
        }
        for index, name in enumerate(names)
    ]

"""How many objects of a map are those of its labels: counts, and the scores of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from geoseg.geo.ratios import divide, mean_of

Counts = npt.NDArray[np.int64]

SIZES = (100.0, 1000.0, 10000.0)
"""Square metres that part small objects from larger ones, by default."""

LEAST_IOU = 0.5
"""Intersection over union of two regions that are the same object."""


@dataclass(frozen=True, kw_only=True)
class ObjectCounts:
    """Objects by class and size; those of several maps add up."""

    sizes: tuple[float, ...]
    """(B - 1,) areas that part the sizes, ascending, in `unit`."""

    unit: str
    """`m2`, or `pixels` where there is no CRS."""

    wanted: tuple[int, ...]
    """Indices of the classes whose regions are objects."""

    reference: Counts
    """(2, C, B) objects of the labels: all, and those that are matched."""

    predicted: Counts
    """(2, C, B) objects of the map: all, and those that are matched."""

    ious: npt.NDArray[np.float64]
    """(C,) sum of the IoUs of matched objects."""

    def __add__(self, other: Self) -> ObjectCounts:
        """The counts of both maps."""
        return ObjectCounts(
            sizes=self.sizes,
            unit=self.unit,
            wanted=self.wanted,
            reference=self.reference + other.reference,
            predicted=self.predicted + other.predicted,
            ious=self.ious + other.ious,
        )

    def scores(self, names: Sequence[str], left_out: Sequence[int] = ()) -> dict[str, Any]:
        """Precision, recall and F1 of objects, together, by class and by size.

        An object of the labels is found where a region of the map has the same class and an IoU
        of 0.5 or more with it, as SpaceNet counts (Van Etten et al. 2018, arXiv:1807.01232).
        Precision is the share of the map's objects that are matched, recall that of the labels',
        F1 = 2 matched / (both). By size, those of the labels count by their own areas for the
        recall, those of the map by theirs for the precision.

        Args:
            names: Name of each class.
            left_out: Indices of classes that are no objects here.

        Returns:
            `iou` (0.5), `unit`, `precision`, `recall`, `f1`, `mean_matched_iou`, `reference`,
            `predicted`, `matched` (numbers of objects), `mean_f1` (over classes), `sizes` (one
            dict a size: `from`, `to`, and the same), `classes` (one dict a class: `name`, the
            same, and `sizes`); NaN where undefined.
        """
        chosen = [index for index in self.wanted if index not in left_out]
        classes = [
            {
                "name": names[index],
                **_scores(self.reference[:, index], self.predicted[:, index], self.ious[index]),
                "sizes": self._by_size(self.reference[:, index], self.predicted[:, index]),
            }
            for index in chosen
        ]
        reference, predicted = (c[:, chosen].sum(axis=1) for c in (self.reference, self.predicted))
        return {
            "iou": LEAST_IOU,
            "unit": self.unit,
            **_scores(reference, predicted, float(self.ious[chosen].sum())),
            "mean_f1": mean_of(float(row["f1"]) for row in classes),
            "sizes": self._by_size(reference, predicted),
            "classes": classes,
        }

    def _by_size(self, reference: Counts, predicted: Counts) -> list[dict[str, Any]]:
        lows, highs = [0.0, *self.sizes], [*self.sizes, None]
        return [
            {
                "from": lows[place],
                "to": highs[place],
                **_ratios(reference[:, place], predicted[:, place]),
                "reference": int(reference[0, place]),
                "predicted": int(predicted[0, place]),
                "matched": int(reference[1, place]),
            }
            for place in range(len(lows))
        ]


def _scores(reference: Counts, predicted: Counts, ious: float) -> dict[str, Any]:
    """Scores of (2, B) counts of objects, all sizes together."""
    of_labels, of_map = reference.sum(axis=1), predicted.sum(axis=1)
    return {
        **_ratios(of_labels, of_map),
        "mean_matched_iou": float(divide(ious, of_labels[1])),
        "reference": int(of_labels[0]),
        "predicted": int(of_map[0]),
        "matched": int(of_labels[1]),
    }


def _ratios(reference: Counts, predicted: Counts) -> dict[str, float]:
    """Scores of (2,) counts; matched ones may differ, where objects are told apart by size."""
    recall, precision = divide(reference[1], reference[0]), divide(predicted[1], predicted[0])
    f1 = divide(reference[1] + predicted[1], reference[0] + predicted[0])
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}

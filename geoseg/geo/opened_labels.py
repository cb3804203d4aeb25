"""Label files of one legend, each opened once, though many scenes may share it."""

from __future__ import annotations

from geoseg.geo.labels import LabelOptions, Labels
from geoseg.geo.legend import Legend


class OpenedLabels:
    """Opens label files as they are asked for.

    Args:
        legend: The classes.
        options: How the files are read.
    """

    def __init__(self, legend: Legend, options: LabelOptions) -> None:
        self._legend = legend
        self._options = options
        self._opened: dict[str, Labels] = {}

    def open(self, path: str) -> Labels:
        """The labels of a file, as classes of the legend.

        Raises:
            LabelError: If it cannot be read, or does not fit the legend.
        """
        if path not in self._opened:
            self._opened[path] = Labels.open(path, self._legend, self._options)
        return self._opened[path]

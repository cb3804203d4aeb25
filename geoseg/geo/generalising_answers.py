"""What becomes of each beginning of a region: a class each, in raster order.

That is all that is kept between the pass over a raster that decides and the one that writes.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from geoseg.geo.class_rows import Block, ClassRows
from geoseg.geo.compiled import compiled, inlined
from geoseg.geo.generalising_graph import Ints, Longs

_CHUNK = 1 << 20
"""Answers in a chunk."""

_CHUNKS = 24
"""Chunks in memory; the others lie in a temporary file."""


class Answers:
    """Classes by number, of which any may be changed until all are there.

    Args:
        dtype: Of the classes.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.is_changed = False
        self._dtype = dtype
        self._count = 0
        # The chunk used last is the last one.
        self._chunks: dict[int, npt.NDArray[Any]] = {}
        self._file: IO[bytes] | None = None

    def append(self, classes: Ints) -> None:
        """Add answers behind those there are."""
        while len(classes):
            chunk, place = divmod(self._count, _CHUNK)
            added = classes[: _CHUNK - place]
            self._chunk(chunk)[place : place + len(added)] = added
            self._count += len(added)
            classes = classes[len(added) :]

    def change(self, numbers: Longs, classes: Ints) -> None:
        """Replace answers."""
        if not len(numbers):
            return
        self.is_changed = True
        chunks = numbers // _CHUNK
        order = np.argsort(chunks, kind="stable")
        found, begins = np.unique(chunks[order], return_index=True)
        for chunk, places in zip(found, np.split(order, begins[1:]), strict=True):
            self._chunk(int(chunk))[numbers[places] % _CHUNK] = classes[places]

    def read(self, begin: int, count: int) -> npt.NDArray[Any]:
        """Answers (count,) from number `begin` on."""
        found = np.empty(count, self._dtype)
        done = 0
        while done < count:
            chunk, place = divmod(begin + done, _CHUNK)
            part = self._chunk(chunk)[place : place + count - done]
            found[done : done + len(part)] = part
            done += len(part)
        return found

    def _chunk(self, number: int) -> npt.NDArray[Any]:
        chunk = self._chunks.pop(number, None)
        if chunk is None:
            if len(self._chunks) >= _CHUNKS:
                self._put_away(next(iter(self._chunks)))
            chunk = self._fetch(number)
        self._chunks[number] = chunk
        return chunk

    def _put_away(self, number: int) -> None:
        """Write a chunk to the temporary file."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="geoseg-")  # noqa: SIM115 (closed with self)
            weakref.finalize(self, self._file.close)
        self._file.seek(number * _CHUNK * self._dtype.itemsize)
        self._file.write(self._chunks.pop(number).data)

    def _fetch(self, number: int) -> npt.NDArray[Any]:
        """A chunk from the temporary file; zeros where there is nothing yet."""
        chunk = np.zeros(_CHUNK, self._dtype)
        if self._file is not None:
            self._file.seek(number * chunk.nbytes)
            found = np.frombuffer(self._file.read(chunk.nbytes), self._dtype)
            chunk[: len(found)] = found
        return chunk


def answered(rows: ClassRows, nodata: int, answers: Answers) -> Iterator[Block]:
    """The rows with what has been answered.

    Args:
        rows: The rows that the answers are about.
        nodata: The value that has no answers; -1 where there is none.
        answers: A class for each beginning.
    """
    above = filled = np.zeros(0, rows.dtype)
    begin = 0
    for top, values in rows.blocks():
        count = _count_beginnings(values, above, nodata)
        block = np.empty_like(values)
        _fill_rows(values, (above, filled), answers.read(begin, count), nodata, block)
        begin += count
        above, filled = values[-1].copy(), block[-1].copy()
        yield top, block


@inlined
def _find_above(values: npt.NDArray[Any], above: npt.NDArray[Any], begin: int) -> tuple[int, int]:
    """The end of a run, and a column of it with an equal pixel above; -1 if there is none."""
    found, col = -1, begin
    while col < len(values) and values[col] == values[begin]:
        if found < 0 and len(above) > 0 and above[col] == values[col]:
            found = col
        col += 1
    return col, found


@compiled
def _count_beginnings(values: npt.NDArray[Any], above: npt.NDArray[Any], nodata: int) -> int:
    """Count the beginnings in rows (height, width) below the row `above`."""
    count = 0
    for row in range(len(values)):
        col = 0
        while col < values.shape[1]:
            begin = col
            col, found = _find_above(values[row], above, begin)
            count += found < 0 and values[row, begin] != nodata
        above = values[row]
    return count


@compiled
def _fill_rows(
    values: npt.NDArray[Any],
    before: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    answers: npt.NDArray[Any],
    nodata: int,
    block: npt.NDArray[Any],
) -> None:
    """Fill rows (height, width) of `block`; `before` is the row above, before and after."""
    above, filled = before
    place = 0
    for row in range(len(values)):
        col = 0
        while col < values.shape[1]:
            begin = col
            col, found = _find_above(values[row], above, begin)
            value = values[row, begin]
            if found >= 0:
                value = filled[found]
            elif value != nodata:
                value = answers[place]
                place += 1
            block[row, begin:col] = value
        above, filled = values[row], block[row]

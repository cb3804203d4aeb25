"""Label images in MATLAB files, as the Semantic Boundaries Dataset and COCO-Stuff 10k hold them.

Files are data from strangers: only plain arrays are taken from them, of a bounded size.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from geoseg.errors import LabelError

KNOWN = ("GTcls.Segmentation", "S")
"""Where label images are looked for: the classes of SBD, those of COCO-Stuff 10k."""

_MOST_BYTES = 64 * 2**20
"""Label images are small; a larger file is not one, or is made to hurt."""

_HEADER_BYTES, _COMPRESSED, _STEP_BYTES = 128, 15, 1 << 16
"""Of version 5: its header, the kind of an element that is packed, and what is looked at once."""

_BROKEN = (
    *(OSError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, MemoryError),
    *(NotImplementedError, MatReadError, zlib.error),
)
"""What scipy raises on files that are no MATLAB files, or damaged ones."""


def read_mat_labels(path: str | Path, variable: str | None = None) -> npt.NDArray[Any]:
    """Read the label image of a MATLAB file (version 4 to 7.2).

    Args:
        path: The file.
        variable: Name of the array; `a.b` is field `b` of the structure `a`. None looks for those
            in `KNOWN`, and then for the only array that can be one.

    Returns:
        (height, width) whole numbers, of the smallest unsigned type of 8 or 16 bits.

    Raises:
        LabelError: If the file cannot be read, or has no such array, or the array is no image of
            whole numbers from 0 to 65535.
    """
    path = Path(path)
    content = _load(path)
    if variable is not None:
        found = _find(content, variable)
        if found is None:
            raise _nothing(path, content, f"has no array {variable}")
        return _labels(found, path, variable)
    for name in KNOWN:
        found = _find(content, name)
        if found is not None:
            return _labels(found, path, name)
    images = [name for name, value in content.items() if _is_image(value)]
    if len(images) != 1:
        raise _nothing(path, content, f"has {len(images)} arrays that may be labels")
    return _labels(content[images[0]], path, images[0])


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise LabelError(path, "is too large for a label image", "Save the labels alone")
        _check_growth(path)
        with path.open("rb") as file:
            content: dict[str, Any] = loadmat(file, appendmat=False)
    except NotImplementedError as error:
        raise LabelError(
            path, "is a MATLAB file of version 7.3", "Save it by `save -v7` again"
        ) from error
    except _BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise LabelError(
            path, f"is not a MATLAB file that can be read ({reason})", "Check the file"
        ) from error
    return {name: value for name, value in content.items() if not name.startswith("__")}


def _check_growth(path: Path) -> None:
    """Refuse arrays that grow beyond bounds when they are unpacked, as some bytes can do.

    Raises:
        LabelError: If they do.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        order = {b"IM": "<", b"MI": ">"}.get(header[-2:])
        if len(header) < _HEADER_BYTES or order is None:  # version 4, which packs nothing
            return
        left = _MOST_BYTES
        while len(tag := file.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            if kind != _COMPRESSED:
                file.seek(size, 1)
                continue
            unpack = zlib.decompressobj()
            for start in range(0, size, _STEP_BYTES):
                packed = file.read(min(_STEP_BYTES, size - start))
                while packed and left >= 0:
                    left -= len(unpack.decompress(packed, _STEP_BYTES))
                    packed = unpack.unconsumed_tail
                if left < 0:
                    problem = f"holds more than {_MOST_BYTES >> 20} MiB, packed"
                    raise LabelError(path, problem, "Save the labels alone")


def _find(content: dict[str, Any], variable: str) -> npt.NDArray[Any] | None:
    """The array of that name; structures are arrays of one element."""
    first, *fields = variable.split(".")
    value = content.get(first)
    for field in fields:
        names = value.dtype.names if isinstance(value, np.ndarray) else None
        if value is None or field not in (names or ()) or value.size != 1:
            return None
        value = value[field].item()
    return value if isinstance(value, np.ndarray) else None


def _is_image(value: object) -> bool:
    return (
        isinstance(value, np.ndarray)
        and value.ndim == 2
        and value.dtype.kind in "uif"
        and min(value.shape) > 1
    )


def _labels(value: npt.NDArray[Any], path: Path, name: str) -> npt.NDArray[Any]:
    if value.ndim != 2 or not value.size or value.dtype.kind not in "uifb":
        raise LabelError(
            path, f"{name} is {value.dtype} {value.shape}, no label image", "Name another array"
        )
    low, high = value.min(), value.max()
    if not (low >= 0 and high <= np.iinfo(np.uint16).max):
        raise LabelError(path, f"{name} holds {low} to {high}, not 0 to 65535", "Name another")
    labels = value.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16)
    if not np.array_equal(labels, value):
        raise LabelError(path, f"{name} holds fractions, not classes", "Name another array")
    return labels


def _nothing(path: Path, content: dict[str, Any], problem: str) -> LabelError:
    names = []
    for name, value in content.items():
        fields = value.dtype.names if isinstance(value, np.ndarray) else None
        names += [f"{name}.{field}" for field in fields] if fields else [name]
    return LabelError(path, problem, f"It holds {', '.join(names) or 'nothing'}")

"""Folders of masks to tables of run lengths, and back."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from geoseg.errors import LabelError, WorkError
from geoseg.geo.label_images import LabelImage
from geoseg.geo.paths import find_scenes
from geoseg.geo.rle import encode_runs
from geoseg.geo.values import list_counts


def mask_of(image: LabelImage, value: int | None) -> npt.NDArray[np.bool_]:
    """The pixels that are to be encoded.

    Args:
        image: A mask of one band; of red, green and blue only if they are alike.
        value: The value that counts; None takes whatever is not 0, of which there must be but one.

    Returns:
        (height, width) True where the mask is; False where it is hidden.

    Raises:
        LabelError: If the mask has colours, or several values and `value` is None.
        SceneError: If the file is damaged.
    """
    mask = np.zeros(image.grid.shape, bool)
    found: dict[int, int] = {}
    for window in image.windows():
        keys, valid = image.read(window)
        if image.is_rgb:
            keys = _grays(keys, image.path)
        rows = slice(window.row_off, window.row_off + window.height)
        chosen = (keys != 0) if value is None else (keys == value)
        mask[rows] = chosen & valid
        if value is None:
            values, counts = np.unique(keys[mask[rows]], return_counts=True)
            for key, count in zip(values.tolist(), counts.tolist(), strict=True):
                found[key] = found.get(key, 0) + count
    if len(found) > 1:
        raise LabelError(
            image.path,
            f"holds several classes: {list_counts(found, 'pixels')}",
            "Name the one to encode by --value",
        )
    return mask


def encode_mask(image: LabelImage, value: int | None) -> str:
    """Run lengths of a mask; see `mask_of`."""
    return encode_runs(mask_of(image, value))


def order_names(
    names: Mapping[str, str], wanted: Sequence[str] | None, subject: object
) -> dict[str, str]:
    """The masks that a table is to list, in its order.

    Args:
        names: Mask file by the name that the table gives it.
        wanted: Names in the order of a sample table; None takes all in order of name.
        subject: The sample table, for the error.

    Raises:
        LabelError: If there is no mask of a name wanted; the suffix does not matter.
    """
    if wanted is None:
        return dict(sorted(names.items()))
    by_stem = {Path(name).stem: path for name, path in names.items()}
    missing = [name for name in wanted if Path(name).stem not in by_stem]
    if missing:
        raise LabelError(
            subject,
            f"names {len(missing)} images without a mask: {', '.join(missing[:5])}",
            "Predict them, too",
        )
    return {name: by_stem[Path(name).stem] for name in wanted}


def mask_names(names: Iterable[str], subject: object) -> dict[str, str]:
    """File name of the mask of each image of a table: its stem and `.png`.

    Raises:
        LabelError: If a name leads out of the folder, or two have one stem.
    """
    files: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name in names:
        _refuse_path(name, subject)
        file = f"{Path(name).stem}.png"
        owner = owners.setdefault(file.lower(), name)
        if owner != name:
            raise LabelError(subject, f"{owner} and {name} would be one file", "Rename one")
        files[name] = file
    return files


def image_files(folder: str | Path, names: Iterable[str]) -> dict[str, str]:
    """Find the image of each name of a table: the file of that name, or of its stem.

    Raises:
        SceneError: If the folder holds no images.
        LabelError: If a name has no image in it.
    """
    paths = find_scenes([str(folder)])
    by_stem = {Path(path).stem: path for path in paths}
    by_name = {Path(path).name: path for path in paths}
    found = {name: by_name.get(name, by_stem.get(Path(name).stem)) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise LabelError(
            folder,
            f"lacks {len(missing)} images of the table: {', '.join(missing[:5])}",
            "Name the folder of all, or give --size",
        )
    return {name: path for name, path in found.items() if path is not None}


def write_mask(path: Path, mask: npt.NDArray[np.bool_], value: int) -> None:
    """Write a mask as a PNG of 0 and `value`, into a folder that is published as a whole.

    Raises:
        WorkError: If the file system fails.
    """
    content = io.BytesIO()
    Image.fromarray(mask * np.uint8(value)).save(content, format="PNG")
    try:
        path.write_bytes(content.getvalue())
    except OSError as error:
        raise WorkError(path, error.strerror or str(error), "Check the disk") from error


def _refuse_path(name: str, subject: object) -> None:
    """Names come from strangers: they name files of one folder and nothing else."""
    parts = {PurePosixPath(name).name, PureWindowsPath(name).name}
    if parts != {name} or name in ("", ".", "..") or not name.isprintable():
        raise LabelError(subject, f"names {name!r}, which is no file name", "Mend the table")


def _grays(colors: npt.NDArray[np.uint32], path: str) -> npt.NDArray[np.uint8]:
    grays = (colors & 255).astype(np.uint8)
    colored = colors != grays.astype(np.uint32) * 0x010101
    if colored.any():
        raise LabelError(path, "has colours, a mask is gray", "Run relabel to-index first")
    return grays

"""Alpha bands that are asked for by number: data like the other bands, and no mask.

Four bytes a pixel are often tagged as red, green, blue and alpha though the fourth is infrared.
GDAL looks at the tag wherever it resamples or warps, so the file is seen through a VRT that has
no such tag.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile

from geoseg.errors import SceneError
from geoseg.geo.gdal import GDAL_ERRORS, reason
from geoseg.geo.validity import alpha_band

_TAG, _NO_TAG = "<ColorInterp>Alpha</ColorInterp>", "<ColorInterp>Undefined</ColorInterp>"


def names_alpha(dataset: DatasetReader, bands: Iterable[int | str] | None) -> bool:
    """Whether the bands asked for include the alpha band, by its number.

    Args:
        dataset: A file.
        bands: Numbers from 1, or names; a number may be text, as on the command line.
    """
    alpha = alpha_band(dataset)
    if alpha is None or bands is None:
        return False
    names = {name or "" for name in dataset.descriptions}
    return any(
        band == alpha or (str(band).strip() == str(alpha) and str(alpha) not in names)
        for band in bands
    )


def without_alpha(path: str, dataset: DatasetReader) -> DatasetReader:
    """The same raster without a tag that makes a band alpha; `dataset` is closed.

    Args:
        path: Of the file, for errors.
        dataset: The file.

    Raises:
        SceneError: If it cannot be opened anew.
    """
    try:
        with dataset, MemoryFile(ext=".vrt") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            rasterio.shutil.copy(dataset, file.name, driver="VRT")
            text = file.read().decode("utf-8").replace(_TAG, _NO_TAG)
            view = DatasetReader(text, driver=["VRT"])
            _ = view.mask_flag_enums  # masks are looked for when first asked
            return view
    except GDAL_ERRORS as error:
        raise SceneError(path, f"cannot be read ({reason(error)})", "Check the file") from error

"""Names of bands: which of the data's is which of a sensor's, however it is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

Sensor = Literal["sentinel2", "sentinel1", "landsat_tm", "landsat_etm", "landsat_oli", "rgb", ""]

_COLORS: dict[str, dict[str, str]] = {
    "sentinel2": {
        "b1": "coastal", "b2": "blue", "b3": "green", "b4": "red", "b5": "rededge1",
        "b6": "rededge2", "b7": "rededge3", "b8": "nir", "b8a": "nir08", "b9": "watervapour",
        "b10": "cirrus", "b11": "swir16", "b12": "swir22",
    },
    "landsat_tm": {
        "b1": "blue", "b2": "green", "b3": "red", "b4": "nir", "b5": "swir16", "b6": "thermal",
        "b7": "swir22",
    },
    "landsat_etm": {
        "b1": "blue", "b2": "green", "b3": "red", "b4": "nir", "b5": "swir16",
        "b6vcid1": "thermal", "b6vcid2": "thermal2", "b7": "swir22", "b8": "pan",
    },
    "landsat_oli": {
        "b1": "coastal", "b2": "blue", "b3": "green", "b4": "red", "b5": "nir", "b6": "swir16",
        "b7": "swir22", "b8": "pan", "b9": "cirrus", "b10": "thermal", "b11": "thermal2",
    },
}  # fmt: skip
"""Per sensor, what each numbered band shows, in the words of STAC's common names."""

_SAME: dict[str, str] = {
    "r": "red", "g": "green", "b": "blue", "n": "nir", "nearinfrared": "nir", "ir": "nir",
    "aerosol": "coastal", "coastalaerosol": "coastal", "ultrablue": "coastal",
    "rededge": "rededge1", "re1": "rededge1", "re2": "rededge2", "re3": "rededge3",
    "rededge071": "rededge1", "rededge075": "rededge2", "rededge078": "rededge3",
    "vegetationrededge1": "rededge1", "vegetationrededge2": "rededge2",
    "vegetationrededge3": "rededge3", "nir1": "nir", "narrownir": "nir08", "nirnarrow": "nir08",
    "rededge4": "nir08", "nir8a": "nir08", "watervapor": "watervapour", "nir09": "watervapour",
    "wv": "watervapour", "swir1": "swir16", "swir2": "swir22", "swir": "swir16",
    "panchromatic": "pan", "lwir": "thermal", "lwir11": "thermal", "lwir12": "thermal2",
    "tirs1": "thermal", "tirs2": "thermal2", "tir": "thermal",
}  # fmt: skip
"""Other words for the same."""

_WAVELENGTHS: dict[str, float] = {
    "coastal": 0.443, "blue": 0.49, "green": 0.56, "red": 0.665, "rededge1": 0.705,
    "rededge2": 0.74, "rededge3": 0.783, "nir": 0.842, "nir08": 0.865, "watervapour": 0.945,
    "cirrus": 1.375, "swir16": 1.61, "swir22": 2.19,
}  # fmt: skip
"""Centres in micrometres, as the Sentinel-2 user handbook rounds them."""

_NUMBERED = re.compile(r"(?:sr|toa|boa|l1c|l2a|s2|ls|st)?b(?:and)?0*([1-9]\d?)(a|vcid[12])?")


def band_key(name: str, sensor: Sensor = "") -> str:
    """Write the name of a band in one way.

    Args:
        name: Such as `B02`, `Band 2`, `SR_B2`, `blue` or `b`.
        sensor: What its numbers mean; nothing is known about numbers where it is empty.

    Returns:
        A common name (`blue`), else `b2` for a number, else the name in small letters; empty
        for an empty name.
    """
    plain = re.sub(r"[^a-z0-9]", "", name.casefold())
    numbered = _NUMBERED.fullmatch(plain)
    if numbered:
        number = f"b{numbered[1]}{numbered[2] or ''}"
        return _COLORS.get(sensor, {}).get(number, number)
    return _SAME.get(plain, plain)


def match_bands(
    bands: Sequence[str], known: Sequence[str], sensor: Sensor = ""
) -> tuple[int | None, ...]:
    """Find each band of the data among those that weights were made for.

    Args:
        bands: Names of the data's bands; empty strings where they have none.
        known: Names of the weights' bands.
        sensor: Of the weights.

    Returns:
        For each of `bands` its place in `known`; None where it is not there.
    """
    keys = [band_key(name, sensor) for name in known]
    wanted = [band_key(name, sensor) for name in bands]
    return tuple(keys.index(key) if key and key in keys else None for key in wanted)


def wavelengths(bands: Sequence[str], sensor: Sensor = "sentinel2") -> tuple[float | None, ...]:
    """The centre of each band in micrometres; None where its name does not tell.

    Args:
        bands: Names; numbers are taken for those of `sensor`.
        sensor: What numbers mean.
    """
    return tuple(_WAVELENGTHS.get(band_key(name, sensor)) for name in bands)

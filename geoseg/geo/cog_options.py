"""Creation options of GDAL's COG driver, refused before work begins rather than at its end.

GDAL itself ignores options and values that it does not know, with no more than a warning.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import rasterio.shutil
from rasterio.env import GDALVersion
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from geoseg.errors import ConfigError
from geoseg.geo.gdal import GDAL_ERRORS, reason


@dataclass(frozen=True, kw_only=True)
class _Number:
    """A number between two limits."""

    least: float
    most: float
    step: int | None = 1
    """Whole numbers that are multiples of this; None allows fractions."""

    def takes(self, value: str) -> bool:
        pattern = r"-?\d+" if self.step else r"-?\d+(\.\d*)?([eE][+-]?\d+)?"
        if not re.fullmatch(pattern, value, re.ASCII):
            return False
        number = float(value)
        return self.least <= number <= self.most and (not self.step or number % self.step == 0)

    def __str__(self) -> str:
        if not self.step:
            return f"a number from {self.least:g} to {self.most:g}"
        kind = "a whole number" if self.step == 1 else f"a multiple of {self.step}"
        return f"{kind} from {self.least:g} to {self.most:g}"


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """One of a few words, or a number where that is said."""

    words: tuple[str, ...]
    or_number: _Number | None = None

    def takes(self, value: str) -> bool:
        by_number = self.or_number is not None and self.or_number.takes(value)
        return by_number or value.upper() in self.words

    def __str__(self) -> str:
        words = ", ".join(self.words)
        return words if self.or_number is None else f"{words} or {self.or_number}"


_LOSSY = ("JPEG", "WEBP", "LERC", "LERC_DEFLATE", "LERC_ZSTD", "JXL")
_COMPRESSIONS = _Choice(words=("NONE", "LZW", "DEFLATE", "ZSTD", "LZMA", *_LOSSY))
_PREDICTORS = _Choice(words=("YES", "NO", "STANDARD", "FLOATING_POINT", "2", "3"))
_SWITCH = _Choice(words=("YES", "NO", "TRUE", "FALSE", "ON", "OFF"))
_QUALITY = _Number(least=1, most=100)
_CLASS_RESAMPLING = ("MODE", "NEAREST")
_RESAMPLING = ("AVERAGE", "BILINEAR", "CUBIC", "CUBICSPLINE", "LANCZOS", "RMS", "GAUSS")

_OPTIONS: dict[str, _Choice | _Number] = {
    "COMPRESS": _COMPRESSIONS,
    "LEVEL": _Number(least=1, most=22),
    "PREDICTOR": _PREDICTORS,
    "QUALITY": _QUALITY,
    "MAX_Z_ERROR": _Number(least=0, most=1e30, step=None),
    "BLOCKSIZE": _Number(least=128, most=4096, step=16),
    "BIGTIFF": _Choice(words=("YES", "NO", "IF_NEEDED", "IF_SAFER")),
    "NUM_THREADS": _Choice(words=("ALL_CPUS",), or_number=_Number(least=1, most=1024)),
    "OVERVIEWS": _Choice(words=("AUTO", "IGNORE_EXISTING", "NONE")),
    "OVERVIEW_COUNT": _Number(least=0, most=30),
    "OVERVIEW_RESAMPLING": _Choice(words=(*_CLASS_RESAMPLING, *_RESAMPLING)),
    "OVERVIEW_COMPRESS": _COMPRESSIONS,
    "OVERVIEW_PREDICTOR": _PREDICTORS,
    "OVERVIEW_QUALITY": _QUALITY,
    "GEOTIFF_VERSION": _Choice(words=("AUTO", "1.0", "1.1")),
    "SPARSE_OK": _SWITCH,
    "STATISTICS": _Choice(words=("AUTO", *_SWITCH.words)),
}
"""What may be given. Options that move pixels, narrow values or name foreign metadata may not."""

_SINCE: dict[str, tuple[str, _Choice | _Number]] = {
    "INTERLEAVE": ("3.11", _Choice(words=("BAND", "PIXEL", "TILE"))),
}
"""Options that older versions of GDAL do not know."""

_FIXED = {
    **dict.fromkeys(
        (
            *("TILING_SCHEME", "ZOOM_LEVEL", "ZOOM_LEVEL_STRATEGY", "TARGET_SRS", "RES", "EXTENT"),
            *("ALIGNED_LEVELS", "ADD_ALPHA", "WARP_RESAMPLING"),
        ),
        "would move pixels, which lie on the scene's own grid",
    ),
    "NBITS": "would cut values off",
    "RESAMPLING": "has no effect beside OVERVIEW_RESAMPLING",
}
"""Options of GDAL that are not the user's, and why."""

_HIGHEST_LEVEL = {"DEFLATE": 12, "LERC_DEFLATE": 12, "LZMA": 9}


def check_options(options: Mapping[str, str], *, holds_classes: bool) -> None:
    """Refuse creation options that GDAL would ignore, or that spoil the raster.

    Args:
        options: Values by key, in any case.
        holds_classes: Whether the values are classes, of which no mean may be taken.

    Raises:
        ConfigError: If a key or a value is unknown, or changes what the raster holds.
    """
    given = upper_keys(options)
    for key, value in given.items():
        _check_key(key)
        known = _known()[key]
        if not known.takes(value):
            raise ConfigError(f"--co {key}", f"{value!r} is unknown", f"Give {known}")
    method = given.get("COMPRESS", "DEFLATE").upper()
    highest = _HIGHEST_LEVEL.get(method, 22)
    if "LEVEL" in given and int(given["LEVEL"]) > highest:
        raise ConfigError(
            "--co LEVEL", f"{method} has levels from 1 to {highest}", "Give one of them"
        )
    if holds_classes:
        _check_classes(given)


def try_options(options: Mapping[str, str], *, dtype: str, count: int) -> None:
    """Let GDAL write a few pixels, and refuse what it refuses for rasters of this kind.

    Args:
        options: Values by key, as `check_options` lets them pass.
        dtype: Of the bands.
        count: Bands.

    Raises:
        ConfigError: If the options do not go with the type or number of bands, with one another,
            or with this build of GDAL.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with MemoryFile() as plain, MemoryFile(ext=".tif") as made:
            with plain.open(driver="GTiff", width=16, height=16, count=count, dtype=dtype):
                pass
            try:
                rasterio.shutil.copy(plain.name, made.name, driver="COG", **upper_keys(options))
            except GDAL_ERRORS as error:
                words = " ".join(f"{key}={value}" for key, value in options.items())
                raise ConfigError(
                    f"--co {words}",
                    f"GDAL cannot write {count} bands of {dtype} so ({_told(error)})",
                    "Leave it out, or give another value",
                ) from error


def is_lossy(options: Mapping[str, str]) -> bool:
    """Whether the compression may change values."""
    return upper_keys(options).get("COMPRESS", "").upper() in _LOSSY


def upper_keys(options: Mapping[str, str]) -> dict[str, str]:
    """The options with keys as GDAL writes them."""
    return {key.upper(): value for key, value in options.items()}


def _known() -> dict[str, _Choice | _Number]:
    """The options of the GDAL at hand."""
    running = GDALVersion.runtime()
    newer = {key: known for key, (since, known) in _SINCE.items() if running.at_least(since)}
    return _OPTIONS | newer


def _check_key(key: str) -> None:
    if key in _FIXED:
        raise ConfigError(f"--co {key}", _FIXED[key], "Leave it out")
    known = _known()
    if key not in known:
        near = get_close_matches(key, known, n=1)
        cure = f"Did you mean {near[0]}" if near else f"Known are {', '.join(known)}"
        raise ConfigError(f"--co {key}", "is no option of GDAL's COG driver", cure)


def _check_classes(options: Mapping[str, str]) -> None:
    for key in ("COMPRESS", "OVERVIEW_COMPRESS"):
        method = options.get(key, "").upper()
        if method in _LOSSY:
            raise ConfigError(
                f"--co {key}", f"{method} may change class values", "Choose DEFLATE, ZSTD or LZW"
            )
    method = options.get("OVERVIEW_RESAMPLING", "MODE").upper()
    if method not in _CLASS_RESAMPLING:
        raise ConfigError(
            "--co OVERVIEW_RESAMPLING",
            f"{method} would mix class values",
            f"Choose {' or '.join(_CLASS_RESAMPLING)}",
        )


def _told(error: BaseException) -> str:
    """What GDAL says, without the name of the file in memory."""
    return re.sub(r"\S*[0-9a-f]{8}-[0-9a-f-]{27}\S*\s*", "", reason(error))

"""Which `geoseg` is run, and with which environment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

SETTING = "geoseg/executable"
"""Key of QGIS's settings that names the command."""

VARIABLE = "GEOSEG_EXE"
"""Variable of the environment that names it where the setting is empty."""

_OF_QGIS = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONEXECUTABLE", "PYTHONSTARTUP", "VIRTUAL_ENV"),
    *("QGIS_PREFIX_PATH", "QGIS_PLUGINPATH"),
    *("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH"),
)
"""Variables by which a Python or GDAL would load the modules, drivers and tables of QGIS's own."""

_PLACES = ("bin/geoseg", "Scripts/geoseg.exe", "geoseg", "geoseg.exe")
"""Where the command may lie in the folder of an environment."""


class NotFoundError(Exception):
    """There is no command to run; the text tells the cure."""


def find_geoseg(setting: str, environ: Mapping[str, str]) -> str:
    """The path of the command.

    Args:
        setting: What QGIS's settings name: the command, the folder of an environment, or nothing.
        environ: Variables; `GEOSEG_EXE` counts where the setting is empty, then `PATH`.

    Returns:
        The path of the command.

    Raises:
        NotFoundError: If what is named is no command, or none is found.
    """
    for source, named in (
        (f"the setting {SETTING}", setting),
        (f"the variable {VARIABLE}", environ.get(VARIABLE, "")),
    ):
        if named.strip():
            return _command(Path(named.strip()).expanduser(), source)
    found = shutil.which("geoseg", path=environ.get("PATH"))
    if found is None:
        problem = "The command geoseg was not found."
        raise NotFoundError(f"{problem} Choose it in Plugins > geoseg: choose the command.")
    return found


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for the command: without those by which QGIS points at its own libraries."""
    kept = {name: value for name, value in environ.items() if name not in _OF_QGIS}
    return {**kept, "PYTHONIOENCODING": "utf-8"}


def _command(path: Path, source: str) -> str:
    files = [path / place for place in _PLACES] if path.is_dir() else [path]
    for file in files:
        if file.is_file() and os.access(file, os.X_OK):
            return str(file)
    raise NotFoundError(f"No command geoseg at {path}, which {source} names. Choose another.")

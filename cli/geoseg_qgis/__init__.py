"""QGIS Processing provider that runs the command `geoseg` of an environment of its own.

QGIS brings its own Python, with its own numpy and GDAL; geoseg brings others. So the two meet
through a process: nothing of geoseg, and nothing heavy, is imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoseg_qgis.plugin import GeosegPlugin


def classFactory(iface: Any) -> GeosegPlugin:
    """What QGIS calls to load the plugin."""
    from geoseg_qgis.plugin import GeosegPlugin

    return GeosegPlugin(iface)

"""The plugin: a Processing provider, and a menu entry that chooses the command."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtWidgets import QFileDialog

from geoseg_qgis.environment import SETTING
from geoseg_qgis.provider import GeosegProvider


class GeosegPlugin:
    """What QGIS loads and unloads.

    Args:
        iface: The window of QGIS; None where there is none, as in `qgis_process`.
    """

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._provider: GeosegProvider | None = None
        self._action: Any = None

    def initProcessing(self) -> None:
        """Offer the algorithms; all that `qgis_process` calls."""
        self._provider = GeosegProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """Offer the algorithms and the menu entry."""
        self.initProcessing()
        # An action of QGIS's own menu: the class QAction has another home in Qt 5 and in Qt 6.
        self._action = self._iface.pluginMenu().addAction("geoseg: choose the command…")
        self._action.triggered.connect(self._choose)

    def unload(self) -> None:
        """Take everything back."""
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
        if self._action is not None:
            self._iface.pluginMenu().removeAction(self._action)
            self._action = None

    def _choose(self) -> None:
        settings = QgsSettings()
        path, _ = QFileDialog.getOpenFileName(
            self._iface.mainWindow(),
            "The command geoseg, in the folder bin of its environment",
            settings.value(SETTING, ""),
        )
        if path:
            settings.setValue(SETTING, path)

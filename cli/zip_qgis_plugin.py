"""Pack the QGIS plugin: `python cli/zip_qgis_plugin.py` makes `dist/geoseg_qgis.zip`.

The same files give the same bytes, wherever and whenever they are packed.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

PLUGIN = Path(__file__).parent / "geoseg_qgis"
LICENSE = Path(__file__).parents[1] / "LICENSE"
_SUFFIXES = {".py", ".txt", ".svg"}
_DATE = (1980, 1, 1, 0, 0, 0)


def pack(output: Path) -> None:
    """Write the zip, with the folder `geoseg_qgis` at its top.

    Args:
        output: The zip; its folder is made.
    """
    files = [path for path in sorted(PLUGIN.iterdir()) if path.suffix in _SUFFIXES]
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w") as packed:
        for path in [LICENSE, *files]:
            entry = zipfile.ZipInfo(f"{PLUGIN.name}/{path.name}", _DATE)
            entry.compress_type = zipfile.ZIP_STORED  # deflated bytes differ between zlibs
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            packed.writestr(entry, path.read_bytes())


def main(words: Sequence[str] | None = None) -> int:
    """Pack by the words of a command line."""
    parser = argparse.ArgumentParser(description="Pack the QGIS plugin.")
    parser.add_argument("-o", "--output", type=Path, default=Path("dist/geoseg_qgis.zip"))
    chosen = parser.parse_args(words)
    pack(chosen.output)
    sys.stdout.write(f"{chosen.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

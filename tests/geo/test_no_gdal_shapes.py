"""GDAL traces no polygons here: two threads that ask at once wait for each other for ever."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_outlines_are_traced_without_gdal():
    for path in [*(ROOT / "geoseg").rglob("*.py"), *(ROOT / "cli" / "geoseg_cli").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.Attribute) and ast.unparse(node).endswith(
                "features.shapes"
            )
            imported = isinstance(node, ast.ImportFrom) and node.module == "rasterio.features"
            names = {each.name for each in node.names} if imported else set()
            assert not named and not names & {"shapes", "sieve", "dataset_features"}, path

"""Whatever writes a file does so through `publish`, or is named here with the reason why not."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "geoseg").rglob("*.py"), *(ROOT / "cli" / "geoseg_cli").rglob("*.py")])

WRITERS = {
    "write_text", "write_bytes", "savefig", "to_file", "to_csv", "to_parquet", "to_feather",
    "write_dataframe", "write_arrow", "ParquetWriter", "save_file", "imwrite", "save_model",
    "copyfile", "copy2", "replace", "rename", "mkstemp", "mkdtemp", "TemporaryDirectory",
    "NamedTemporaryFile", "hardlink_to", "print_png",
}  # fmt: skip
"""Names of functions that make files, whatever they belong to."""

OF_MODULES = {
    "torch": {"save"}, "np": {"save", "savez"}, "json": {"dump"}, "pickle": {"dump"},
    "onnx": {"save", "save_model"}, "ov": {"save_model"}, "export": {"save"},
    "os": {"replace", "rename", "link"}, "shutil": {"copy", "copyfile", "copytree", "move"},
    "sqlite3": {"connect"},
}  # fmt: skip
"""Functions whose names alone would tell too little."""

PUBLISHERS = ("publish", "publish_folder", "publish_shapefile", "RasterWriter")

REASONS = {
    "geoseg/geo/outputs.py": "is the protocol",
    "geoseg/geo/temporary.py": "is the protocol: temporary names",
    "geoseg/geo/exchange.py": "is the protocol: `publish_folder` swaps whole folders by it",
    "geoseg/geo/partial.py": "the unfinished raster, which a RasterWriter publishes",
    "geoseg/geo/overviews.py": "halves of the unfinished raster, which a RasterWriter publishes",
    "geoseg/geo/cog_options.py": "tries options on a small raster in memory or a scratch folder",
    "geoseg/geo/alpha.py": "a VRT in memory",
    "geoseg/geo/geopackage.py": "adds to a GeoPackage that its caller has not published yet",
    "geoseg/geo/geoparquet.py": "writes where the writer of layers tells, which publishes",
    "geoseg/geo/polygon_formats.py": "writes where the writer of layers tells, which publishes",
    "geoseg/geo/tile_writer.py": "writes into a folder that is published as a whole",
    "geoseg/geo/rle_masks.py": "writes into a folder that is published as a whole",
    "geoseg/geo/npy.py": "writes nothing: reads through memory",
    "geoseg/engine/graph_writer.py": "writes where `export` tells, which publishes",
    "geoseg/engine/disk_cache.py": "a cache, with checksums and a rename of its own",
    "geoseg/reports/accuracy_charts.py": "draws into memory; `report_files.py` publishes",
    "geoseg/reports/drawing.py": "writes where its callers tell, which publish",
    "geoseg/reports/relabelled.py": "draws where `relabel` tells, which publishes",
}
"""Files that write without publishing, and why that is right."""


def writers_in(path):
    """Calls that make files: (line, name)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name, owner = parts_of(node.func)
        # Of a string, or of a dataclass: not of a path.
        is_other = name == "replace" and (len(node.args) != 1 or not owner)
        if name in WRITERS and not is_other:
            yield node.lineno, name
        elif owner in OF_MODULES and name in OF_MODULES[owner]:
            if not (owner == "np" and is_buffer(node)):
                yield node.lineno, f"{owner}.{name}"
        elif name in {"open", "fdopen"} and is_for_writing(node):
            yield node.lineno, name


def parts_of(function):
    """The last name of what is called, and the one before it."""
    if isinstance(function, ast.Name):
        return function.id, ""
    if isinstance(function, ast.Attribute):
        owner = function.value
        return function.attr, getattr(owner, "id", getattr(owner, "attr", "?"))
    return "", ""


def is_for_writing(call):
    is_method = isinstance(call.func, ast.Attribute) and len(call.args) == 1
    places = call.args if is_method else call.args[1:]
    given = [*places, *(each.value for each in call.keywords if each.arg == "mode")]
    return any(is_mode(each) and set(each.value) & set("wax+") for each in given)


def is_mode(node):
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and set(node.value) <= set("rwaxbt+")
    )


def is_buffer(call):
    return isinstance(call.args[0], ast.Name) and call.args[0].id in {"buffer", "content"}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_writes_publishes(path):
    calls = list(writers_in(path))
    text = path.read_text(encoding="utf-8")
    publishes = any(f"{name}(" in text for name in PUBLISHERS)
    is_known = name_of(path) in REASONS
    assert not calls or publishes or is_known, f"writes past geo/outputs.py: {calls}"


def test_reasons_are_of_files_that_write():
    names = {name_of(path): path for path in FILES}
    assert not [name for name in REASONS if name not in names]


@pytest.mark.parametrize(
    "code",
    [
        "open('a', 'w')", "Path('a').open(mode='wb')", "p.write_text('')", "figure.savefig(p)",
        "frame.to_file(p)", "rasterio.open(p, 'w', driver='GTiff')", "torch.save({}, p)",
        "os.replace(a, b)", "a.replace(b)", "save_file({}, p)", "sqlite3.connect(p)",
        "os.fdopen(1, 'wb')", "np.save(path, array)",
    ],
)  # fmt: skip
def test_writers_are_seen(tmp_path, code):
    (tmp_path / "a.py").write_text(code)
    assert len(list(writers_in(tmp_path / "a.py"))) == 1


@pytest.mark.parametrize("code", ["open('a')", "'a'.replace('a', 'b')", "np.save(buffer, a)"])
def test_readers_are_not(tmp_path, code):
    (tmp_path / "a.py").write_text(code)
    assert list(writers_in(tmp_path / "a.py")) == []

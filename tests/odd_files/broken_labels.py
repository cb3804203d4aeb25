"""Labels, legends, configurations and tile sets that are broken, or made to hurt."""

import json
import os
import shutil
import sqlite3
import zipfile

from odd_files.odd_case import LABELLED, Case, both, links, writes

URL = "http://127.0.0.1:9/a"
LEGEND = "info odd.toml"
TRAIN = "train odd.toml -o out"
STYLE = "info odd.qml"
SET = "info tiles"
DEEP = "a = " + "[" * 10**5 + "]" * 10**5
LONG_KEY = ".".join(["a"] * 10**5) + " = 1"
DIGITS = f"a = {'9' * 5000}"
LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(12))
OTHER = (
    '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>{}</SrcDataSource>'
    "</OGRVRTLayer></OGRVRTDataSource>"
)
WFS = f"<OGRWFSDataSource><URL>{URL}</URL></OGRWFSDataSource>"
STREAM = '{"type": "gdal_streamed_alg", "command_line": "gdal vector convert a b"}'


def zipped(name, content, count=1):
    def make(folder):
        with zipfile.ZipFile(folder / "odd.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(count):
                archive.writestr(f"{number}{name}", content)

    return make


def view(sql):
    """The good GeoPackage, whose layer is replaced by what SQL makes of it."""

    def make(folder):
        shutil.copy(folder / "roofs.gpkg", folder / "odd.gpkg")
        base = sqlite3.connect(folder / "odd.gpkg")
        base.execute("PRAGMA writable_schema = 1")
        base.execute("PRAGMA foreign_keys = 0")
        kind = "table" if "VIRTUAL" in sql else "view"
        base.execute("INSERT INTO sqlite_master VALUES (?, 'evil', 'evil', 0, ?)", (kind, sql))
        base.execute("UPDATE gpkg_contents SET table_name = 'evil', identifier = 'evil'")
        base.execute("UPDATE gpkg_geometry_columns SET table_name = 'evil'")
        base.commit()
        base.close()

    return make


def card(change):
    """The good tile set with a changed description."""

    def make(folder):
        path = folder / "tiles" / "tileset.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return make


def led_out(part):
    """The good tile set, of which one part is a link to what lies elsewhere."""

    def make(folder):
        inner = folder / "tiles" / part
        if part == "images":
            inner = min(inner.iterdir())
        inner.rename(folder / "elsewhere")
        os.symlink(folder / "elsewhere", inner)

    return make


def listed(name):
    return writes("tiles/train.txt", f"{name}\n")


CASES = [
    Case("labels of no bytes", writes("odd.gpkg", b""), LABELLED.format("odd.gpkg"), ("odd.gpkg",)),
    Case(
        "labels that are another file's name",
        both(
            writes("sec.csv", "a,WKT\n1,POINT(1 2)\n"), writes("odd.gpkg", OTHER.format("sec.csv"))
        ),
        LABELLED.format("odd.gpkg"),
        ("points at other data",),
    ),
    Case(
        "labels that are a URL",
        writes("odd.geojson", OTHER.format(f"/vsicurl/{URL}")),
        LABELLED.format("odd.geojson"),
        ("points at other data",),
    ),
    Case("labels of a server", writes("odd.gml", WFS), LABELLED.format("odd.gml"), ("points at",)),
    Case(
        "labels that are a program of GDAL",
        writes("odd.json", STREAM),
        LABELLED.format("odd.json"),
        ("points at other data",),
    ),
    Case(
        "labels in an archive that are a URL",
        zipped("a.vrt", OTHER.format(URL)),
        LABELLED.format("odd.zip"),
        ("points at other data",),
    ),
    Case(
        "an archive of a thousandfold size",
        zipped("a.geojson", " " * (100 << 20), 3),
        LABELLED.format("odd.zip"),
        ("would grow to",),
    ),
    Case(
        "a database that loads code",
        view("CREATE VIEW evil AS SELECT 1 AS fid, load_extension('./x.so') AS geom"),
        LABELLED.format("odd.gpkg"),
        ("odd.gpkg: ",),
    ),
    Case(
        "a database that reads other files",
        view("CREATE VIRTUAL TABLE evil USING VirtualOGR('sec.csv')"),
        LABELLED.format("odd.gpkg"),
        ("odd.gpkg: ",),
    ),
    Case(
        "GeoJSON of deep brackets",
        writes("odd.geojson", '{"type":"FeatureCollection","features":' + "[" * 10**6),
        LABELLED.format("odd.geojson"),
        ("odd.geojson: ",),
    ),
    Case(
        "GeoJSON beyond all numbers",
        writes(
            "odd.geojson",
            '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"kind":'
            '"house"},"geometry":{"type":"Polygon","coordinates":[[[0,0],[1e999,0],[0,1e999],'
            "[0,0]]]}}]}",
        ),
        LABELLED.format("odd.geojson"),
        ("",),
    ),
    Case(
        "KML with laughs",
        writes("odd.kml", f'<?xml version="1.0"?><!DOCTYPE a [{LAUGHS}]><kml>&a11;</kml>'),
        LABELLED.format("odd.kml"),
        ("odd.kml: ",),
    ),
    Case(
        "Parquet of noise",
        writes("odd.parquet", b"PAR1" * 9),
        LABELLED.format("odd.parquet"),
        ("odd",),
    ),
    Case(
        "labels that are a link to a device",
        links("odd.gpkg", "/dev/zero"),
        LABELLED.format("odd.gpkg"),
        ("odd",),
    ),
    Case("legend of deep brackets", writes("odd.toml", DEEP), LEGEND, ("nested too deeply",)),
    Case("legend of a key of many parts", writes("odd.toml", LONG_KEY), LEGEND, ("hundred parts",)),
    Case("legend of a long number", writes("odd.toml", DIGITS), LEGEND, ("4300 digits",)),
    Case("legend of 17 MiB", writes("odd.toml", "#" * (17 << 20)), LEGEND, ("larger than 16 MiB",)),
    Case("legend of no bytes", writes("odd.toml", b""), LEGEND, ("has no classes",)),
    Case("legend of UTF-16", writes("odd.toml", "a = 1".encode("utf-16")), LEGEND, ("not TOML",)),
    Case(
        "legend of a value of NaN",
        writes("odd.toml", '[[classes]]\nvalue = nan\nname = "a"\n'),
        LEGEND,
        ("is nan",),
    ),
    Case(
        "legend that drives the terminal",
        writes("odd.toml", '[[classes]]\nvalue = 1\nname = "\\u001b[31m"\n'),
        LEGEND,
        ("no readable name",),
    ),
    Case(
        "style with laughs",
        writes("odd.qml", f"<!DOCTYPE a [{LAUGHS}]><qgis>&a11;</qgis>"),
        STYLE,
        ("odd.qml: ",),
    ),
    Case("style nested a million times", writes("odd.qml", "<a>" * 10**6), STYLE, ("odd.qml: ",)),
    Case(
        "style of a value beyond all",
        writes("odd.qml", '<qgis><paletteEntry value="1e400" label="a"/></qgis>'),
        STYLE,
        ("no whole number",),
    ),
    Case("configuration of deep brackets", writes("odd.toml", DEEP), TRAIN, ("too deeply",)),
    Case("configuration of a long key", writes("odd.toml", LONG_KEY), TRAIN, ("hundred parts",)),
    Case("configuration of a long number", writes("odd.toml", DIGITS), TRAIN, ("4300 digits",)),
    Case(
        "description of deep brackets",
        writes("odd.toml", DEEP),
        "datasets check ./odd.toml .",
        ("too deeply",),
    ),
    Case(
        "description that climbs out",
        writes(
            "odd.toml",
            '[images]\ntrain = "../../../etc/*"\n[labels]\nencoding = "values"\n'
            '[legend]\n[[legend.classes]]\nvalue = 0\nname = "a"\n',
        ),
        "datasets check ./odd.toml .",
        ("odd.toml: ",),
    ),
    Case("tile set of deep brackets", writes("tiles/tileset.json", "[" * 10**6), SET, ("tileset",)),
    Case("tile set of a long number", writes("tiles/tileset.json", "9" * 5000), SET, ("tileset",)),
    Case("tile set of no bytes", writes("tiles/tileset.json", b""), SET, ("tileset.json: ",)),
    Case("tile set of a vast size", card(lambda c: c.update(size=10**400)), SET, ("tile",)),
    Case("tile set of a size of NaN", card(lambda c: c.update(size=float("nan"))), SET, ("tile",)),
    Case("tile set that climbs out", listed("../../etc/passwd"), SET, ("no name of a tile",)),
    Case("tile set of an absolute name", listed("/etc/passwd"), SET, ("no name of a tile",)),
    Case("tile set of a name too long", listed("a" * 5000), SET, ("index.gpkg does not",)),
    Case("tile set of a list of noise", writes("tiles/train.txt", b"\xff\xfe"), SET, ("tiles",)),
    Case("tile that is a link elsewhere", led_out("images"), SET, ("leads out of the set",)),
    Case("index that is a link elsewhere", led_out("index.gpkg"), SET, ("leads out of the set",)),
    Case("list that is a link elsewhere", led_out("train.txt"), SET, ("leads out of the set",)),
    Case("masks that are a link elsewhere", led_out("masks"), SET, ("leads out of the set",)),
    Case(
        "index that is another file's name",
        writes("tiles/index.gpkg", OTHER.format("../roofs.gpkg")),
        SET,
        ("points at other data",),
    ),
]

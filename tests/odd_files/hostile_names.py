"""Names that would be SQL, HTML, paths or commands to a terminal: they are only names."""

import io
import json
import os
import shlex
import sqlite3
import zipfile

import geopandas
import numpy as np
import pyogrio
from odd_files.odd_case import LABELLED, Case, noise, write_raster, writes
from shapely import box

from geoseg.tile import LabelOptions, TileOptions, tile

SQUARES = [box(500_008, 5_399_976, 500_024, 5_399_992), box(500_040, 5_399_944, 500_056, 5_399_960)]
LAYER, FIELD = 'a"; DROP TABLE gpkg_contents; --', "ki'nd\"; DELETE FROM x; --"
VALUE = "house'; DROP TABLE a; --"
LEGEND = """
[[classes]]
value = 0
name = "ground"
[[classes]]
value = 1
name = "roof'; DROP TABLE segments; --"
from = ["house'; DROP TABLE a; --"]
"""
ESCAPE = "\x1b]0;owned\x07\x1b[31m\x9b2J"


def database(folder):
    """Two squares in a layer, a field and a class whose names are SQL."""
    kinds = {FIELD: [VALUE, VALUE]}
    frame = geopandas.GeoDataFrame(kinds, geometry=SQUARES, crs="EPSG:32632")
    frame.to_file(folder / "odd.gpkg", layer=LAYER)
    (folder / "odd.toml").write_text(LEGEND)


def still_there(folder):
    """The layer and its two rows, as they were."""
    base = sqlite3.connect(folder / "odd.gpkg")
    assert base.execute("SELECT table_name FROM gpkg_contents").fetchall() == [(LAYER,)]
    layer = '"' + LAYER.replace('"', '""') + '"'
    assert base.execute(f"SELECT count(*) FROM {layer}").fetchone() == (2,)
    base.close()


def has_roofs(folder):
    still_there(folder)
    counts = json.loads((folder / "out" / "tileset.json").read_text())["class_counts"]
    roofs = sum(split["roof'; DROP TABLE segments; --"] for split in counts.values())
    assert roofs > 0


def compared(folder):
    still_there(folder)
    report = json.loads((folder / "out" / "report.json").read_text())
    assert "roof'; DROP TABLE segments; --" in json.dumps(report)
    text = (folder / "out" / "report.html").read_text()
    assert "roof&#x27;; DROP TABLE" in text
    assert "roof'; DROP TABLE" not in text


def drawn(folder):
    """As many polygons as there are regions, in the layer that is always named alike."""
    base = sqlite3.connect(folder / "out.gpkg")
    names = base.execute("SELECT DISTINCT class_name FROM segments").fetchall()
    assert set(names) == {("ground",), ("roof'; DROP TABLE segments; --",)}
    base.close()


def sampled(folder):
    points = pyogrio.read_dataframe(folder / "out.gpkg")
    assert len(points) == 100
    assert set(points.map_class) == {"ground", "roof'; DROP TABLE segments; --"}


def climbing(folder):
    """An archive whose member would lie above the folder, were it unpacked."""
    frame = geopandas.GeoDataFrame({"kind": ["house"] * 2}, geometry=SQUARES, crs="EPSG:32632")
    with zipfile.ZipFile(folder / "odd.zip", "w") as archive:
        archive.writestr("../burgled.geojson", frame.to_json())


def not_climbed(folder):
    assert not (folder.parent / "burgled.geojson").exists()


def tagged(folder):
    write_raster(folder / "odd.tif", noise(2, 8, 8), names=(f"red{ESCAPE}", "<script>"))


def archive_of_arrays(folder):
    np.savez(folder / "odd.npz", a=np.array([print], dtype=object))


def array_tiles(folder):
    """A tile set of arrays, one of which wants to be unpickled."""
    options = TileOptions(size=16, format="npy", labels=LabelOptions(field="kind"))
    made = tile(
        folder / "scene.tif", folder / "roofs.gpkg", folder / "arrays", options,
        legend=folder / "legend.toml",
    )  # fmt: skip
    objects = io.BytesIO()
    np.save(objects, np.array([[Burglar()]], dtype=object), allow_pickle=True)
    (folder / "arrays" / "images" / f"{made.tiles[0].name}.npy").write_bytes(objects.getvalue())


class Burglar:
    """Makes the file `burgled` when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch burgled",)


HOSTILE = shlex.join(
    [
        *("--labels", "odd.gpkg", "--label-layer", LAYER, "--label-field", FIELD),
        *("--legend", "odd.toml"),
    ]
)
CASES = [
    Case(
        "labels whose names are SQL",
        database,
        f"tile scene.tif {HOSTILE} --size 16 -o out",
        works=has_roofs,
    ),
    Case(
        "comparison with labels whose names are SQL",
        database,
        f"evaluate classes.tif {HOSTILE} -o out",
        works=compared,
    ),
    Case(
        "polygons of classes whose names are SQL",
        writes("odd.toml", LEGEND),
        "vectorize classes.tif -o out.gpkg --legend odd.toml",
        works=drawn,
    ),
    Case(
        "points of classes whose names are SQL",
        writes("odd.toml", LEGEND),
        "sample classes.tif -o out.gpkg --legend odd.toml --show-class --count 100",
        works=sampled,
    ),
    Case(
        "a layer that is not there and would be SQL",
        database,
        "tile scene.tif --labels odd.gpkg --label-layer '\"; DROP a' --legend odd.toml -o out",
        ("odd.gpkg: ", "DROP a"),
    ),
    Case(
        "an archive that climbs out",
        climbing,
        LABELLED.format("odd.zip"),
        works=not_climbed,
    ),
    Case("bands that drive the terminal", tagged, "info odd.tif", works=not_climbed),
    Case(
        "a file name that drives the terminal",
        lambda folder: (folder / f"odd{ESCAPE.replace('/', '')}.tif").write_bytes(b"no raster"),
        "info 'odd\x1b]0;owned\x07\x1b[31m\x9b2J.tif'",
        ("odd\\x1b]0;owned\\x07\\x1b[31m\\x9b2J.tif: ",),
    ),
    Case(
        "an option that drives the terminal",
        writes("odd.txt", ""),
        f"info '--{ESCAPE}'",
        ("\\x1b",),
    ),
    Case("an archive of arrays", archive_of_arrays, "preview odd.npz -o out.png", ("odd.npz: ",)),
    Case(
        "a tile that is a pickle",
        array_tiles,
        "info arrays --sheet out.png",
        (".npy: ",),
    ),
]

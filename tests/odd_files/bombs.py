"""Small files that declare what is vast, or that grow when they are read."""

import json
import struct
import zlib

from odd_files.broken_models import PREDICT as WITH_MODEL
from odd_files.broken_models import header
from odd_files.broken_scenes import LAUGHS
from odd_files.odd_case import PREDICT, Case, noise, write_raster, writes

PIXEL = ((256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1))


def directory(*entries, following):
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries)
    return body + struct.pack("<I", following)


def overviews(count):
    """A TIFF of one image, and so many overviews one after the other, all of the same pixels."""
    pixels = 8
    start = pixels + 64
    first = ((254, 4, 1, 0), *PIXEL, (273, 4, 1, pixels), (278, 3, 1, 8), (279, 4, 1, 64))
    length = 2 + 12 * len(first) + 4
    places = [start + length * number for number in range(count + 1)]
    parts = [b"II*\0" + struct.pack("<I", start) + bytes(64)]
    for number, place in enumerate(places):
        following = places[number + 1] if number < count else 0
        kind = (254, 4, 1, 0 if number == 0 else 1)
        parts.append(directory(kind, *first[1:], following=following))
        assert place == start + length * number
    return writes("odd.tif", b"".join(parts))


def declared(tag, count=10**9):
    """A TIFF of which one tag has a thousand million values, by what it says."""

    def make(folder):
        own = {273: (273, 4, 1, 8), 278: (278, 3, 1, 8), 279: (279, 4, 1, 64)}
        entries = [*PIXEL, *(own | {tag: (tag, 4, count, 8)}).values()]
        head = b"II*\0" + struct.pack("<I", 72) + bytes(64)
        (folder / "odd.tif").write_bytes(head + directory(*sorted(entries), following=0))

    return make


def is_described(folder):
    assert not list(folder.glob("odd.tif.*"))


def jp2(width, height):
    """A JPEG 2000 codestream's header, without pixels."""
    size = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, width, height, 0, 0, 1) + b"\x07\1\1"
    coding = b"\0\0\0\1\0\5\4\4\0\0"
    body = b"\xff\x4f" + segment(0x51, size) + segment(0x52, coding) + segment(0x5C, b"\0" * 17)
    image = struct.pack(">IIHBBBB", height, width, 1, 7, 7, 0, 0)
    colour = b"\1\0\0" + struct.pack(">I", 17)
    boxes = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    boxes += box(b"jp2h", box(b"ihdr", image) + box(b"colr", colour))
    return writes("odd.jp2", boxes + box(b"jp2c", body + b"\xff\xd9"))


def segment(marker, data):
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def box(kind, data):
    return struct.pack(">I", len(data) + 8) + kind + data


def erdas(folder):
    """An Erdas Imagine file whose size was changed to a million squared."""
    write_raster(folder / "odd.img", noise(1, 64, 64), driver="HFA")
    content = (folder / "odd.img").read_bytes()
    size = struct.pack("<II", 64, 64)
    assert content.count(size) >= 1
    (folder / "odd.img").write_bytes(content.replace(size, struct.pack("<II", 10**6, 10**6)))


def bigtiff_of_entries(folder):
    (folder / "odd.tif").write_bytes(b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 60))


def deflated(folder):
    """Tiles of 4096 squared that declare 2^31 bytes each, of packed zeros."""
    tile = zlib.compress(bytes(1 << 20))
    entries = (
        (256, 4, 1, 46_000), (257, 4, 1, 46_000), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1),
        (277, 3, 1, 1), (322, 4, 1, 46_000 // 16 * 16 + 16), (323, 4, 1, 46_000 // 16 * 16 + 16),
        (324, 4, 1, 8), (325, 4, 1, len(tile)),
    )  # fmt: skip
    at = 8 + len(tile)
    head = b"II*\0" + struct.pack("<I", at)
    (folder / "odd.tif").write_bytes(head + tile + directory(*entries, following=0))


PLAIN = PREDICT.format("odd.tif") + " --assume-crs none --bands 1,1,1"
TENSOR = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
DOUBLED = '{"a":' + json.dumps(TENSOR) + ',"a":' + json.dumps(TENSOR) + "}"
BEYOND = json.dumps({"a": {**TENSOR, "data_offsets": [0, 2**62], "shape": [2**60]}})
BACKWARD = json.dumps({"a": {**TENSOR, "data_offsets": [16, 0]}})
SIDE = (
    f"<!DOCTYPE a [{LAUGHS}]><PAMDataset><Metadata><MDI key='a'>&a11;</MDI></Metadata></PAMDataset>"
)

CASES = [
    Case(
        "header of 2^60 bytes",
        writes("odd.safetensors", struct.pack("<Q", 1 << 60) + b"{" * 99),
        WITH_MODEL,
        ("header of",),
    ),
    Case("header of a name twice", header(DOUBLED, bytes(16)), WITH_MODEL, ("odd.safetensors: ",)),
    Case("weights beyond the file", header(BEYOND, bytes(16)), WITH_MODEL, ("is damaged",)),
    Case(
        "weights that end before they begin",
        header(BACKWARD, bytes(16)),
        WITH_MODEL,
        ("is damaged",),
    ),
    Case("ten thousand overviews", overviews(10_000), "info odd.tif", works=is_described),
    Case(
        "a thousand million overviews declared", declared(330), "info odd.tif", works=is_described
    ),
    Case(
        "a thousand million strips declared",
        declared(273),
        PLAIN,
        works=is_described,
    ),
    Case(
        "JPEG 2000 of a million squared",
        jp2(10**6, 10**6),
        PREDICT.format("odd.jp2"),
        ("odd.jp2: ",),
    ),
    Case("Erdas Imagine of a million squared", erdas, "info odd.img", ("has blocks of",)),
    Case("a directory of 2^60 entries", bigtiff_of_entries, "info odd.tif", ("odd.tif: ",)),
    Case(
        "a block of two thousand million pixels",
        deflated,
        PLAIN,
        ("has blocks of 2117472256 bytes",),
    ),
    Case(
        "laughs beside a map",
        writes("classes.tif.aux.xml", SIDE),
        "sample classes.tif -o out.gpkg --legend classes.tif",
        ("classes.tif.aux.xml: is not a style",),
    ),
    Case(
        "laughs in a style beside a map",
        writes("classes.qml", f"<!DOCTYPE a [{LAUGHS}]><qgis>&a11;</qgis>"),
        "sample classes.tif -o out.gpkg --legend classes.tif",
        ("classes.qml: is not a style",),
    ),
]

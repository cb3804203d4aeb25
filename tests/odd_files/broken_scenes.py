"""Scenes that are broken, or made to hurt: all are refused in one line."""

import os
import struct
import zlib

import numpy as np
import rasterio
from odd_files.odd_case import PLACE, PREDICT, Case, both, links, noise, write_raster, writes
from rasterio.control import GroundControlPoint

URL = "http://127.0.0.1:9/a.tif"
VRT = (
    '<VRTDataset rasterXSize="48" rasterYSize="40"><SRS>EPSG:32632</SRS>'
    "<GeoTransform>500000, 2, 0, 5400000, 0, -2</GeoTransform>{}</VRTDataset>"
)
BAND = '<VRTRasterBand dataType="Byte" band="1"{}>{}</VRTRasterBand>'
SOURCE = (
    "<SimpleSource><SourceFilename{}>{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
)


def vrt(source, relative=' relativeToVRT="1"', kind=""):
    return writes("odd.vrt", VRT.format(BAND.format(kind, SOURCE.format(relative, source))))


def sparse(width, height):
    """A raster that declares pixels, none of which is written."""

    def make(folder):
        profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "sparse_ok": True}
        profile |= {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "bigtiff": "yes"}
        with rasterio.open(folder / "odd.tif", "w", width=width, height=height, **profile, **PLACE):
            pass

    return make


def png(width, height):
    """A PNG of that size by its header, with next to no pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return writes("odd.png", b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b""))


def tiff(*entries, following=0):
    """A TIFF of one directory: tag, type, count, value each; `following` is its successor."""
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries)
    return writes("odd.tif", b"II*\0\x08\0\0\0" + body + struct.pack("<I", following))


def control_points(folder):
    points = [GroundControlPoint(r, c, 5e5 + c, 5e6 - r) for r, c in ((0, 0), (0, 48), (40, 0))]
    profile = {"driver": "GTiff", "width": 48, "height": 40, "count": 3, "dtype": "uint8"}
    with rasterio.open(folder / "odd.tif", "w", gcps=points, crs="EPSG:4326", **profile) as file:
        file.write(noise(3, 40, 48))


def flat(folder):
    """A transform under which all pixels lie on one line."""
    write_raster(folder / "odd.tif", noise(3, 40, 48), transform=rasterio.Affine(1, 1, 0, 1, 1, 0))


def names_overviews(folder):
    with rasterio.open(folder / "scene.tif", "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{URL}")


def aux(text):
    return writes(
        "scene.tif.aux.xml",
        f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="{text}">/vsicurl/{URL}</MDI>'
        "</Metadata></PAMDataset>",
    )


def npy(header):
    """An array of numpy of this header."""
    text = header.encode().ljust(118) + b"\n"
    start = b"\x93NUMPY\x01\0" + struct.pack("<H", len(text))
    return writes("odd.npy", start + text + bytes(64))


def objects(folder):
    np.save(folder / "odd.npy", np.array([[os.system]], dtype=object), allow_pickle=True)


PLAIN = ((256, 3, 1, 9), (257, 3, 1, 9), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8))
WIDE = ((256, 4, 1, 10**6), (257, 4, 1, 10**6), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8))
LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(12))
EVIL_VRT = VRT.format(BAND.format("", SOURCE.format("", f"/vsicurl/{URL}")))

CASES = [
    Case("zero bytes", writes("odd.tif", b""), "info odd.tif", ("odd.tif: is empty",)),
    Case("half a header", writes("odd.tif", b"II+\0\x08\0\0"), "info odd.tif", ("not a raster",)),
    Case("a link to itself", links("odd.tif", "odd.tif"), "info odd.tif", ("odd.tif: ",)),
    Case(
        "a pipe", lambda folder: os.mkfifo(folder / "odd.tif"), "info odd.tif", ("device or pipe",)
    ),
    Case("a link to a device", links("odd.tif", "/dev/zero"), "info odd.tif", ("device or pipe",)),
    Case("no directory in it", tiff(), "info odd.tif", ("odd.tif: ",)),
    Case(
        "a directory that follows itself",
        tiff(*PLAIN, following=8),
        PREDICT.format("odd.tif"),
        ("no place",),
    ),
    Case("a million squared in a header", tiff(*WIDE), PREDICT.format("odd.tif"), ("odd.tif: ",)),
    Case(
        "a million squared, sparse", sparse(10**6, 10**6), PREDICT.format("odd.tif"), ("out.tif",)
    ),
    Case("two thousand million wide", sparse(2**31 - 1, 1), "info odd.tif", ("a side are read",)),
    Case("PNG of a million squared", png(10**6, 10**6), PREDICT.format("odd.png"), ("odd.png: ",)),
    Case("PNG of no pixels", png(0, 0), "info odd.png", ("odd.png: ",)),
    Case("control points only", control_points, PREDICT.format("odd.tif"), ("gdalwarp",)),
    Case("pixels without area", flat, PREDICT.format("odd.tif"), ("odd.tif: ",)),
    Case(
        "ENVI of a million squared",
        both(
            writes("odd.hdr", "ENVI\nsamples=1000000\nlines=1000000\nbands=1\ndata type=1\n"),
            writes("odd.img", bytes(99)),
        ),
        "info odd.img",
        ("odd.img: ",),
    ),
    Case(
        "ASCII grid of a million squared",
        writes("odd.asc", "ncols 1000000\nnrows 1000000\nxllcorner 0\nyllcorner 0\ncellsize 1\n0"),
        "predict odd.asc -m model.safetensors -o out.tif --assume-crs EPSG:32632 --bands 1,1,1",
        ("o",),
    ),
    Case("array of objects", objects, "preview odd.npy -o out.png", ("odd.npy: ",)),
    Case(
        "array of a million squared",
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000)}"),
        "preview odd.npy -o out.png",
        ("odd.npy: ",),
    ),
    Case(
        "array of a negative shape",
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-8, 8)}"),
        "preview odd.npy -o out.png",
        ("odd.npy: ",),
    ),
    Case(
        "array with code for a header",
        npy("__import__('os').system('touch burgled')"),
        "preview odd.npy -o out.png",
        ("odd.npy: ",),
    ),
    Case("VRT of a URL", vrt(URL, ""), "info odd.vrt", ("not a plain file", "--allow-remote")),
    Case("VRT of /vsicurl", vrt(f"/vsicurl/{URL}"), "info odd.vrt", ("not a plain file",)),
    Case("VRT of /VSICURL", vrt(f"/VSICURL/{URL}"), "info odd.vrt", ("not a plain file",)),
    Case("VRT of another driver", vrt("GPKG:roofs.gpkg:a"), "info odd.vrt", ("not a plain file",)),
    Case("VRT of a database", vrt("roofs.gpkg"), "info odd.vrt", ("no plain image",)),
    Case(
        "VRT of a file above", vrt("../../../etc/passwd"), "info odd.vrt", ("outside its folder",)
    ),
    Case(
        "VRT of a link that leads out",
        both(links("inner.tif", "/etc/passwd"), vrt("inner.tif")),
        "info odd.vrt",
        ("outside its folder",),
    ),
    Case(
        "VRT of a link to itself",
        both(links("inner.tif", "inner.tif"), vrt("inner.tif")),
        "info odd.vrt",
        ("a source that cannot be",),
    ),
    Case("VRT of a name too long", vrt("a" * 5000), "info odd.vrt", ("a source that cannot be",)),
    Case(
        "VRT with Python in it",
        writes(
            "odd.vrt",
            VRT.format(
                BAND.format(
                    ' subClass="VRTDerivedRasterBand"',
                    "<PixelFunctionLanguage>Python</PixelFunctionLanguage>"
                    "<PixelFunctionCode>import os</PixelFunctionCode>",
                )
            ),
        ),
        "info odd.vrt",
        ("holds program code",),
    ),
    Case(
        "VRT of raw bytes",
        vrt("scene.tif", kind=' subClass="VRTRawRasterBand"'),
        "info odd.vrt",
        ("reads raw bytes",),
    ),
    Case(
        "VRT with ten to the twelfth laughs",
        writes("odd.vrt", f"<!DOCTYPE a [{LAUGHS}]>{VRT.format('&a11;')}"),
        "info odd.vrt",
        ("declares XML entities",),
    ),
    Case(
        "VRT of fifteen million tags",
        writes("odd.vrt", VRT.format("<a/>" * (15 << 20))),
        "info odd.vrt",
        ("has more than 4000000 tags",),
    ),
    Case(
        "VRT nested a million times",
        writes("odd.vrt", VRT.format("<a>" * 10**6 + "</a>" * 10**6)),
        "info odd.vrt",
        ("nested more deeply",),
    ),
    Case(
        "overviews that are a VRT of a URL",
        writes("scene.tif.ovr", EVIL_VRT),
        PREDICT.format("scene.tif"),
        ("scene.tif.ovr: is no plain image",),
    ),
    Case(
        "a mask that is a VRT of a URL",
        writes("scene.tif.MSK", EVIL_VRT),
        PREDICT.format("scene.tif"),
        ("scene.tif.MSK: is no plain image",),
    ),
    Case(
        "overviews of a VRT's source that are a VRT",
        both(vrt("scene.tif"), writes("scene.tif.ovr", EVIL_VRT)),
        "info odd.vrt",
        ("scene.tif.ovr: is no plain image",),
    ),
    Case(
        "overviews named in a side file",
        aux("OVERVIEW_FILE"),
        PREDICT.format("scene.tif"),
        ("names a file of overviews",),
    ),
    Case(
        "overviews named in a side file, hidden",
        aux("OVERVIEW&#95;file"),
        PREDICT.format("scene.tif"),
        ("names a file of overviews",),
    ),
    Case(
        "overviews named in the file itself",
        names_overviews,
        PREDICT.format("scene.tif"),
        ("scene.tif: names a file of overviews",),
    ),
    Case(
        "a list with a URL",
        writes("odd.txt", f"scene.tif\n{URL}\n"),
        PREDICT.format("@odd.txt"),
        ("@odd.txt: names a remote path",),
    ),
    Case(
        "a list of names that cannot be",
        writes("odd.txt", "a\0b.tif\n" + "c" * 5000),
        PREDICT.format("@odd.txt"),
        ("stands for no scene",),
    ),
]

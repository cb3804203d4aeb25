"""VRTs and their traps. The traps marked so were seen to work in GDAL 3.10."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rasterio.vrt

from geoseg.errors import SceneError
from geoseg.geo import vrt
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.vrt import check_vrt

TRUST = SceneOptions(trust_vrt=True)


def band(source, attributes='relativeToVRT="1"', more="", tag="SourceFilename", kind=""):
    return (
        f'<VRTRasterBand dataType="Byte" band="1" {kind}>{more}<SimpleSource>'
        f"<{tag} {attributes}>{source}</{tag}><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand>"
    )


def vrt_text(inner, attributes=""):
    return (
        f'<VRTDataset rasterXSize="20" rasterYSize="16" {attributes}><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>500000, 2, 0, 5400000, 0, -2</GeoTransform>{inner}</VRTDataset>"
    )


@pytest.fixture
def folder(tmp_path, make_scene):
    """A folder with a VRT's source, beside it one that is none of the VRT's business."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("in/a.tif", "in/sub/b.tif", "secret.tif"):
        make_scene((1, 16, 20), name)
    return tmp_path / "in"


@pytest.mark.parametrize("source", ["a.tif", "sub/b.tif", "sub/../a.tif"])
def test_sources_in_the_folder_are_read(folder, source):
    (folder / "m.vrt").write_text(vrt_text(band(source)))
    with rasterio.open(folder / source) as file:
        assert Scene.open(folder / "m.vrt").read().data.tolist() == file.read().tolist()


def test_absolute_names_within_the_folder_are_read(folder):
    for attributes in ('relativeToVRT="0"', "", 'relativeToVRT="1"'):
        (folder / "m.vrt").write_text(vrt_text(band(folder / "a.tif", attributes)))
        check_vrt(folder / "m.vrt")


def test_gdals_own_vrt_is_read(folder, make_scene):
    """As gdalwarp writes them, with sources, block sizes and warp options."""
    warped = rasterio.open(folder / "a.tif")
    with warped, rasterio.vrt.WarpedVRT(warped, crs="EPSG:3857") as view:
        rasterio.shutil.copy(view, folder / "warped.vrt", driver="VRT")
        expected = view.read()
    assert 'subClass="VRTWarpedDataset"' in (folder / "warped.vrt").read_text()
    scene = Scene.open(folder / "warped.vrt")
    assert scene.grid.crs.to_epsg() == 3857
    assert scene.read().data.tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["n.vrt", "n.tif"])
def test_nested_vrts_are_read_and_checked(folder, name):
    """GDAL tells a nested VRT by its content, whatever its name (seen)."""
    (folder / "m.vrt").write_text(vrt_text(band(name)))
    (folder / name).write_text(vrt_text(band("a.tif")))
    assert Scene.open(folder / "m.vrt").read().valid.all()
    (folder / name).write_text(vrt_text(band("../secret.tif")))
    with pytest.raises(SceneError, match="outside its folder"):
        Scene.open(folder / "m.vrt")


URLS = ["/vsicurl/https://e.org/a.tif", "https://e.org/a.tif", "/vsis3/bucket/a.tif"]
CHAINS = [
    *("/vsizip//vsicurl/https://e.org/a.zip/a.tif", "/vsicurl?url=https://e.org/a.tif"),
    *("vrt:///vsicurl/https://e.org/a.tif", "WMS:https://e.org/", "ftp://e.org/a.tif"),
    *("/vsicurl//etc/passwd", "https://e.org/a.tif b", "/vsisubfile/0_9,a.tif"),
]


@pytest.mark.parametrize("source", URLS)
def test_urls_need_leave(folder, source):
    (folder / "m.vrt").write_text(vrt_text(band(source, "")))
    with pytest.raises(SceneError, match=r"not a plain file: .*--allow-remote if"):
        check_vrt(folder / "m.vrt")
    check_vrt(folder / "m.vrt", allow_remote=True)
    (folder / "m.vrt").write_text(vrt_text(band(source, "") + band("../secret.tif")))
    with pytest.raises(SceneError, match="outside its folder"):
        check_vrt(folder / "m.vrt", allow_remote=True)


@pytest.mark.parametrize("source", CHAINS)
def test_leave_for_urls_is_none_for_other_readers(folder, source):
    (folder / "m.vrt").write_text(vrt_text(band(source, "")))
    with pytest.raises(SceneError, match="not a plain file"):
        check_vrt(folder / "m.vrt", allow_remote=True)


def test_vrts_that_refer_to_each_other_end(folder):
    for number in range(12):
        twice = band(f"{number + 1}.vrt") + band(f"{(number + 2) % 13}.vrt")
        (folder / f"{number}.vrt").write_text(vrt_text(twice))
    (folder / "12.vrt").write_text(vrt_text(band("0.vrt")))
    check_vrt(folder / "0.vrt")


DERIVED = 'subClass="VRTDerivedRasterBand"'
CODE = "<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python"
TRAPS = {
    "folder above": (band("../secret.tif"), "source outside its folder"),
    "absolute": (band("/etc/passwd", ""), "source outside its folder"),
    "missing": (band("gone.tif"), r"a source that does not exist: gone\.tif\. Restore it"),
    "folder as source": (band("sub"), "does not exist"),
    "empty name": (band(""), "does not exist"),
    "url": (band("https://example.org/a.tif", ""), "not a plain file"),
    "vsicurl": (band("/vsicurl/http://example.org/a.tif", ""), "not a plain file"),
    "upper case vsi": (band("/VSIS3/b/a.tif", ""), "not a plain file"),
    "driver syntax": (band("GTIFF_DIR:1:a.tif"), "not a plain file"),
    "nested vrt": (band("vrt://a.tif"), "not a plain file"),
    "network share": (band("\\\\host\\a.tif"), "not a plain file"),
    "python": (
        band("a.tif", more=f"{CODE}</PixelFunctionLanguage>", kind=DERIVED),
        "holds program code",
    ),
    "python as attribute": (
        band("a.tif", kind=f'{DERIVED} pixelFunctionCode="x"'),
        "holds program code",
    ),
    "raw bytes": (band("a.tif", kind='subClass="VRTRawRasterBand"'), "reads raw bytes"),
    "raw bytes by element (seen)": (
        band("a.tif", more="<subClass>VRTRawRasterBand</subClass>"),
        "reads raw bytes",
    ),
    "other case (seen)": (band("../secret.tif", tag="sourcefilename"), "outside its folder"),
    "attribute (seen)": (
        band("a.tif").replace("<SimpleSource>", '<SimpleSource SourceFilename="/etc/passwd">'),
        "names a file in an unusual place",
    ),
    "half relative": (band("a.tif", 'relativeToVRT="1x"'), "relativeToVRT='1x'"),
    "processed": ('<Input/><ProcessingSteps subClass="X"/>', r"unusual kind \(X\)"),
    "terrain": (band("a.tif", more="<DEMPath>/etc/passwd</DEMPath>"), "unusual place"),
    "geolocation": (
        '<Metadata domain="GEOLOCATION"><MDI key="X_DATASET">/etc/x</MDI></Metadata>',
        "unusual place",
    ),
}


@pytest.mark.parametrize(("inner", "message"), TRAPS.values(), ids=TRAPS)
def test_traps_are_refused(folder, inner, message):
    (folder / "m.vrt").write_text(vrt_text(inner))
    with pytest.raises(SceneError, match=message):
        Scene.open(folder / "m.vrt")


def test_namespaces_hide_nothing(folder):
    text = vrt_text(band("../secret.tif"), 'xmlns="urn:x"')
    (folder / "m.vrt").write_text(text)
    with pytest.raises(SceneError, match="outside its folder"):
        Scene.open(folder / "m.vrt")


def test_relative_to_the_folder_one_stands_in(folder, monkeypatch):
    """Without relativeToVRT GDAL looks in the current folder, not in that of the VRT."""
    (folder / "m.vrt").write_text(vrt_text(band("a.tif", "")))
    monkeypatch.chdir(folder.parent)
    with pytest.raises(SceneError, match="outside its folder"):
        Scene.open(folder / "m.vrt")
    monkeypatch.chdir(folder)
    assert Scene.open("m.vrt").read().valid.all()


def test_links_out_of_the_folder(folder):
    (folder / "link.tif").symlink_to(folder.parent / "secret.tif")
    (folder / "m.vrt").write_text(vrt_text(band("link.tif")))
    with pytest.raises(SceneError, match="outside its folder"):
        Scene.open(folder / "m.vrt")


def test_sources_that_are_no_images(folder):
    """Drivers such as WMS would go on from a small text file to anywhere."""
    (folder / "wms.tif").write_text("<GDAL_WMS><Service name='TMS'/></GDAL_WMS>")
    (folder / "m.vrt").write_text(vrt_text(band("wms.tif")))
    with pytest.raises(SceneError, match=r"no plain image: wms\.tif"):
        Scene.open(folder / "m.vrt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<VRTDataset", "is not a VRT"),
        (b"no XML at all", "is not a VRT"),
        (b"II*\0 a TIFF by another name", "binary data"),
        ("<VRTDataset/>".encode("utf-16"), "binary data"),
        (b"<?xml version='1.0' encoding='klingon'?><VRTDataset/>", "is not a VRT"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><VRTDataset>&a;</VRTDataset>', "declares XML entities"),
        (b"<VRTDataset/>", "is not a raster that can be read"),
    ],
)
def test_files_that_are_no_vrts(tmp_path, content, message):
    (tmp_path / "m.vrt").write_bytes(content)
    with pytest.raises(SceneError, match=message):
        Scene.open(tmp_path / "m.vrt")


def test_huge_vrts_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(vrt, "MAX_BYTES", 10)
    (tmp_path / "m.vrt").write_text("<VRTDataset/>")
    with pytest.raises(SceneError, match="no VRT is"):
        Scene.open(tmp_path / "m.vrt")


def test_remote_vrts_need_trust():
    with pytest.raises(SceneError, match=r"remote VRT\. Give --trust-vrt"):
        Scene.open("/vsimem/none.vrt")


def test_a_vrt_by_another_name_is_no_scene(folder):
    (folder / "m.tif").write_text(vrt_text(band("a.tif")))
    with pytest.raises(SceneError, match="is not a raster that can be read"):
        Scene.open(folder / "m.tif")


def test_trust_allows_what_lies_elsewhere(folder):
    (folder / "m.vrt").write_text(vrt_text(band("../secret.tif")))
    with rasterio.open(folder.parent / "secret.tif") as file:
        expected = file.read()
    np.testing.assert_array_equal(Scene.open(folder / "m.vrt", TRUST).read().data, expected)

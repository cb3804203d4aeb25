"""Scenes at URLs are predicted as local ones are, or refused in one line with nothing left."""

import numpy as np
import pytest
import rasterio
from exact_networks import identity_bundle
from range_server import serve

from geoseg.geo import remote
from geoseg.predict import PredictOptions, predict
from geoseg_cli.main import main

FP32 = PredictOptions(precision="fp32", device="cpu", backend="torch")
BLOCKS = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "identity.safetensors"
    identity_bundle().save(path)
    return path


@pytest.fixture
def server(tmp_path, make_scene, monkeypatch):
    data = np.random.default_rng(8).integers(1, 255, (3, 300, 260)).astype("uint8")
    data[:, 40:80, 100:180] = 0
    make_scene(data, nodata=0, **BLOCKS)
    monkeypatch.setattr(remote, "_PAUSES", (0.0, 0.01))
    quick = {"GDAL_HTTP_RETRY_DELAY": "0.01", "GDAL_HTTP_MAX_RETRY": "2"}
    for key, value in quick.items():
        monkeypatch.setenv(key, value)
    # What an earlier test has set for this thread would go before the environment.
    with rasterio.Env(**quick), serve(tmp_path) as server:
        yield server


def classes(path):
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.mark.parametrize(("fault", "first", "every"), [(None, 1, 1), (503, 2, 5), ("cut", 4, 100)])
def test_a_scene_at_a_url_is_predicted_as_a_local_one(
    tmp_path, server, bundle, fault, first, every
):
    server.plan(fault, first, every)
    predict(tmp_path / "scene.tif", bundle, tmp_path / "local.tif", FP32)
    predict(server.fresh("scene.tif"), bundle, tmp_path / "remote.tif", FP32)
    np.testing.assert_array_equal(classes(tmp_path / "remote.tif"), classes(tmp_path / "local.tif"))
    # Five windows are compared with training first; of so small a scene they are nearly all.
    assert server.asked()[1] <= 2.05 * (tmp_path / "scene.tif").stat().st_size


@pytest.mark.parametrize(("fault", "first"), [(404, 1), (403, 4), (503, 4), ("reset", 4)])
def test_a_server_that_refuses_is_told_in_one_line(tmp_path, server, bundle, capfd, fault, first):
    server.plan(fault, first)
    words = [server.fresh("scene.tif"), "-m", str(bundle), "-o", str(tmp_path / "remote.tif")]
    assert main(["predict", *words, "--backend", "torch", "--device", "cpu", "-q"]) == 2
    told = capfd.readouterr().err
    assert told.startswith(f"Error: {server.url}")
    assert told.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"scene.tif", bundle.name}


def test_keys_of_urls_are_nowhere_told_or_kept(tmp_path, server, bundle, capfd):
    """Neither in messages, nor in what is written."""
    url, out = server.fresh("scene.tif").replace("//", "//name:word@"), tmp_path / "out"
    out.mkdir()
    words = ["-m", str(bundle), "--backend", "torch", "--device", "cpu", "-v", "--progress", "json"]
    words += ["-o", str(out / "c.tif"), "--polygons", str(out / "c.geojson")]
    assert main(["predict", f"{url}?X-Amz-Signature=secret", *words]) == 0
    server.plan(404)
    assert main(["predict", f"{url.replace('/1/', '/99/')}?X-Amz-Signature=secret", *words]) == 2
    told = capfd.readouterr()
    assert "scene.tif?..." in told.err
    kept = [path.read_bytes().decode("latin1") for path in out.iterdir()]
    assert len(kept) >= 2
    assert not [text for text in [told.err, *kept] if "secret" in text or "word@" in text]


def test_urls_of_a_list_are_read_where_that_is_allowed(tmp_path, server, capsys):
    (tmp_path / "scenes.txt").write_text(f"{server.fresh('scene.tif')}\n")
    words = ["info", f"@{tmp_path / 'scenes.txt'}", "--json"]
    assert main(words) == 2
    assert "give --allow-remote" in capsys.readouterr().err
    assert server.asked()[0] == []
    assert main([*words, "--allow-remote"]) == 0
    assert '"height": 300' in capsys.readouterr().out

"""The repository as torch.hub sees it."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from geoseg.models import list_models

ROOT = Path(__file__).parents[1]


@pytest.fixture
def local(monkeypatch):
    """Lets `torch.hub.list` and `help` look into this very folder instead of a download."""
    monkeypatch.setattr(torch.hub, "_get_cache_or_reload", lambda *_, **__: str(ROOT))


def test_every_architecture_is_an_entry_and_nothing_else_is(local):
    assert sorted(torch.hub.list("any/name")) == list_models()


@pytest.mark.parametrize("name", list_models())
def test_an_entry_tells_what_it_is(local, name):
    text = torch.hub.help("any/name", name)
    assert "in_channels" in text and "\n" in text


def test_loading_builds_the_network():
    arguments = {"encoder": "resnet18", "in_channels": 4, "classes": 6}
    network = torch.hub.load(str(ROOT), "pspnet", source="local", **arguments).eval()
    assert network.spec.model_dump(exclude={"options"}) == {"arch": "pspnet", **arguments}
    with torch.no_grad():
        assert network(torch.zeros(1, 4, 48, 65)).shape == (1, 6, 48, 65)


def test_options_reach_the_network():
    network = torch.hub.load(
        str(ROOT), "unet", source="local", encoder="resnet18", classes=2, encoder_depth=3
    )
    assert network.divisor == 8


def test_loading_needs_the_listed_packages_only_and_not_geoseg_installed(tmp_path):
    """Packages that geoseg needs elsewhere are made impossible to import."""
    code = f"""
        import importlib.util, sys
        root = {str(ROOT)!r}
        sys.path[:] = [p for p in sys.path if p != root]
        sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
        assert importlib.util.find_spec("geoseg") is None
        for name in ("rasterio", "geopandas", "lightning", "matplotlib", "torchgeo", "click"):
            sys.modules[name] = None
        import torch
        network = torch.hub.load(root, "linear", source="local", in_channels=4, classes=6).eval()
        assert root not in sys.path
        assert network(torch.zeros(1, 4, 5, 7)).shape == (1, 6, 5, 7)
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Votes over files: each raster has one vote."""

import numpy as np
import pytest

from geoseg.errors import ConfigError
from geoseg.geo.vote_files import vote


@pytest.fixture
def rasters(make_scene):
    return [
        str(make_scene(np.full((1, 8, 9), i, np.uint8), f"{name}.tif"))
        for i, name in enumerate("abc")
    ]


def test_a_raster_that_is_given_twice_is_refused(rasters, tmp_path):
    link = tmp_path / "link.tif"
    link.symlink_to(rasters[0])
    for twice in (
        [rasters[0], *rasters],
        [*rasters, str(link)],
        [str(tmp_path / "*.tif"), rasters[1]],
        [rasters[0], f"{tmp_path}/./a.tif"],
    ):
        with pytest.raises(ConfigError, match="is given twice, and a raster has one vote"):
            vote(twice, tmp_path / "v.tif")
    assert not (tmp_path / "v.tif").exists()
    link.unlink()
    assert vote(rasters, tmp_path / "v.tif").counts == {"background": 72}
    assert vote(rasters, tmp_path / "w.tif", weights=[1, 1, 3]).counts == {"class_2": 72}

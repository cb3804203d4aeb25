"""The command is the one that was chosen, and sees nothing of QGIS's Python."""

import os
import sys

import pytest

from geoseg_qgis.environment import NotFoundError, clean_environment, find_geoseg

OF_QGIS = {
    *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "QGIS_PREFIX_PATH", "QGIS_PLUGINPATH"),
    *("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH"),
}


def executable(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_variables_of_qgis_are_left_out():
    kept = {"PATH": "/bin", "HOME": "/h", "CUDA_VISIBLE_DEVICES": "1", "LD_LIBRARY_PATH": "/l"}
    found = clean_environment(kept | dict.fromkeys(OF_QGIS, "x"))
    assert found == kept | {"PYTHONIOENCODING": "utf-8"}


def test_the_setting_counts_before_the_variable_and_that_before_the_path(tmp_path):
    first, second, third = (executable(tmp_path / name / "geoseg") for name in "abc")
    environ = {"GEOSEG_EXE": str(second), "PATH": str(third.parent)}
    assert find_geoseg(f" {first} ", environ) == str(first)
    assert find_geoseg("", environ) == str(second)
    assert find_geoseg("", {"PATH": str(third.parent)}) == str(third)


def test_the_folder_of_an_environment_will_do(tmp_path):
    command = executable(tmp_path / "env" / "bin" / "geoseg")
    assert find_geoseg(str(tmp_path / "env"), {}) == str(command)


@pytest.mark.parametrize("kind", ["missing", "plain file", "empty folder"])
def test_what_is_no_command_is_refused(tmp_path, kind):
    path = tmp_path / "here"
    if kind == "plain file":
        path.write_text("x")
    elif kind == "empty folder":
        path.mkdir()
    with pytest.raises(NotFoundError, match="which the setting geoseg/executable names"):
        find_geoseg(str(path), {"GEOSEG_EXE": sys.executable})
    with pytest.raises(NotFoundError, match="which the variable GEOSEG_EXE names"):
        find_geoseg("", {"GEOSEG_EXE": str(path)})


def test_no_command_at_all(tmp_path):
    with pytest.raises(NotFoundError, match="Choose it in"):
        find_geoseg("", {"PATH": os.fspath(tmp_path)})

"""Options in errors become keys of a configuration."""

import pytest

from geoseg.errors import ConfigError, LabelError, WorkError
from geoseg.nn.config_tables import DataConfig, ValidateConfig
from geoseg.nn.option_keys import _KEYS, keys_for_options


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            ConfigError("--block", "too large", "Give a smaller --block or --size, or --split"),
            "data.block: too large. Give a smaller data.block or data.crop, or data.val_share.",
        ),
        (
            LabelError("a --bands.tif", "lacks --bands", "Name it by --label-field (--odd)"),
            "a --bands.tif: lacks --bands. Name it by data.label_field (--odd).",
        ),
        (
            ConfigError("--split-by", "few", "Take x--block or --blocks"),
            "data.split: few. Take x--block or --blocks.",
        ),
    ],
)
def test_options_become_keys(error, told):
    with pytest.raises(type(error)) as caught, keys_for_options():
        raise error
    assert str(caught.value) == told


def test_other_errors_pass():
    error = WorkError("a.tif", "disk full", "Make room with --size")
    with pytest.raises(WorkError) as caught, keys_for_options():
        raise error
    assert caught.value is error


@pytest.mark.parametrize(("table", "model"), [("data", DataConfig), ("validate", ValidateConfig)])
def test_keys_exist(table, model):
    names = [key.partition(".") for key in _KEYS[table].values()]
    assert {key for place, _, key in names if place == table} <= set(model.model_fields)
    assert table in {place for place, _, _ in names}


def test_keys_of_whole_scenes_are_those_of_their_table():
    with pytest.raises(ConfigError) as caught, keys_for_options("validate"):
        raise ConfigError("--bands", "has 2", "Give --scale or --stride, not --block")
    expected = "validate.bands: has 2. Give validate.scale or validate.stride, not --block."
    assert str(caught.value) == expected

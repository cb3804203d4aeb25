"""Options in errors become keys of a configuration."""

import pytest

from geoseg.errors import ConfigError, LabelError, WorkError
from geoseg.nn.config_tables import DataConfig
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


def test_keys_exist():
    keys = {key.removeprefix("data.") for key in _KEYS.values() if key.startswith("data.")}
    assert keys <= set(DataConfig.model_fields)

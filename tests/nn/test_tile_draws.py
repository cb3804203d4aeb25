"""What a configuration says of draws: which words there are, what is refused."""

import pytest

from geoseg.errors import ConfigError
from geoseg.nn.config import dump_config, load_config, parse_config


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"tiles": ["a"], "sampling": "random"}, "'uniform', 'balanced', 'rare' or 'hard'"),
        ({"tiles": ["a"], "ratios": [1, 2]}, "ratios are 2, tile sets 1"),
        ({"tiles": ["a", "b"], "ratios": [1, 0]}, r"data.ratios.* = 0"),
        ({"tiles": ["a", "b"], "ratios": [1, -1]}, r"data.ratios.* = -1"),
        ({"scenes": ["a"], "labels": "b", "ratios": [1]}, "ratios are 1, tile sets 0"),
        ({"scenes": ["a"], "labels": "b", "tile_weights": "w.csv"}, "are of tiles, not of scenes"),
        ({"tiles": ["a"], "hard_share": 1.5}, r"data.hard_share = 1.5"),
        ({"tiles": ["a"], "rare_below": 0}, r"data.rare_below = 0"),
        ({"tiles": ["a"], "cat_max_ratio": 0}, r"data.cat_max_ratio = 0"),
        ({"tiles": ["a"], "method": "balanced"}, "unknown key data.method"),
    ],
)
def test_wrong_values_are_refused(data, told):
    with pytest.raises(ConfigError, match=told):
        parse_config({"data": data})


def test_what_is_told_of_draws_is_kept_in_the_file(tmp_path):
    file = tmp_path / "train.toml"
    file.write_text(
        '[data]\ntiles = ["a", "b"]\nsampling = "hard"\nhard_share = 0.25\nratios = [3, 1.5]\n'
        'rare_below = 0.01\ntile_weights = "weights.csv"\ncat_max_ratio = 0.75\n'
    )
    config = load_config(file)
    assert config.data.tile_weights == str(tmp_path / "weights.csv")
    assert config.data.ratios == (3, 1.5)
    again = tmp_path / "again.toml"
    again.write_text(dump_config(config))
    assert load_config(again) == config

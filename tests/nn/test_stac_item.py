"""STAC items are valid by the schemas of STAC and of its extensions."""

import json
import warnings
from pathlib import Path

import pystac
import pytest
from exported_card import CARD
from pystac.validation import RegisteredValidator, validate_dict

from geoseg.nn.stac_item import CLASSIFICATION, FILE, MLM, stac_item

SCHEMAS = Path(__file__).parents[1] / "stac_schemas"
HOME = "https://stac-extensions.github.io"


@pytest.fixture
def validate(monkeypatch):
    """Validates without a network: every schema is on this disk."""
    validator = RegisteredValidator.get_validator()
    for path in SCHEMAS.glob("*.json"):
        name, _, version = path.stem.rpartition("-")
        address = f"{HOME}/{name}/v{version}/schema.json"
        monkeypatch.setitem(validator.schema_cache, address, json.loads(path.read_text()))
    RegisteredValidator.set_validator(validator)
    monkeypatch.setattr("urllib.request.urlopen", None)

    def validate(item):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pystac about its own extensions
            # of the item as it is: Item.from_dict would bring it to other versions first
            return validate_dict(json.loads(json.dumps(item)))

    return validate


def make(card=CARD, kind="onnx", divisor=255.0, name="model.onnx", **more):
    files = {name: (1000, "ab" * 32)}
    if kind == "openvino":
        files["model.bin"] = (900, "cd" * 32)
    return stac_item(card, files=files, divisor=divisor, kind=kind, parameters=8, **more)


@pytest.mark.parametrize("kind", ["onnx", "openvino", "torch"])
def test_every_format_is_valid(validate, kind):
    assert {MLM, CLASSIFICATION, FILE} <= set(validate(make(kind=kind)))


@pytest.mark.parametrize("name", ["9 roofs!", "ä", "x", "a/b c..", "land cover (2024)", ""])
@pytest.mark.parametrize("licence", [None, "MIT", "for my friends only"])
def test_any_name_and_licence_is_valid(validate, name, licence):
    provenance = {"name": name, "licence": licence, "created": "2026-01-02T03:04:05+02:00"}
    item = make(CARD.model_copy(update={"provenance": provenance, "resolution": 0.3}))
    validate(item)
    assert item["properties"]["datetime"] == "2026-01-02T01:04:05Z"
    assert item["properties"].get("license") == {"for my friends only": "other"}.get(
        licence, licence
    )


def test_bands_without_names_are_counted(validate):
    item = make(CARD.model_copy(update={"bands": ("", "nir", "")}))
    validate(item)
    assert item["properties"]["mlm:input"][0]["bands"] == ["band 1", "nir", "band 3"]
    assert item["assets"]["model"]["bands"] == item["properties"]["bands"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda item: item["properties"].pop("mlm:architecture"),
        lambda item: item["assets"]["model"].pop("mlm:artifact_type"),
        lambda item: item["assets"]["model"].update(roles=["data"]),
        lambda item: item["properties"].update({"mlm:unknown": 1}),
        lambda item: item["properties"].pop("bands"),
    ],
)
def test_the_validator_is_no_friend(validate, spoil):
    item = make()
    spoil(item)
    with pytest.raises(pystac.STACValidationError):
        validate(item)


def test_what_it_tells():
    item = make(divisor=255.0)
    (taken,), (given,) = item["properties"]["mlm:input"], item["properties"]["mlm:output"]
    assert taken["input"]["shape"] == [-1, 3, 8, 8]
    assert given["result"]["shape"] == [-1, 2, 8, 8]
    assert taken["value_scaling"] == [{"type": "z-score", "mean": 0.0, "stddev": 255.0}]
    assert make(divisor=1.0)["properties"]["mlm:input"][0]["value_scaling"] is None
    colours = [each["color_hint"] for each in given["classification:classes"]]
    assert colours == ["102030", "102030"]
    assert item["assets"]["model"]["file:checksum"] == "1220" + "ab" * 32
    assert item["geometry"] is None
    assert "bbox" not in item

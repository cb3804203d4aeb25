"""The card of a small exported network."""

from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec
from geoseg.nn.scaling import Scaling

CLASSES = [{"value": value, "name": f"c{value}", "color": "#102030"} for value in range(2)]
CARD = ModelCard(
    spec=ModelSpec(arch="linear", in_channels=3, classes=2),
    legend={"ignore": 255, "classes": CLASSES},
    bands=("a", "b", "c"),
    dtype="uint8",
    scaling=Scaling(kind="divide", divisor=255.0, mean=(9.0, 9.0, 9.0)),
    window=8,
    stride=4,
)

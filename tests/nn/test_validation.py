"""What a validation counts, and the figures it tells."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics

from geoseg.errors import ConfigError
from geoseg.geo.comparing import Comparison
from geoseg.geo.legend import Legend, LegendClass
from geoseg.nn.config import parse_config
from geoseg.nn.validation import (
    Validation,
    check_monitor,
    comparisons_of,
    counts_of,
    figure_names,
    scene_figures,
)

LEGEND = Legend(
    classes=(
        LegendClass(value=1, name="land", color="#00ff00"),
        LegendClass(value=4, name="water", color="#0000ff"),
        LegendClass(value=6, name="snow", color="#ffffff"),
    )
)


class Scenes:
    """Seven pairs of two scenes, in turn."""

    scenes = ("north.tif", "south.tif")

    def scene(self, index):
        return index % 2

    def __len__(self):
        return 7


def make_batch(pairs, seed, classes=3):
    rng = np.random.default_rng(seed)
    shape = (len(pairs), 6, 5)
    target = rng.integers(0, classes, shape).astype(np.uint8)
    target[rng.random(shape) < 0.3] = 255
    valid = (target != 255) | (rng.random(shape) < 0.5)
    logits = torch.from_numpy(rng.normal(size=(shape[0], 3, *shape[1:])).astype(np.float32))
    batch = {
        "target": torch.from_numpy(target),
        "valid": torch.from_numpy(valid),
        "pair": torch.tensor(pairs),
    }
    return logits, batch


def test_figures_are_those_of_sklearn_over_all_pixels():
    validation = Validation(LEGEND, Scenes())
    parts = [make_batch([0, 1, 2, 3], 0), make_batch([4, 5, 6], 1)]
    losses = [torch.tensor(0.5), torch.tensor(2.0)]
    for (logits, batch), loss in zip(parts, losses, strict=True):
        validation.update(logits, batch, loss)
    found = validation.figures()
    predicted = np.concatenate([logits.argmax(1).numpy().ravel() for logits, _ in parts])
    target = np.concatenate([batch["target"].numpy().ravel() for _, batch in parts])
    seen = target != 255
    target, predicted = target[seen], predicted[seen]
    ious = metrics.jaccard_score(target, predicted, average=None)
    expected = {
        "val/mean_iou": ious.mean(),
        "val/pixel_accuracy": metrics.accuracy_score(target, predicted),
        "val/mean_accuracy": metrics.balanced_accuracy_score(target, predicted),
        "val/mean_f1": metrics.f1_score(target, predicted, average="macro"),
        "val/mean_dice": metrics.f1_score(target, predicted, average="macro"),
        "val/fw_iou": metrics.jaccard_score(target, predicted, average="weighted"),
        "val/kappa": metrics.cohen_kappa_score(target, predicted),
        **{f"val/iou/{n}": iou for n, iou in zip(LEGEND.names, ious, strict=True)},
    }
    labelled = [int((batch["target"] != 255).sum()) for _, batch in parts]
    expected["val/loss"] = (0.5 * labelled[0] + 2 * labelled[1]) / sum(labelled)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-12)
    assert list(found) == figure_names(LEGEND.names, whole_scenes=False)


def test_each_scene_is_counted_on_its_own():
    validation = Validation(LEGEND, Scenes())
    logits, batch = make_batch([0, 3, 2, 5], 3)
    validation.update(logits, batch, torch.tensor(1.0))
    counts = validation.counts()
    predicted, target = logits.argmax(1).numpy(), batch["target"].numpy()
    for scene, places in ((0, [0, 2]), (1, [1, 3])):
        seen = target[places] != 255
        expected = metrics.confusion_matrix(
            target[places][seen], predicted[places][seen], labels=range(3)
        )
        np.testing.assert_array_equal(counts["matrices"][scene], expected)
        valid = int(batch["valid"][places].sum())
        assert counts["pixels"][scene].tolist() == [valid, valid, seen.sum()]
    validation.reset()
    assert counts["matrices"].sum() > 0  # what was handed out stays
    assert validation.counts()["matrices"].sum() == 0


def test_a_batch_without_labels_does_not_spoil_the_loss():
    validation = Validation(LEGEND)
    logits, batch = make_batch([0], 0)
    validation.update(logits, batch, torch.tensor(0.25))
    batch["target"][:] = 255
    validation.update(logits, batch, torch.tensor(math.nan))
    assert validation.figures()["val/loss"] == pytest.approx(0.25)
    validation.reset()
    validation.update(logits, batch, torch.tensor(math.nan))
    assert all(math.isnan(value) for value in validation.figures().values())


def test_a_great_many_scenes_are_counted_as_one():
    class Many:
        scenes = tuple(map(str, range(2_000_000)))

        def scene(self, index):
            return index

        def __len__(self):
            return len(self.scenes)

    validation = Validation(LEGEND, Many())
    logits, batch = make_batch([5, 1_999_999], 0)
    validation.update(logits, batch, torch.tensor(1.0))
    assert validation.scenes == ("2000000 scenes",)
    counts = validation.counts()
    assert counts["matrices"].shape == (1, 3, 3)
    assert counts["matrices"].sum() == (batch["target"] != 255).sum()


def test_comparisons_survive_a_checkpoint(tmp_path):
    rng = np.random.default_rng(0)
    compared = [
        Comparison(
            prediction=name, labels=f"{name}.gpkg", matrix=rng.integers(0, 9, (3, 3)),
            pixels=200, predicted_pixels=150 + place, labelled_pixels=99,
        )
        for place, name in enumerate(("a", "b"))
    ]  # fmt: skip
    torch.save(counts_of(compared), tmp_path / "counts.pt")
    counts = torch.load(tmp_path / "counts.pt", weights_only=True)
    again = comparisons_of(counts, ["a", "b"], ["a.gpkg", "b.gpkg"])
    for one, other in zip(compared, again, strict=True):
        np.testing.assert_array_equal(one.matrix, other.matrix)
        assert {**vars(one), "matrix": 0} == {**vars(other), "matrix": 0}
    figures = scene_figures(counts, LEGEND.names)
    total = compared[0].matrix + compared[1].matrix
    assert figures["val/scene/pixel_accuracy"] == np.trace(total) / total.sum()
    assert list(figures) == figure_names(LEGEND.names, whole_scenes=True)[-len(figures) :]


def configure(monitor, **validate):
    return parse_config(
        {"data": {"tiles": ["t"]}, "train": {"monitor": monitor}, "validate": validate}
    )


@pytest.mark.parametrize(
    "monitor",
    ["max val/mean_iou", "min val/loss", "min train/loss", "max val/iou/water", "max val/kappa"],
)
def test_any_column_can_be_monitored(monitor):
    check_monitor(configure(monitor), LEGEND.names)


@pytest.mark.parametrize(
    ("monitor", "cure"),
    [
        ("max val/mean_iuo", "Did you mean val/mean_iou"),
        ("max val/iou/watr", "Did you mean val/iou/water"),
        ("max f1", "Known are val/loss, "),
        ("max val/scene/mean_iou", "Name whole scenes in validate.scenes"),
    ],
)
def test_an_unknown_figure_is_refused_and_the_nearest_named(monitor, cure):
    with pytest.raises(ConfigError) as caught:
        check_monitor(configure(monitor), LEGEND.names)
    assert caught.value.subject == "train.monitor"
    assert cure in caught.value.cure


def test_figures_of_whole_scenes_are_known_where_there_are_some():
    check_monitor(configure("max val/scene/iou/snow", scenes=["a"], labels="b"), LEGEND.names)

"""One step of training and validation, without the loop around it."""

import numpy as np
import pytest
import torch

from geoseg.errors import TileSetError, WorkError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.nn.config import parse_config
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling
from geoseg.nn.task import SegmentationTask

LEGEND = Legend(
    classes=tuple(LegendClass(value=v, name=f"c{v}", color="#000000") for v in (0, 1, 7))
)
SCALING = Scaling(kind="standardize", mean=(100.0, 200.0), std=(10.0, 20.0))


def make_task(arch="linear", **tables):
    config = parse_config({"data": {"tiles": ["t"]}, **tables})
    torch.manual_seed(0)
    spec = ModelSpec(arch=arch, encoder="resnet18", in_channels=2, classes=3)
    return SegmentationTask(build_model(spec), config, SCALING, LEGEND, lambda _: 100)


def make_batch(target, image=None):
    target = torch.as_tensor(target)
    if image is None:
        image = torch.randn(len(target), 2, *target.shape[-2:]) * 10 + 100
    return {"image": image, "target": target, "valid": target != 255}


def random_target(shape=(2, 8, 8), seed=0):
    return np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8)


def plain():
    return {"augment": {"flip": 0, "rotate": 0, "scale": [1, 1], "brightness": 0, "contrast": 0}}


def test_forward_scales_raw_units():
    task = make_task()
    image = torch.randn(1, 2, 4, 4) * 10 + 100
    mean, std = (torch.tensor(v)[None, :, None, None] for v in ((100.0, 200.0), (10.0, 20.0)))
    expected = task.network((image - mean) / std)
    assert torch.allclose(task(image), expected, atol=1e-6)


def test_the_weight_of_auxiliary_outputs_is_that_of_the_config():
    assert make_task().training_loss.aux_weight is None
    assert make_task(loss={"aux_weight": 0.25}).training_loss.aux_weight == 0.25


def test_loss_is_that_of_the_labelled_pixels():
    """Cross-entropy against a plain computation over the pixels that are not ignored."""
    task = make_task(loss={"terms": [{"name": "cross_entropy"}]}, **plain())
    target = random_target()
    target[0, :4] = 255
    batch = make_batch(target)
    loss = task.training_step(batch, 0)
    probability = task(batch["image"]).softmax(dim=1).detach().numpy().astype(np.float64)
    flat, labels = np.moveaxis(probability, 1, -1).reshape(-1, 3), target.reshape(-1)
    seen = labels != 255
    expected = -np.log(flat[seen, labels[seen]]).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_ignored_pixels_have_no_gradient():
    task = make_task(**plain())
    batch = make_batch(np.full((1, 6, 6), 255, np.uint8))
    loss = task.training_step(batch, 0)
    loss.backward()
    assert loss.item() == 0
    assert all((p.grad is None or not p.grad.any()) for p in task.network.parameters())


def test_figures_come_from_one_matrix_over_all_batches():
    """The mean IoU of the sum of pixels, which is not the mean of the batches' IoUs."""
    task = make_task()
    rng = np.random.default_rng(1)
    targets = [random_target((1, 8, 8), seed=2), random_target((3, 8, 8), seed=3) % 2]
    targets[0][0, :, :3] = 255
    predicted = [rng.integers(0, 3, t.shape) for t in targets]
    logits = iter(torch.nn.functional.one_hot(torch.tensor(p), 3).movedim(-1, 1) * 5.0
                  for p in predicted)  # fmt: skip
    task.forward = lambda _: next(logits)
    task.on_validation_epoch_start()
    for target in targets:
        task.validation_step(make_batch(target), 0)
    task.on_validation_epoch_end()
    truth, guess = (np.concatenate([a.ravel() for a in arrays]) for arrays in (targets, predicted))
    seen = truth != 255
    truth, guess = truth[seen], guess[seen]
    ious = [
        ((truth == c) & (guess == c)).sum() / ((truth == c) | (guess == c)).sum() for c in range(3)
    ]
    assert task._row["val/mean_iou"] == pytest.approx(np.mean(ious))
    assert [task._row[f"val/iou/c{v}"] for v in (0, 1, 7)] == pytest.approx(ious)
    assert task._row["val/pixel_accuracy"] == pytest.approx((truth == guess).mean())
    assert task.validation.confusion.matrix.sum() == seen.sum()


def test_a_validation_without_labels_has_no_figures():
    task = make_task()
    task.on_validation_epoch_start()
    task.validation_step(make_batch(np.full((1, 4, 4), 255, np.uint8)), 0)
    task.on_validation_epoch_end()
    assert np.isnan(task._row["val/mean_iou"])
    assert np.isnan(task._row["val/loss"])


def test_a_loss_that_is_no_number_names_the_step():
    task = make_task(**plain())
    task.on_train_epoch_start()
    batch = make_batch(random_target())
    task.training_step(batch, 0)
    with torch.no_grad():
        task.network.network.weight.fill_(float("nan"))
    with pytest.raises(WorkError, match="step 2: the loss is nan"):
        task.training_step(batch, 1)


def test_an_unreadable_sample_is_raised_as_it_was():
    task = make_task()
    with pytest.raises(TileSetError, match="tile: is damaged"):
        task.training_step(TileSetError("tile", "is damaged"), 0)


def test_chance_is_that_of_the_epoch_alone():
    losses = []
    batch = make_batch(random_target((4, 8, 8)))
    for steps_before in (0, 3):
        task = make_task()
        for _ in range(steps_before):
            task.training_step(batch, 0)
        task.on_train_epoch_start()
        losses.append(task.training_step(batch, 0).item())
    assert losses[0] == losses[1]


def test_one_tile_is_learnt_by_heart():
    """R2: a label that were mirrored or shifted could not be fitted through augmentation."""
    task = make_task("unet", optimizer={"lr": 3e-3}, augment={"scale": [1, 1]})
    rng = np.random.default_rng(0)
    target = np.zeros((1, 32, 32), np.uint8)
    target[0, 3:14, 5:29] = 1
    target[0, 18:, 2:9] = 2
    image = np.stack([100 + 10 * target[0], 200 - 20 * target[0]]) + rng.normal(0, 2, (2, 32, 32))
    batch = make_batch(target, torch.tensor(image, dtype=torch.float32)[None])
    batch = {key: value.repeat(2, *[1] * (value.ndim - 1)) for key, value in batch.items()}
    optimizer = task.configure_optimizers()["optimizer"]
    for step in range(70):
        optimizer.zero_grad()
        task.training_step(batch, step).backward()
        optimizer.step()
    task.eval()
    with torch.no_grad():
        predicted = task(batch["image"][:1]).argmax(dim=1).numpy()
    for c in range(3):
        iou = ((predicted == c) & (target == c)).sum() / ((predicted == c) | (target == c)).sum()
        assert iou > 0.99

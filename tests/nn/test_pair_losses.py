"""Losses of pairs, against a plain computation, and the way they take to the sampler."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from geoseg.nn.drawing import Drawing
from geoseg.nn.pair_losses import PairLosses, sample_losses
from geoseg.nn.sampling import EpochSampler


def numpy_losses(logits, target, ignore):
    losses = []
    for scores, labels in zip(logits.astype(np.float64), target, strict=True):
        probability = np.exp(scores) / np.exp(scores).sum(axis=0)
        rows, cols = np.nonzero(labels != ignore)
        own = probability[labels[rows, cols], rows, cols]
        losses.append(-np.log(own).mean() if len(own) else np.nan)
    return losses


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_losses_are_means_over_labelled_pixels_of_each_sample(dtype):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 3, 5, 6)).astype(np.float32)
    target = rng.integers(0, 3, (4, 5, 6)).astype(dtype)
    target[1, :4] = 255
    target[2] = 255
    found = sample_losses(torch.from_numpy(logits), torch.from_numpy(target), 255)
    expected = numpy_losses(logits, target, 255)
    assert np.isnan(expected).tolist() == [False, False, True, False]
    assert found.numpy() == pytest.approx(np.array(expected), rel=1e-5, nan_ok=True)


def make_batch(pairs):
    logits = torch.zeros(len(pairs), 2, 2, 2, requires_grad=True)
    wrong = logits + torch.tensor([0.0, 1.0])[:, None, None] * pairs[:, None, None, None]
    return pairs, wrong, torch.zeros(len(pairs), 2, 2, dtype=torch.uint8)


def told_to(sampler):
    return sampler.state_dict()["recorded"]


def test_losses_reach_the_sampler_when_a_state_is_complete():
    sampler = EpochSampler(Drawing(pairs=5, sampling="hard"), 5, 0)
    gathered = PairLosses(sampler, 255)
    pairs, logits, target = make_batch(torch.tensor([2, 0]))
    gathered.add(pairs, (logits, None), target)  # of a network with further outputs
    gathered.add(*make_batch(torch.tensor([3])))
    assert told_to(sampler).isnan().all()
    gathered.on_save_checkpoint(None, None, {})
    expected = [np.log(1 + np.exp(pair)) for pair in (0, 2, 3)]
    assert told_to(sampler)[[0, 2, 3]].tolist() == pytest.approx(expected, rel=1e-6)
    assert told_to(sampler)[[1, 4]].isnan().all()
    gathered.add(*make_batch(torch.tensor([4])))
    gathered.on_train_epoch_end(SimpleNamespace(), None)
    assert told_to(sampler)[4] == pytest.approx(np.log(1 + np.exp(4)), rel=1e-6)
    gathered.flush()  # nothing new: nothing changes
    assert told_to(sampler).isnan().tolist() == [False, True, False, False, False]

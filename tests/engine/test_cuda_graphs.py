"""What of graphs can be told apart without a GPU; with one, that they replay the network."""

import logging

import pytest
import torch

from geoseg.engine.cuda_graphs import GraphedNetwork

CPU = torch.device("cpu")
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def doubled(pixels, valid):
    scores = 2 * pixels.float()
    return scores if valid is None else scores * valid[:, None]


def test_what_cannot_be_recorded_runs_as_it_comes(caplog):
    caplog.set_level(logging.DEBUG)
    graphed = GraphedNetwork(doubled, CPU, 4)
    pixels = torch.rand(3, 2, 8, 8)
    valid = torch.rand(3, 8, 8) > 0.5
    assert torch.equal(graphed.scores(pixels, valid), doubled(pixels, valid))
    assert torch.equal(graphed.scores(pixels, None), doubled(pixels, None))
    assert graphed.is_off
    assert caplog.text.count("runs without a graph") == 1


def test_without_memory_the_batch_is_halved_and_the_caller_told(monkeypatch):
    def full(self, pixels):
        raise torch.OutOfMemoryError("no memory")

    graphed = GraphedNetwork(doubled, CPU, 4)
    monkeypatch.setattr(GraphedNetwork, "_record", full)
    for _ in range(3):
        with pytest.raises(torch.OutOfMemoryError):
            graphed.scores(torch.rand(1, 2, 8, 8), None)
    assert graphed._batch_size == 1
    assert not graphed.is_off
    pixels = torch.rand(4, 2, 8, 8)  # more than a graph takes
    assert torch.equal(graphed.scores(pixels, None), doubled(pixels, None))


@NEEDS_GPU
def test_a_graph_replays_full_batches_and_tails():
    device = torch.device("cuda", 0)
    graphed = GraphedNetwork(doubled, device, 4)
    for count in (4, 3, 1, 4):
        pixels = torch.randint(0, 255, (count, 2, 8, 8), dtype=torch.uint8)
        valid = torch.rand(count, 8, 8) > 0.5
        for mask in (valid, None, valid):
            with torch.inference_mode():
                scores = graphed.scores(pixels.to(device), mask)
            assert torch.equal(scores.cpu(), doubled(pixels, mask))
    assert not graphed.is_off

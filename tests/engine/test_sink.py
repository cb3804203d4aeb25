"""What the writer of finished rows tells the journal."""

from types import SimpleNamespace

import numpy as np
import torch

from geoseg.engine import sink
from geoseg.engine.fetch import Fetched
from geoseg.engine.parts import Part
from geoseg.engine.pipeline import Counts
from geoseg.engine.timings import Timings


def test_a_part_that_has_come_no_further_is_not_noted_again(monkeypatch):
    monkeypatch.setattr(sink, "CHECKPOINT_SECONDS", 0)
    noted = []
    journal = SimpleNamespace(add=lambda marks, _: noted.append([(m.region, m.row) for m in marks]))
    writer = SimpleNamespace(
        profile=SimpleNamespace(dtype="uint8"), write=lambda *_: None, checkpoint=list
    )
    parts = [
        Part((0, 1024), (0, 8), (1536, 1536), Counts.of(1)),
        Part((1024, 1536), (0, 8), (1536, 1536), Counts.of(1)),
    ]
    valid = np.ones((512, 8), bool)
    with sink.Sink([writer], [255], parts, classes=[0], journal=journal, timings=Timings()) as made:
        for part in (0, 1, 0):
            rows = np.zeros((1, 512, 8), np.uint8)
            made.put(part, [Fetched(torch.from_numpy(rows))], valid)
    assert noted == [[(0, 512)], [(1, 1536)], [(0, 1024)]]

"""What augmentation of a batch costs: side by side with one sample at a time, and with kornia.

Usage: python tests/benchmarks/bench_augment.py [--device cpu] [--sizes 256,512] [--batch 8]
           [--bands 4] [--rounds 9]

Each round runs all candidates after each other on the same batch, in turn, so that what else the
machine does meets all of them; the fastest round of each counts. On the processor it is the time
of the processor, of one thread, that counts; on a GPU the time until it is done.

* `batch`: geoseg.nn.augment.Augment.
* `one by one`: the same kinds of change by a loop over the samples, with torch's own flip, rot90
  and antialiased resize, as geoseg had it before.
* `kornia`: kornia.augmentation on the batch with the same probabilities and sizes, image and mask
  together. It knows no valid pixels; its mask is of floats.

`defaults` is the table [augment] as it is; `all` adds rotation, shear, elastic displacement, blur,
noise and changes of single bands.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from kornia import augmentation as kornia
from torch import Tensor
from torch.nn import functional

from geoseg.nn.augment import Augment
from geoseg.nn.augment_config import AugmentConfig

ALL: dict[str, Any] = {
    "scale": (0.5, 2), "angle": 30, "shear": 10, "elastic": 5, "blur": (0.3, 2), "noise": (0, 0.2),
    "gamma": (0.7, 1.4), "band_shift": 0.2, "band_gain": 0.2,
}  # fmt: skip
Batch = tuple[Tensor, Tensor, Tensor]
Candidate = Callable[[], object]


def main() -> None:
    """Measure all and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", default="64,256,512")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--bands", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        f"{given.batch} samples of {given.bands} bands on {given.device}, milliseconds a batch",
        "",
        "| side | table | batch | one by one | kornia | one by one / batch | kornia / batch |",
        "|---|---|---|---|---|---|---|",
    ]
    for side in map(int, given.sizes.split(",")):
        batch = make_batch(given.batch, given.bands, side, given.device)
        for table, change in (("defaults", {}), ("all", ALL)):
            times = measure(candidates(batch, change), given.rounds, given.device)
            lines.append(row(side, table, times))
    print("\n".join(lines))


def make_batch(count: int, bands: int, side: int, device: str) -> Batch:
    """Image, mask and valid; a corner of each sample holds no data."""
    draw = torch.Generator().manual_seed(0)
    image = torch.randn(count, bands, side, side, generator=draw)
    mask = torch.randint(0, 6, (count, side, side), generator=draw, dtype=torch.uint8)
    valid = torch.ones(count, side, side, dtype=torch.bool)
    valid[:, : side // 8, : side // 8] = False
    return image.to(device), mask.to(device), valid.to(device)


def candidates(batch: Batch, change: dict[str, Any]) -> dict[str, Candidate]:
    """What is measured; only geoseg's batch has all changes."""
    config = AugmentConfig.model_validate(change)
    augment = Augment(config, seed=0)
    found: dict[str, Candidate] = {"batch": lambda: augment(*batch)}
    if not change:
        found["one by one"] = lambda: one_by_one(batch)
    pipeline = by_kornia(all_changes=bool(change))
    image, mask, _ = batch
    found["kornia"] = lambda: pipeline(image, mask[:, None].float())
    return found


def measure(found: dict[str, Candidate], rounds: int, device: str) -> dict[str, float]:
    """Milliseconds of the fastest round of each, all of them in turn."""
    best = dict.fromkeys(found, float("inf"))
    for number in range(rounds + 2):
        for name, candidate in found.items():
            milliseconds = 1000 * timed(candidate, device)
            if number >= 2:  # the first rounds warm up
                best[name] = min(best[name], milliseconds)
    return best


def timed(candidate: Candidate, device: str) -> float:
    """Seconds of five batches, divided by five."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    _wait(device)
    start = clock()
    for _ in range(5):
        candidate()
    _wait(device)
    return (clock() - start) / 5


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def row(side: int, table: str, times: dict[str, float]) -> str:
    """A line of the table."""
    batch = times["batch"]
    cells = [f"{times[name]:.1f}" if name in times else "" for name in ("one by one", "kornia")]
    ratios = [
        f"{times[name] / batch:.2f}" if name in times else "" for name in ("one by one", "kornia")
    ]
    return f"| {side} | {table} | {batch:.1f} | {' | '.join([*cells, *ratios])} |"


def by_kornia(*, all_changes: bool) -> Callable[[Tensor, Tensor], object]:
    """The same changes in kornia's words; it takes three bands for gamma and hue, so none here."""
    shear, degrees = (10.0, 30.0) if all_changes else (None, 0.0)
    scale = (0.5, 2.0) if all_changes else (0.8, 1.25)
    steps: list[Any] = [
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.RandomVerticalFlip(p=0.5),
        kornia.RandomRotation90((1, 3), p=0.5),
        kornia.RandomAffine(degrees, scale=scale, translate=(0.1, 0.1), shear=shear, p=1.0),
    ]
    if all_changes:
        steps += [
            kornia.RandomElasticTransform((63, 63), (16.0, 16.0), (1.0, 1.0), p=0.5),
            kornia.RandomGaussianBlur((13, 13), (0.3, 2.0), p=0.5),
            kornia.RandomGaussianNoise(0.0, 0.1, p=0.5),
        ]
    steps += [
        kornia.RandomBrightness((0.9, 1.1), clip_output=False, p=1.0),
        kornia.RandomContrast((0.9, 1.1), clip_output=False, p=1.0),
    ]
    pipeline: Callable[[Tensor, Tensor], object] = kornia.AugmentationSequential(
        *steps, data_keys=["input", "mask"], extra_args={}
    )
    return pipeline


def one_by_one(batch: Batch) -> list[Tensor]:
    """Flip, turn, resize, place and recolour sample by sample."""
    parts = [_change(*(part[n : n + 1] for part in batch)) for n in range(len(batch[0]))]
    return [torch.cat(pieces) for pieces in zip(*parts, strict=True)]


def _change(image: Tensor, mask: Tensor, valid: Tensor) -> Batch:
    draw = torch.rand(8).tolist()
    for axis, share in ((-1, draw[0]), (-2, draw[1])):
        if share < 0.5:
            image, mask, valid = image.flip(axis), mask.flip(axis), valid.flip(axis)
    if draw[2] < 0.5:
        turns = 1 + int(3 * draw[3])
        image, mask, valid = (part.rot90(turns, (-2, -1)) for part in (image, mask, valid))
    side = mask.shape[-1]
    size = max(1, round(side * 0.8 * 1.5625 ** draw[4]))
    grown = functional.interpolate(image, size=(size, size), mode="bilinear", antialias=True)
    nearest = (2 * torch.arange(size, device=image.device) + 1) * side // (2 * size)
    spare = abs(size - side)
    row, col = int(draw[5] * (spare + 1)), int(draw[6] * (spare + 1))
    to, take = slice(None), slice(None)
    new_image, new_mask = torch.zeros_like(image), torch.full_like(mask, 255)
    new_valid = torch.zeros_like(valid)
    if size >= side:
        rows, cols = slice(row, row + side), slice(col, col + side)
        picked = nearest[rows, None], nearest[None, cols]
        new_image, new_mask = grown[..., rows, cols], mask[:, *picked]
        new_valid = valid[:, *picked]
    else:
        to, take = slice(row, row + size), slice(col, col + size)
        picked = nearest[:, None], nearest[None]
        new_image[..., to, take], new_mask[:, to, take] = grown, mask[:, *picked]
        new_valid[:, to, take] = valid[:, *picked]
    seen = new_valid[:, None]
    pixels = seen.sum(dim=(-2, -1), keepdim=True).clamp(min=1)
    mean = new_image.where(seen, 0).sum(dim=(-2, -1), keepdim=True) / pixels
    stretch, shift = 0.9 + 0.2 * draw[7], 0.1
    painted = ((new_image - mean) * stretch + mean + shift).where(seen, new_image)
    return painted, new_mask.masked_fill(~new_valid, 255), new_valid


if __name__ == "__main__":
    main()

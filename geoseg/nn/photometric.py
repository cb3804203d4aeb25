"""Changes of pixel values in augmentation, for any number of bands and any units.

Images are scaled already, so that sizes in scaled units mean the same whatever the sensor.
Only valid pixels change.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geoseg.nn.augment_config import AugmentConfig
from geoseg.nn.blur import blur, keep_valid
from geoseg.nn.chance import Chance, normal_field, send


def repaint(
    image: Tensor, valid: Tensor, config: AugmentConfig, chance: Chance, fill: Tensor
) -> Tensor:
    """Draw and make all changes of values: first the light, then what the sensor does to it.

    Args:
        image: (n, bands, height, width) float32 or float64, scaled.
        valid: (n, height, width) bool.
        config: Which changes, how large.
        chance: Of the batch.
        fill: (bands,) or (1,) value of a band that is lost.
    """
    image = bend(image, valid, _exponents(config, chance))
    image = recolor(image, valid, *_recoloring(config, chance))
    image = blur(image, valid, _range(config.blur, "blur", config.probability.blur, chance))
    deviation = _range(config.noise, "noise", config.probability.noise, chance)
    image = roughen(image, valid, deviation, chance.seeds("noise_seed"))
    return lose_bands(image, valid, drawn_bands(config.band_drop, chance), fill)


def bend(image: Tensor, valid: Tensor, exponent: Tensor) -> Tensor:
    """Raise values to a power: lo + (hi - lo) ((x - lo) / (hi - lo))^exponent.

    lo and hi are the least and the greatest valid value of each band of each sample, so that
    the power is of a number from 0 to 1 whatever the units, and the range stays. A band of one
    value stays as it is.

    Args:
        image: (n, bands, height, width).
        valid: (n, height, width) bool.
        exponent: (n,) above 0, on the CPU; above 1 darkens.
    """
    if (exponent == 1).all():
        return image
    seen = valid[:, None]
    low = image.where(seen, torch.inf).amin(dim=(-2, -1), keepdim=True)  # (n, bands, 1, 1)
    span = image.where(seen, -torch.inf).amax(dim=(-2, -1), keepdim=True) - low
    share = ((image - low) / span).clamp(0, 1)
    power = send(exponent, image.device, image.dtype)[:, None, None, None]
    return torch.where(seen & (span > 0) & (power != 1), low + span * share**power, image)


def recolor(image: Tensor, valid: Tensor, shift: Tensor, stretch: Tensor) -> Tensor:
    """Brighten and stretch: (x - m) stretch + m + shift, m the mean of each sample's band.

    Args:
        image: (n, bands, height, width).
        valid: (n, height, width) bool; only these pixels make the mean.
        shift: (n, bands) or (n, 1), on the CPU.
        stretch: (n, bands) or (n, 1), on the CPU.
    """
    if not shift.any() and (stretch == 1).all():
        return image
    seen = valid[:, None].to(image.dtype)  # (n, 1, h, w)
    shift, stretch = (
        send(size, image.device, image.dtype)[..., None, None] for size in (shift, stretch)
    )
    pixels = seen.sum(dim=(-2, -1), keepdim=True).clamp(min=1)
    mean = (image * seen).sum(dim=(-2, -1), keepdim=True) / pixels  # (n, bands, 1, 1)
    changed = torch.addcmul(mean * (1 - stretch) + shift, image, stretch)
    return keep_valid(changed, valid, image)


def roughen(image: Tensor, valid: Tensor, deviation: Tensor, seeds: Tensor) -> Tensor:
    """Add Gaussian noise, of each pixel and band on its own.

    Args:
        image: (n, bands, height, width).
        valid: (n, height, width) bool.
        deviation: (n,) standard deviation in the units of the image, on the CPU.
        seeds: (n,) int32, on the CPU.
    """
    rough = deviation > 0
    if not rough.any():
        return image
    index = rough.nonzero()[:, 0]
    chosen = send(index, image.device)
    noise = normal_field(send(seeds[index], image.device), tuple(image.shape[1:])).to(image.dtype)
    noise *= send(deviation[index], image.device, image.dtype)[:, None, None, None]
    return image.index_add(0, chosen, noise.where(valid[chosen][:, None], 0))


def lose_bands(image: Tensor, valid: Tensor, lost: Tensor, fill: Tensor) -> Tensor:
    """Let bands become their mean over the training data.

    Args:
        image: (n, bands, height, width).
        valid: (n, height, width) bool.
        lost: (n, bands) bool, on the CPU.
        fill: (bands,) or (1,) the means.
    """
    if not lost.any():
        return image
    gone = send(lost, image.device)[:, :, None, None] & valid[:, None]
    return torch.where(gone, send(fill, image.device, image.dtype)[:, None, None], image)


def drawn_bands(probability: float, chance: Chance) -> Tensor:
    """(n, bands) bool: bands that are lost; of each sample at least one is not."""
    shares = chance.bands("band_drop")
    return (shares < probability) & (shares < shares.amax(dim=1, keepdim=True))


def _range(limits: tuple[float, float], name: str, probability: float, chance: Chance) -> Tensor:
    """(n,) drawn evenly between the limits, 0 where nothing happens."""
    return chance.between(name, *limits) * chance.happens(f"{name}?", probability)


def _exponents(config: AugmentConfig, chance: Chance) -> Tensor:
    happens = chance.happens("gamma?", config.probability.gamma)
    return chance.factor("gamma", *config.gamma).where(happens, 1.0)


def _recoloring(config: AugmentConfig, chance: Chance) -> tuple[Tensor, Tensor]:
    """Shift and stretch (n, bands): of all bands together, and of each on its own."""
    probability = config.probability
    happens = {
        name: chance.happens(f"{name}?", getattr(probability, name))[:, None]
        for name in ("brightness", "contrast", "band_shift", "band_gain")
    }
    brightness = chance.between("brightness", -1, 1)[:, None] * config.brightness
    contrast = chance.between("contrast", -1, 1)[:, None] * config.contrast
    shifts = (2 * chance.bands("band_shift") - 1) * config.band_shift
    gains = (2 * chance.bands("band_gain") - 1) * config.band_gain
    shift = brightness * happens["brightness"] + shifts * happens["band_shift"]
    stretch = (1 + contrast * happens["contrast"]) * (1 + gains * happens["band_gain"])
    return shift, stretch

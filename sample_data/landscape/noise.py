"""Random textures with the spectrum of natural surfaces."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Field = NDArray[np.float32]


def fractal(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    longest: float,
    shortest: float = 2.0,
    slope: float = 1.4,
) -> Field:
    """Gaussian noise whose amplitude falls with frequency, within a band of wavelengths.

    Args:
        rng: Where the randomness comes from.
        shape: Height and width of the result, pixels.
        longest: The longest wavelength, pixels.
        shortest: The shortest wavelength, pixels.
        slope: Amplitude goes with frequency to the power of `-slope`.

    Returns:
        Noise (height, width) of mean 0 and standard deviation 1.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    spectrum = scipy.fft.rfft2(white)
    rows = scipy.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    cols = scipy.fft.rfftfreq(shape[1]).astype(np.float32)[None, :]
    frequency = np.hypot(rows, cols)
    frequency[0, 0] = 1.0
    gain = frequency**-slope * np.exp(-((frequency * shortest / 2) ** 2))
    gain *= 1 - np.exp(-((frequency * longest) ** 2))
    gain[0, 0] = 0
    texture = scipy.fft.irfft2(spectrum * gain, s=shape)
    result: Field = (texture / texture.std()).astype(np.float32)
    return result

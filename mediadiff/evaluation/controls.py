"""Controls: clips that look real to a careless measure. A figure that cannot tell them from real clips says nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.rng import Key, numpy_generator


def noise_like(clip: Clip, *key: Key) -> Clip:
    """Noise with the clip's own spectrum: every frequency keeps its strength and gets a phase drawn by `key`.

    Loudness, pitch, brightness and texture stay; what happens when (and, in a picture, where) is gone. A picture may be
    clipped to 0..255 and so change a little in brightness.
    """
    sound, picture = clip.sound, clip.picture
    if sound is not None:
        rng = numpy_generator(*key, "sound")
        sound = Sound(_scrambled(np.nan_to_num(sound.samples), (1,), rng), sound.sample_rate)
    if picture is not None:
        rng = numpy_generator(*key, "picture")
        frames = np.moveaxis(picture.frames.astype(np.float32), 3, 0)
        noise = np.moveaxis(_scrambled(frames, (1, 2, 3), rng), 0, 3)
        picture = Picture(noise.round().clip(0, 255).astype(np.uint8), picture.rate)
    return replace(clip, sound=sound, picture=picture)


def _scrambled(x: np.ndarray, axes: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """`x` `[channels, ...]` with all phases turned by those of white noise, the same for every channel."""
    if 0 in x.shape:
        return x
    shape = x.shape[1:]
    turn = np.fft.rfftn(rng.standard_normal((1, *shape)), axes=axes)
    turn /= np.maximum(np.abs(turn), 1e-12)
    turn[(0, *(0 for _ in shape))] = 1  # the mean stays
    out: np.ndarray = np.fft.irfftn(np.fft.rfftn(x, axes=axes) * turn, s=shape, axes=axes)
    return out.astype(np.float32)

"""librosa, as one process after another comes to it first."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import cache
from types import ModuleType

from mediadiff.io.files import cache_folder
from mediadiff.io.locks import one_at_a_time


@cache
def librosa() -> ModuleType:
    """The package, with all of it that is used here imported and compiled, or taken from numba's cache.

    One process at a time: it compiles as it is imported, numba's cache mixes what two compile at once, and from then on
    every use of it crashes.
    """
    with ExitStack() as stack:
        # Where there is no place for the lock, there is hardly one for a cache.
        with suppress(OSError):
            stack.enter_context(one_at_a_time(cache_folder() / "librosa.lock"))
        import librosa
        import librosa.core.spectrum
        import librosa.effects
        import librosa.feature.spectral
        import librosa.onset
        import numpy as np

        librosa.onset.onset_detect(onset_envelope=np.arange(8.0, dtype=np.float32))
    package: ModuleType = librosa
    return package

"""Plain figures of one clip, without any network: how long it sounds, how loud it is, how much it moves."""

from __future__ import annotations

import numpy as np

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.evaluation._librosa import librosa
from mediadiff.evaluation.views import picture_of, sound_of

ACTIVE_DB = 30.0
"""What lies this far below the clip's loudest frame counts as silence."""
SILENT_DB = -120.0


def levels(clip: Clip, medium: str) -> dict[str, float]:
    """The figures of the clip's sound or picture by name; the unit is in the name."""
    return sound_levels(sound_of(clip)) if medium == "sound" else picture_levels(picture_of(clip))


def sound_levels(sound: Sound) -> dict[str, float]:
    """Seconds that are not silence (`librosa.effects.split`), their RMS level and the peak in dB of full scale.

    Digital silence has 0 active seconds and -120 dB.
    """
    wave = np.nan_to_num(sound.samples).mean(0)
    peak = float(np.abs(wave).max(initial=0))
    if peak < 10 ** (SILENT_DB / 20):
        return {"active s": 0.0, "RMS dB": SILENT_DB, "peak dB": SILENT_DB}
    hop = max(1, sound.sample_rate // 125)
    parts = librosa().effects.split(wave, top_db=ACTIVE_DB, frame_length=4 * hop, hop_length=hop)
    active = np.concatenate([wave[start:stop] for start, stop in parts])
    rms = float(np.sqrt(np.mean(np.square(active, dtype=np.float64))))
    return {
        "active s": len(active) / sound.sample_rate,
        "RMS dB": 20 * float(np.log10(max(rms, 10 ** (SILENT_DB / 20)))),
        "peak dB": 20 * float(np.log10(peak)),
    }


def picture_levels(picture: Picture) -> dict[str, float]:
    """Mean and spread of the brightness, and the mean change between frames in each half of the clip, all of 0..255.

    A still image has brightness and contrast only.
    """
    grey = picture.frames.astype(np.float32) @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    figures = {"brightness": float(grey.mean()), "contrast": float(grey.std((1, 2)).mean())}
    if not picture.is_still:
        change = np.abs(np.diff(grey, axis=0)).mean((1, 2))
        middle = len(change) // 2
        figures |= {
            "motion, first half": float(change[: max(1, middle)].mean()),
            "motion, second half": float(change[middle:].mean()),
        }
    return figures

"""A clip is a set of streams on one clock: sound in samples, picture in frames, time in exact seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mediadiff.errors import UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Sound:
    """Sound: `samples` float32 `[channels, N]`, full scale at +-1 (larger values are kept), `sample_rate` in Hz."""

    samples: np.ndarray
    sample_rate: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.dtype != np.float32:
            raise UsageError(
                f"Sound takes float32 samples [channels, N]; got {self.samples.dtype} {list(self.samples.shape)}"
            )
        if self.samples.shape[0] == 0:
            raise UsageError("Sound takes one channel or more; got none")
        if self.sample_rate <= 0:
            raise UsageError(f"sample_rate is in Hz and above 0; got {self.sample_rate}")

    @property
    def channels(self) -> int:
        return self.samples.shape[0]

    @property
    def seconds(self) -> Fraction:
        return Fraction(self.samples.shape[1], self.sample_rate)


@dataclass(frozen=True, eq=False)
class Picture:
    """Picture: `frames` uint8 RGB `[T, H, W, 3]`, `rate` in frames per second, exact. One frame is a still image."""

    frames: np.ndarray
    rate: Fraction

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or self.frames.dtype != np.uint8:
            raise UsageError(
                f"Picture takes uint8 frames [T, H, W, 3]; got {self.frames.dtype} {list(self.frames.shape)}"
            )
        if self.rate <= 0:
            raise UsageError(f"rate is in frames per second and above 0; got {self.rate}")
        object.__setattr__(self, "rate", Fraction(self.rate))

    @property
    def is_still(self) -> bool:
        return self.frames.shape[0] == 1

    @property
    def seconds(self) -> Fraction:
        return self.frames.shape[0] / self.rate


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip: its streams (at least one), the label it was asked for, and `tags`, which say how it was made."""

    sound: Sound | None = None
    picture: Picture | None = None
    label: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.sound is None and self.picture is None:
            raise UsageError("a clip needs sound, picture or both; got neither")

    @property
    def seconds(self) -> Fraction:
        """The length of the longest stream."""
        return max(s.seconds for s in (self.sound, self.picture) if s is not None)

    def with_tags(self, **tags: str) -> Clip:
        """The same clip with `tags` added."""
        return replace(self, tags={**self.tags, **tags})

    def save(self, path: str | Path) -> Path:
        """Writes the clip; the format follows the file's ending. Returns the path. See `mediadiff.io.write`."""
        from mediadiff.io.write import write

        return write(path, self)

    @classmethod
    def from_numpy(
        cls,
        samples: np.ndarray | None = None,
        sample_rate: int | None = None,
        frames: np.ndarray | None = None,
        rate: Fraction | int | str | None = None,
        label: str | None = None,
    ) -> Clip:
        """A clip from arrays: samples `[N]` or `[channels, N]` (float, full scale +-1), frames `[T, H, W, 3]` uint8."""
        sound = picture = None
        if samples is not None:
            if sample_rate is None:
                raise UsageError("samples need a sample_rate in Hz")
            kind = np.asarray(samples).dtype
            if kind.kind != "f":
                raise UsageError(f"samples are float, full scale +-1; got {kind}: divide whole numbers by full scale")
            sound = Sound(np.atleast_2d(np.asarray(samples, dtype=np.float32)).copy(), int(sample_rate))
        if frames is not None:
            if rate is None:
                raise UsageError("frames need a rate in frames per second (a Fraction, an int or '24000/1001')")
            picture = Picture(np.array(frames), Fraction(rate))
        return cls(sound, picture, label)

    def to_numpy(self) -> dict[str, Any]:
        """The arguments that `from_numpy` takes; arrays are copies."""
        out: dict[str, Any] = {"label": self.label}
        if self.sound is not None:
            out |= {"samples": self.sound.samples.copy(), "sample_rate": self.sound.sample_rate}
        if self.picture is not None:
            out |= {"frames": self.picture.frames.copy(), "rate": self.picture.rate}
        return out

    @classmethod
    def from_torch(
        cls,
        samples: torch.Tensor | None = None,
        sample_rate: int | None = None,
        frames: torch.Tensor | None = None,
        rate: Fraction | int | str | None = None,
        label: str | None = None,
    ) -> Clip:
        """A clip from tensors: samples `[channels, N]` float, frames `[T, 3, H, W]` uint8 (the usual torch order)."""
        if samples is not None and samples.is_floating_point():
            # numpy has no bfloat16.
            samples = samples.float()
        return cls.from_numpy(
            None if samples is None else samples.detach().cpu().numpy(),
            sample_rate,
            None if frames is None else frames.detach().cpu().permute(0, 2, 3, 1).contiguous().numpy(),
            rate,
            label,
        )

    def to_torch(self) -> dict[str, Any]:
        """The arguments that `from_torch` takes."""
        import torch

        out = self.to_numpy()
        if "samples" in out:
            out["samples"] = torch.from_numpy(out["samples"])
        if "frames" in out:
            out["frames"] = torch.from_numpy(out["frames"]).permute(0, 3, 1, 2).contiguous()
        return out

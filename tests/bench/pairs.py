"""Pairs of networks of one size on one clip: another library's, and ours with channels chosen to match."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mediadiff.data.loader import Batch
from mediadiff.diffusion.streams import Standard
from mediadiff.model import new_denoiser
from mediadiff.recipe import TrainRecipe, from_dict
from mediadiff.training.step import Trainer
from tests.bench import peers
from tests.bench.peers import Peer

PICTURE = {"picture": {"domain": "frames", "height": 32, "width": 32, "frame_rate": 16}}
SOUND = {"sound": {"domain": "spectrogram", "sample_rate": 8000, "n_fft": 256, "hop": 64}}
MEL = {"sound": {"domain": "mel", "bands": 64, "sample_rate": 8000, "n_fft": 256, "hop": 64}}
SAMPLES = 4096
APART = 0.05
"""Weights may differ by this part."""


@dataclass(frozen=True)
class Pair:
    """A peer and our network for the same clip; `shape` is that of the peer's clips, without the batch."""

    name: str
    clip: str
    peer: Callable[[Tensor], Peer]
    shape: tuple[int, ...]
    streams: Mapping[str, Any]
    seconds: float
    channels: tuple[int, ...]
    patch: tuple[int, int, int]
    """Points of a stream in one cell, as recipes/faces.yaml folds pictures and recipes/digits.yaml sound."""
    batch: int
    """Clips a step; of films so few that the others' networks find room in the memory of a small machine."""
    detail: int = 0
    """Hidden units of the head, where it has any; 0 where a linear one does."""

    def theirs(self) -> Peer:
        """The other library's network and training step."""
        return self.peer(torch.rand(self.batch, *self.shape))

    def ours(self, bf16: bool, folded: bool) -> Peer:
        """Ours, in float32 or bfloat16, with cells as the recipes fold them or, not `folded`, of one point each."""
        recipe = self._recipe(folded)
        batch, denoiser = self.batch, new_denoiser(recipe, 0)
        denoiser.bf16 = bf16
        (name,) = self.streams
        x = torch.randn(batch, *recipe.streams[name].shape(recipe.seconds))
        none = torch.full((batch,), -1)
        clips = Batch({name: x}, {name: none < 0}, none, [""] * batch, {}, [""] * batch)
        trainer = Trainer(denoiser, {name: Standard(0.0, 1.0)}, {}, recipe.training, recipe.diffusion)
        sigma, condition = {name: torch.ones(batch, x.shape[2])}, trainer.condition(clips)
        forward = torch.no_grad()(lambda: denoiser.raw({name: x}, sigma, condition))
        return Peer(denoiser.network, lambda: trainer.step(clips), forward)

    def _recipe(self, folded: bool) -> TrainRecipe:
        (name,) = self.streams
        network: dict[str, Any] = {"channels": self.channels, "blocks": 1}
        if folded:
            network |= {"patch": {name: self.patch}, "detail": {name: self.detail} if self.detail else {}}
        recipe = from_dict(
            {
                "mediadiff": 1,
                "task": "train",
                "name": "ours",
                "seconds": self.seconds,
                "data": {"bounce": {}},
                "streams": self.streams,
                "network": network,
                "training": {"batch": self.batch},
            }
        )
        assert isinstance(recipe, TrainRecipe)
        return recipe


VIDEO, SPECTROGRAM = "16 frames of 32x32", "spectrogram of 128x64"
PAIRS = (
    Pair(
        "diffusers UNet3DConditionModel",
        VIDEO,
        peers.diffusers_unet_3d,
        (3, 16, 32, 32),
        PICTURE,
        seconds=1.0,
        channels=(144, 256, 352),
        patch=(1, 4, 4),
        batch=2,
    ),
    Pair(
        "diffusers UNet2DModel",
        SPECTROGRAM,
        peers.diffusers_unet_2d,
        (1, 128, 64),
        SOUND,
        seconds=0.512,
        channels=(96, 160, 240),
        patch=(4, 4, 1),
        batch=32,
        detail=256,
    ),
    Pair(
        "video-diffusion-pytorch Unet3D",
        VIDEO,
        peers.video_diffusion,
        (3, 16, 32, 32),
        PICTURE,
        seconds=1.0,
        channels=(96, 160, 208),
        patch=(1, 4, 4),
        batch=2,
    ),
    Pair(
        "audio-diffusion-pytorch UNetV0",
        f"{SAMPLES} samples, ours in 64 mel bands, as recipes/digits.yaml",
        peers.audio_diffusion,
        (1, SAMPLES),
        MEL,
        seconds=0.512,
        channels=(96, 176, 240),
        patch=(4, 4, 1),
        batch=32,
        detail=256,
    ),
)

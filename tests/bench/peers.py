"""Training steps of other libraries' networks, each as that library's own training does it.

Averaged weights, which all of them can keep, are left out here and kept by mediadiff's own step.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mediadiff._compat import torchaudio_condition


@dataclass(frozen=True)
class Peer:
    """A network with one step of its training, and its prediction alone."""

    network: nn.Module
    step: Callable[[], object]
    forward: Callable[[], object]

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())


def diffusers_unet_3d(clips: Tensor) -> Peer:
    """`UNet3DConditionModel` on `[B, 3, T, H, W]`; what it is asked for is one token of zeros."""
    network = _diffusers("UNet3DConditionModel")(
        sample_size=clips.shape[-1],
        in_channels=3,
        out_channels=3,
        down_block_types=("CrossAttnDownBlock3D",) * 3 + ("DownBlock3D",),
        up_block_types=("UpBlock3D",) + ("CrossAttnUpBlock3D",) * 3,
        block_out_channels=(64, 96, 128, 128),
        layers_per_block=1,
        cross_attention_dim=512,
    )
    asked = torch.zeros(len(clips), 1, 512)
    return _diffusers_peer(network, clips, lambda x, t: network(x, t, encoder_hidden_states=asked).sample)


def diffusers_unet_2d(clips: Tensor) -> Peer:
    """`UNet2DModel` on `[B, 1, H, W]`."""
    network = _diffusers("UNet2DModel")(
        sample_size=tuple(clips.shape[-2:]),
        in_channels=1,
        out_channels=1,
        layers_per_block=2,
        block_out_channels=(64, 64, 128, 128),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )
    return _diffusers_peer(network, clips, lambda x, t: network(x, t).sample)


def video_diffusion(clips: Tensor) -> Peer:
    """`Unet3D` of video-diffusion-pytorch in its `GaussianDiffusion`, on `[B, 3, T, H, W]`."""
    library = _video_diffusion()
    network = library.Unet3D(dim=48, dim_mults=(1, 2, 4))
    diffusion = library.GaussianDiffusion(
        network, image_size=clips.shape[-1], num_frames=clips.shape[2], timesteps=1000, loss_type="l1"
    )
    optimizer = torch.optim.Adam(diffusion.parameters(), 1e-4)
    time = torch.randint(1000, (len(clips),))
    step = _step(lambda: diffusion(clips.clamp(0, 1)), optimizer, None)
    return Peer(network, step, torch.no_grad()(lambda: network(clips, time)))


def audio_diffusion(clips: Tensor) -> Peer:
    """`UNetV0` of audio-diffusion-pytorch in its `DiffusionModel`, on samples `[B, 1, N]`."""
    torchaudio_condition()
    library = importlib.import_module("audio_diffusion_pytorch")
    model = library.DiffusionModel(
        net_t=library.UNetV0,
        in_channels=1,
        channels=[32, 64, 128, 128, 256],
        factors=[1, 4, 4, 2, 2],
        items=[1, 2, 2, 2, 2],
        attentions=[0, 0, 0, 1, 1],
        attention_heads=8,
        attention_features=32,
        modulation_features=512,
        diffusion_t=library.VDiffusion,
        sampler_t=library.VSampler,
    )
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    time = torch.rand(len(clips))
    step = _step(lambda: model(clips), optimizer, None)
    return Peer(model.net, step, torch.no_grad()(lambda: model.net(clips, time)))


def _diffusers(name: str) -> Any:
    # Its models import torchaudio in passing, which may not fit this torch.
    torchaudio_condition()
    return getattr(importlib.import_module("diffusers"), name)


def _diffusers_peer(network: nn.Module, clips: Tensor, predict: Callable[[Tensor, Tensor], Tensor]) -> Peer:
    scheduler = _diffusers("DDPMScheduler")(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, betas=(0.95, 0.999), weight_decay=1e-6)

    def loss() -> Tensor:
        noise = torch.randn_like(clips)
        time = torch.randint(0, 1000, (len(clips),))
        return F.mse_loss(predict(scheduler.add_noise(clips, noise, time), time).float(), noise)

    some = torch.full((len(clips),), 500)
    return Peer(network, _step(loss, optimizer, 1.0), torch.no_grad()(lambda: predict(clips, some)))


def _step(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer, clip: float | None) -> Callable[[], object]:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def step() -> None:
        loss().backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _video_diffusion() -> Any:
    """The library, whose reader of GIF files needs torchvision: a stand-in is enough for all that has no GIF."""
    if "torchvision" not in sys.modules:
        stand_in = ModuleType("torchvision")
        stand_in.transforms = ModuleType("torchvision.transforms")  # type: ignore[attr-defined]
        stand_in.transforms.ToTensor = object  # type: ignore[attr-defined]
        stand_in.utils = ModuleType("torchvision.utils")  # type: ignore[attr-defined]
        sys.modules["torchvision"] = stand_in
        try:
            return importlib.import_module("video_diffusion_pytorch")
        finally:
            del sys.modules["torchvision"]
    return importlib.import_module("video_diffusion_pytorch")

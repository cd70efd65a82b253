"""A classifier: a small network trained on the real train clips, for one question: is a rendered clip what was asked?

Its penultimate layer also gives the features in which clips are compared. Figures made with it can be compared only
with figures made with the same one, so `Classifier.key` goes into every report.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mediadiff.clip import Clip
from mediadiff.errors import ModelError, UsageError
from mediadiff.evaluation.views import View
from mediadiff.io.files import write_json
from mediadiff.io.tensors import load_tensors, save_tensors
from mediadiff.nn.precision import use_bf16
from mediadiff.rng import generator, key_seed, numpy_generator

BATCH = 32
VERSION = 2


@dataclass(frozen=True)
class Settings:
    """How a classifier is trained. `steps` are batches of 32; `width` is the channels of the first level."""

    steps: int = 1000
    width: int = 32
    rate: float = 4e-3
    seed: int = 0


class Recognised(NamedTuple):
    """What `recognise` found: a label per clip, probabilities `[B, labels]` and features `[B, D]`, both float32."""

    labels: list[str]
    probabilities: np.ndarray
    features: np.ndarray


class Network(nn.Module):
    """Images `[B, C, H, W]` to features `[B, 4 * width]` (not negative) and logits `[B, classes]`."""

    def __init__(self, channels: int, width: int, classes: int):
        super().__init__()
        # The first level strides: at full size, norms and pooling would cost more than all the rest together.
        widths = [width, 2 * width, 4 * width, 4 * width]
        blocks: list[nn.Module] = []
        for level, out in enumerate(widths):
            kernel, stride = (5, 2) if level == 0 else (3, 1)
            convolution = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
            blocks += [convolution, nn.BatchNorm2d(out), nn.ReLU()]
            if 0 < level < len(widths) - 1:
                blocks.append(nn.MaxPool2d(2, ceil_mode=True))
            channels = out
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        # Convolutions on a processor are fastest with channels last, in bfloat16 above all.
        features = self.body(images.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return features, self.head(features)


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network with its view of a clip and its labels; `key` names the settings and data it came from."""

    network: Network
    view: View
    labels: tuple[str, ...]
    key: str


def recognise(clips: Sequence[Clip], classifier: Classifier) -> Recognised:
    """The most likely label of each clip, the probabilities of all labels (in the classifier's order), the features."""
    features, logits = [], []
    with torch.no_grad():
        for start in range(0, len(clips), BATCH):
            prepared = classifier.view.prepare(clips[start : start + BATCH])
            f, z = classifier.network(classifier.view.image(prepared))
            features.append(f)
            logits.append(z)
    if not logits:
        raise UsageError("there are no clips to recognise")
    probabilities = torch.cat(logits).softmax(1).numpy()
    labels = [classifier.labels[i] for i in probabilities.argmax(1)]
    return Recognised(labels, probabilities, torch.cat(features).numpy())


def train(
    clips: Sequence[Clip],
    labels: Sequence[str],
    view: View,
    settings: Settings,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Classifier:
    """A classifier trained on `clips` with their `labels`, or the one in `cache` that the same call left there.

    Everything is drawn by key from `settings.seed` and computed in one thread, since sums depend on the number of
    threads: on one kind of machine the same call gives the same network. `progress(step, steps)` is called while
    it trains.
    """
    if len(clips) != len(labels) or len(set(labels)) < 2:
        raise UsageError(f"a classifier needs clips of two labels or more; got {len(clips)} clips of {set(labels)}")
    names = tuple(sorted(set(labels)))
    data = view.prepare(clips)
    targets = torch.tensor([names.index(label) for label in labels])
    key = _key(data, targets, names, view, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_seed(settings.seed, "classifier", "weights"))
        network = Network(view.image(data[:1]).shape[1], settings.width, len(names))
    path = None if cache is None else cache / f"classifier-{key}.safetensors"
    if path is None or not _load(network, path):
        with _one_thread():
            _fit(network, view, data, targets, settings, progress or (lambda step, steps: None))
        if path is not None:
            write_json(path.with_suffix(".json"), {"sha256": save_tensors(path, network.state_dict())})
    return Classifier(network.eval(), view, names, key)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fit(
    network: Network,
    view: View,
    data: Tensor,
    targets: Tensor,
    settings: Settings,
    progress: Callable[[int, int], None],
) -> None:
    network.train()
    half = use_bf16("auto")
    optimiser = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _warmth(step, settings.steps))
    # Labels are drawn evenly: a folder with few clips counts as much as one with many.
    by_label = [np.flatnonzero(targets.numpy() == i) for i in range(int(targets.max()) + 1)]
    for step in range(settings.steps):
        rng, draw = numpy_generator(settings.seed, "clips", step), generator(settings.seed, "augment", step)
        turn = [_in_turn(len(by_label), step * BATCH + i, settings.seed) for i in range(BATCH)]
        rows = torch.tensor([int(rng.choice(by_label[i])) for i in turn])
        with torch.no_grad():
            images = view.mask(view.image(view.augment(data[rows], draw)), draw)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = network(images)[1]
        loss = F.cross_entropy(logits.float(), targets[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(step + 1, settings.steps)


def _in_turn(labels: int, draw: int, seed: int) -> int:
    """The label of a draw: each comes once in every `labels` draws, in an order drawn anew each time."""
    return int(numpy_generator(seed, "labels", draw // labels).permutation(labels)[draw % labels])


def _warmth(step: int, steps: int) -> float:
    """The part of the full learning rate: up in a line for a fifth of the steps, then down along a cosine."""
    rise = max(1, steps // 5)
    return (step + 1) / rise if step < rise else (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2


def _key(data: Tensor, targets: Tensor, names: tuple[str, ...], view: View, settings: Settings) -> str:
    said = [VERSION, type(view).__name__, asdict(view), asdict(settings), names]
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    digest.update(data.numpy().tobytes())
    digest.update(targets.numpy().tobytes())
    return digest.hexdigest()[:16]


def _load(network: Network, path: Path) -> bool:
    """True when the file is there and fits; a damaged one counts as missing and is written anew."""
    try:
        sha256 = json.loads(path.with_suffix(".json").read_text())["sha256"]
        network.load_state_dict(load_tensors(path, sha256))
    except (OSError, ValueError, KeyError, RuntimeError, ModelError):
        return False
    return True

"""A trained model: a folder with `model.json` and its weights, and what it renders."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediadiff.domains.base import exact
from mediadiff.errors import ModelError, UsageError
from mediadiff.io.files import write_json
from mediadiff.io.locks import undisturbed

if TYPE_CHECKING:
    from torch import Tensor

    from mediadiff.clip import Clip
    from mediadiff.diffusion.denoiser import Denoiser
    from mediadiff.diffusion.settings import SamplingSettings
    from mediadiff.diffusion.streams import Standard
    from mediadiff.recipe import TrainRecipe
    from mediadiff.rendering.generator import Generator
    from mediadiff.rendering.request import Order, Request

FORMAT = 1
SHIPPED = Path(__file__).parent.parent / "samples" / "models"
DEFAULT = "bounce"
"""The shipped model that is taken where none is named."""


@dataclass(frozen=True)
class Model:
    """A model as its folder describes it; its weights are read when `generator` is first asked for."""

    folder: Path
    recipe: TrainRecipe
    labels: tuple[str, ...]
    """The labels that a clip may be asked for by."""
    standards: Mapping[str, Mapping[str, float]]
    """Mean and standard deviation of each stream."""
    scalars: Mapping[str, Mapping[str, float]]
    """Mean and standard deviation of each number that a clip may be asked for by."""
    hashes: Mapping[str, str]
    """The hash of each file of weights, by its name without the ending."""
    trained: Mapping[str, Any] = field(default_factory=dict)
    """What is known of its training: `clips` seen, `seconds`, and the machine."""

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.recipe.name

    @property
    def sha256(self) -> str:
        """The hash of its weights."""
        return self.hashes["model"]

    @cached_property
    def generator(self) -> Generator:
        """The network with its weights, and all that turns its output into clips. ModelError when it is damaged."""
        from mediadiff.diffusion.streams import Standard
        from mediadiff.rendering.generator import Generator

        standards = {name: Standard(**s) for name, s in self.standards.items()}
        scalars = {name: Standard(**s) for name, s in self.scalars.items()}
        strong = self._denoiser("model")
        weak = self._denoiser("snapshot") if "snapshot" in self.hashes else None
        return Generator(strong, self.recipe.streams, standards, self.labels, scalars, weak, self.seconds)

    @property
    def seconds(self) -> Fraction:
        """The length of a clip as the model was trained."""
        return exact(self.recipe.seconds)

    def sampling(self, **changes: Any) -> SamplingSettings:
        """The model's own sampling settings with those of the `changes` that are not None.

        RecipeError for what is no setting, UsageError for autoguidance without a snapshot.
        """
        from mediadiff.recipe import TrainRecipe, from_dict

        document = self.recipe.to_dict()
        document["sampling"] |= {name: value for name, value in changes.items() if value is not None}
        checked = from_dict(document, "the settings of this render")
        assert isinstance(checked, TrainRecipe)
        if checked.sampling.autoguidance != 1 and "snapshot" not in self.hashes:
            raise UsageError(f"{self.name} has no early snapshot for autoguidance: leave autoguidance at 1")
        return checked.sampling

    def requests(
        self,
        num: int = 1,
        label: str | Sequence[str] | None = None,
        seed: int = 0,
        first: int = 0,
        caption: str | Sequence[str] = "",
        scalars: Mapping[str, float] | None = None,
        task: Mapping[str, Any] | None = None,
    ) -> list[Request]:
        """One request for each of the clips `first` to `first + num - 1`; `task` as in `mediadiff.rendering.asked`."""
        from mediadiff.rendering.asked import of_files, parse
        from mediadiff.rendering.request import Request, without_home

        if num < 1:
            raise UsageError(f"num is the number of clips, 1 or more; got {num}")
        if seed < 0 or first < 0:
            raise UsageError(f"seed and first are 0 or more; got {seed} and {first}")
        wanted = [label] if isinstance(label, str) else list(label or [])
        labels: list[str | None] = [self._label(name) for name in wanted] or [None]
        for name in scalars or ():
            if name not in self.scalars:
                raise UsageError(f"{self.name} has no number {name!r}; it has: {_listed(self.scalars)}")
        captions = [caption] if isinstance(caption, str) else list(caption) or [""]
        if any(captions) and not self.recipe.condition.caption:
            raise UsageError(f"{self.name} was not trained with captions; it has labels: {_listed(self.labels)}")
        # As it will be written down, so that what is written down makes the same clip.
        captions = [without_home({"caption": text})["caption"] for text in captions]
        plain, files = of_files(task or {}, self.recipe.streams)
        more = parse(plain, self.recipe.streams, self._label)
        rows = range(first, first + num)
        return [
            Request(i, seed, labels[i % len(labels)], captions[i % len(captions)], scalars or {}, files=files, **more)
            for i in rows
        ]

    def length(self, seconds: float | Fraction | None, loop: bool = False) -> Fraction:
        """`seconds`, exact, or the model's own length; for a `loop`, one that is a circle of whole steps."""
        if seconds is not None and not 0 < seconds <= 3600:
            raise UsageError(f"seconds is above 0 and at most 3600; got {float(seconds):g}")
        length = self.seconds if seconds is None else exact(seconds)
        if not length:
            raise UsageError(f"seconds is told to a millionth; got {float(seconds):g}")  # type: ignore[arg-type]
        if not loop:
            return length
        from mediadiff.rendering.seam import circle, turns

        return circle(turns(self.recipe.streams, self.recipe.network), length, self.seconds, seconds is not None)

    def render(
        self,
        num: int = 1,
        label: str | Sequence[str] | None = None,
        seconds: float | Fraction | None = None,
        seed: int = 0,
        first: int = 0,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        autoguidance: float | None = None,
        caption: str | Sequence[str] = "",
        scalars: Mapping[str, float] | None = None,
        given_video: str | Path | None = None,
        given_audio: str | Path | None = None,
        given: str | Path | None = None,
        keep: str | Sequence[str] | None = None,
        from_: str | Path | None = None,
        strength: float | None = None,
        loop: bool = False,
        timeline: Sequence[Mapping[str, Any]] = (),
    ) -> Iterator[Clip]:
        """`num` clips, the `first` of them with this index; each is made when it is asked for.

        A clip depends on its seed, its index and what is asked, not on how many are rendered or in which order. `label`
        and `caption` may be lists, which the clips go through in turn. From `given_video` on as in a render recipe.
        UsageError for what the model cannot do.
        """
        task: dict[str, Any] = {"given_video": given_video, "given_audio": given_audio, "given": given, "keep": keep}
        task |= {"from": from_, "strength": strength, "loop": loop, "timeline": timeline}
        sampling = self.sampling(steps=steps, sampler=sampler, guidance=guidance, autoguidance=autoguidance)
        requests = self.requests(num, label, seed, first, caption, scalars, task)
        return self.generator.render(requests, self.length(seconds, loop), sampling)

    def order(self, asked: Mapping[str, Any], files: Mapping[str, str] | None = None) -> Order:
        """The order that `Order.to_dict` wrote down; `files` says where given files lie, a path for each sha256.

        UsageError or RecipeError for what the model cannot do.
        """
        from mediadiff.rendering.asked import parse
        from mediadiff.rendering.request import Order

        try:
            for name, kind in (("seed", int), ("index", int), ("caption", str), ("format", str)):
                if not isinstance(asked[name], kind):
                    raise TypeError(f"{name} is {asked[name]!r}")
            if not re.fullmatch(r"[0-9]{1,10}(/[0-9]{1,7})?", asked["seconds"]):
                raise TypeError(f"seconds is {asked['seconds']!r}")
            labels, scalars = asked["label"], {name: 1.0 * value for name, value in asked["scalars"].items()}
            (request,) = self.requests(1, labels, asked["seed"], asked["index"], asked["caption"], scalars)
            request = replace(request, files=files or {}, **parse(asked, self.recipe.streams, self._label))
            length = self.length(Fraction(asked["seconds"]), request.loop)
            return Order(request, length, self.sampling(**asked["sampling"]), asked["format"])
        except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise UsageError(f"this is not what a clip of {self.name} was asked for by: {error!r}") from error

    def _label(self, label: str) -> str:
        if str(label) not in self.labels:
            near = get_close_matches(str(label), self.labels, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"{self.name} has no label {label!r}; it has: {_listed(self.labels)}{hint}")
        return str(label)

    def tensors(self, part: str = "model") -> dict[str, Tensor]:
        """What is in the file of the weights, or of another `part`, as it is kept. ModelError when it is damaged."""
        from mediadiff.io.tensors import load_tensors

        return load_tensors(self.folder / f"{part}.safetensors", self.hashes[part])

    def _denoiser(self, part: str) -> Denoiser:
        import torch

        from mediadiff.io.eight_bits import to_floats
        from mediadiff.nn.precision import use_bf16

        denoiser = new_denoiser(self.recipe, len(self.labels))
        weights = to_floats(self.tensors(part))
        try:
            denoiser.load_state_dict(weights)
        except RuntimeError as error:
            path = self.folder / f"{part}.safetensors"
            raise ModelError(f"{path} does not fit its model.json: {str(error).splitlines()[-1].strip()}") from error
        if use_bf16("auto"):
            denoiser.network.to(torch.bfloat16)
        # As convolutions take them; otherwise they are copied each time.
        denoiser.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return denoiser.eval().requires_grad_(False)


def save_model(
    folder: Path,
    recipe: TrainRecipe,
    labels: Sequence[str],
    standards: Mapping[str, Standard],
    scalars: Mapping[str, Standard],
    weights: Mapping[str, Tensor],
    snapshot: Mapping[str, Tensor] | None,
    trained: Mapping[str, Any],
    eight_bits: bool = False,
) -> None:
    """Writes a model: weights in bfloat16, or large ones in eight bits, first; `model.json` with their hashes last."""
    import torch

    from mediadiff.io.eight_bits import to_eight_bits
    from mediadiff.io.tensors import save_tensors

    document = recipe.to_dict()
    # A model is handed on: where its maker kept the media is nobody's business.
    source = document["data"]["folder"]
    if source is not None and Path(source).expanduser().is_absolute():
        document["data"]["folder"] = Path(source).name
    hashes: dict[str, str] = {}
    document = {
        "format": FORMAT,
        "recipe": document,
        "labels": list(labels),
        "standards": {name: asdict(standard) for name, standard in standards.items()},
        "scalars": {name: asdict(standard) for name, standard in scalars.items()},
        "sha256": hashes,
        "trained": dict(trained),
    }
    folder.mkdir(parents=True, exist_ok=True)
    # A model that is trained on is loaded now and then: never its new weights with the hash of the old.
    with undisturbed(folder, writes=True):
        for part, whole in {"model": weights, "snapshot": snapshot}.items():
            if whole is not None:
                low = to_eight_bits(whole) if eight_bits else {n: w.to(torch.bfloat16) for n, w in whole.items()}
                hashes[part] = save_tensors(folder / f"{part}.safetensors", low)
        write_json(folder / "model.json", document)


def load(model: str | Path) -> Model:
    """The model in a folder, or the shipped one of this name. ModelError when it is missing, damaged or foreign."""
    with undisturbed(find(model), writes=False):
        loaded = describe(model)
        # Read now, so that a damaged file is found where the model is loaded.
        _ = loaded.generator
    return loaded


def describe(model: str | Path) -> Model:
    """The same without its weights, which are read when they are needed: what it can do is known at once."""
    from mediadiff.recipe import from_dict

    folder = find(model)
    try:
        document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ModelError(f"{folder} has format {document['format']}; this mediadiff reads format {FORMAT}")
        recipe: Any = from_dict(document["recipe"], f"{folder}/model.json")
        parts = document["standards"], document["scalars"], document["sha256"], document.get("trained", {})
        if not all(isinstance(part, dict) for part in parts) or "model" not in document["sha256"]:
            raise TypeError("standards, scalars, sha256 and trained are mappings, and sha256 names the model's weights")
        return Model(folder, recipe, tuple(document["labels"]), *parts)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder}/model.json is damaged or not a model of mediadiff ({error!r}): take it from a copy"
        ) from error


def find(model: str | Path) -> Path:
    """The folder of a model, given as a folder or as the name of a shipped one."""
    for folder in (Path(model), SHIPPED / str(model)):
        if os.path.isfile(folder / "model.json"):
            return folder
    if os.path.isfile(Path(model) / "run.json"):
        raise ModelError(
            f"{model}: holds a training that has no model yet: go on with --resume until its first checkpoint"
        )
    raise ModelError(
        f"{model}: no model there (a folder with model.json), and none of that name is shipped; "
        f"shipped are: {_listed(shipped())}"
    )


def default() -> str:
    """The model that is taken where none is named. UsageError when this copy of mediadiff comes without it."""
    if DEFAULT not in shipped():
        raise UsageError(
            f"which model? {DEFAULT}, which is taken where none is named, is not shipped with this copy of mediadiff; "
            f"name a model's folder or one of: {_listed(shipped())}"
        )
    return DEFAULT


def shipped() -> list[str]:
    """The names of the models that come with mediadiff."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/model.json"))


def new_denoiser(recipe: TrainRecipe, labels: int) -> Denoiser:
    """An untrained denoiser for a recipe, in float32."""
    from mediadiff.diffusion.denoiser import Denoiser
    from mediadiff.nn.embeddings import Uncertainty
    from mediadiff.nn.stream import StreamShape
    from mediadiff.nn.unet import UNet

    shapes = {}
    for name, domain in recipe.streams.items():
        channels, _, height, width = domain.shape(recipe.seconds)
        shapes[name] = StreamShape(channels, height, width, domain.rate)
    condition = recipe.condition
    known = labels if condition.label else 0
    network = UNet(shapes, recipe.network, known, condition.caption, len(condition.scalars))
    return Denoiser(network, {name: Uncertainty() for name in shapes}, recipe.diffusion.target)


def _listed(names: Any) -> str:
    return ", ".join(map(str, names)) or "none"

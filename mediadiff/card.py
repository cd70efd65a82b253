"""A model's card: what its files say of it, for people. Whose data it is and how good it is, a person adds."""

from __future__ import annotations

import shlex
from typing import Any

from mediadiff.data.settings import DataSettings
from mediadiff.domains.base import Domain
from mediadiff.model import Model

_MOST_LABELS = 30


def card(model: Model, weights: int, megabytes: float, kept: str) -> str:
    """The card of a model of so many `weights`, `kept` in bfloat16, say, in Markdown; it holds facts only."""
    recipe, name = model.recipe, model.folder.name
    calls = [f"mediadiff render path/to/{name} --num 10 --out out/{name}"]
    if model.labels:
        calls.append(f"mediadiff render path/to/{name} --label {_word(model.labels[0])} --num 10 --out out/{name}")
    if len(recipe.streams) > 1 and recipe.diffusion.mix.across + recipe.diffusion.mix.apart > 0:
        calls.append(f"mediadiff render path/to/{name} --given-video film.mp4 --out out/{name}")
        calls.append(f"mediadiff render path/to/{name} --given-audio sound.wav --out out/{name}")
    sampling = recipe.sampling
    facts = {
        "Learned from": _data(recipe.data),
        "Trained on": _training(model.trained),
        "Size": f"{weights / 1e6:.1f} million weights, {kept}, {megabytes:.1f} MB.",
        "Drawn by": f"{sampling.steps} steps of `{sampling.sampler}`, guidance {_guidance(sampling.guidance)}, unless "
        "asked otherwise.",
    }
    if teacher := model.trained.get("teacher"):
        kinds = ("guidance", "autoguidance", "synchrony")
        within = ", ".join(f"{n} {_guidance(teacher[n])}" for n in kinds if teacher.get(n, 1) != 1)
        facts["Student of"] = f"`{teacher['name']}`, whose weights have the sha256 `{teacher['sha256']}`" + (
            f"; with {within}." if within else "."
        )
    if start := model.trained.get("start"):
        facts["Went on from"] = f"`{start['name']}`, whose weights have the sha256 `{start['sha256']}`."
    if model.labels:
        shown = ", ".join(map(_word, model.labels[:_MOST_LABELS]))
        more = f" and {len(model.labels) - _MOST_LABELS} more" if len(model.labels) > _MOST_LABELS else ""
        facts["Labels"] = f"{shown}{more}."
    if recipe.condition.scalars:
        facts["Numbers that may be asked for"] = f"{', '.join(recipe.condition.scalars)}."
    if recipe.condition.caption:
        facts["Captions"] = "It may be asked in words."
    lines = [f"# {recipe.name}", ""]
    lines += [f"Clips of {recipe.seconds:g} seconds: {' and '.join(map(_stream, recipe.streams.values()))}.", ""]
    lines += [f"    {call}" for call in calls]
    lines += ["", *(f"- **{title}** {text}" for title, text in facts.items())]
    lines += ["", "`model.json` holds the whole recipe that it was trained by.", ""]
    return "\n".join(lines)


def _stream(domain: Domain) -> str:
    facts: Any = domain
    name = type(domain).__module__.rpartition(".")[2]
    if domain.medium == "sound":
        channels = {1: "mono", 2: "stereo"}.get(facts.channels, f"{facts.channels} channels")
        return f"sound ({facts.sample_rate / 1000:g} kHz, {channels}, domain `{name}`)"
    return f"picture ({facts.width}x{facts.height}, {float(domain.rate):.6g} frames per second, domain `{name}`)"


def _data(data: DataSettings) -> str:
    if data.bounce is not None:
        count = f"{data.bounce.clips:,}".replace(",", " ")
        balls = "one ball" if data.bounce.balls == 1 else f"up to {data.bounce.balls} balls"
        return f"{count} generated clips of {balls} in a box, as `mediadiff data bounce` makes them" + _tested(data)
    only = f", of these labels only: {', '.join(data.include)}" if data.include else ""
    return f"the folder `{data.folder}`{only}" + _tested(data)


def _tested(data: DataSettings) -> str:
    for rule, value in data.test.items():
        if isinstance(value, int | float):
            which = "the last ones of each label" if rule == "last" else "drawn by their names"
            return f"; {value:.3g} of them, {which}, are kept for testing."
        return f"; those whose {rule} is {', '.join(map(str, value))} are kept for testing."
    return "; none is kept for testing."


def _training(trained: Any) -> str:
    clips = f"{trained['clips']:,}".replace(",", " ") if "clips" in trained else "an unknown number of"
    said = f"{clips} clips"
    if "seconds" in trained:
        said += f" in {max(1, round(trained['seconds'] / 60))} minutes"
    if "threads" in trained:
        said += f" with {trained['threads']} thread{'s' * (trained['threads'] != 1)} of a processor"
    if "processor" in trained:
        said += f" ({trained['processor']})"
    return said + (f", torch {trained['torch'].partition('+')[0]}." if "torch" in trained else ".")


def _guidance(guidance: float | dict[str, float]) -> str:
    if isinstance(guidance, dict):
        return ", ".join(f"{value:g} of {name}" for name, value in guidance.items())
    return f"{guidance:g}"


def _word(label: str) -> str:
    """A label as a shell takes it."""
    return shlex.quote(label)

"""Pictures to look at: sheets of clips, real beside rendered, and the loss by noise level. All PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import UsageError
from mediadiff.evaluation._librosa import librosa
from mediadiff.io.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

_FLOOR_DB = -80.0
_PAPER, _INK, _LINE = (255, 255, 255), (24, 26, 32), "#3a6ea5"


@dataclass(frozen=True)
class Row:
    """One row of a sheet: a title at its left, and its clips from left to right."""

    title: str
    clips: Sequence[Clip]


def sheet(rows: Sequence[Row], path: str | Path, frames: int = 6) -> Path:
    """Writes many clips on one page, such as real ones above rendered ones; returns the path.

    A clip is shown as `frames` frames side by side, or as a spectrogram, under its label; the cells of a column are as
    wide as the widest one. Raises UsageError when there is no clip.
    """
    from PIL import Image, ImageDraw

    if not any(row.clips for row in rows):
        raise UsageError("a sheet needs at least one clip")
    cells = [[_cell(clip, frames) for clip in row.clips] for row in rows]
    width = max(cell.width for row in cells for cell in row)
    heights = [max((cell.height for cell in row), default=20) for row in cells]
    margin, gap = 14 + max(_text_width(row.title) for row in rows), 8
    across = max(len(row) for row in cells)
    page = Image.new("RGB", (margin + across * (width + gap), sum(heights) + gap * (len(rows) + 1)), _PAPER)
    draw = ImageDraw.Draw(page)
    top = gap
    for row, images, height in zip(rows, cells, heights, strict=True):
        draw.text((6, top + height // 2), plain(row.title), _INK, anchor="lm", font=_font())
        for place, image in enumerate(images):
            page.paste(image, (margin + place * (width + gap), top))
        top += height + gap
    return _save_image(page, path)


def loss_by_level(events: Iterable[Mapping[str, Any]], path: str | Path) -> Path:
    """Draws the loss over the noise level from the `levels` events of a training log; returns the path.

    The last event is drawn boldest, earlier ones fainter. Raises UsageError when there are none.
    """
    from matplotlib.figure import Figure

    events = [event for event in events if event.get("event") == "levels"]
    if not events:
        raise UsageError("the log has no loss by noise level yet; it is logged when a training ends")
    figure = Figure(figsize=(6, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    shown = [events[i] for i in sorted({round(i) for i in np.linspace(0, len(events) - 1, min(6, len(events)))})]
    for nth, event in enumerate(shown, 1):
        name = f"{event['clips']} clips" if "clips" in event else f"{nth} of {len(shown)}"
        name = f"{event['split']}, {name}" if "split" in event else name
        bold = nth / len(shown)
        axes.plot(event["sigma"], event["loss"], color=_LINE, alpha=bold, linewidth=1 + bold, label=name, marker=".")
    axes.set(xscale="log", xlabel="noise level sigma", ylabel="loss", title="Loss by noise level")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return save_figure(figure, path)


def decibels(sound: Sound) -> np.ndarray:
    """Decibels below full scale of the channels' mean power, float32 `[bins, frames]`, from -80 to 0."""
    size = 2 ** max(6, round(math.log2(0.032 * sound.sample_rate)))
    samples = _finite(sound.samples)
    samples = np.pad(samples, ((0, 0), (0, max(0, size - samples.shape[1]))))
    power = np.abs(librosa().stft(samples, n_fft=size, hop_length=size // 4)).astype(np.float32) ** 2
    full_scale = (np.hanning(size).sum() / 2) ** 2
    return np.clip(10 * np.log10(np.maximum(power.mean(0) / full_scale, 1e-10)), _FLOOR_DB, 0)


def _cell(clip: Clip, frames: int) -> Image:
    """A clip as an image: its label, then frames side by side, then its spectrogram, whichever it has."""
    from PIL import Image, ImageDraw

    parts: list[Image.Image] = []
    if clip.picture is not None:
        some = _spread(clip.picture.frames, frames)
        parts.append(_grid([_image(frame, _scale(clip.picture, 72)) for frame in some], len(some), gap=1))
    if clip.sound is not None:
        parts.append(_spectrogram_image(clip.sound, parts[0].width if parts else 160))
    width = max(part.width for part in parts)
    cell = Image.new("RGB", (width, 16 + sum(part.height for part in parts)), _PAPER)
    ImageDraw.Draw(cell).text((0, 1), plain(clip.label or ""), _INK, font=_font())
    top = 16
    for part in parts:
        cell.paste(part, (0, top))
        top += part.height
    return cell


def _spectrogram_image(sound: Sound, width: int) -> Image:
    from matplotlib import colormaps
    from PIL import Image

    unit = 1 - decibels(sound)[::-1] / _FLOOR_DB
    return Image.fromarray(colormaps["magma"](unit, bytes=True)[..., :3]).resize((width, 96), Image.Resampling.BILINEAR)


def _spread(frames: np.ndarray, most: int) -> list[np.ndarray]:
    places = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))
    return [frames[place] for place in places]


def _scale(picture: Picture, height: int) -> float:
    """A factor that brings frames near `height`: whole when enlarging, so that pixels stay square."""
    factor = height / max(picture.frames.shape[1:3])
    return max(1, round(factor)) if factor >= 1 else factor


def _image(frame: np.ndarray, scale: float) -> Image:
    from PIL import Image

    image = Image.fromarray(frame)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX)


def _grid(images: Sequence[Image], columns: int, gap: int) -> Image:
    from PIL import Image

    width, height = images[0].width + gap, images[0].height + gap
    page = Image.new("RGB", (columns * width - gap, math.ceil(len(images) / columns) * height - gap), _PAPER)
    for place, image in enumerate(images):
        page.paste(image, (place % columns * width, place // columns * height))
    return page


def _finite(samples: np.ndarray) -> np.ndarray:
    return np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)


def plain(text: str) -> str:
    """Text that can be drawn, whatever bytes a file name was made of."""
    return text.encode("utf-8", "replace").decode()


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(11)


def _text_width(text: str) -> int:
    return math.ceil(_font().getlength(plain(text)))


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Writes a figure of matplotlib as a PNG, whole or not at all; returns the path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    data = io.BytesIO()
    FigureCanvasAgg(figure).print_png(data)
    return write_bytes(path, data.getvalue())


def _save_image(image: Image, path: str | Path) -> Path:
    data = io.BytesIO()
    image.save(data, "PNG")
    return write_bytes(path, data.getvalue())

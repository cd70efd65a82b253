"""Timing at a glance: frames over waveform and spectrogram on one time axis, with what is seen and what is heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mediadiff.clip import Clip, Picture, Sound
from mediadiff.errors import UsageError
from mediadiff.evaluation.paths import shows_balls, turns
from mediadiff.evaluation.plots import decibels, plain, save_figure
from mediadiff.evaluation.sync import changes, matches, onsets
from mediadiff.evaluation.tones import tones
from mediadiff.evaluation.views import picture_of, sound_of
from mediadiff.io.probe import probe
from mediadiff.io.read import read

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLIPS = 12
MOST_FRAMES = 16
_MOST_SECONDS = 10
_SHORT_SIDE = 128  # pixels of a frame as it is read
_SEEN, _HEARD, _INK, _SOFT = "#2f6aa8", "#c05a1f", "#26282e", "#8a8f99"
_DPI = 110
# In inches.
_WIDTH, _LEFT, _RIGHT, _TOP, _BLOCK_GAP = 10.0, 0.75, 0.25, 0.55, 0.42
_HEADING, _MARKS, _WAVE, _SPECTROGRAM, _GAP = 0.30, 0.28, 0.55, 1.15, 0.05
_TALLEST_FRAME = 1.2
_LOWEST_HZ = 100.0


@dataclass(frozen=True)
class Marks:
    """Moments in seconds: seen in the picture, and heard in the sound; of bouncing balls each with its pitch in Hz."""

    seen: Sequence[float]
    heard: Sequence[float]
    pitches_seen: Sequence[float] = ()
    """What each ball that is seen to bounce should sound like."""
    pitches_heard: Sequence[float] = ()

    def pairs(self, within: float) -> list[tuple[int, int]]:
        """Places of what is seen and of what is heard at most `within` seconds from it, one to one."""
        return matches(self.seen, self.heard, within)


def marks(clip: Clip) -> Marks:
    """Impacts and tones of a clip of bouncing balls; of any other, sudden changes of motion and onsets."""
    sound, picture = sound_of(clip), picture_of(clip)
    if not shows_balls(picture):
        return Marks(changes(picture), onsets(sound))
    seen, heard = turns(picture), tones(sound)
    return Marks(
        [turn.seconds for turn in seen],
        [tone.seconds for tone in heard],
        [turn.pitch for turn in seen],
        [tone.pitch for tone in heard],
    )


def sheet_of_files(files: Sequence[Path], path: str | Path) -> Path:
    """The timing sheet of media files, of each its first ten seconds. MediaError for what cannot be read."""
    clips = []
    for file in files[: MOST_CLIPS + 1]:
        shown = probe(file).picture
        size = None
        if shown is not None and min(shown.size) > _SHORT_SIDE:
            height, width = (round(side * _SHORT_SIDE / min(shown.size)) for side in shown.size)
            size = height, width
        clips.append((file.name, read(file, size=size, max_seconds=_MOST_SECONDS)))
    return timing_sheet(clips, path)


def timing_sheet(clips: Sequence[tuple[str, Clip]], path: str | Path) -> Path:
    """Draws clips, each under its title, as a PNG; returns the path.

    Of each clip: frames, each at its time; what is seen above what is heard, filled where the other lies within a
    frame; waveform; spectrogram. UsageError for no clip, too many, or one without sound and moving picture.
    """
    from matplotlib.figure import Figure

    if not 1 <= len(clips) <= MOST_CLIPS:
        raise UsageError(f"a sheet of timing shows 1 to {MOST_CLIPS} clips; got {len(clips)}")
    for title, clip in clips:
        if clip.sound is None or clip.picture is None or clip.picture.is_still or not clip.sound.samples.size:
            raise UsageError(f"{title}: a sheet of timing shows clips that have both sound and moving picture")
    heights = [_frame_height(picture_of(clip)) for _, clip in clips]
    rest = _HEADING + _MARKS + _WAVE + _SPECTROGRAM + 3 * _GAP + _BLOCK_GAP
    page = _TOP + sum(heights) + rest * len(clips)
    found = [marks(clip) for _, clip in clips]
    figure = Figure(figsize=(_WIDTH, page), dpi=_DPI, facecolor="white")
    _legend(figure, page, any(one.pitches_seen or one.pitches_heard for one in found))
    top = _TOP
    for (title, clip), height, one in zip(clips, heights, found, strict=True):
        _block(figure, page, top, height, title, clip, one)
        top += height + rest
    return save_figure(figure, path)


def _block(figure: Any, page: float, top: float, frame_height: float, title: str, clip: Clip, found: Marks) -> None:
    """One clip, its heading `top` inches below the upper edge of the page."""
    sound, picture = sound_of(clip), picture_of(clip)
    seconds = float(clip.seconds)
    frame = 1 / float(picture.rate)
    pairs = found.pairs(frame)
    what = "impacts" if found.pitches_seen else "changes"
    said = f"{len(found.seen)} {what} seen, {len(pairs)} of them heard within a frame ({1000 * frame:.0f} ms); "
    said += f"{len(found.heard)} heard"
    baseline = 1 - (top + 0.6 * _HEADING) / page
    figure.text(_LEFT / _WIDTH, baseline, plain(title), color=_INK, fontsize=10, fontweight="bold", va="center")
    figure.text(1 - _RIGHT / _WIDTH, baseline, said, color=_SOFT, fontsize=8.5, ha="right", va="center")

    def panel(height: float) -> Axes:
        nonlocal top
        width = 1 - (_LEFT + _RIGHT) / _WIDTH
        axes = figure.add_axes((_LEFT / _WIDTH, 1 - (top + height) / page, width, height / page))
        top += height + _GAP
        axes.set_xlim(0, seconds)
        axes.tick_params(colors=_SOFT, labelsize=7.5, length=2.5, labelbottom=False, bottom=False)
        for side in axes.spines.values():
            side.set(color="#d5d8dd", linewidth=0.6)
        return axes

    top += _HEADING
    _frames(panel(frame_height), picture, seconds)
    _moments(panel(_MARKS), found, pairs)
    wave, spectrogram = panel(_WAVE), panel(_SPECTROGRAM)
    _wave(wave, sound)
    _spectrogram(spectrogram, sound, found)
    for axes in (wave, spectrogram):
        for moment in found.seen:
            axes.axvline(moment, color=_SEEN, linewidth=0.6, alpha=0.55)
    spectrogram.tick_params(labelbottom=True, bottom=True)
    spectrogram.set_xlabel("seconds", color=_SOFT, fontsize=7.5, labelpad=1)


def _frames(axes: Axes, picture: Picture, seconds: float) -> None:
    count = min(MOST_FRAMES, len(picture.frames))
    slot = seconds / count
    for place in range(count):
        middle = (place + 0.5) * slot
        shown = picture.frames[min(len(picture.frames) - 1, int(middle * picture.rate))]
        edges = (middle - 0.485 * slot, middle + 0.485 * slot, 0, 1)
        axes.imshow(shown, extent=edges, aspect="auto", interpolation="nearest")
    axes.set(xlim=(0, seconds), ylim=(0, 1), yticks=[])
    axes.set_axis_off()


def _moments(axes: Axes, found: Marks, pairs: Sequence[tuple[int, int]]) -> None:
    """A triangle for each moment: what is seen points down to what is heard, filled where the two belong together."""
    rows = (
        (found.seen, {i for i, _ in pairs}, 0.72, "v", _SEEN),
        (found.heard, {j for _, j in pairs}, 0.24, "^", _HEARD),
    )
    for moments, matched, height, shape, colour in rows:
        for place, moment in enumerate(moments):
            fill = colour if place in matched else "white"
            axes.plot(
                moment,
                height,
                shape,
                color=colour,
                markerfacecolor=fill,
                markersize=5.5,
                markeredgewidth=0.9,
                clip_on=False,
            )
    axes.set(ylim=(0, 1), yticks=(0.24, 0.72), yticklabels=("heard", "seen"))
    axes.tick_params(left=False)
    for side in axes.spines.values():
        side.set_visible(False)


def _wave(axes: Axes, sound: Sound) -> None:
    """From the lowest to the highest sample of each pixel, full height for the loudest."""
    samples = np.nan_to_num(sound.samples, nan=0.0, posinf=0.0, neginf=0.0)
    columns = min(round(_DPI * (_WIDTH - _LEFT - _RIGHT)), samples.shape[1])
    starts = np.arange(columns) * samples.shape[1] // columns
    top = np.maximum.reduceat(samples.max(0), starts)
    foot = np.minimum.reduceat(samples.min(0), starts)
    loudest = max(float(np.abs(samples).max()), 1e-4)
    axes.fill_between(starts / sound.sample_rate, foot, top, color=_INK, alpha=0.75, linewidth=0.3)
    axes.set(ylim=(-1.05 * loudest, 1.05 * loudest), yticks=[0], yticklabels=["wave"])
    axes.tick_params(left=False)


def _spectrogram(axes: Axes, sound: Sound, found: Marks) -> None:
    """Decibels, darker where louder; on them each pitch that is heard, and that a ball seen to bounce should have."""
    power = decibels(sound)
    highest = sound.sample_rate / 2
    hertz = np.linspace(0, highest, len(power))
    seconds = sound.samples.shape[1] / sound.sample_rate
    times = np.linspace(0, seconds, power.shape[1])
    loudest = float(power.max())
    axes.pcolormesh(
        times,
        hertz[1:],
        power[1:],
        cmap="Greys",
        vmin=loudest - 55,
        vmax=loudest + 15,
        shading="gouraud",
        rasterized=True,
    )
    if found.pitches_seen:
        axes.plot(found.seen, found.pitches_seen, "+", color=_SEEN, markersize=8, markeredgewidth=1.3)
    if found.pitches_heard:
        axes.plot(found.heard, found.pitches_heard, "o", color=_HEARD, markerfacecolor="none", markersize=8)
    ticks = [tick for tick in (250, 1000, 4000, 16000) if _LOWEST_HZ < tick < highest]
    axes.set(yscale="log", ylim=(_LOWEST_HZ, highest))
    axes.set_yticks(ticks, [f"{tick / 1000:g} kHz" for tick in ticks])
    axes.set_yticks([], minor=True)


def _legend(figure: Any, page: float, has_pitches: bool) -> None:
    from matplotlib.lines import Line2D

    def entry(shape: str, colour: str, text: str, fill: str = "none") -> Line2D:
        return Line2D([], [], linestyle="", marker=shape, color=colour, markerfacecolor=fill, markersize=6, label=text)

    handles = [
        entry("v", _SEEN, "seen", _SEEN),
        entry("^", _HEARD, "heard", _HEARD),
        entry("v", _SEEN, "hollow: without the other within a frame"),
    ]
    if has_pitches:
        handles.append(entry("+", _SEEN, "the pitch that the ball should have"))
        handles.append(entry("o", _HEARD, "the pitch that is heard"))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=((_LEFT - 0.1) / _WIDTH, 1 - 0.08 / page),
        ncols=len(handles),
        frameon=False,
        fontsize=8,
        labelcolor=_INK,
        handletextpad=0.2,
        columnspacing=1.6,
        borderaxespad=0,
    )


def _frame_height(picture: Picture) -> float:
    """Inches, so that a row of frames fills the width and none is out of shape."""
    _, height, width, _ = picture.frames.shape
    each = (_WIDTH - _LEFT - _RIGHT) / min(MOST_FRAMES, len(picture.frames))
    return min(_TALLEST_FRAME, each * height / width)

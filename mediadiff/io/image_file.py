"""Writing images with Pillow: png for a still, gif for moving pictures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from mediadiff.clip import Clip
from mediadiff.errors import UsageError
from mediadiff.io import tags

_GIF_CLOCK = 100  # steps per second; players slow a frame of fewer than two steps down


def write_png(clip: Clip, path: Path) -> None:
    """One RGB frame, lossless."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    assert clip.picture is not None
    if not clip.picture.is_still:
        raise UsageError(
            f"png holds one frame, the clip has {len(clip.picture.frames)}; write it as mp4, webm, mkv or gif"
        )
    info = PngInfo()
    if text := tags.pack(tags.of(clip)):
        info.add_text("Comment", text)
    Image.fromarray(clip.picture.frames[0]).save(path, "PNG", pnginfo=info)


def write_gif(clip: Clip, path: Path) -> None:
    """At most 256 colours in each frame, shown for whole hundredths of a second that keep step with the clip's rate."""
    from PIL import Image

    assert clip.picture is not None
    frames, rate = clip.picture.frames, clip.picture.rate
    if rate > _GIF_CLOCK / 2:
        raise UsageError(f"gif holds at most 50 frames per second, the clip has {rate}; write it as mp4, webm or mkv")
    ends = [round(number / rate * _GIF_CLOCK) for number in range(len(frames) + 1)]
    images = [Image.fromarray(frame).quantize(256) for frame in frames]
    images[0].save(
        path,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=[(end - start) * 1000 // _GIF_CLOCK for start, end in pairwise(ends)],
        loop=0,
        comment=tags.pack(tags.of(clip)).encode(),
    )

"""Between the pixel formats of files and RGB: the right matrix, the right range, nothing seen through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# FFmpeg's numbers (AVColorSpace, AVColorRange, AVColorTransferCharacteristic)
BT709, UNSPECIFIED, BT601 = 1, 2, 5
MATRICES = {0: "RGB", 1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020", 10: "BT.2020"}
LIMITED, FULL = 1, 2
HIGH_DYNAMIC_RANGE = {16: "PQ", 18: "HLG"}


def matrix(frame: Any) -> int:
    """The frame's YUV matrix; files that do not say are BT.709 in high definition and BT.601 below, as players do."""
    if frame.colorspace not in (UNSPECIFIED, 3):
        return int(frame.colorspace)
    return BT709 if frame.width >= 1280 or frame.height > 576 else BT601


def has_alpha(frame: Any) -> bool:
    return frame.format.name == "pal8" or any(part.is_alpha for part in frame.format.components)


def words(frame: Any, metadata: Mapping[str, str]) -> str:
    """The frame's matrix and range, and what is lost: transparency and high dynamic range."""
    is_rgb = frame.format.name.startswith(("rgb", "bgr", "gbr", "pal", "argb", "abgr", "0rgb", "0bgr"))
    parts = ["RGB" if is_rgb else MATRICES.get(matrix(frame), "unknown matrix")]
    if not is_rgb:
        parts.append("full range" if frame.color_range == FULL else "limited range")
    if has_alpha(frame):
        parts.append("shown over black where transparent")
    elif metadata.get("alpha_mode") == "1":
        parts.append("transparency not read")
    if frame.color_trc in HIGH_DYNAMIC_RANGE:
        parts.append(f"{HIGH_DYNAMIC_RANGE[frame.color_trc]} not mapped to standard range")
    return ", ".join(parts)


def converter() -> Any:
    """What `to_rgb` converts the frames of one picture with: its tables are made once, not for every frame."""
    from av.video.reformatter import VideoReformatter

    return VideoReformatter()


def to_rgb(frame: Any, height: int, width: int, converter: Any) -> np.ndarray:
    """The decoded frame as RGB uint8 `[height, width, 3]`, scaled by area; what can be seen through is over black."""
    frame.colorspace = matrix(frame)
    if has_alpha(frame):
        frame = _over_black(frame)
    # By planes: the same numbers as by pixels, in half the time.
    return _convert(frame, "gbrp", height, width, converter).to_ndarray()


def from_rgb(frame: np.ndarray, pixel_format: str) -> Any:
    """RGB uint8 `[H, W, 3]` as a PyAV frame: BT.709 in limited range for YUV formats, unchanged for RGB formats."""
    import av
    from av.video.reformatter import Interpolation

    source = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    if not pixel_format.startswith("yuv"):
        return _convert(source, pixel_format, source.height, source.width, converter())
    return source.reformat(
        format=pixel_format,
        src_color_range=FULL,
        dst_colorspace=BT709,
        dst_color_range=LIMITED,
        interpolation=int(Interpolation.AREA) | _precise(),
        threads=1,
    )


def _over_black(frame: Any) -> Any:
    import av

    rgba = _convert(frame, "rgba", frame.height, frame.width, converter()).to_ndarray()
    seen = (rgba[..., :3].astype(np.uint16) * rgba[..., 3:] + 127) // 255
    return av.VideoFrame.from_ndarray(seen.astype(np.uint8), format="rgb24")


def _convert(frame: Any, pixel_format: str, height: int, width: int, converter: Any) -> Any:
    from av.video.reformatter import Interpolation

    is_smaller = height < frame.height or width < frame.width
    scaling = Interpolation.AREA if is_smaller else Interpolation.BICUBIC
    return converter.reformat(
        frame, width, height, pixel_format, dst_color_range=FULL, interpolation=int(scaling) | _precise(), threads=1
    )


def _precise() -> int:
    from av.video.reformatter import Interpolation

    return int(Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP)

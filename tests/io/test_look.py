"""How pictures look: matrix and range, transparency, bit depth, rotation, sample aspect, scaling, cropping."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mediadiff.clip import Clip, Picture
from mediadiff.io import colour
from mediadiff.io.geometry import Geometry, cover
from mediadiff.io.probe import probe
from mediadiff.io.read import read
from mediadiff.io.write import write
from tests.io.makers import mux, ramps

WEIGHTS = {"bt709": (0.2126, 0.0722, 1), "smpte170m": (0.299, 0.114, 6)}


def frames_of(path: Path, **more: object) -> np.ndarray:
    picture = read(path, **more).picture  # type: ignore[arg-type]
    assert picture is not None
    return picture.frames.astype(int)


def in_yuv(rgb: np.ndarray, red: float, blue: float, is_full: bool) -> np.ndarray:
    """RGB uint8 `[H, W, 3]` as Y, Cb, Cr uint8 `[3, H, W]` by the definition of the standard."""
    r, g, b = (rgb[..., channel] / 255 for channel in range(3))
    y = red * r + (1 - red - blue) * g + blue * b
    cb, cr = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    scaled = (255 * y, 255 * cb + 128, 255 * cr + 128) if is_full else (219 * y + 16, 224 * cb + 128, 224 * cr + 128)
    return np.stack(scaled).round().clip(0, 255).astype(np.uint8)


def lossless_yuv(path: Path, planes: np.ndarray, matrix: int, is_full: bool) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = planes.shape[2], planes.shape[1], "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 2 if is_full else 1
        container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv444p")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("name", WEIGHTS)
def test_matrix_and_range_of_the_file_are_obeyed(name: str, is_full: bool, tmp_path: Path) -> None:
    red, blue, matrix = WEIGHTS[name]
    rgb = ramps(1, (64, 96)).frames[0]
    path = lossless_yuv(tmp_path / "a.mkv", in_yuv(rgb, red, blue, is_full), matrix, is_full)
    assert np.abs(frames_of(path)[0] - rgb).max() <= 2


def test_untagged_files_are_bt601_when_small_and_bt709_when_large() -> None:
    small, large = av.VideoFrame(640, 480, "yuv420p"), av.VideoFrame(1280, 720, "yuv420p")
    assert (colour.matrix(small), colour.matrix(large)) == (colour.BT601, colour.BT709)
    small.colorspace = 9
    assert colour.matrix(small) == 9


@pytest.mark.parametrize("ending", ["mp4", "webm"])
@pytest.mark.parametrize("hue", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128)])
def test_written_colours_come_back(ending: str, hue: tuple[int, int, int], tmp_path: Path) -> None:
    flat = np.full((3, 32, 32, 3), hue, np.uint8)
    path = write(tmp_path / f"a.{ending}", Clip(picture=Picture(flat, Fraction(25))))
    assert np.abs(frames_of(path) - flat).max() <= 3


def test_grey_ramp_through_mp4_has_no_offset_and_no_tint(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, None, :, None], (2, 64, 256, 3))
    back = frames_of(write(tmp_path / "a.mp4", Clip(picture=Picture(ramp.copy(), Fraction(25)))))
    assert np.abs(back - ramp).max() <= 2
    assert abs((back - ramp).mean()) < 0.1
    assert np.ptp(back, axis=3).max() <= 1


def test_ten_bits_and_sixteen_bits_become_eight(tmp_path: Path) -> None:
    grey = (np.arange(256, dtype=np.uint16) * 257)[None].repeat(4, axis=0)
    Image.fromarray(grey).save(tmp_path / "a.png")
    np.testing.assert_allclose(frames_of(tmp_path / "a.png")[0, 0, :, 0], np.arange(256), atol=1)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        source = ramps(1).frames[0]
        frame = av.VideoFrame.from_ndarray(source, format="rgb24").reformat(format="yuv420p10le", dst_colorspace=5)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert np.abs(frames_of(tmp_path / "a.mkv")[0] - source).max() <= 6
    picture = probe(tmp_path / "a.mkv").picture
    assert picture is not None and picture.pixels == "yuv420p10le"


def test_transparent_pixels_are_over_black(tmp_path: Path) -> None:
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[..., :3] = (200, 100, 50)
    rgba[:, :2, 3], rgba[:, 2:4, 3] = 255, 128
    Image.fromarray(rgba).save(tmp_path / "a.png")
    shown = frames_of(tmp_path / "a.png")[0, 0]
    np.testing.assert_array_equal(shown, [[200, 100, 50]] * 2 + [[100, 50, 25]] * 2 + [[0, 0, 0]] * 2)
    assert "over black" in "\n".join(probe(tmp_path / "a.png").lines())


def arrow(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A picture without any symmetry: red grows to the right, green downwards, a white corner at the top left."""
    picture = ramps(1, size).frames[0].copy()
    picture[:8, :8] = 255
    return picture


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_rotation_is_applied(turn: int, tmp_path: Path) -> None:
    path = mux(tmp_path / "a.mp4", [(arrow(), Fraction(0))], turn=turn)
    expected = np.rot90(arrow(), turn // 90)
    np.testing.assert_array_equal(frames_of(path)[0], expected)
    picture = probe(path).picture
    assert picture is not None and picture.size == expected.shape[:2]


@pytest.mark.parametrize("matrix", [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)])
def test_mirrors_are_applied(matrix: tuple[int, int, int, int], tmp_path: Path) -> None:
    a, b, c, d = matrix
    geometry = Geometry(across=(a, b), down=(c, d))
    stored = arrow()
    shown = geometry.turn(stored)
    assert geometry.words
    rows, columns = stored.shape[:2]
    for x, y in ((0, 0), (5, 3), (63, 47)):
        right, below = a * x + c * y, b * x + d * y
        right += (columns - 1 if a < 0 else 0) + (rows - 1 if c < 0 else 0)
        below += (columns - 1 if b < 0 else 0) + (rows - 1 if d < 0 else 0)
        np.testing.assert_array_equal(shown[below, right], stored[y, x])


def test_camera_orientation_of_a_jpeg_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6  # to be shown turned right
    Image.fromarray(arrow()).save(tmp_path / "a.jpg", exif=exif, quality=98, subsampling=0)
    shown = frames_of(tmp_path / "a.jpg")[0]
    assert shown.shape == (64, 48, 3)
    assert np.abs(shown - np.rot90(arrow(), -1)).mean() < 3


@pytest.mark.parametrize(
    "aspect, size", [(Fraction(2), (48, 128)), (Fraction(1, 2), (48, 32)), (Fraction(16, 11), (48, 93))]
)
def test_sample_aspect_is_applied(aspect: Fraction, size: tuple[int, int], tmp_path: Path) -> None:
    path = mux(tmp_path / "a.mp4", [(ramps(1).frames[0], Fraction(0))], aspect=aspect)
    assert frames_of(path)[0].shape[:2] == size
    assert frames_of(path, size=(24, 24))[0].shape[:2] == (24, 24)


def test_size_covers_and_crops_the_middle(tmp_path: Path) -> None:
    wide = np.zeros((1, 40, 120, 3), np.uint8)
    wide[:, :, 40:80] = 200
    path = write(tmp_path / "a.mkv", Clip(picture=Picture(wide, Fraction(25))))
    assert (frames_of(path, size=(40, 40)) == 200).all()
    assert (frames_of(path, size=(10, 10)) == 200).all()
    assert frames_of(path, size=(80, 20)).shape == (1, 80, 20, 3)


def test_shrinking_is_the_mean_of_areas(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3), dtype=np.uint8)
    path = write(tmp_path / "a.mkv", Clip(picture=Picture(noise, Fraction(25))))
    means = noise.reshape(24, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.abs(frames_of(path, size=(24, 32))[0] - means).max() <= 1


def test_cover_keeps_the_aspect() -> None:
    assert cover((720, 1280), (64, 64)) == (64, 114)
    assert cover((1280, 720), (64, 64)) == (114, 64)
    assert cover((64, 64), (64, 64)) == (64, 64)
    assert cover((1, 1), (3, 5)) == (5, 5)


def test_frames_of_another_size_come_at_the_size_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.mjpeg.avi"
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for size in ((48, 64), (96, 128), (32, 32)):
            frame = np.full((*size, 3), 90, np.uint8)
            Image.fromarray(frame).save(tmp_path / "f.png")
            packet = av.Packet((tmp_path / "f.png").read_bytes())
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = {48: 0, 96: 1, 32: 2}[size[0]]
            container.mux(packet)
    frames = frames_of(path)
    assert frames.shape == (3, 48, 64, 3)
    assert (frames == 90).all()

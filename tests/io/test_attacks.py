"""Hostile files and odd names: nothing else is opened, nothing is unpacked beyond the limits, nothing hangs."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import tracemalloc
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mediadiff.clip import Clip
from mediadiff.errors import MediaError
from mediadiff.io.limits import Limits
from mediadiff.io.probe import probe
from mediadiff.io.read import read
from mediadiff.io.write import write
from tests.io.makers import numbered, ramps, tone

PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile secret.wav\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n",
    "m3u8-http": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
    "m3u8-concat": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nconcat:secret.wav|secret.wav\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="1"><BaseURL>{url}/secret.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}/a.png"/></svg>',
    "imf": '<?xml version="1.0"?><AssetMap><AssetList><Asset><Path>secret.wav</Path></Asset></AssetList></AssetMap>',
    "vapoursynth": 'import os\nos.system("touch made")\n',
}
NAMES = [
    "a:b",
    "http:x",
    "concat:a.wav|b",
    "pipe:",
    "file:x",
    "data:,x",
    "-dash",
    "%03d",
    "new\nline",
    "sp ace and üñí",
    "n" * 250,
    os.fsdecode(b"\xff\xfe latin"),
    "emoji \N{PARROT}",
    "'quote\"",
    "$HOME",
    "*?[x]",
    "back\\slash",
    "~",
]


@pytest.mark.parametrize("ending", ["wav", "mp4", "m3u8", "png"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_files_that_name_others_are_refused(kind: str, ending: str, tmp_path: Path) -> None:
    write(tmp_path / "secret.wav", Clip(tone()))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.02)
        port = server.getsockname()[1]
        path = tmp_path / f"a.{ending}"
        path.write_text(PLAYLISTS[kind].replace("{url}", f"http://127.0.0.1:{port}").replace("{port}", str(port)))
        with pytest.raises(MediaError, match="no known format|cannot be decoded"):
            read(path)
        with pytest.raises(TimeoutError):
            server.accept()
    assert sorted(os.listdir(tmp_path)) == sorted([f"a.{ending}", "secret.wav"])


@pytest.mark.parametrize("ending", ["wav", "flac", "mkv", "mp4"])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_can_be_written_and_read(
    name: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path(f"{name}.{ending}"), tmp_path / f"{name}.{ending}"):
        sound = read(write(path, Clip(tone(0.1)))).sound
        assert sound is not None and sound.samples.shape == (1, 1600)
        assert probe(path).lines()
    assert os.listdir() == [f"{name}.{ending}"]


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    for path, cause in {
        tmp_path / "pipe.wav": "is not a regular file",
        tmp_path: "is not a regular file",
        Path("/dev/zero"): "is not a regular file",
        tmp_path / "empty.wav": "is empty",
        tmp_path / "none.wav": "cannot be opened: No such file or directory",
        tmp_path / "loop.wav": "cannot be opened: Too many levels of symbolic links",
        Path("nul\0.wav"): "cannot be opened: embedded null byte",
        Path("http://127.0.0.1:1/a.wav"): "cannot be opened",
    }.items():
        with pytest.raises(MediaError) as refusal:
            read(path)
        assert cause in refusal.value.cause


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(height * (1 + width // 8)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def many_gif_frames(count: int) -> bytes:
    frame = bytes.fromhex("21f90400010000002c000000000100010000020244010 0".replace(" ", ""))
    return b"GIF89a" + bytes.fromhex("01000100800000ffffff000000") + frame * count + b";"


def repeated_8k(path: Path, count: int) -> Path:
    """A film of `count` frames of 7680x4320, all the same packet."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "qp": "51", "g": "1"})
        stream.width, stream.height, stream.pix_fmt = 7680, 4320, "yuv420p"
        stream.codec_context.thread_count = 1
        frame = av.VideoFrame.from_ndarray(np.full((6480, 7680), 128, np.uint8), format="yuv420p")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        data = b"".join(bytes(packet) for packet in [*stream.encode(frame), *stream.encode(None)])
        for number in range(count):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = number
            packet.duration = 1
            container.mux(packet)
    return path


def bombs(folder: Path) -> dict[Path, str]:
    """Small files that ask for much, and what their refusals say."""
    (folder / "wide.png").write_bytes(png_claiming(20_000, 20_000))
    (folder / "many.gif").write_bytes(many_gif_frames(150_000))
    soundfile.write(folder / "long.flac", np.zeros(1000), 44_100)
    data = bytearray((folder / "long.flac").read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff\xff\xff\xff"
    (folder / "long.flac").write_bytes(data)
    soundfile.write(folder / "channels.wav", np.zeros((10, 255)), 8000)
    soundfile.write(folder / "rate.wav", np.zeros(10), 2_000_000)
    soundfile.write(folder / "sparse.wav", np.zeros(10), 8000)
    with open(folder / "sparse.wav", "r+b") as file:
        file.seek(4)
        file.write(struct.pack("<I", 2**31 + 36))
        file.seek(40)
        file.write(struct.pack("<I", 2**31))
        file.truncate(2**31 + 44)
    return {
        repeated_8k(folder / "8k.mp4", 600): "decoded bytes: 59,719,680,000 is above the limit",
        folder / "wide.png": "above the limit of 67,108,864 pixels",
        folder / "many.gif": "is above the limit",
        folder / "long.flac": "seconds: 1,558,",
        folder / "channels.wav": "channels: 255 is above the limit of 32",
        folder / "rate.wav": "sample rate: 2,000,000 is above the limit",
        folder / "sparse.wav": "seconds: 134,218 is above the limit",
    }


def test_bombs_are_refused_in_little_memory(tmp_path: Path) -> None:
    refusals = bombs(tmp_path)
    code = (
        "import pathlib, re, sys, time\n"
        "from mediadiff.errors import MediaError\n"
        "from mediadiff.io.read import read\n"
        "for path in sys.argv[1:]:\n"
        "    start = time.process_time()\n"
        "    try:\n"
        "        read(path)\n"
        "    except MediaError as error:\n"
        # Not ru_maxrss: that starts at what the process held from which this one was forked.
        "        status = pathlib.Path('/proc/self/status').read_text()\n"
        "        peak = int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) // 1024\n"
        "        print(f'{time.process_time() - start:.1f}', peak, error.cause, sep='|')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, refusals)], capture_output=True, text=True, timeout=50, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(refusals), done.stdout
    for line, (path, cause) in zip(lines, refusals.items(), strict=True):
        seconds, megabytes, said = line.split("|")
        assert cause in said, path
        assert float(seconds) < 2, line
        assert int(megabytes) < 1024, line


def test_a_hole_between_time_stamps_takes_no_memory_beyond_the_limits(tmp_path: Path) -> None:
    path = tmp_path / "hole.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for second in (0, 600):
            frame = av.AudioFrame.from_ndarray(np.full((1, 800), 1000, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, second * 8000, Fraction(1, 8000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    whole = read(path).sound
    assert whole is not None and whole.samples.shape == (1, 600 * 8000 + 800)
    assert not whole.samples[0, 800:-800].any() and whole.samples[0, -800:].all()
    tracemalloc.start()
    part = read(path, max_seconds=0.2).sound
    with pytest.raises(MediaError, match="kept bytes: "):
        read(path, limits=Limits(kept_bytes=1_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert part is not None and part.samples.shape == (1, 1600) and peak < 4_000_000


def test_a_text_of_megabytes_in_a_png_costs_its_tags_alone(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("a", "b")
    info.add_itxt("XML:com.adobe.xmp", "x" * 2**21, zip=True)
    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "a.png", pnginfo=info)
    assert probe(tmp_path / "a.png").picture is not None
    picture = read(tmp_path / "a.png").picture
    assert picture is not None and picture.frames[0, 0, 0].tolist() == [200, 100, 50]


def test_limits_hold_while_decoding(tmp_path: Path) -> None:
    film = write(tmp_path / "a.mkv", Clip(tone(1.2), numbered(30)))
    for limits, cause in (
        (Limits(frames=20), "frames: "),
        (Limits(pixels=1000), "above the limit of 1,000 pixels"),
        (Limits(decoded_bytes=30_000), "decoded bytes: "),
        (Limits(kept_bytes=10_000), "kept bytes: "),
        (Limits(channels=0), "channels: 1"),
        (Limits(sample_rate=8000), "sample rate: 16,000"),
        (Limits(seconds=1), "seconds: 1"),
    ):
        with pytest.raises(MediaError) as refusal:
            read(film, limits=limits)
        assert cause in refusal.value.cause
    live = tmp_path / "live.mkv"
    with av.open(str(live), "w", options={"live": "1"}) as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "bgr0"
        for number, pixels in enumerate(numbered(30).frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match="frames: 21 is above the limit of 20"):
        read(live, limits=Limits(frames=20))
    assert read(film, limits=Limits(seconds=1), max_seconds=0.5).seconds == Fraction(1, 2)
    with pytest.raises(MediaError, match="kept bytes"):
        read(film, size=(4000, 4000), limits=Limits(kept_bytes=2**27))


def test_tags_that_are_no_text_do_not_stop_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", Clip(tone(0.1), tags={"note": "XXXXXXXX"}))
    path.write_bytes(path.read_bytes().replace(b"XXXXXXXX", b"\xff\xfe\x80\xc3\xff\xff\xff\xff"))
    assert read(path).sound is not None


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    """Bytes changed at random: a clip or a `MediaError`, never another exception."""
    both, sound = Clip(tone(0.5), ramps(6)), Clip(tone(0.5))
    made = [write(tmp_path / f"whole.{ending}", both) for ending in ("mp4", "webm", "mkv")]
    made += [write(tmp_path / f"whole.{ending}", sound) for ending in ("wav", "flac", "ogg", "mp3", "m4a")]
    made += [
        write(tmp_path / "whole.gif", Clip(picture=both.picture)),
        write(tmp_path / "whole.png", Clip(picture=ramps(1))),
    ]
    chance = np.random.default_rng(0)
    for path in made:
        data = path.read_bytes()
        for _ in range(25):
            changed = bytearray(data)
            for at in chance.integers(0, len(data), 8):
                changed[at] = chance.integers(0, 256)
            bad = path.with_stem("bad")
            bad.write_bytes(changed)
            try:
                read(bad)
            except MediaError as error:
                assert str(bad) in str(error)


def test_codec_that_is_not_allowed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mkv", Clip(picture=numbered(2)))
    monkeypatch.setattr("mediadiff.io.source.CODECS", frozenset({"h264"}))
    with pytest.raises(
        MediaError, match="no sound and no picture that can be read; it holds picture with the codec ffv1"
    ):
        read(path)


def test_codec_that_nobody_knows_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", Clip(tone(0.1), numbered(2)))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz1"))
    assert read(path).picture is None
    assert probe(path).left == ("picture with the codec unknown, which is not allowed",)


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    shutil.move(write(tmp_path / "a.mp4", Clip(tone(0.1), numbered(2))), tmp_path / "a.wav")
    clip = read(tmp_path / "a.wav")
    assert clip.picture is not None and clip.sound is not None

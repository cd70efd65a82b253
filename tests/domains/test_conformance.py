"""One test for every domain: shape, finiteness, scale, round trip, save and load. A new domain is found by itself."""

import math
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from mediadiff import domains
from mediadiff.clip import Picture, Sound
from mediadiff.errors import UsageError
from mediadiff.io.read import read
from mediadiff.rng import numpy_generator

SMALL = {
    "spectrogram": {"sample_rate": 8000, "n_fft": 256, "hop": 64},
    "stft": {"sample_rate": 8000, "n_fft": 256, "hop": 64},
    "mel": {"sample_rate": 8000, "n_fft": 512, "hop": 128},
    "frames": {"height": 48, "width": 64, "frame_rate": "24000/1001"},
}
SECONDS = Fraction(3, 4)


def make(name):
    return domains.get(name)(**SMALL.get(name, {}))


def stream_for(domain):
    """A lively stream of just the domain's format: gliding tones with noise, or moving stripes."""
    random = numpy_generator("conformance")
    if domain.medium == "sound":
        n = math.ceil(SECONDS * domain.sample_rate)
        t = np.arange(n) / domain.sample_rate
        tones = 0.3 * np.sin(2 * np.pi * (220 * t + 300 * t**2)) * np.exp(-2 * t)
        samples = tones + 0.01 * random.standard_normal(n)
        return Sound(np.tile(samples, (domain.channels, 1)).astype(np.float32), domain.sample_rate)
    frames = domain.shape(SECONDS)[1]
    y, x, k = np.mgrid[: domain.height, : domain.width, :frames].astype(np.float32)
    stripes = 127.5 + 127.5 * np.sin((x + 2 * y + 5 * k) / 7)
    return Picture(
        np.stack([stripes, stripes[::-1], 255 - stripes], -1).astype(np.uint8).transpose(2, 0, 1, 3), domain.rate
    )


def convergence(domain, a, b):
    """Spectral convergence in dB: the distance of magnitudes relative to those of `a`."""
    x, y = (domain.transform(domain.samples(s)).abs() for s in (a, b))
    return float(20 * torch.log10((x - y[..., : x.shape[-1]]).norm() / x.norm()))


def noise(domain, a, b):
    """The noise against the signal, in dB."""
    difference = a.samples - b.samples[:, : a.samples.shape[1]]
    return float(10 * np.log10((difference**2).sum() / (a.samples**2).sum() + 1e-20))


def pixels(domain, a, b):
    """The largest difference of any value, in 1/255."""
    return float(np.abs(a.frames.astype(int) - b.frames.astype(int)).max())


MEASURES = {"spectrogram": (convergence, -20.0), "mel": (convergence, -10.0)}
"""Domains that lose the phase, and what they reach on the stream above, whose noise has no phase to find."""
DEFAULT = {"sound": (noise, -60.0), "picture": (pixels, 1.0)}


@pytest.mark.parametrize("name", domains.names())
def test_conformance(name):
    domain = make(name)
    stream = stream_for(domain)
    x = domain.encode(stream)
    assert isinstance(domain.rate, Fraction)
    assert (
        tuple(x.shape) == domain.shape(SECONDS) == (*domain.shape(5)[:1], domain.steps(SECONDS), *domain.shape(5)[2:])
    )
    assert abs(domain.steps(SECONDS) / domain.rate - SECONDS) <= 1 / (2 * domain.rate)
    assert domain.shape(100)[1] == round(100 * domain.rate)
    assert x.dtype == torch.float32 and x.isfinite().all()
    # Near unit scale: what the network is given is brought to variance 1 from here, by one mean and one deviation.
    assert 0.03 < float(x.std()) < 3 and abs(float(x.mean())) < 2 and float(x.abs().max()) < 20
    back = domain.decode(x)
    assert type(back) is type(stream)
    assert abs(back.seconds - x.shape[1] / domain.rate) < Fraction(1, 10**6)
    measure, limit = MEASURES.get(name, DEFAULT[domain.medium])
    assert measure(domain, stream, back) <= limit, domain.tolerance
    assert torch.equal(load(save({"x": x}))["x"], x)
    assert type(domain)(**asdict(domain)) == domain
    again = domain.decode(domain.encode(stream))
    a, b = (s.samples if isinstance(s, Sound) else s.frames for s in (back, again))
    assert np.array_equal(a, b), "decoding draws no randomness of its own"


def test_round_trips_on_real_clips(media_data):
    speech = [read(p).sound for p in sorted((media_data / "fsdd" / "recordings").glob("*.wav"))[::150]]
    for name in ("spectrogram", "stft", "mel"):
        domain = make(name)
        measure, _ = MEASURES.get(name, DEFAULT["sound"])
        errors = [measure(domain, s, domain.decode(domain.encode(s))) for s in speech]
        assert np.mean(errors) <= {"spectrogram": -28, "stft": -60, "mel": -10}[name], name
    video = sorted((media_data / "clips" / "person_walk").glob("*.mp4"))[0]
    frames = make("frames")
    picture = read(video, sound=False, rate=frames.rate, size=(48, 64), max_seconds=0.5).picture
    assert pixels(frames, picture, frames.decode(frames.encode(picture))) == 0


def test_one_frame_is_a_still_image():
    domain = domains.get("frames")(height=8, width=8, frame_rate=1)
    picture = Picture(np.full((1, 8, 8, 3), 7, np.uint8), Fraction(1))
    assert domain.encode(picture).shape == (3, 1, 8, 8)
    assert domain.decode(domain.encode(picture)).is_still


def test_stereo_keeps_its_channels_apart():
    for name in ("spectrogram", "stft", "mel"):
        domain = domains.get(name)(**SMALL[name] | {"channels": 2})
        left = stream_for(make(name)).samples
        back = domain.decode(domain.encode(Sound(np.concatenate([left, 0 * left]), 8000)))
        assert np.abs(back.samples[1]).max() < 1e-3 < np.abs(back.samples[0]).max()


def test_silence_stays_silent():
    for name in ("spectrogram", "stft", "mel"):
        domain = make(name)
        back = domain.decode(domain.encode(Sound(np.zeros((1, 8000), np.float32), 8000)))
        assert not back.samples.any()


def test_wrong_streams_and_settings_are_refused():
    with pytest.raises(UsageError, match="takes 1 channel.* at 8000 Hz; got 1 at 16000 Hz"):
        make("stft").encode(Sound(np.zeros((1, 800), np.float32), 16_000))
    with pytest.raises(UsageError, match="frames of 48x64"):
        make("frames").encode(Picture(np.zeros((1, 8, 8, 3), np.uint8), Fraction(1)))
    with pytest.raises(UsageError, match="75 % overlap"):
        domains.get("spectrogram")(n_fft=256, hop=128)
    with pytest.raises(UsageError, match="frames per second"):
        domains.get("frames")(frame_rate="0/5")
    with pytest.raises(UsageError, match="there is no domain 'wavelet'"):
        domains.get("wavelet")

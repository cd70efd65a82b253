"""Fast Griffin-Lim: torchaudio's result, in less time, and what holds of its frames on a line and on a circle."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mediadiff._compat import torchaudio
from mediadiff.domains._griffin_lim import Kept, Overlap, griffin_lim
from mediadiff.io.read import read
from mediadiff.rng import normal
from tests.domains.test_conformance import convergence, make, stream_for


def by_torchaudio(domain, magnitude):
    window = torch.hann_window(domain.n_fft)
    # One sample short of T * hop, so that the transform inside has T frames, not T + 1.
    length = magnitude.shape[-1] * domain.hop - 1
    scaled = magnitude * (window.sum() / 2)
    sizes = domain.n_fft, domain.hop, domain.n_fft
    samples = torchaudio().functional.griffinlim(
        scaled, window, *sizes, 1.0, domain.iterations, 0.99, length, rand_init=False
    )
    return torch.nn.functional.pad(samples, (0, 1))


def test_speech_comes_back_as_near_as_with_torchaudio(media_data):
    domain, found = make("spectrogram"), {griffin_lim: [], by_torchaudio: []}
    for path in sorted((media_data / "fsdd" / "recordings").glob("*.wav"))[::150]:
        sound = read(path).sound
        magnitude = domain.magnitude(domain.encode(sound))
        for samples, errors in (
            (domain.griffin_lim(magnitude), found[griffin_lim]),
            (by_torchaudio(domain, magnitude), found[by_torchaudio]),
        ):
            errors.append(convergence(domain, sound, domain.sound(samples)))
    ours, theirs = (np.mean(errors) for errors in found.values())
    assert ours <= theirs + 0.1 and ours <= -28


def test_mels_iterations_are_enough(media_data):
    domain, found = make("mel"), {32: [], 100: [], "magnitudes": []}
    assert domain.iterations == 32
    for path in sorted((media_data / "fsdd" / "recordings").glob("*.wav"))[::150]:
        sound = read(path).sound
        magnitude, real = domain.magnitude(domain.encode(sound)), domain.transform(domain.samples(sound)).abs()
        for rounds in (32, 100):
            samples = replace(domain, iterations=rounds).griffin_lim(magnitude)
            found[rounds].append(convergence(domain, sound, domain.sound(samples)))
        found["magnitudes"].append(20 * float(torch.log10((magnitude - real).norm() / real.norm())))
    few, many, magnitudes = (np.mean(errors) for errors in found.values())
    assert many < few < many + 1 and abs(few - magnitudes) < 1


@pytest.mark.parametrize("rounds", [1, 4])
def test_a_few_rounds_give_torchaudios_samples(rounds):
    domain = replace(make("spectrogram"), iterations=rounds)
    magnitude = domain.magnitude(domain.encode(stream_for(domain)))
    # Away from the end, where torchaudio is one sample short and mirrors the sound around another one.
    inside = slice(0, magnitude.shape[-1] * domain.hop - (rounds + 1) * domain.n_fft)
    ours, theirs = domain.griffin_lim(magnitude), by_torchaudio(domain, magnitude)
    torch.testing.assert_close(ours[:, inside], theirs[:, inside], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("n_fft", "hop"), [(256, 64), (512, 96), (64, 4)])
def test_spectra_on_a_line_are_torchs_and_go_back(n_fft, hop):
    samples = normal((2, hop * 40), "line")
    overlap = Overlap(2, 40, n_fft, hop)
    overlap.keep(Kept(samples, torch.ones(samples.shape[1], dtype=torch.bool)))
    z = overlap.spectra(torch.empty(2, 40, n_fft // 2 + 1, dtype=torch.complex64))
    expected = torch.stft(samples, n_fft, hop, window=torch.hann_window(n_fft), return_complex=True)[..., :-1]
    torch.testing.assert_close(z, expected.transpose(1, 2), atol=1e-4, rtol=0)
    overlap.fill(z)
    torch.testing.assert_close(overlap.samples, samples, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("n_fft", "hop"), [(256, 64), (512, 96)])
def test_a_circle_goes_there_and_back_and_is_a_line_away_from_its_ends(n_fft, hop):
    steps = 20
    z = torch.randn(2, steps, n_fft // 2 + 1, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    circle = Overlap(2, steps, n_fft, hop, around=True)
    circle.fill(z)
    samples = circle.samples.clone()
    spectra = circle.spectra(torch.empty_like(z)).clone()
    circle.fill(spectra)
    torch.testing.assert_close(circle.samples, samples, atol=1e-5, rtol=0)
    circle.fill(z.roll(3, dims=1))
    # To the bit: each sample is summed in the same order, wherever the circle begins.
    assert torch.equal(circle.samples, samples.roll(3 * hop, dims=1))
    line = torch.stft(samples, n_fft, hop, window=torch.hann_window(n_fft), return_complex=True)[..., :-1]
    torch.testing.assert_close(spectra[:, 4:-4], line.transpose(1, 2)[:, 4:-4], atol=1e-4, rtol=0)


def test_each_sound_has_the_same_bits_alone_and_beside_others():
    magnitude = normal((8, 129, 96), "magnitudes").abs()
    together = griffin_lim(magnitude, 256, 64, 8)
    for i in (0, 3, 7):
        assert torch.equal(griffin_lim(magnitude[i : i + 1], 256, 64, 8)[0], together[i])
    before = magnitude.clone()
    griffin_lim(magnitude, 256, 64, 2, around=True)
    assert torch.equal(magnitude, before)

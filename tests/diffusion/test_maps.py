"""Maps of noise over (stream x time): what each kind gives, in training and when sampling."""

import pytest
import torch

from mediadiff.diffusion.maps import draw_maps
from mediadiff.diffusion.settings import DiffusionSettings, MixSettings, SamplingSettings
from mediadiff.diffusion.tasks import Task, level_of, sample_task
from mediadiff.rng import generator, normal

STEPS = {"sound": 40, "picture": 8}
ONLY = {"together": 0.0, "apart": 0.0, "across": 0.0, "stretch": 0.0}


def maps(kind, steps=STEPS, count=400):
    settings = DiffusionSettings(mix=MixSettings(**{**ONLY, kind: 1.0}))
    return draw_maps(settings, steps, count, generator(0, kind))


def test_together_is_one_level_and_apart_is_one_for_each_stream():
    together, apart = maps("together"), maps("apart")
    for sigma in (*together.values(), *apart.values()):
        assert (sigma > 0).all() and (sigma == sigma[:, :1]).all()
    assert torch.equal(together["sound"][:, 0], together["picture"][:, 0])
    correlation = torch.corrcoef(torch.stack([apart[n][:, 0].log() for n in STEPS]))[0, 1]
    assert abs(float(correlation)) < 0.15


def test_across_gives_one_stream_whole_and_both_in_turn():
    sigma = maps("across")
    given = {n: (s == 0).all(dim=1) for n, s in sigma.items()}
    assert (given["sound"] ^ given["picture"]).all()
    assert 0.4 < float(given["sound"].float().mean()) < 0.6
    wanted = sigma["picture"][given["sound"]]
    assert (wanted > 0).all()


def test_stretches_are_given_for_the_same_seconds_in_all_streams_or_in_one():
    sigma = maps("stretch", count=2000)
    known = {n: s == 0 for n, s in sigma.items()}
    some = {n: k.any(dim=1) for n, k in known.items()}
    both = some["sound"] & some["picture"]
    only = some["sound"] ^ some["picture"]
    assert both.float().mean() > 0.2 and only.float().mean() > 0.2
    # A frame counts as known only if all five of its sound steps are: the maps agree to within a step at each edge.
    framed = known["sound"].unflatten(1, (8, 5)).all(dim=2)
    assert torch.equal(framed[both], known["picture"][both])
    for k in known.values():
        runs = (k[:, 1:] != k[:, :-1]).sum(dim=1)
        assert runs.max() == 2 and (runs == 1).any()
        assert k[:, 0].any() and k[:, -1].any() and (~k).any(dim=1).all()


def test_one_stream_alone_knows_levels_and_stretches_only():
    for kind in ("apart", "across"):
        assert (maps(kind, {"sound": 40})["sound"] > 0).all()
    assert (maps("stretch", {"sound": 40})["sound"] == 0).any()


def test_a_mix_is_drawn_in_its_proportions_and_an_empty_one_is_refused():
    settings = DiffusionSettings(mix=MixSettings(together=1.0, across=3.0))
    sigma = draw_maps(settings, STEPS, 4000, generator(0))
    across = (sigma["sound"] == 0).all(dim=1) | (sigma["picture"] == 0).all(dim=1)
    assert float(across.float().mean()) == pytest.approx(0.75, abs=0.03)
    with pytest.raises(ValueError, match="is above 0"):
        MixSettings(**ONLY)


SHAPES = {"sound": (1, 6, 2, 1), "picture": (3, 3, 2, 2)}
SETTINGS = SamplingSettings(steps=6)


def toward(value, seen):
    """A denoiser whose data is `value` everywhere, and that notes the levels it is told."""

    def denoise(x, sigma, condition):
        seen.append({n: s.clone() for n, s in sigma.items()})
        return {n: torch.full_like(v, value) for n, v in x.items()}

    return denoise


def run(task, value=2.0, settings=SETTINGS):
    seen = []
    noise = {n: normal((2, *shape), 0, n) for n, shape in SHAPES.items()}
    generators = [generator(i) for i in range(2)]
    return sample_task(toward(value, seen), noise, None, settings, generators, task), seen


def test_what_is_known_is_kept_bit_for_bit_and_told_as_level_0():
    known = {"sound": torch.tensor([[True] * 2 + [False] * 4, [False] * 6])}
    values = {"sound": normal((2, 1, 6, 2, 1), 0, "values")}
    out, seen = run(Task(values=values, known=known))
    assert torch.equal(out["sound"][0, :, :2], values["sound"][0, :, :2])
    torch.testing.assert_close(out["sound"][0, :, 2:], torch.full((1, 4, 2, 1), 2.0))
    torch.testing.assert_close(out["sound"][1], torch.full((1, 6, 2, 1), 2.0))
    for levels in seen:
        assert (levels["sound"][0, :2] == 0).all() and (levels["sound"][0, 2:] > 0).all()
        assert (levels["sound"][1] > 0).all() and (levels["picture"] > 0).all()


def test_strength_says_how_much_of_the_start_is_left():
    start = {n: torch.full((2, *shape), -1.0) for n, shape in SHAPES.items()}
    out, seen = run(Task(start=start, strength=0.0))
    assert all(torch.equal(out[n], start[n]) for n in start) and not seen
    _, few = run(Task(start=start, strength=0.5))
    assert len(few) == 3 and float(few[0]["sound"][0, 0]) == pytest.approx(level_of(0.5), rel=1e-3)
    fresh, all_of_them = run(Task(start=start, strength=1.0))
    plain, _ = run(Task())
    assert len(all_of_them) == 6 and all(torch.equal(fresh[n], plain[n]) for n in plain)
    assert level_of(1.0) == pytest.approx(80.0) and level_of(0.0) == pytest.approx(0.004)


def test_a_stream_with_a_higher_end_is_made_from_what_the_others_show():
    settings = SamplingSettings(sampler="lcm", steps=2, sigma_min={"sound": 40.0, "picture": 10.0})
    _, seen = run(Task(), settings=settings)
    levels = [(float(at["sound"][0, 0]), float(at["picture"][0, 0])) for at in seen]
    assert levels == [pytest.approx((80, 80), rel=1e-4), pytest.approx((40, 10), rel=1e-4)]
    # Between the two ends of the walks one step is left for all, however many the other walk would have.
    start = {n: torch.zeros(2, *shape) for n, shape in SHAPES.items()}
    for strength, steps in [(0.7, 1), (0.95, 2)]:
        _, seen = run(Task(start=start, strength=strength), settings=settings)
        assert len(seen) == steps
        assert all(float(seen[0][n][0, 0]) == pytest.approx(level_of(strength), rel=1e-4) for n in SHAPES)


def test_strengths_along_time_change_what_lies_below_the_last_level_in_the_last_step():
    settings = SamplingSettings(sampler="lcm", steps=2, sigma_min=6.0)
    start = {n: torch.full((2, *shape), -1.0) for n, shape in SHAPES.items()}
    along = {
        "sound": torch.tensor([[0.9, 0.9, 0.3, 0.3, 0.0, 0.0]] * 2),
        "picture": torch.tensor([[0.9, 0.3, 0.0]] * 2),
    }
    out, seen = run(Task(start=start, strength=0.9, along=along), settings=settings)
    assert len(seen) == 2 and level_of(0.3) < 6.0
    assert out["sound"][0, 0, :, 0, 0].tolist() == pytest.approx([2.0] * 4 + [-1.0] * 2)
    assert out["picture"][0, 0, :, 0, 0].tolist() == pytest.approx([2.0, 2.0, -1.0])

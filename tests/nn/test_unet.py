"""The network: shapes, streams, and laws that hold before any training."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from mediadiff.errors import UsageError
from mediadiff.nn.aligned import at
from mediadiff.nn.condition import Condition, ConditionEncoder, Timeline
from mediadiff.nn.layers import Down, HeightWidth, Up
from mediadiff.nn.settings import NetworkSettings
from mediadiff.nn.stream import StreamShape
from mediadiff.nn.unet import UNet

SOUND = StreamShape(1, 32, 1, Fraction(125))
PICTURE = StreamShape(3, 16, 24, Fraction(12))
SMALL = NetworkSettings(channels=(8, 16, 32), blocks=1, attention=1, heads=2, patch={"sound": (2, 2, 1)})


def network(streams, settings=SMALL, **kinds):
    torch.manual_seed(0)
    net = UNet(streams, settings, **kinds)
    for p in net.parameters():
        # Layers that start at zero would hide what the others do.
        torch.nn.init.normal_(p, std=0.1)
    return net.eval()


def inputs(streams, steps, batch=2):
    x = {n: torch.randn(batch, s.channels, steps[n], s.height, s.width) for n, s in streams.items()}
    level = {n: torch.randn(batch, steps[n]) for n in streams}
    given = {n: torch.zeros(batch, steps[n], dtype=torch.bool) for n in streams}
    return x, level, given, Condition.of(torch.zeros(batch, dtype=torch.long))


@torch.no_grad()
@pytest.mark.parametrize("streams", [{"sound": SOUND}, {"picture": PICTURE}, {"sound": SOUND, "picture": PICTURE}])
def test_each_stream_comes_out_in_its_own_shape(streams):
    x, *rest = inputs(streams, {"sound": 24, "picture": 5})
    out = network(streams, labels=3)(x, *rest)
    assert {n: v.shape for n, v in out.items()} == {n: v.shape for n, v in x.items()}
    assert all(v.dtype == torch.float32 and v.isfinite().all() for v in out.values())


@torch.no_grad()
def test_streams_hear_of_each_other_only_when_present():
    streams = {"sound": SOUND, "picture": PICTURE}
    net = network(streams)
    x, level, given, condition = inputs(streams, {"sound": 16, "picture": 4})
    both = net(x, level, given, condition)["sound"]
    other = net({**x, "picture": x["picture"] + 1}, level, given, condition)["sound"]
    alone = net({"sound": x["sound"]}, level, given, condition)["sound"]
    assert not torch.equal(both, other)
    assert alone.shape == both.shape and not torch.equal(both, alone)


@torch.no_grad()
def test_level_acts_at_its_own_time_step():
    net = network({"picture": PICTURE}, NetworkSettings(channels=(8, 16), blocks=1, attention=0, heads=2))
    x, level, given, condition = inputs({"picture": PICTURE}, {"picture": 16}, batch=1)
    changed = {"picture": level["picture"].clone()}
    changed["picture"][0, 0] += 1.0
    difference = (net(x, level, given, condition)["picture"] - net(x, changed, given, condition)["picture"]).abs()
    # Four blocks, each with one convolution of length 5 along time, carry a change eight steps far and no further.
    assert difference[:, :, 0].max() > 1e-3
    assert difference[:, :, 9:].max() == 0


@torch.no_grad()
def test_which_steps_of_a_patch_are_given_is_told():
    settings = NetworkSettings(channels=(8, 16), blocks=1, attention=0, heads=2, patch={"picture": (4, 2, 2)})
    net = network({"picture": PICTURE}, settings)
    x, level, given, condition = inputs({"picture": PICTURE}, {"picture": 8}, batch=1)
    level = {"picture": torch.ones(1, 8)}
    outs = []
    for step in (0, 3):
        here = given["picture"].clone()
        here[0, step] = True
        outs.append(net(x, level, {"picture": here}, condition)["picture"])
    # In steps that neither names: what is told of one's own step goes around the patch.
    assert (outs[0] - outs[1])[:, :, 1:3].abs().max() > 1e-3


@torch.no_grad()
def test_a_fresh_network_predicts_nothing():
    torch.manual_seed(0)
    net = UNet({"picture": PICTURE}, SMALL)
    x, *rest = inputs({"picture": PICTURE}, {"picture": 3})
    assert net(x, *rest)["picture"].abs().max() == 0


def test_sizes_that_do_not_halve_are_refused_with_the_multiple():
    with pytest.raises(UsageError, match="height is a multiple of 8"):
        UNet({"sound": StreamShape(1, 36, 1, Fraction(125))}, SMALL)
    with pytest.raises(UsageError, match="multiples of 8; got 12"):
        network({"sound": SOUND})(*inputs({"sound": SOUND}, {"sound": 12}))
    with pytest.raises(UsageError, match="multiples of twice network.heads, .*: try"):
        UNet({"sound": SOUND}, NetworkSettings(channels=(8, 18), heads=4))
    with pytest.raises(UsageError, match="above 32, channels are multiples of 16; got 88: try 80"):
        UNet({"sound": SOUND}, NetworkSettings(channels=(8, 88), heads=2))


@torch.no_grad()
def test_conditions_add_up_and_can_be_hidden():
    torch.manual_seed(0)
    encoder = ConditionEncoder(16, labels=3, caption=True, scalars=1).eval()
    labels, scalars = torch.tensor([0, 2, -1]), torch.tensor([[0.5], [float("nan")], [float("nan")]])
    condition = Condition.of(labels, ["a dog barks", "", ""], scalars)
    e = encoder(condition)
    nothing = encoder(condition.hidden(torch.ones(3, dtype=torch.bool)))
    assert torch.equal(e[2], nothing[0]) and torch.equal(nothing[0], nothing[1])
    assert not torch.allclose(e[0], nothing[0]) and not torch.allclose(e[1], nothing[1])
    assert torch.equal(encoder(condition.hidden(torch.tensor([True, False, False])))[1], e[1])


@torch.no_grad()
def test_text_is_read_alike_whatever_stands_beside_it():
    torch.manual_seed(0)
    encoder = ConditionEncoder(16, labels=0, caption=True, scalars=0).eval()
    none = torch.tensor([-1])
    alone = encoder(Condition.of(none, ["rain on a tin roof"]))
    beside = encoder(
        Condition.of(none.expand(2), ["rain on a tin roof", "a much longer caption than the first one is"])
    )
    torch.testing.assert_close(alone[0], beside[0])
    other = encoder(Condition.of(none, ["roof on a tin rain"]))
    assert not torch.allclose(alone, other)


JOINT = {"sound": SOUND, "picture": PICTURE}


@torch.no_grad()
@pytest.mark.parametrize("halvings", [{}, {"picture": 2}])
def test_to_roll_a_circle_is_to_roll_what_comes_out(halvings):
    # 64 steps at 125 a second and 64 frames at 125 a second: both close after the same 0.512 seconds.
    streams = {"sound": SOUND, "picture": StreamShape(3, 16, 24, Fraction(125))}
    net = network(streams, replace(SMALL, halvings=halvings))
    x, level, given, condition = inputs(JOINT, {"sound": 64, "picture": 64}, batch=1)
    plain = net(x, level, given, condition, True)
    by = 2 * net.multiple("sound")

    def rolled(values):
        return {n: v.roll(by, dims=2 if v.dim() == 5 else 1) for n, v in values.items()}

    turned = net(rolled(x), rolled(level), rolled(given), condition, True)
    for name, expected in rolled(plain).items():
        torch.testing.assert_close(turned[name], expected, rtol=1e-4, atol=1e-4)
    straight = net(rolled(x), rolled(level), rolled(given), condition)
    assert not torch.allclose(straight["sound"], rolled(net(x, level, given, condition))["sound"], atol=1e-3)


@torch.no_grad()
def test_a_circle_may_be_shorter_than_what_convolutions_see():
    net = network({"picture": PICTURE}, NetworkSettings(channels=(8, 16), blocks=1, attention=0, heads=2))
    x, level, given, condition = inputs({"picture": PICTURE}, {"picture": 3}, batch=1)
    same = {n: v[:, :, :1].expand_as(v) for n, v in x.items()}
    still = {n: v[:, :1].expand_as(v) for n, v in level.items()}
    # A frame that repeats is the same circle, however often it is told.
    three = net(same, still, given, condition, True)["picture"]
    one = net(
        {n: v[:, :, :1] for n, v in x.items()},
        {n: v[:, :1] for n, v in level.items()},
        {n: v[:, :1] for n, v in given.items()},
        condition,
        True,
    )["picture"]
    torch.testing.assert_close(three[:, :, :1], one, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_what_one_stream_holds_is_heard_by_the_other_at_that_moment():
    net = network(JOINT, NetworkSettings(channels=(8, 16), blocks=1, attention=0, heads=2, patch={"sound": (2, 2, 1)}))
    x, level, given, condition = inputs(JOINT, {"sound": 256, "picture": 24}, batch=1)
    changed = {**x, "picture": x["picture"].clone()}
    changed["picture"][:, :, 12] += 5.0
    moved = (net(x, level, given, condition)["sound"] - net(changed, level, given, condition)["sound"]).abs()
    by_step = moved.amax(dim=(0, 1, 3, 4))
    # Frame 12 lies at 1 to 1.083 seconds, step 125 to 135; convolutions along time blur by some frames, and norms,
    # which look at the whole clip, tell a little to every step.
    assert 115 <= int(by_step.argmax()) <= 145
    assert max(by_step[:60].max(), by_step[200:].max()) < by_step.max() / 5


@torch.no_grad()
@pytest.mark.parametrize("way", ["before", "after"])
def test_either_way_of_telling_reaches_the_other_stream_alone(way):
    # Without attention there is no other way from stream to stream.
    net = network(JOINT, NetworkSettings(channels=(8, 16), blocks=1, attention=0, heads=2, patch={"sound": (2, 2, 1)}))
    x, level, given, condition = inputs(JOINT, {"sound": 128, "picture": 12}, batch=1)
    changed = {**x, "picture": x["picture"] + torch.randn_like(x["picture"])}

    def heard():
        return (net(x, level, given, condition)["sound"] - net(changed, level, given, condition)["sound"]).abs().max()

    other = {"before": net.after, "after": net.before}[way]
    for hear in other.hear.values():
        torch.nn.init.zeros_(hear.linear.weight)
    assert heard() > 1e-3
    for hear in getattr(net, way).hear.values():
        torch.nn.init.zeros_(hear.linear.weight)
    assert heard() == 0


@torch.no_grad()
def test_levels_that_halve_time_see_further_and_keep_every_step():
    plain = NetworkSettings(channels=(8, 16), blocks=1, attention=0, heads=2)
    half = replace(plain, halvings={"picture": 1})
    x, level, given, condition = inputs({"picture": PICTURE}, {"picture": 40}, batch=1)
    changed = {"picture": x["picture"].clone()}
    changed["picture"][:, :, 0] += 1.0

    def moved(settings):
        net = network({"picture": PICTURE}, settings)
        out = net(x, level, given, condition)["picture"] - net(changed, level, given, condition)["picture"]
        return out.abs().amax(dim=(0, 1, 3, 4)) > 0

    # Two steps each way at the outer level, in and out, and twice two at the inner one, of which each is two long.
    assert moved(plain).tolist() == [True] * 9 + [False] * 31
    assert moved(half).tolist() == [True] * 14 + [False] * 26


@torch.no_grad()
def test_where_time_is_halved_frames_lie_in_order():
    torch.manual_seed(0)
    layout, x = HeightWidth(4, 4), torch.randn(2, 3, 6, 4, 4)
    rows = Down(3, 4 * 2 * 3, 2)(layout.fold(x))
    assert rows.shape == (2 * 3, 4 * 2 * 3, 2, 2)
    down, up = Down(3, 24, 2), Up(24, 3, 2)
    for layer in (down, up):
        torch.nn.init.eye_(layer.linear.weight)
    torch.testing.assert_close(layout.unfold(up(down(layout.fold(x))), 2), x)


def test_halvings_of_a_picture_are_as_many_as_its_levels_allow():
    with pytest.raises(UsageError, match="stream picture: 3 levels halve time at most 2 times; got 3"):
        network({"picture": PICTURE}, replace(SMALL, halvings={"picture": 3}))
    with pytest.raises(UsageError, match="stream sound has width 1, where every level halves time"):
        network({"sound": SOUND}, replace(SMALL, halvings={"sound": 1}))
    halved = network({"picture": PICTURE}, replace(SMALL, halvings={"picture": 2}))
    with pytest.raises(UsageError, match="stream picture takes time steps in multiples of 4; got 6"):
        halved(*inputs({"picture": PICTURE}, {"picture": 6}))


@torch.no_grad()
def test_a_lookout_sees_what_convolutions_cannot_reach():
    plain = NetworkSettings(channels=(8, 16), blocks=1, attention=0, heads=2)
    x, level, given, condition = inputs({"picture": PICTURE}, {"picture": 40}, batch=1)
    changed = {"picture": x["picture"].clone()}
    changed["picture"][:, :, 0] += 1.0

    def moved(settings):
        net = network({"picture": PICTURE}, settings)
        out = net(x, level, given, condition)["picture"] - net(changed, level, given, condition)["picture"]
        return out.abs().amax(dim=(0, 1, 3, 4))

    near = moved(plain)
    # Four convolutions along time, two steps each way.
    assert bool((near[:9] > 0).all()) and bool((near[9:] == 0).all())
    assert bool((moved(replace(plain, lookout={"picture": 1})) > 0).all())


def test_a_lookout_takes_a_level_to_look_out_from():
    with pytest.raises(UsageError, match="stream picture: a lookout takes a level above the innermost"):
        network({"picture": PICTURE}, NetworkSettings(channels=(16,), heads=2, lookout={"picture": 1}))
    with pytest.raises(UsageError, match="multiples of twice network.heads, 6; got 8: try 6"):
        network({"picture": PICTURE}, NetworkSettings(channels=(8, 12), heads=3, lookout={"picture": 1}))


@torch.no_grad()
def test_the_input_goes_straight_to_the_output_as_far_as_the_level_lets_it():
    net = UNet({"picture": PICTURE}, SMALL).eval()
    x, level, given, condition = inputs({"picture": PICTURE}, {"picture": 4})
    # A fresh network's head says nothing, so what comes out is what goes straight through.
    gate = torch.tensor([0.5, 0.0, -2.0])
    net.streams["picture"].through.bias.copy_(gate)
    out = net(x, level, given, condition)["picture"]
    torch.testing.assert_close(out, x["picture"] * gate[:, None, None, None])


def test_a_track_is_read_between_its_pieces_and_stays_at_its_ends():
    track = torch.tensor([[[0.0], [1.0], [4.0]]])
    seconds = torch.tensor([0.0, 0.05, 0.1, 0.15, 0.25, 0.3])
    line = at(track, 0.1, seconds, False).flatten().tolist()
    assert line == pytest.approx([0.0, 0.0, 0.5, 1.0, 4.0, 4.0], abs=1e-6)
    circle = at(track, 0.1, seconds, True).flatten().tolist()
    assert circle == pytest.approx([2.0, 0.0, 0.5, 1.0, 4.0, 2.0], abs=1e-6)


@torch.no_grad()
def test_a_timeline_of_one_condition_is_that_condition_and_two_take_turns():
    net = network({"sound": SOUND}, labels=3)
    x, level, given, _ = inputs({"sound": SOUND}, {"sound": 64}, batch=1)
    a, b = (Condition.of(torch.tensor([label])) for label in (0, 1))
    ones, half = {"sound": torch.ones(1, 64)}, {"sound": (torch.arange(64) < 32).float()[None]}
    plain = net(x, level, given, a)["sound"]
    torch.testing.assert_close(net(x, level, given, Timeline([a], [ones]))["sound"], plain)
    rest = {"sound": 1 - half["sound"]}
    turns = net(x, level, given, Timeline([a, b], [half, rest]))["sound"]
    other = net(x, level, given, b)["sound"]
    assert not torch.allclose(turns, plain) and not torch.allclose(turns, other)
    hidden = Timeline([a, b], [half, rest]).hidden(torch.tensor([True]))
    blind = net(x, level, given, a.hidden(torch.tensor([True])))["sound"]
    torch.testing.assert_close(net(x, level, given, hidden)["sound"], blind)


@torch.no_grad()
@pytest.mark.parametrize(("detail", "rank"), [({}, 8), ({"picture": 32}, 24)])
def test_a_layer_of_detail_draws_patches_that_a_linear_head_cannot(detail, rank):
    settings = NetworkSettings(channels=(8, 16), blocks=1, attention=0, heads=2, patch={"picture": (2, 2, 2)})
    levels = network({"picture": PICTURE}, replace(settings, detail=detail)).streams["picture"]
    torch.nn.init.zeros_(levels.head.bias)
    cells = torch.randn(3, 8, 8, 12)
    out = levels.unfold(cells, batch=1)
    assert out.shape == (1, 3, 6, 16, 24)
    # The 24 numbers of each patch, as rows.
    patches = out.unflatten(2, (3, 2)).unflatten(4, (8, 2)).unflatten(6, (12, 2))[0]
    patches = patches.permute(1, 3, 5, 0, 2, 4, 6).reshape(-1, 24)
    assert int(torch.linalg.matrix_rank(patches, rtol=1e-4)) == rank

"""Convolutions and their gradients, against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from mediadiff.nn.convolution import ByProduct, convolve
from mediadiff.nn.layers import conv


@pytest.mark.parametrize(("size", "padding"), [((3, 3), (1, 1)), ((5, 1), (2, 0)), ((3, 3), (0, 1))])
def test_its_gradients_are_those_of_the_convolution(size, padding):
    random = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(shape, generator=random, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 3, 6, 5), (4, 3, *size), (4,))
    )
    assert torch.equal(ByProduct.apply(x, weight, bias, padding), F.conv2d(x, weight, bias, padding=padding))
    assert torch.autograd.gradcheck(lambda *inputs: ByProduct.apply(*inputs, padding), (x, weight, bias))


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("plane", "is_large"), [((4, 2), True), ((64, 32), False)])
def test_a_layer_learns_the_same_whichever_way_its_gradient_is_taken(plane, is_large, dtype, around):
    random = torch.Generator().manual_seed(0)
    layer = conv(64, 64, (3, 3))
    x = torch.randn(4, 64, *plane, generator=random).to(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.randn(4, 64, *plane, generator=random)

    def learned(x):
        out = convolve(layer, x, around)
        layer.zero_grad()
        found = torch.autograd.grad(out, [x, layer.weight, layer.bias], gradient.to(out.dtype))
        return out, [f.float() for f in found]

    exact, expected = learned(x)
    with torch.autocast("cpu", torch.bfloat16):
        out, found = learned(x.to(dtype))
    assert out.dtype == torch.bfloat16
    assert (type(out.grad_fn).__name__ == "ByProductBackward") == is_large
    assert (out - exact).norm() < 0.01 * exact.norm()
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape and (one - other).norm() < 0.01 * other.norm()

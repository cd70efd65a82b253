"""bfloat16 against float32, for every shape of layer that the shipped models use."""

import pytest
import torch

from mediadiff.model import find, load, shipped
from mediadiff.nn.condition import Condition
from mediadiff.nn.precision import is_quicker, named, units, use_bf16


@pytest.mark.parametrize(
    ("processor", "quicker"),
    [
        ({}, False),
        ({"avx512_bf16": True}, True),
        ({"avx512_bf16": True, "avx512_fp16": True}, False),
        ({"avx512_bf16": True, "avx512_fp16": True, "amx_bf16": True}, True),
        ({"avx512_bf16": True, "avx512_fp16": True, "amx_bf16": False}, False),
    ],
)
def test_bf16_is_used_where_it_is_quicker(processor, quicker):
    assert is_quicker(processor) is quicker


def test_precision_as_asked():
    assert use_bf16("bf16") and not use_bf16("float32")
    assert use_bf16("auto") == is_quicker(torch.cpu.get_capabilities())


@pytest.mark.parametrize(
    ("processor", "name"),
    [
        ({}, "AVX512"),
        ({"avx512_bf16": True, "amx_bf16": False}, "AVX512 BF16"),
        ({"avx512_bf16": True, "amx_bf16": True}, "AVX512 AMX"),
        ({"bf16": True}, "AVX512 BF16"),
    ],
)
def test_processors_whose_results_differ_have_names_that_do(processor, name):
    assert named("AVX512", processor) == name


def test_the_units_of_this_processor_begin_as_torch_calls_them():
    assert units().split()[0] == torch.backends.cpu.get_cpu_capability().split()[0]


def layers_in_use(name):
    """Each convolution and linear layer of a shipped model, once per shape, with the input that it really sees."""
    model = load(name)
    network = model.generator.denoiser.network.float()
    seen = {}

    def note(layer, args, _):
        key = (type(layer).__name__, tuple(layer.weight.shape), tuple(args[0].shape), args[0].stride())
        seen.setdefault(key, (layer, args[0]))

    hooks = [
        m.register_forward_hook(note) for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    ]
    batch = 2
    shapes = {n: d.shape(model.seconds) for n, d in model.generator.domains.items()}
    random = torch.Generator().manual_seed(0)
    x = {n: torch.randn(batch, *shape, generator=random) for n, shape in shapes.items()}
    level = {n: torch.full((batch, shape[1]), 0.1) for n, shape in shapes.items()}
    given = {n: torch.zeros(batch, shape[1], dtype=torch.bool) for n, shape in shapes.items()}
    network(x, level, given, Condition.of(torch.zeros(batch, dtype=torch.long)))
    for hook in hooks:
        hook.remove()
    return seen


@torch.no_grad()
@pytest.mark.parametrize("name", shipped())
def test_every_layer_in_bf16_stays_near_float32(name):
    assert (find(name) / "model.safetensors").stat().st_size <= 16_000_000
    layers = layers_in_use(name)
    assert len(layers) > 10 and any(weight[2:] == (3, 3) for _, weight, *_ in layers)
    for (kind, *shape), (layer, x) in layers.items():
        exact = layer(x)
        near = type(layer).forward(layer.to(torch.bfloat16), x.to(torch.bfloat16)).float()
        layer.float()
        error = (near - exact).norm() / exact.norm().clamp_min(1e-6)
        # 8 bits of mantissa round by 0.4 % at most; sums in float32 add nothing worth naming.
        assert error < 0.01, f"{kind} {shape}: {error:.3f}"

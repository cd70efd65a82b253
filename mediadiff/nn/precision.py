"""Which numbers the network computes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch


def use_bf16(precision: Literal["auto", "bf16", "float32"]) -> bool:
    """Whether to compute in bfloat16: `auto` does so where that is quicker. float16 is never used."""
    return is_quicker(torch.cpu.get_capabilities()) if precision == "auto" else precision == "bf16"


def units() -> str:
    """The processor's vector units, as far as the bits of a result depend on them: `AVX512 AMX`, for one."""
    return named(torch.backends.cpu.get_cpu_capability(), torch.cpu.get_capabilities())


def named(capability: str, processor: Mapping[str, Any]) -> str:
    """What torch calls a processor's vector units, and the best that it has for bfloat16 (`bf16` is ARM's)."""
    bf16 = {"amx_bf16": "AMX", "avx512_bf16": "BF16", "bf16": "BF16"}
    return " ".join([capability, *(name for unit, name in bf16.items() if processor.get(unit))][:2])


def is_quicker(processor: Mapping[str, Any]) -> bool:
    """Whether a processor, as torch describes it, computes in bfloat16 more quickly than in float32."""
    if processor.get("amx_bf16"):
        return True
    # Intel's processors that have AVX-512 for float16 too were made for AMX. Where a host hides it, convolutions in
    # bfloat16 take 1.6 times as long as in float32; AMD's, and Intel's before, take about half as long.
    return bool(processor.get("avx512_bf16")) and not processor.get("avx512_fp16")

"""Which numbers the network computes in."""

from __future__ import annotations

from typing import Literal

import torch


def use_bf16(precision: Literal["auto", "bf16", "float32"]) -> bool:
    """Whether to compute in bfloat16: `auto` does so where the processor has units for it. float16 is never used."""
    if precision != "auto":
        return precision == "bf16"
    has = torch.cpu.get_capabilities()
    return bool(has.get("amx_bf16") or has.get("avx512_bf16"))

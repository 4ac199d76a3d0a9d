"""What a device makes of bfloat16."""

from __future__ import annotations

import torch


def bf16_is_native(device: str | torch.device) -> bool:
    """Whether there are kernels for bfloat16 products on the device.

    A processor without the instructions that they need (AVX-512 on x86) emulates such products one
    by one: everything still works, many times slower than in float32.
    """
    kind = torch.device(device).type
    if kind == "cpu":
        supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return supported
    return kind != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)

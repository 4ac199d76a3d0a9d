"""Whether a device computes bfloat16 natively."""

from __future__ import annotations

import torch


def bf16_is_native(device: str | torch.device) -> bool:
    """Whether the device has kernels for bfloat16 products.

    A processor without the instructions they need (AVX-512 on x86) emulates such products one by
    one: everything still works, but many times slower than in float32.

    Parameters
    ----------
    device : a torch device, or its name.
    """
    kind = torch.device(device).type
    if kind == "cpu":
        supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return supported
    return kind != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)

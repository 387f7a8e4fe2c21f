#!/bin/bash
# torch's FlopCounterMode counts nothing inside nn.MultiheadAttention and nn.TransformerEncoderLayer in eval mode
# without gradients: they take a fused kernel ("fast path") that it does not know. With gradients, or with the fast
# path switched off, the same module has its full count. nversion counts without it.
# Exits with 1 when the behaviour has changed.
set -eu
version=${1:-2.14.1}
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==$version" numpy
"$folder/venv/bin/python" - <<'P'
import sys
import warnings

import torch
from torch.utils.flop_counter import FlopCounterMode

warnings.filterwarnings("ignore")
print("torch", torch.__version__)
tokens_NTD = torch.rand(1, 197, 192)


def macs(module, fast):
    torch.backends.mha.set_fastpath_enabled(fast)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(tokens_NTD, tokens_NTD, tokens_NTD) if isinstance(module, torch.nn.MultiheadAttention) else module(tokens_NTD)
    return counter.get_total_flops() // 2


attention = torch.nn.MultiheadAttention(192, 4, batch_first=True).eval()
layer = torch.nn.TransformerEncoderLayer(192, 4, batch_first=True).eval()
changed = False
for module in (attention, layer):
    counted, full = macs(module, True), macs(module, False)
    print(f"{type(module).__name__}: {counted:,} MACs counted on the fast path, {full:,} without it")
    changed |= counted >= full
# By hand: four products with D×D weights and two of T×T×D.
by_hand = 4 * 197 * 192**2 + 2 * 197**2 * 192
print(f"MultiheadAttention by hand: {by_hand:,}")
sys.exit(1 if changed else 0)
P

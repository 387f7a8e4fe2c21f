#!/bin/bash
# torch's batch norm in eval mode gives a wrong gradient on the CPU for a batch of ONE image whose incoming gradient
# has the strides (C, 1, W*C, C), as LayerNorm on flatten(2).transpose(1, 2) leaves it. Networks that go
# from batch norm to tokens (LeViT, EfficientFormer, XCiT) are concerned. nversion sends a single image twice.
# Exits with 1 when the behaviour has changed.
set -eu
version=${1:-2.14.1}
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==$version" numpy
"$folder/venv/bin/python" - <<'P'
import sys
import torch

print("torch", torch.__version__)
torch.manual_seed(0)
norm, of_tokens = torch.nn.BatchNorm2d(24).eval(), torch.nn.LayerNorm(24)
images_NCHW = torch.rand(2, 24, 8, 8)
strides = []


def slope(images):
    leaf = images.clone().requires_grad_()
    normed = norm(leaf)
    normed.register_hook(lambda gradient: strides.append(gradient.stride()))
    of_tokens(normed.flatten(2).transpose(1, 2)).pow(3).sum().backward()
    return leaf.grad


together = slope(images_NCHW)
alone = torch.cat([slope(images_NCHW[:1]), slope(images_NCHW[1:])])
off = float((alone - together).norm() / together.norm())
print("strides of the gradient of two images", strides[0], "and of one", strides[1])
print(f"gradients of single images against those of both together: relative difference {off:.2g}")
sys.exit(0 if off > 0.01 else 1)
P

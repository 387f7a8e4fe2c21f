"""The two DINO rows of the paper's Table 1: a self-supervised backbone joined with its linear classifier.

`build` is a `python:` model source. Weights are downloaded from their authors on first use and kept in
torch's hub cache; `pretrained=False` builds the same modules with random weights.
Source: Caron et al. 2021; how backbone and head are joined follows its linear evaluation.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

WEIGHTS = "https://dl.fbaipublicfiles.com/dino/"
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class LinearOnResNet(nn.Module):
    """ResNet50 without its classifier, and a linear classifier on the pooled features."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = timm.create_model("resnet50", num_classes=0)
        self.linear = nn.Linear(2048, 1000)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.linear(self.backbone(images_N3HW))


class LinearOnViT(nn.Module):
    """ViT-B/8, and a linear classifier on its class token beside the mean of its patch tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = timm.create_model("vit_base_patch8_224", num_classes=0)
        self.linear = nn.Linear(2 * 768, 1000)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        tokens_NTD = self.backbone.forward_features(images_N3HW)
        return self.linear(torch.cat([tokens_NTD[:, 0], tokens_NTD[:, 1:].mean(1)], dim=-1))


def build(name: str, pretrained: bool = True) -> tuple[nn.Module, dict[str, Any]]:
    """Return (module in eval mode, preprocessing) of `dino_resnet50` or `dino_vitb8`."""
    module, folder = {
        "dino_resnet50": (LinearOnResNet, "dino_resnet50_pretrain/dino_resnet50"),
        "dino_vitb8": (LinearOnViT, "dino_vitbase8_pretrain/dino_vitbase8"),
    }[name]
    model = module()
    if pretrained:
        model.backbone.load_state_dict(_download(f"{folder}_pretrain.pth"))
        linear = _download(f"{folder}_linearweights.pth")["state_dict"]
        model.linear.load_state_dict({key.removeprefix("module.linear."): w for key, w in linear.items()})
    return model.eval(), {"input_size": 224, "crop_pct": 0.875, "interpolation": "bicubic", **IMAGENET}


def _download(path: str) -> dict[str, Any]:
    state: dict[str, Any] = torch.hub.load_state_dict_from_url(
        WEIGHTS + path, map_location="cpu", weights_only=True
    )
    return state

#!/bin/bash
# timm 1.0.31: the data configuration that a model gives by default is not the one of its published accuracy.
#
# Expected: create_transform(**resolve_model_data_config(model)), which the README and every model card show for
# inference, evaluates weights as their authors did.
# Found: for the 307 of 1826 pretrained weights whose test_input_size is another than their input_size, the
# default is the size of their training; `use_test_size=True` gives the other. So resnet50.tv2_in1k, torchvision's
# IMAGENET1K_V2 weights, sees 176 pixels here and 224 in torchvision.
# Exit 0: as described; 1: the behaviour changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchvision==0.29.1 timm==1.0.31
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import timm
from timm.data import resolve_data_config
from torchvision.models import ResNet50_Weights

print("timm", timm.__version__)
other = 0
names = timm.list_pretrained()
for name in names:
    card = timm.get_pretrained_cfg(name).to_dict()
    sizes = [resolve_data_config(pretrained_cfg=card, use_test_size=test)["input_size"] for test in (False, True)]
    other += sizes[0] != sizes[1]
print(f"{other} of {len(names)} pretrained weights are evaluated at another size than the default")
card = timm.get_pretrained_cfg("resnet50.tv2_in1k").to_dict()
default = resolve_data_config(pretrained_cfg=card)["input_size"][1]
test = resolve_data_config(pretrained_cfg=card, use_test_size=True)["input_size"][1]
published = ResNet50_Weights.IMAGENET1K_V2.transforms().crop_size[0]
print(f"resnet50.tv2_in1k: default {default}, test size {test}, torchvision {published}")
as_described = other > 100 and default < test == published
print("as described" if as_described else "the behaviour changed")
sys.exit(not as_described)
PYTHON

"""Builders of a study that runs in a second: generated image files, untrained networks, every table."""

import json

import numpy as np
from PIL import Image

from nversion.core import generator
from nversion.study import parse_spec, run_study

SIZE = 16
NUM_CLASSES = 3

MODELS_PY = """
import os
import time

import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.stem = nn.Conv2d(3, 2 + len(name), 3, stride=2)
        self.head = nn.Linear(2 + len(name), 3)
        rng = torch.Generator().manual_seed(sum(map(ord, name)))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng))

    def forward(self, images_N3HW):
        time.sleep(float(os.environ.get("SMALL_STUDY_PAUSE_S", 0)))  # time to be killed in
        return self.head(self.stem(images_N3HW).relu().mean((2, 3)))

class Spoiled(Tiny):
    # Finite on the smoother images that every model is probed with.
    value = float("nan")

    def forward(self, images_N3HW):
        varied_N = images_N3HW.diff(dim=3).flatten(1).std(1) > 1
        return torch.where(varied_N[:, None], torch.as_tensor(self.value), super().forward(images_N3HW))

class Large(Spoiled):
    value = torch.tensor([0.0, 70000.0, 0.0])

def build(name):
    kinds = {"spoiled": Spoiled, "large": Large}
    preprocessing = {"input_size": 16, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    return kinds.get(name, Tiny)(name), preprocessing
"""


def write_inputs(folder, num_images=12):
    """Image files with labels, and the file that builds the models."""
    (folder / "images").mkdir(parents=True)
    (folder / "models.py").write_text(MODELS_PY)
    pixels = generator("small study").integers(0, 256, (num_images, SIZE, SIZE, 3)).astype(np.uint8)
    lines = ["file,label"]
    for i, image_HW3 in enumerate(pixels):
        image_HW3[..., i % NUM_CLASSES] //= 4  # a colour for each class, so that models differ from chance
        Image.fromarray(image_HW3).save(folder / "images" / f"{i:03d}.png")
        lines.append(f"{i:03d}.png,{i % NUM_CLASSES}")
    (folder / "images" / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def content(**changes):
    """The study file as plain data; `changes` are merged into its tables, None takes a table out."""
    tables = {
        "study": {"name": "small"},
        "data": {"d": {"source": "folder", "path": "images", "label_space": "tiny", "num_classes": 3}},
        "canonical": {"size": SIZE, "mode": "squash"},
        "conditions": {"clean": True, "corruptions": {"lines": 1.0}},
        "models": [
            {
                "source": "python:models.py:build",
                "label_space": "tiny",
                "names": ["a", "bb", "ccc", "dddd"],
                "families": {"a": "CNN", "bb": "ViT"},
            }
        ],
        "ensembles": {"sizes": [2, 3], "num_blocks": 4},
        "attribution": {"normalise": ["none", "l2"], "images": 8},
        "representation": {"layers": ["stem", "head"], "batches": 2, "maps": ["saliency"]},
        "run": {"device": "cpu", "batch_size": 4},
        "report": {"images": 2, "maps": 2},
    }
    for name, change in changes.items():
        if change is None:
            del tables[name]
        elif isinstance(change, dict):
            tables[name] = {**tables.get(name, {}), **change}
        else:
            tables[name] = change
    return tables


def toml(value):
    """Plain data as TOML text: the tables of a study as inline tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[ " + ", ".join(map(toml, value)) + " ]"
    return json.dumps(value)


def write_toml(path, **changes):
    """A study file with `content(**changes)`."""
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in content(**changes).items()))
    return path


def spec(**changes):
    return parse_spec(content(**changes), "small.toml")


def run(folder, **changes):
    """Run the study whose inputs lie in `folder`; results in `folder/out`. Returns the plan."""
    return run_study(spec(**changes), folder / "out", folder)


def files(root):
    """Every file below `root` with its bytes."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

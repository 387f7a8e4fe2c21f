"""What a weights file says of itself is data: it is checked, and it chooses no code."""

import json

import pytest
import torch
from safetensors.torch import save_file

from nversion.core import UserError
from nversion.models import load_classifier, save_weights

HALF = {"input_size": 8, "mean": [0.5] * 3, "std": [0.5] * 3}
STATED = {"arch": "timm:resnet18", "preprocessing": HALF, "label_space": "x"}
SMALL = "python:nversion.training.small_networks:build"
CODE = """
from pathlib import Path
from torch import nn

def build(**args):
    Path(__file__).with_name("ran").write_text("yes")
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
"""


def write(path, stated, tensors=None):
    """A file with any description, as anyone can write it."""
    text = stated if isinstance(stated, str) else json.dumps(stated)
    save_file(tensors or {"1.weight": torch.ones(3, 192), "1.bias": torch.ones(3)}, path, {"nversion": text})
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"arch": "python:{here}/nets.py:build"},
        {"arch": "python:nets.py:build"},
        {"arch": "python:nets:build"},
        {"arch": "python:os:system", "args": {"command": "touch {here}/ran"}},
        {"arch": "python:subprocess:run", "args": {"args": ["touch", "{here}/ran"]}},
        {"arch": "python:nversion.models.standalone:subnet", "args": {"arch": "python:nets.py:build"}},
        {
            "arch": "python:nversion.models:load_classifier",
            "args": {"spec": {"source": "python:nets.py:build"}},
        },
        {"arch": "supernet:s.safetensors"},
        {"arch": "file:w.pth"},
        {"arch": SMALL, "args": {"name": "resnet", "num_classes": 3, "arch": "python:nets.py:build"}},
        {"arch": SMALL, "args": {"name": ["resnet"], "num_classes": 3}},
        {"arch": SMALL + "\n", "args": {}},
        {"arch": "timm:hf-hub:someone/model"},
        {"arch": "timm:local-dir:{here}"},
        {"arch": "torchvision:../x"},
        {"args": {"pretrained_cfg_overlay": {"file": "{here}/w.bin"}}},
        {"args": {"pretrained_cfg": {"url": "http://localhost/x"}}},
        {"args": {"checkpoint_path": "{here}/w.bin"}},
        {"args": {"pretrained": True}},
        {"args": {"cache_dir": "{here}"}},
        {"arch": "torchvision:resnet18", "args": {"weights": "DEFAULT"}},
    ],
)
@pytest.mark.parametrize("more", [{}, {"elasticity": {}}, {"elasticity": {}, "subnet": "depth=1"}])
def test_a_file_chooses_neither_code_nor_files(tmp_path, monkeypatch, change, more):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "nets.py").write_text(CODE)
    text = json.dumps(STATED | change | more).replace("{here}", str(tmp_path))
    path = write(tmp_path / "w.safetensors", text)
    for source in ("file", "supernet"):
        with pytest.raises(UserError, match=r"in the description inside|in .*w.safetensors"):
            load_classifier({"source": f"{source}:{path}"}, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_the_sentence_says_how_to_name_the_code(tmp_path):
    path = write(tmp_path / "w.safetensors", STATED | {"arch": "python:nets.py:build", "args": {"width": 3}})
    with pytest.raises(
        UserError,
        match=r"found 'python:nets.py:build'; a file may not choose code that runs: if you trust that code, "
        r'name it next to the source of the model: arch = "python:nets.py:build", args = { width = 3 }',
    ):
        load_classifier({"source": f"file:{path}"})


def test_a_function_of_the_users_gets_no_arguments_from_a_file(tmp_path):
    (tmp_path / "nets.py").write_text(CODE)
    path = write(tmp_path / "w.safetensors", STATED | {"arch": "python:nets.py:build", "args": {"width": 3}})
    spec = {"source": f"file:{path}", "arch": "python:nets.py:build"}
    with pytest.raises(UserError, match=r"expected `args` next to arch = .*, found none; .*{ width = 3 }"):
        load_classifier(spec, tmp_path)
    assert not (tmp_path / "ran").exists()
    assert load_classifier(spec | {"args": {}}, tmp_path).card.label_space.num_classes == 3


@pytest.mark.parametrize(
    ("arch", "args"),
    [
        (SMALL, {"name": "resnet", "num_classes": 3}),
        (SMALL, {"name": "mixer", "num_classes": 10}),
    ],
)
def test_our_own_networks_need_no_setting(tmp_path, arch, args):
    spec = {"source": arch, "name": "x", "label_space": "x", "args": args}
    built = load_classifier(spec)
    save_weights(
        tmp_path / "w.safetensors",
        built.module,
        arch=arch,
        args=args,
        preprocessing=built.preprocessing,
        label_space="x",
    )
    loaded = load_classifier({"source": "file:w.safetensors"}, tmp_path)
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(loaded(image), built(image))


@pytest.mark.parametrize(
    "args",
    [
        {"layers": [200] * 4},
        {"channels": [65536] * 4},
        {"cardinality": 1, "base_width": 10**6},
        {"block_args": {"a": [[1]] * 500}},
    ],
)
def test_a_description_cannot_ask_for_more_than_the_file_holds(tmp_path, args):
    path = write(tmp_path / "w.safetensors", STATED | {"args": args})
    with pytest.raises(
        UserError, match=r"size of the weights in|in `args` in the description|to be built with `args`"
    ):
        load_classifier({"source": f"file:{path}"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "tensors and facts that were written to .*w.safetensors, found other ones"),
        ("[" * 5000, "tensors and facts that were written to .*w.safetensors, found other ones"),
        ("[]", "tensors and facts that were written to .*w.safetensors, found other ones"),
        (
            STATED | {"digest": "0"},
            "tensors and facts that were written to .*w.safetensors, found other ones",
        ),
        ("x" * 200_000, "expected at most 100000 characters in the description inside .*, found 200000"),
        ({"arch": "timm:resnet18"}, "a sound 'preprocessing' in the description inside .*, found none"),
        (STATED | {"colour": "red"}, "a sound 'colour' in the description inside .*, found 'red' "),
        (STATED | {"num_classes": "3"}, "a sound 'num_classes' in the description inside .*, found '3'"),
        (STATED | {"num_classes": 10**12}, "a sound 'num_classes' in the description inside .*, found 10000"),
        (STATED | {"arch": "timm:\x1b[31m"}, r"found 'timm:\\x1b\[31m' \(a text without control"),
        (STATED | {"lineage": {"seed": 1.5}}, r"a sound 'lineage.seed' in the description .*, found 1.5"),
        (STATED | {"args": {"a": "\x00"}}, r"short texts without control characters in `args`"),
        (STATED | {"args": {"a": 1e300}}, r"numbers up to 1000000 in `args`"),
        (
            STATED | {"preprocessing": HALF | {"input_size": 10**9}},
            "input_size from 1 to 4096 .*found 1000000000",
        ),
    ],
)
def test_a_description_that_is_none_is_told(tmp_path, text, message):
    path = write(tmp_path / "w.safetensors", text, {"a": torch.ones(1)} if text != STATED else None)
    with pytest.raises(UserError, match=message) as caught:
        load_classifier({"source": f"file:{path}", "arch": "torchvision:alexnet", "args": {}})
    assert str(caught.value).isprintable()

"""Checkpoints as other scripts write them: what can be taken is taken and told, the rest gets a sentence."""

import argparse
import datetime
import json
import random
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nversion.core import UserError
from nversion.models import Preprocessing, load_classifier, save_weights

CODE = """
from torch import nn

def build():
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), *head)

class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = build()
    def forward(self, x):
        return self.net(x)
"""
SPEC = {
    "source": "file:w.pth",
    "arch": "python:nets.py:build",
    "label_space": "five",
    "preprocessing": {"input_size": 8, "mean": [0.5] * 3, "std": [0.5] * 3},
}


@pytest.fixture
def state(tmp_path):
    (tmp_path / "nets.py").write_text(CODE)
    scope = {}
    exec(CODE, scope)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return scope["build"]().state_dict()


def under(prefix, state):
    return {prefix + key: value for key, value in state.items()}


def halved(state):
    return {key: value * 0.5 if value.is_floating_point() else value for key, value in state.items()}


def load(folder, content, **changes):
    torch.save(content, folder / "w.pth")
    return load_classifier(SPEC | changes, folder)


def taken(classifier, state):
    own = classifier.module.state_dict()
    return all(torch.equal(own[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    "prefix",
    [
        *(
            "module.",
            "_orig_mod.",
            "model.",
            "backbone.",
            "net.",
            "encoder.",
            "network.",
            "student.",
            "any_name.",
        ),
        *("_orig_mod.module.", "module._orig_mod.", "model._orig_mod.", "module.backbone.", "a.b.c.d."),
    ],
)
@pytest.mark.parametrize("entry", [None, "state_dict", "model", "model_state_dict", "params"])
def test_weights_are_found_in_entries_behind_prefixes(tmp_path, state, prefix, entry):
    inner = under(prefix, state)
    classifier = load(tmp_path, inner if entry is None else {entry: inner, "epoch": 3, "lr": 0.1})
    assert taken(classifier, state)
    where = f"entry {entry!r} and " if entry else ""
    assert classifier.card.notes == (f"weights under {where}prefix {prefix!r}",)


def test_a_plain_state_dict_needs_no_note(tmp_path, state):
    assert load(tmp_path, state).card.notes == ()


def test_prefixes_of_safetensors_files_are_found_too(tmp_path, state):
    save_file(under("model.", state), tmp_path / "w.safetensors")
    classifier = load_classifier(SPEC | {"source": "file:w.safetensors"}, tmp_path)
    assert taken(classifier, state) and classifier.card.notes == ("weights under prefix 'model.'",)


@pytest.mark.parametrize(
    "inside", ["0._orig_mod.weight", "0._checkpoint_wrapped_module.weight", "0._fsdp_wrapped_module.weight"]
)
def test_wrappers_of_single_layers_are_seen_through(tmp_path, state, inside):
    wrapped = {inside if key == "0.weight" else key: value for key, value in state.items()}
    assert taken(load(tmp_path, wrapped), state)


def test_a_checkpoint_of_lightning_says_what_was_left_out(tmp_path, state):
    metric = {"train_accuracy.tp": torch.ones(5), "loss.weight": torch.ones(5)}
    content = {
        "state_dict": under("model.", state) | metric,
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}}],
    }
    (note,) = load(tmp_path, content).card.notes
    assert note == (
        "weights under entry 'state_dict' and prefix 'model.'; "
        "2 other tensors left out (train_accuracy.tp, loss.weight)"
    )


@pytest.mark.parametrize(
    ("plain", "ema", "prefix"),
    [
        *(("state_dict", "state_dict_ema", ""), ("model", "model_ema", "module."), ("model", "ema", "")),
        *(("model_state_dict", "ema_state_dict", ""), ("net", "averaged", "module.")),
    ],
)
def test_averaged_weights_are_a_choice(tmp_path, state, plain, ema, prefix):
    content = {plain: state, ema: under(prefix, halved(state)), "optimizer": {"state": {}}}
    assert taken(by_default := load(tmp_path, content), state)
    assert by_default.card.notes == (
        f'weights under entry {plain!r}; the file has averaged ones as well: `weights = "ema"`',
    )
    assert taken(averaged := load(tmp_path, content, weights="ema"), halved(state))
    assert "(averaged)" in averaged.card.notes[0] and by_default.fingerprint != averaged.fingerprint
    assert taken(load(tmp_path, content, weights="plain"), state)
    assert taken(load(tmp_path, content, weights=ema + (":module" if prefix else "")), halved(state))


def test_swa_s_average_is_taken_and_called_so(tmp_path, state):
    content = under("module.", state) | {"n_averaged": torch.tensor(7)}
    classifier = load(tmp_path, content)
    assert taken(classifier, state) and "prefix 'module.' (averaged)" in classifier.card.notes[0]
    with pytest.raises(UserError, match=r"expected weights that are no averages in .*; leave `weights` out"):
        load(tmp_path, content, weights="plain")


def test_of_student_and_teacher_the_user_chooses(tmp_path, state):
    content = {"student": under("backbone.", state), "teacher": under("backbone.", halved(state))}
    with pytest.raises(
        UserError, match=r"found 2: student:backbone, teacher:backbone; choose one .* = \"student"
    ):
        load(tmp_path, content)
    assert taken(load(tmp_path, content, weights="teacher:backbone"), halved(state))
    with pytest.raises(UserError, match="none called 'techer:backbone'; did you mean 'teacher:backbone'"):
        load(tmp_path, content, weights="techer:backbone")


class Ran:
    def __reduce__(self):
        return print, ("code from a weights file",)


class Own:
    def __init__(self):
        self.a = {"b": [1]}


@pytest.mark.parametrize(
    "beside",
    [
        *(argparse.Namespace(lr=0.1, inner=argparse.Namespace(a=1)), SimpleNamespace(a=1), Own(), Ran(), Own),
        *(
            np.float64(0.75),
            np.arange(3),
            Path("x"),
            datetime.datetime(2020, 1, 2),
            defaultdict(list),
            nn.ReLU,
        ),
    ],
)
def test_objects_beside_the_weights_are_neither_made_nor_in_the_way(tmp_path, state, capsys, beside):
    assert taken(load(tmp_path, {"state_dict": state, "beside": beside, "deep": {"a": [beside]}}), state)
    assert "code from a weights file" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            nn.Linear(2, 2),
            r"an object of torch.nn.modules.linear.Linear, which only code in the file can make; if",
        ),
        ({"state_dict": {}, "hook": Ran()}, r"found none; its entries: state_dict, hook; save the state"),
        (Ran(), r"an object of print, which only code .*content\['state_dict'\]"),
        (Own(), r"an object of .*Own, which only code in the file can make"),
        (
            {"epoch": 3, "best": 0.5},
            "tensors by name in .*, found none; its entries: epoch, best; save the state",
        ),
        ({}, "found an empty file"),
        (torch.ones(3), "found a Tensor of other things; save the state_dict"),
    ],
)
def test_what_cannot_be_taken_gets_one_sentence(tmp_path, state, capsys, content, message):
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path, content)
    assert str(caught.value).isprintable() and "code from a weights file" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
def test_a_torchscript_archive_is_code(tmp_path, state):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "w.pth")
    with pytest.raises(
        UserError, match=r"found a TorchScript archive, which is code; call torch.jit.load in a func"
    ):
        load_classifier(SPEC, tmp_path)


def test_an_architecture_that_wraps_the_network_is_told(tmp_path, state):
    with pytest.raises(UserError, match=r"the architecture's names begin with 'net\.', the file's do not"):
        load(tmp_path, state, arch="python:nets.py:Wrapped")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda v: v.to(torch.int8),
            r"float32 values of '0.weight' in .*, found torch.int8; save the weights in fl",
        ),
        (
            lambda v: v.to_sparse(),
            r"float32 values of '0.weight' in .*, found torch.float32, torch.sparse_coo",
        ),
        (lambda v: v.to("meta"), r"float32 values of '0.weight' in"),
        (lambda v: v.to(torch.complex64), r"float32 values of '0.weight' in .*, found torch.complex64"),
        (lambda v: v[:2], r"shape \(4, 3, 3, 3\) of '0.weight' in .*, found \(2, 3, 3, 3\); check `arch`"),
    ],
)
def test_tensors_of_another_kind_are_no_weights(tmp_path, state, change, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path, state | {"0.weight": change(state["0.weight"])})


# --- damage


def test_damaged_weights_files_are_read_or_refused_in_one_sentence(mutations, tmp_path, state):
    rng = random.Random(0)
    torch.save({"model": state, "args": argparse.Namespace(lr=1)}, tmp_path / "w.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "w.safetensors")
    for name in ("w.pth", "old.pth", "w.safetensors"):
        path = tmp_path / name
        whole = path.read_bytes()
        for number in range(60):
            bit = rng.randrange(8 * min(len(whole), 3000))
            damaged = mutations.flipped(whole, bit) if number % 3 else whole[: bit // 8]
            path.write_bytes(damaged)
            spec = SPEC | {"source": f"file:{name}"}
            mutations.outcome(
                lambda spec: load_classifier(spec, tmp_path), spec, f"{name}, bit {bit}, {number % 3}"
            )


def test_mutated_descriptions_are_read_or_refused_in_one_sentence(mutations, tmp_path):
    path = tmp_path / "w.safetensors"
    arch = "python:nversion.training.small_networks:build"
    built = load_classifier(
        {"source": arch, "name": "x", "label_space": "x", "args": {"name": "squeezenet", "num_classes": 3}}
    )
    module = built.module
    save_weights(
        path,
        module,
        arch=arch,
        args={"name": "squeezenet", "num_classes": 3},
        preprocessing=Preprocessing(8, (0.5,) * 3, (0.5,) * 3, crop_pct=0.9),
        label_space="x",
        training="supervised",
    )
    stated = json.loads(read_metadata(path)) | {
        "lineage": {"architecture": "a", "seed": 1},
        "elasticity": {"max_skips": 1},
    }
    del stated["digest"]
    state = module.state_dict()
    ends = []
    for what, mutant in mutations.mutations_of(stated, seed=0, count=200, nulls=True):
        save_file(state, path, metadata={"nversion": json.dumps(mutant, default=str)})
        spec = {"source": f"file:{path}"}
        ends.append(mutations.outcome(load_classifier, spec, what))
    assert ends.count("refused") > 100 and ends.count("read") > 5


def read_metadata(path):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return file.metadata()["nversion"]


def test_a_flipped_bit_of_our_own_weights_is_noticed(mutations, tmp_path, state):
    path = tmp_path / "w.safetensors"
    module = nn.Sequential(nn.Linear(2, 2))
    save_weights(
        path,
        module,
        arch="timm:resnet18",
        preprocessing=Preprocessing(8, (0.5,) * 3, (0.5,) * 3),
        label_space="x",
    )
    whole = path.read_bytes()
    for bit in (8 * len(whole) - 3, 8 * len(whole) - 100):
        path.write_bytes(mutations.flipped(whole, bit))
        with pytest.raises(
            UserError, match=r"the tensors and facts that were written to .*, found other ones"
        ):
            load_classifier({"source": f"file:{path}"})

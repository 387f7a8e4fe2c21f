"""From what a classifier descends: what names, settings and files say, and nothing more."""

import json

import pytest
import timm
import torch
from torch import nn

from nversion.core import UserError
from nversion.models import (
    Lineage,
    Preprocessing,
    expand_pool,
    load_classifier,
    make_classifier,
    save_weights,
)
from nversion.models.published import lineage_of_timm, lineage_of_torchvision

SMALL = "timm:mobilenetv3_small_050"
PREPARE = Preprocessing(8, (0.5,) * 3, (0.5,) * 3)
FACTS = {
    "architecture": "flat",
    "initial_weights": "flat-v0",
    "teacher": "regnety_160",
    "training_data": ("imagenet-21k", "imagenet-1k"),
    "seed": 7,
}


def lineage(card):
    return Lineage(card.architecture, card.initial_weights, card.teacher, card.training_data, card.seed)


@pytest.fixture
def code(tmp_path):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\n\n"
        "def build(name):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), "
        '{"input_size": 8, "mean": [0.5] * 3, "std": [0.5] * 3}\n'
    )
    return tmp_path


def load(base, **spec):
    return load_classifier(
        {"source": "python:nets.py:build", "name": "x", "label_space": "five"} | spec, base
    )


# --- family and training

NET = {"source": SMALL, "pretrained": False}


@pytest.mark.parametrize(
    ("spec", "family", "training"),
    [
        (NET, ("NAS", False), ("untrained", True)),
        (NET | {"family": "NAS", "training": "mine"}, ("NAS", True), ("mine", True)),
        ({"source": "python:nets.py:build"}, ("other", False), ("unspecified", False)),
        ({"source": "python:nets.py:build", "training": "swag"}, ("other", False), ("swag", True)),
    ],
)
def test_a_card_says_whether_family_and_training_were_declared(code, spec, family, training):
    card = load_classifier(spec | {"name": "x", "label_space": "l"}, code).card
    assert (card.family, card.family_declared) == family
    assert (card.training, card.training_declared) == training


def test_the_training_of_published_weights_is_guessed_from_their_name(tmp_path, monkeypatch):
    network = timm.create_model("mobilenetv3_small_050")
    monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: network)
    card = load_classifier({"source": SMALL + ".lamb_in1k"}, tmp_path).card
    assert (card.training, card.training_declared) == ("supervised", False)


# --- settings


def test_nothing_is_claimed_of_a_users_own_model(code):
    assert lineage(load(code).card) == Lineage()


def test_settings_say_from_what_a_model_descends(code):
    told = FACTS | {"training_data": list(FACTS["training_data"])}
    assert lineage(load(code, **told).card) == Lineage(**FACTS)


def test_lineage_does_not_enter_the_fingerprint(code):
    told = {"architecture": "flat", "teacher": "regnety_160", "training_data": "imagenet-1k"}
    assert load(code, **told).fingerprint == load(code).fingerprint
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    one, other = (
        make_classifier(module, PREPARE, name="x", source="test", label_space="five", lineage=known)
        for known in (None, Lineage(**FACTS))
    )
    assert one.fingerprint == other.fingerprint


def test_the_seed_reaches_the_source_and_the_card(code):
    first, again, other = (load(code, seed=seed) for seed in (3, 3, 4))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert (first.card.seed, other.card.seed) == (3, 4)


@pytest.mark.parametrize(
    ("key", "value"), [("teacher", 3), ("training_data", 3), ("seed", "first"), ("architecture", {})]
)
def test_values_of_another_type_are_refused(code, key, value):
    with pytest.raises(UserError, match=f"expected a valid '{key}' of the model 'x', found"):
        load(code, **{key: value})


# --- pools


def test_a_pool_shares_a_value_or_has_one_for_each_name():
    pool = {
        "source": "python:zoo.py:build",
        "names": ["a", "b"],
        "training_data": "shapes",
        "teacher": {"b": "a"},
        "seed": {"a": 1, "b": 2},
    }
    assert expand_pool([pool]) == [
        {"source": pool["source"], "training_data": "shapes", "name": "a", "seed": 1},
        {"source": pool["source"], "training_data": "shapes", "name": "b", "teacher": "a", "seed": 2},
    ]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"names": ["a"], "teacher": {"c": "x"}},
            "expected names of the pool in `teacher`, found 'c'; add it to `names` or remove it",
        ),
        (
            {"seed": {"a": 1}},
            r"expected `names = \[...\]` next to `seed`, found none; add the names, or give one value",
        ),
    ],
)
def test_contradictory_pools_are_refused(spec, message):
    with pytest.raises(UserError, match=message):
        expand_pool([{"source": "python:zoo.py:build"} | spec])


# --- timm and torchvision


@pytest.mark.parametrize(
    ("architecture", "tag", "training_data", "teacher"),
    [
        ("resnet50", "a1_in1k", ("imagenet-1k",), ""),
        ("resnet50", "fb_swsl_ig1b_ft_in1k", ("instagram-1b", "imagenet-1k"), ""),
        ("vit_base_patch16_224", "augreg_in21k", ("imagenet-21k",), ""),
        ("convnext_tiny", "fb_in22k_ft_in1k_384", ("imagenet-21k", "imagenet-1k"), ""),
        (
            "vit_large_patch14_clip_224",
            "laion2b_ft_in12k_in1k",
            ("laion-2b", "imagenet-12k", "imagenet-1k"),
            "",
        ),
        ("tf_efficientnet_b0", "ns_jft_in1k", ("jft-300m", "imagenet-1k"), ""),
        ("deit_tiny_distilled_patch16_224", "fb_in1k", ("imagenet-1k",), "regnety_160"),
        ("deit_tiny_patch16_224", "fb_in1k", ("imagenet-1k",), ""),
        ("xcit_nano_12_p8_224", "fb_dist_in1k", ("imagenet-1k",), "regnety_160"),
        ("xcit_nano_12_p8_224", "fb_in1k", ("imagenet-1k",), ""),
        (
            "resmlp_12_224",
            "fb_distilled_in1k",
            ("imagenet-1k",),
            "",
        ),  # distilled, by whom its name does not say
        ("vit_base_patch16_224", "dino", (), ""),
        ("resnet50", "", (), ""),
    ],
)
def test_tags_of_timm_say_what_they_say_and_no_more(architecture, tag, training_data, teacher):
    expected = Lineage(architecture, teacher=teacher, training_data=training_data)
    assert lineage_of_timm(architecture, tag) == expected


def test_all_weights_with_a_teacher_exist_and_are_called_distilled():
    taught = [name for name in timm.list_pretrained() if lineage_of_timm(*name.split(".", 1)).teacher]
    assert len(taught) > 40
    assert all("dist" in name for name in taught)
    assert "regnety_160" in timm.list_models()


@pytest.mark.parametrize(
    ("weights", "training_data"),
    [
        ("IMAGENET1K_V2", ("imagenet-1k",)),
        ("IMAGENET1K_SWAG_LINEAR_V1", ("instagram-3.6b", "imagenet-1k")),
        ("DEFAULT", ()),
    ],
)
def test_names_of_torchvisions_weights_say_their_data(weights, training_data):
    assert lineage_of_torchvision("vit_b_16", weights) == Lineage("vit_b_16", training_data=training_data)


@pytest.mark.parametrize("source", [SMALL, "torchvision:mobilenet_v3_small"])
def test_random_weights_have_a_seed_and_no_data(tmp_path, source):
    card = load_classifier({"source": source, "pretrained": False, "seed": 5}, tmp_path).card
    assert lineage(card) == Lineage(source.partition(":")[2], seed=5)
    assert load_classifier({"source": source, "pretrained": False}, tmp_path).card.seed == 0


# --- files


@pytest.fixture
def written(tmp_path):
    """Settings of a weights file, and a function that writes it."""

    def write(lineage):
        with torch.random.fork_rng(devices=[]):
            module = timm.create_model("mobilenetv3_small_050", num_classes=5)
        path = tmp_path / "w.safetensors"
        save_weights(
            path,
            module,
            arch=SMALL,
            preprocessing=PREPARE,
            label_space="five",
            num_classes=5,
            lineage=lineage,
        )
        return path

    return write


def test_a_file_says_from_what_its_weights_descend(written, tmp_path):
    written(Lineage(**FACTS))
    assert lineage(load_classifier({"source": "file:w.safetensors"}, tmp_path).card) == Lineage(**FACTS)
    told = load_classifier({"source": "file:w.safetensors", "teacher": "other"}, tmp_path).card
    assert lineage(told) == Lineage(**FACTS | {"teacher": "other"})


def test_a_file_that_says_nothing_has_the_architecture_it_is_built_with(written, tmp_path):
    path = written(None)
    header = path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")]
    assert "lineage" not in json.loads(json.loads(header)["__metadata__"]["nversion"])
    card = load_classifier({"source": "file:w.safetensors"}, tmp_path).card
    assert lineage(card) == Lineage("mobilenetv3_small_050")

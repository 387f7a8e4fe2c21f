"""Arguments of architectures: slips, heads that would be random, sizes."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from nversion.core import UserError
from nversion.models import load_classifier
from nversion.training import member_facts, parse_recipe

SMALL = "timm:mobilenetv3_small_050"


def load(source, **spec):
    return load_classifier({"source": source, "pretrained": False, "label_space": "x"} | spec)


@pytest.mark.parametrize(
    ("source", "args", "message"),
    [
        (
            "timm:resnet18",
            {"num_clases": 10},
            "an argument of timm's 'resnet18' in `args`, found 'num_clases'; did",
        ),
        ("timm:vit_tiny_patch16_224", {"drop": 0.1}, "found 'drop'; did you mean 'drop_rate'"),
        (
            "timm:resnet18",
            {"layers": "many"},
            "timm's 'resnet18' to be built with `args` of layers, found TypeError",
        ),
        ("timm:resnet18", {"act_layer": "relou"}, "to be built with `args` of act_layer, found .*relou"),
        (
            "timm:resnet18",
            {"pretrained": True},
            "found 'pretrained', which is a setting; write `pretrained` next to",
        ),
        ("timm:resnet18", {"checkpoint_path": "w.pth"}, "found 'checkpoint_path', which is a setting"),
        (
            "timm:resnet18",
            {"num_classes": "ten"},
            "at least 1, in the `args` of .*, found num_classes = 'ten'",
        ),
        ("timm:resnet18", {"num_classes": -1}, "at least 1, in the `args` of .*, found num_classes = -1"),
        (
            "torchvision:resnet18",
            {"dropout": 0.1},
            "torchvision's 'resnet18' in `args`, found 'dropout'; known: block",
        ),
        ("torchvision:resnet18", {"weights": "DEFAULT"}, "found 'weights', which is a setting"),
        ("torchvision:vit_b_16", {"image_size": 7}, "`args` of image_size, found .*indivisible"),
        (
            "torchvision:resnet18",
            {"num_classes": 0},
            "at least 1, in the `args` of .*, found num_classes = 0",
        ),
    ],
)
def test_a_slip_in_args_is_told(source, args, message):
    with pytest.raises(UserError, match=message):
        load(source, args=args)


def test_classes_may_stand_in_args_or_beside_them_but_not_differ():
    assert load(SMALL, args={"num_classes": 3}).card.label_space.num_classes == 3
    assert load(SMALL, args={"num_classes": 3}, num_classes=3).card.label_space.num_classes == 3
    with pytest.raises(
        UserError, match=r"one number of classes of .*, found num_classes = 4 in `args` next to `num_cl"
    ):
        load(SMALL, args={"num_classes": 4}, num_classes=3)


def test_a_slip_in_the_args_of_one_s_own_function_is_told_with_its_parameters(tmp_path):
    (tmp_path / "nets.py").write_text("def build(width=3):\n    return None\n")
    spec = {"source": "python:nets.py:build", "args": {"widht": 3}}
    with pytest.raises(UserError, match=r"found TypeError: .*'widht'.*; did you mean 'width'"):
        load_classifier(spec, tmp_path)


def test_a_plan_finds_a_slip_in_the_args_of_a_member():
    content = {
        "train": {"name": "t", "epochs": 1},
        "data": {"train": {"source": "digits", "split": "train"}},
        "canonical": {"size": 32},
        "members": [{"arch": SMALL, "args": {"drop_rat": 0.1}}],
    }
    with pytest.raises(UserError, match="found 'drop_rat'; did you mean 'drop_rate'"):
        member_facts(parse_recipe(content, "r")["t"], 10, ".")


# --- heads


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file that stands for what the hub has."""
    path = tmp_path_factory.mktemp("hub") / "w.safetensors"
    network = timm.create_model("mobilenetv3_small_050")
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return {"pretrained_cfg_overlay": {"file": str(path)}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"num_classes": 10},
            "1000 classes of the pretrained .*, found `num_classes = 10`, for which its last layer",
        ),
        ({"num_classes": 0}, "at least 1, in the `args` of .*, found num_classes = 0"),
        ({"features_only": True}, "logits|to be built with"),
        ({"global_pool": ""}, "logits|to run on|to be built with"),
    ],
)
def test_args_that_make_the_head_random_or_absent_are_refused(published, change, message):
    with pytest.raises(UserError, match=message):
        load(SMALL, pretrained=True, args=published | change)


def test_weights_that_stay_random_are_named(tmp_path):
    state = timm.create_model("resnet10t").state_dict()
    save_file({k: v for k, v in state.items() if not k.startswith("conv1.0")}, tmp_path / "w.safetensors")
    args = {"pretrained_cfg_overlay": {"file": str(tmp_path / "w.safetensors")}, "pretrained_strict": False}
    with pytest.raises(
        UserError, match=r"all weights of the pretrained .*, found 1 that are random: conv1.0.w"
    ):
        load("timm:resnet10t", pretrained=True, args=args)


def test_harmless_args_of_pretrained_weights_are_taken(published):
    own = load(SMALL, pretrained=True, args=published | {"drop_rate": 0.2})
    assert own.card.training == "supervised" and own.card.label_space.num_classes == 1000


def test_weights_without_a_head_are_no_classifier():
    with pytest.raises(
        UserError, match=r"weights of a classifier in timm's 'vit_small_patch14_dinov2.*features and no"
    ):
        load("timm:vit_small_patch14_dinov2.lvd142m", pretrained=True)
    with pytest.raises(
        UserError, match=r"a classifier in timm's 'vit_small_patch14_dinov2'.*add `num_classes = ...`"
    ):
        load("timm:vit_small_patch14_dinov2")


# --- sizes


def test_images_have_the_size_at_which_the_weights_were_evaluated():
    source = "timm:resnet50.tv2_in1k"
    card = load(source).card
    assert card.input_size == load("torchvision:resnet50").card.input_size == 224
    assert card.notes == ('input of 224 pixels, the weights\' test size; 176 with `size = "train"`',)
    trained = load(source, size="train").card
    assert trained.input_size == 176 and "train size; 224 with" in trained.notes[0]
    with pytest.raises(UserError, match="a valid 'size' of the model"):
        load(source, size="large")


def test_networks_of_a_fixed_size_keep_it():
    assert load("timm:vit_tiny_patch16_224").card.notes == ()
    assert load("timm:vit_tiny_patch16_224", args={"img_size": 64}).card.input_size == 64
    fixed = [timm.get_pretrained_cfg(name) for name in timm.list_pretrained()]
    assert not [cfg for cfg in fixed if cfg.fixed_input_size and cfg.test_input_size]  # none is passed over


def test_a_card_without_a_test_size_has_one_size():
    assert load(SMALL).card.input_size == load(SMALL, size="train").card.input_size == 224
    assert torch.equal(load(SMALL).module.conv_stem.weight, load(SMALL, size="train").module.conv_stem.weight)


def test_a_plan_says_what_a_member_starts_from(tmp_path):
    state = timm.create_model("mobilenetv3_small_050", num_classes=10).state_dict()
    torch.save({"model": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "w.pth")
    content = {
        "train": {"name": "t", "epochs": 1},
        "data": {"train": {"source": "digits", "split": "train"}},
        "canonical": {"size": 32},
        "members": [{"arch": SMALL, "weights": "w.pth"}, {"arch": SMALL}],
    }
    starts = [member.start for member in member_facts(parse_recipe(content, "r")["t"], 10, tmp_path)]
    assert starts == ["w.pth, weights under entry 'model' and prefix 'module.'", "random weights"]

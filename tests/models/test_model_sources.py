"""Every source of models: what it loads, and the sentence for what it cannot."""

import json
import urllib.error

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn

from nversion.core import UserError
from nversion.models import (
    MODEL_SOURCES,
    Preprocessing,
    downloads,
    list_models,
    load_classifier,
    save_weights,
)
from nversion.models.families import guess_family, guess_training

SMALL = "timm:mobilenetv3_small_050"
TINY_CODE = """
import torch
from torch import nn
from helper import WIDTH

def build(name, num_classes=5):
    if name == "broken":
        raise KeyError(name)
    return net(num_classes), {"input_size": 8, "mean": [0.5] * 3, "std": [0.5] * 3}

def net(num_classes=5):
    return nn.Sequential(nn.Flatten(), nn.Linear(WIDTH, num_classes))

def number():
    return 3
"""
HALF = {"input_size": 8, "mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.fixture
def code(tmp_path):
    (tmp_path / "helper.py").write_text("WIDTH = 192\n")
    (tmp_path / "nets.py").write_text(TINY_CODE)
    return tmp_path


def load(base, **spec):
    return load_classifier(spec, base)


# --- timm


def test_timm_takes_preprocessing_and_family_from_the_name(tmp_path):
    small = load(tmp_path, source="timm:tf_efficientnet_lite2", pretrained=False)
    assert small.preprocessing == Preprocessing(260, (0.5,) * 3, (0.5,) * 3, "bicubic", 0.89)
    card = small.card
    assert (card.name, card.family, card.training) == ("tf_efficientnet_lite2", "NAS", "untrained")
    assert card.source == "timm:tf_efficientnet_lite2"


@pytest.mark.parametrize(("name", "gmacs"), [("resnet50", 4.09), ("mobilenetv2_100", 0.30)])
def test_macs_are_the_published_ones(tmp_path, name, gmacs):
    small = load(tmp_path, source=f"timm:{name}", pretrained=False, size="train")
    assert small.card.macs / 1e9 == pytest.approx(gmacs, abs=0.005)


def test_random_weights_follow_the_seed_and_leave_no_trace(tmp_path):
    state = torch.random.get_rng_state()
    spec = {"source": SMALL, "pretrained": False}
    prints = [load(tmp_path, **spec, seed=seed).fingerprint for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_settings_replace_single_values(tmp_path):
    small = load(
        tmp_path,
        source=SMALL,
        pretrained=False,
        num_classes=7,
        label_space="seven",
        name="mine",
        family="tiny",
        training="none",
        preprocessing={"input_size": 64},
        args={"drop_rate": 0.1},
    )
    card = small.card
    assert (card.name, card.family, card.training) == ("mine", "tiny", "none")
    assert (card.label_space.num_classes, card.input_size) == (7, 64)
    assert small.preprocessing.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    "error", [OSError("no route"), urllib.error.URLError("no route"), ConnectionError("no route")]
)
def test_weights_that_cannot_be_downloaded_from_timm_are_told(tmp_path, monkeypatch, error):
    def offline(*args, **kwargs):
        raise error

    monkeypatch.setattr(timm, "create_model", offline)
    monkeypatch.setattr(downloads, "_why_unreachable", lambda endpoint: "")
    with pytest.raises(
        UserError,
        match=r"to download the weights of timm's 'resnet18', "
        r"found .*no route.*; load it once",
    ):
        load(tmp_path, source="timm:resnet18")


def test_without_a_connection_the_hub_is_not_asked_again(tmp_path, monkeypatch):
    seen = []

    def create(*args, **kwargs):
        seen.append(constants.HF_HUB_OFFLINE)
        raise OSError("not in the cache")

    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr(downloads, "_why_unreachable", lambda endpoint: "no route to host")
    before = constants.HF_HUB_OFFLINE
    with pytest.raises(
        UserError, match=r"found no connection \(no route to host\) and no copy in the cache; load it once on"
    ):
        load(tmp_path, source="timm:resnet18")
    assert seen == [True] and before == constants.HF_HUB_OFFLINE


def test_other_errors_of_timm_are_not_taken_for_a_failed_download(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise AssertionError("a slip")

    monkeypatch.setattr(timm, "create_model", broken)
    with pytest.raises(AssertionError, match="a slip"):
        load(tmp_path, source="timm:resnet18")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"source": "timm:resnet5O"},
            "expected a model name of timm, found 'resnet5O'; did you mean 'resnet50",
        ),
        ({"source": "timm:qqqqqq"}, "found 'qqqqqq'; see `nversion models ls`"),
        (
            {"source": "timm:resnet50.a1_in2k"},
            "a weights tag of timm's 'resnet50', found 'a1_in2k'; did you mean 'a1_in1k'",
        ),
        (
            {"source": "timm:resnet18", "num_classes": 10},
            "expected 1000 classes of the pretrained 'resnet18', found `num_classes = 10`",
        ),
        (
            {"source": SMALL, "pretraned": False},
            "a setting of the model 'timm:mobilenetv3_small_050', found 'pretraned'; did you mean",
        ),
        (
            {"source": SMALL, "pretrained": False, "num_classes": 7},
            "label space of the classifier .*, found none for 7 classes",
        ),
        ({"source": "tim:resnet50"}, "expected a known model source, found 'tim'; did you mean 'timm'"),
        ({"source": "resnet50"}, "expected the `source` of a model, prefix:reference, found 'resnet50'"),
        ({}, "expected the `source` of a model, prefix:reference, found none"),
        (
            {"source": SMALL, "names": ["a"]},
            "expected one classifier from .*, found the setting 'names' of a pool",
        ),
    ],
)
def test_wrong_models_are_named(tmp_path, spec, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path, **spec)


def test_an_architecture_without_weights_says_so(tmp_path):
    name = next(name for name in timm.list_models() if not timm.models.is_model_pretrained(name))
    with pytest.raises(UserError, match=f"expected pretrained weights of timm's '{name}', found none"):
        load(tmp_path, source=f"timm:{name}")


# --- torchvision


def test_torchvision_takes_preprocessing_from_the_weights(tmp_path):
    small = load(tmp_path, source="torchvision:efficientnet_b1", pretrained=False)
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert small.preprocessing == Preprocessing(240, *imagenet, "bilinear", 0.9412)
    assert (
        load(tmp_path, source="torchvision:mobilenet_v2", pretrained=False).card.num_parameters == 3_504_872
    )


def test_weights_that_cannot_be_downloaded_from_torchvision_are_told(tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        UserError,
        match=r"to download the weights IMAGENET1K_V1 of "
        r"torchvision's 'resnet18', found .*service",
    ):
        load(tmp_path, source="torchvision:resnet18")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"source": "torchvision:resnet19"},
            "a classifier's name of torchvision, found 'resnet19'; did you mean 'resnet1",
        ),
        (
            {"source": "torchvision:resnet50", "weights": "V2"},
            "weights of torchvision's 'resnet50', found 'V2'; .*IMAGENET1K_V2",
        ),
        (
            {"source": "torchvision:resnet18", "num_classes": 2},
            "1000 classes of the pretrained 'resnet18', found `num_classes = 2`",
        ),
        (
            {"source": "torchvision:resnet18", "weights": "IMAGENET1K_V1", "pretrained": False},
            "found 'IMAGENET1K_V1' with `pretrained = false`; remove one",
        ),
    ],
)
def test_wrong_models_of_torchvision_are_named(tmp_path, spec, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path, **spec)


# --- python


def test_python_passes_the_name_and_takes_the_preprocessing(code):
    tiny = load(code, source="python:nets.py:build", name="a", label_space="five")
    assert (tiny.name, tiny.card.macs, tiny.card.label_space.num_classes) == ("a", 192 * 5, 5)
    assert tiny.preprocessing.mean == (0.5, 0.5, 0.5)


def test_python_passes_arguments(code):
    tiny = load(code, source="python:nets.py:build", name="a", label_space="x", args={"num_classes": 3})
    assert tiny.card.label_space.num_classes == 3


def test_python_without_a_name_needs_preprocessing_in_the_settings(code):
    tiny = load(code, source="python:nets.py:net", label_space="five", preprocessing=HALF)
    assert (tiny.name, tiny.preprocessing.input_size) == ("net", 8)
    with pytest.raises(
        UserError, match="expected the preprocessing of the model 'net', found none; add `preprocessing"
    ):
        load(code, source="python:nets.py:net", label_space="five")


def test_python_imports_installed_modules(tmp_path):
    spec = {"source": "python:torchvision.models:resnet18", "preprocessing": HALF | {"input_size": 32}}
    assert load(tmp_path, **spec).card.num_parameters == 11_689_512


def test_an_edited_file_is_another_classifier(code):
    spec = {"source": "python:nets.py:build", "name": "a", "label_space": "five"}
    first = load(code, **spec).fingerprint
    assert load(code, **spec).fingerprint == first
    (code / "nets.py").write_text(TINY_CODE + "# edited\n")
    assert load(code, **spec).fingerprint != first


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "python:nets.py",
            r"expected a source python:PATH.py:FUNCTION or "
            r"python:package.module:FUNCTION, found 'python:nets.py'",
        ),
        ("python:gone.py:build", "expected the Python file .*gone.py, found no such file"),
        ("python:nets.py:bild", "expected a function in nets.py, found 'bild'; did you mean 'build'"),
        (
            "python:no_such_package:build",
            "to import no_such_package, found ModuleNotFoundError: No module named",
        ),
        ("python:nets.py:build", r"a name for build\(name\) of nets.py, found none; add `name = "),
        (
            "python:nets.py:number",
            r"a torch module, or \(module, preprocessing\), "
            r"from number\(\) of nets.py, found int",
        ),
        ("python:bad.py:build", r"to import bad.py, found SyntaxError"),
    ],
)
def test_wrong_python_sources_are_named(code, source, message):
    (code / "bad.py").write_text("def (")
    with pytest.raises(UserError, match=message):
        load(code, source=source)


def test_an_error_in_the_users_function_is_told(code):
    with pytest.raises(
        UserError,
        match=r"build\('broken'\) of nets.py to build a "
        r"model, found KeyError: 'broken'",
    ):
        load(code, source="python:nets.py:build", name="broken")


# --- file


@pytest.fixture
def module():
    return timm.create_model("mobilenetv3_small_050", num_classes=5)


FILE = {"arch": SMALL, "num_classes": 5, "label_space": "five", "preprocessing": HALF | {"input_size": 32}}


def test_a_weights_file_gives_the_logits_of_its_module(tmp_path, module):
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    loaded = load(tmp_path, source="file:w.safetensors", **FILE)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(image), module.eval()((image - 0.5) / 0.5))
    assert (loaded.name, loaded.card.family) == ("w", "NAS")


def test_half_precision_weights_are_upcast_and_counters_may_be_missing(tmp_path, module):
    state = {k: v.half() if v.is_floating_point() else v for k, v in module.state_dict().items()}
    save_file({k: v for k, v in state.items() if "num_batches" not in k}, tmp_path / "w.safetensors")
    loaded = load(tmp_path, source="file:w.safetensors", **FILE)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    assert torch.equal(loaded.module.conv_stem.weight, module.conv_stem.weight.half().float())


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state, "epoch": 3}])
def test_a_pth_file_is_read_without_pickle(tmp_path, module, wrap):
    torch.save(wrap(module.state_dict()), tmp_path / "w.pth")
    assert load(tmp_path, source="file:w.pth", **FILE).card.label_space.num_classes == 5


def test_saved_weights_say_what_they_are(tmp_path, module):
    prepare = Preprocessing(32, (0.5,) * 3, (0.25,) * 3, "bicubic")
    path = tmp_path / "w.safetensors"
    save_weights(
        path,
        module,
        arch=SMALL,
        num_classes=5,
        preprocessing=prepare,
        label_space="five",
        training="supervised",
    )
    loaded = load(tmp_path, source="file:w.safetensors")
    assert (loaded.preprocessing, loaded.card.label_space.name) == (prepare, "five")
    assert loaded.card.training == "supervised"
    assert torch.equal(loaded.module.classifier.weight, module.classifier.weight)


def test_saved_weights_of_the_users_code_load_when_the_user_names_it(code):
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    save_weights(
        code / "w.safetensors",
        module,
        arch="python:nets.py:net",
        num_classes=3,
        preprocessing=Preprocessing(8, (0.0,) * 3, (1.0,) * 3),
        label_space="three",
    )
    spec = {"source": "file:w.safetensors", "arch": "python:nets.py:net"}
    assert load(code, **spec).card.label_space.num_classes == 3


class Evil:
    def __reduce__(self):
        return print, ("code from a weights file",)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("gone.pth", lambda p: None, "expected the weights file .*gone.pth, found no such file"),
        ("w.bin", lambda p: p.write_bytes(b"x"), "a weights file .safetensors, .pt or .pth, found w.bin"),
        (
            "w.safetensors",
            lambda p: p.write_bytes(b"x" * 99),
            "expected tensors by name in .*w.safetensors, found",
        ),
        ("w.pth", lambda p: p.write_bytes(b"nonsense"), "expected tensors by name in .*w.pth, found"),
        (
            "w.pth",
            lambda p: torch.save(Evil(), p),
            r"tensors by name in .*w.pth, found an object of print, which only code in the file can "
            r"make; if you trust the file, save its weights alone",
        ),
        (
            "w.pth",
            lambda p: torch.save([1, 2], p),
            "tensors by name in .*w.pth, found a list of other things",
        ),
        (
            "w.pth",
            lambda p: torch.save(
                {"conv_stem.weight": torch.ones(1), "a": torch.ones(1), "b": torch.ones(1)}, p
            ),
            r"found \d+ missing \(bn1.weight, bn1.bias, .*, ...\) and 2 "
            r"unexpected \(a, b\); name the architecture",
        ),
    ],
)
def test_wrong_weights_files_are_named(tmp_path, capsys, name, write, message):
    write(tmp_path / name)
    with pytest.raises(UserError, match=message):
        load(tmp_path, source=f"file:{name}", **FILE)
    assert "code from a weights file" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"num_classes": 6},
            r"expected shape \(6,.*\) of 'classifier\..*' in .*, found \(5,.*\); check `arch`",
        ),
        ({"arch": None}, "expected the architecture of .*w.safetensors, found none; add `arch`, written as"),
        (
            {"arch": "file:w.safetensors"},
            "an architecture for .*, found 'file:w.safetensors'; write `arch` as",
        ),
        ({"preprocessing": None}, "the preprocessing of the model 'w', found none"),
        (
            {"label_space": "imagenet-1k"},
            "found 1000 by the label space 'imagenet-1k', 5 by the width of the output",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, module, change, message):
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=message):
        load(tmp_path, source="file:w.safetensors", **FILE | change)


def test_metadata_is_plain_json(tmp_path, module):
    path = tmp_path / "w.safetensors"
    save_weights(
        path, module, arch=SMALL, preprocessing=Preprocessing(8, (0,) * 3, (1,) * 3), label_space="x"
    )
    header_length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + header_length])
    assert json.loads(header["__metadata__"]["nversion"])["arch"] == SMALL


# --- all sources, lists, guesses


@pytest.mark.parametrize("prefix", MODEL_SOURCES)
def test_every_source_refuses_unknown_settings(tmp_path, prefix):
    with pytest.raises(UserError, match=f"expected a setting of the model '{prefix}:x', found 'colour'"):
        load(tmp_path, source=f"{prefix}:x", colour="red")


def test_models_are_listed_with_their_weights():
    by_source = {listing.source: listing for listing in list_models("*resnet18")}
    assert by_source["torchvision:resnet18"].pretrained == ("IMAGENET1K_V1",)
    assert "a1_in1k" in by_source["timm:resnet18"].pretrained
    assert all(listing.family == "CNN" for listing in by_source.values())
    assert by_source["torchvision:resnet18"].training_data == (("imagenet-1k",),)
    assert by_source["torchvision:resnet18"].teachers == ("",)


def test_a_pattern_without_wildcards_matches_inside():
    assert "timm:mobilenet_edgetpu_100" in {listing.source for listing in list_models("edgetpu")}


def test_a_pattern_that_matches_nothing_is_told():
    with pytest.raises(
        UserError, match="that some model's name matches, found 'resnet5O'; did you mean 'resnet50'"
    ):
        list_models("resnet5O")


@pytest.mark.parametrize(
    ("family", "names"),
    [
        (
            "CNN",
            "resnet50 resnext50_32x4d vgg16 densenet121 squeezenet1_0 "
            "convnext_tiny mobilenet_v2 mobilenetv2_100",
        ),
        ("CNN", "wide_resnet50_2 shufflenet_v2_x1_0 seresnet50 inception_v3 googlenet alexnet"),
        (
            "NAS",
            "efficientnet_b0 tf_efficientnet_lite0 mobilenet_v3_large "
            "mobilenetv3_small_100 mnasnet1_0 fbnetc_100",
        ),
        (
            "ViT",
            "vit_b_16 vit_tiny_patch16_224 deit_small_patch16_224 swin_t "
            "swinv2_tiny_window8_256 beit_base_patch16_224",
        ),
        ("hybrid", "coatnet_0_224 maxvit_t mobilevit_s levit_128 efficientformer_l1"),
        ("MLP", "mixer_b16_224 resmlp_12_224 gmlp_s16_224"),
        ("other", "my_network"),
    ],
)
def test_families_are_guessed_from_names(family, names):
    assert {guess_family(name) for name in names.split()} == {family}


def test_most_of_timm_has_a_family():
    guesses = [guess_family(name) for name in timm.list_models()]
    assert guesses.count("other") < 0.05 * len(guesses)


def test_training_is_guessed_from_the_weights_tag():
    tags = ["resnet50.a1_in1k", "vit_base_patch16_clip_224.openai", "deit_base_distilled_patch16_224.fb_in1k"]
    assert [guess_training(tag) for tag in tags] == ["supervised", "image-text", "distillation"]


def test_a_python_source_decides_its_number_of_classes():
    with pytest.raises(UserError, match="found num_classes = 3; the model says itself"):
        load_classifier({"source": "python:x.py:build", "num_classes": 3})

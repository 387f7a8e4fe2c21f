"""A supernet from the command line: shown, trained, searched, and a subnet taken out as a model."""

import json
import shutil
import tomllib

import pytest
import torch

from nversion.models import load_classifier

SPEC = """
[supernet]
name = "tiny"
arch = "python:nversion.training.small_networks:build"
args = { name = "resnet50", num_classes = 10 }
random_subnets = 1
batch_norm_samples = 64

[data.train]
source = "digits"
split = "train"
count = 128

[data.validation]
source = "digits"
split = "test"
count = 60

[canonical]
size = 16
mode = "squash"

[elasticity]
max_skips = 1
width_multipliers = [1.0, 0.5]

[train]
batch_size = 32
device = "cpu"

[[stages]]
dims = ["depth", "width", "expansion"]
epochs = 1

[[subnets]]
name = "narrow"
width = [0.5]

[search]
population = 4
evaluations = 8
size = 2
objectives = ["accuracy", "macs", "disagreement"]
corruptions = { lines = 1.0 }
"""
IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a specification, and the present one."""
    (tmp_path / "tiny.toml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def once(nversion, tmp_path_factory):
    """What `train` left in a folder, and its last line."""
    folder = tmp_path_factory.mktemp("once")
    (folder / "tiny.toml").write_text(SPEC)
    process = nversion("supernet", "train", "tiny.toml", cwd=folder)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return folder, out.splitlines()


@pytest.fixture
def trained(once, folder):
    """The present folder with the specification and its trained supernet."""
    shutil.copytree(once[0] / "runs", folder / "runs")
    return folder


def test_the_choices_and_named_subnets_are_shown_before_any_training(call, folder):
    code, out, _ = call("supernet", "show", "tiny.toml")
    assert code == 0
    assert out.splitlines()[:2] == ["depth: 3,2  4,3  6,5  3,2", "width: 8,4  32,16  64,32  128,64  256,128"]
    assert out.splitlines()[-1] == "Next: nversion supernet train tiny.toml"
    assert "subnets" in out.splitlines()[3]
    assert not (folder / "runs").exists()


def test_the_sizes_of_named_subnets_are_json(call, folder):
    rows = {row["name"]: row for row in json.loads(call("supernet", "show", "tiny.toml", "--json")[1])}
    source = "python:nversion.training.small_networks:build"
    args = {"name": "resnet50", "num_classes": 10}
    plain = load_classifier({"source": source, "args": args, "label_space": "digits"})
    assert list(rows) == ["largest", "smallest", "narrow"]
    assert rows["largest"]["parameters"] == sum(own.numel() for own in plain.parameters())
    # A convolution at 16 pixels has a quarter of the positions of one at 32; the linear layer has one.
    assert (rows["largest"]["MACs"] - 2560) * 4 == plain.card.macs - 2560
    assert rows["largest"]["MACs"] > rows["narrow"]["MACs"] > rows["smallest"]["MACs"]
    assert rows["narrow"]["subnet"].startswith("depth=3-4-6-3,width=4-16-32-64-128,expansion=8-8-8-16")


def test_training_ends_with_the_names_of_subnets_and_the_next_command(once):
    folder, lines = once
    path = "runs/tiny/supernet.safetensors"
    assert lines[-2] == f"Trained: {path}, with statistics of largest, narrow, smallest"
    assert lines[-1] == "Next: nversion supernet search tiny.toml"
    assert (folder / path).is_file()


def test_a_search_leaves_models_that_studies_load(call, trained):
    code, out, _ = call("supernet", "search", "tiny.toml", "--json")
    assert code == 0
    front = json.loads(out)
    models = tomllib.loads((trained / "runs/tiny/search-2/models.toml").read_text())["models"]
    assert (trained / "runs/tiny/search-2/search.parquet").is_file()
    assert {name for row in front for name in row["members"].split(" + ")} == {one["name"] for one in models}
    macs = {}
    for table in models:
        classifier = load_classifier(table)
        assert classifier(IMAGES).isfinite().all()
        macs[classifier.name] = classifier.card.macs
    assert all(sum(macs[name] for name in row["members"].split(" + ")) == row["MACs"] for row in front)
    assert json.loads(call("supernet", "search", "tiny.toml", "--json")[1]) == front


def test_a_search_for_people_ends_with_the_next_command(call, trained):
    code, out, _ = call("supernet", "search", "tiny.toml")
    assert code == 0
    assert "8 candidates in runs/tiny/search-2/search.parquet." in out
    assert out.splitlines()[-1] == "Next: nversion study new study.toml"


def test_an_extracted_subnet_needs_the_supernet_no_longer(call, trained):
    source = load_classifier({"source": "supernet:runs/tiny/supernet.safetensors#narrow"})
    expected = source(IMAGES)
    code, out, _ = call("supernet", "extract", "tiny.toml", "narrow")
    assert (code, out.splitlines()) == (
        0, ["Written: narrow.safetensors", "Next: nversion models show file:narrow.safetensors"]
    )  # fmt: skip
    shutil.rmtree("runs")
    alone = load_classifier({"source": "file:narrow.safetensors"})
    torch.testing.assert_close(alone(IMAGES), expected, rtol=1e-5, atol=1e-5)
    assert sum(own.numel() for own in alone.parameters()) == sum(own.numel() for own in source.parameters())
    assert call("models", "show", "file:narrow.safetensors")[0] == 0


def test_a_subnet_without_a_name_is_recalibrated_and_extracted_by_its_notation(call, trained):
    code, out, _ = call(
        "supernet", "extract", "tiny.toml", "depth=2-3-5-2,width=0.5", "--to", "small.safetensors"
    )
    assert (code, out.splitlines()[0]) == (0, "Written: small.safetensors")
    (added,) = (trained / "runs/tiny/supernet.subnets").glob("subnet-*.safetensors")
    source = load_classifier({"source": f"supernet:runs/tiny/supernet.safetensors#{added.stem}"})
    alone = load_classifier({"source": "file:small.safetensors"})
    torch.testing.assert_close(alone(IMAGES), source(IMAGES), rtol=1e-5, atol=1e-5)


def told(call, *arguments):
    """The sentence of a command that ends with exit code 2."""
    code, out, err = call("supernet", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: expected ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize("arguments", [["search", "tiny.toml"], ["extract", "tiny.toml", "narrow"]])
def test_before_training_the_next_step_is_to_train(call, folder, arguments):
    assert told(call, *arguments) == (
        "error: expected a trained supernet in runs/tiny, found none; train it first: "
        "nversion supernet train SPEC.toml, with the same --folder\n"
    )


def test_an_unknown_subnet_is_told(call, trained):
    assert "found 'narow'; did you mean 'narrow'?" in told(call, "extract", "tiny.toml", "narow")
    assert "dimension 'depth'" in told(call, "extract", "tiny.toml", "depth=9")


@pytest.mark.parametrize("command", ["show", "train"])
@pytest.mark.parametrize(
    ("arch", "found"),
    [
        ("torchvision:vit_b_16", "residual blocks in a VisionTransformer"),
        ("torchvision:resnet", "resnet"),
        ("nonsense", "write `arch` as"),
    ],
)
def test_an_architecture_that_cannot_be_made_elastic_is_named(call, folder, command, arch, found):
    text = SPEC.replace("python:nversion.training.small_networks:build", arch)
    text = text.replace('args = { name = "resnet50", num_classes = 10 }\n', "")
    (folder / "tiny.toml").write_text(text)
    assert found in told(call, command, "tiny.toml")


def test_a_network_with_other_outputs_than_classes_is_refused(call, folder):
    (folder / "tiny.toml").write_text(SPEC.replace("num_classes = 10", "num_classes = 7"))
    assert "expected 10 outputs" in told(call, "train", "tiny.toml")


def test_a_folder_that_is_a_file_and_a_supernet_of_other_settings_are_refused(call, trained):
    (trained / "taken").write_text("")
    assert "expected a folder, found the file taken" in told(call, "train", "tiny.toml", "--folder", "taken")
    (trained / "other.toml").write_text(SPEC.replace("batch_size = 32", "batch_size = 16"))
    said = told(call, "train", "other.toml", "--folder", "runs/tiny")
    assert "the supernet of this specification and data in runs/tiny, found another" in said


@pytest.mark.parametrize("command", ["show", "train", "search", "extract"])
def test_help_ends_with_two_examples(call, command):
    code, out, _ = call("supernet", command, "--help")
    assert code == 0
    assert out[out.index("Examples:") :].count(f"nversion supernet {command} ") == 2

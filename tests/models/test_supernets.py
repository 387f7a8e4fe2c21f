"""Files of supernets, and their subnets as models."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from nversion.cli import main
from nversion.core import UserError
from nversion.data import Canonical, open_dataset
from nversion.models import load_classifier
from nversion.models.card import Lineage
from nversion.models.preprocessing import Preprocessing
from nversion.models.tensors import read_tensors, write_tensors
from nversion.models.weights import read_weights
from nversion.supernet.elastic import Elasticity, ElasticNetwork, extract
from nversion.supernet.files import (
    known_subnets,
    read_supernet,
    save_statistics,
    save_subnet,
    save_supernet,
    subnets_folder,
)
from nversion.training.small_networks import build

ARCH = "python:nversion.training.small_networks:build"
ARGS = {"name": "resnext_32_4l", "num_classes": 3}
ELASTICITY = Elasticity(max_skips=1, width_multipliers=[1, 0.5])
SUBNETS = {"middle": "width=0.5", "tiny": "depth=0.5,width=0.5,expansion=0.5"}
PREPROCESSING = Preprocessing(input_size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def batches():
    return list(torch.randn(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(1)))


def write(path, seed=0):
    """A supernet's file with the statistics of `SUBNETS`."""
    torch.manual_seed(seed)
    network = build(**ARGS)[0]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    supernet = ElasticNetwork(network, ELASTICITY)
    save_supernet(
        path,
        supernet,
        elasticity=ELASTICITY,
        arch=ARCH,
        preprocessing=PREPROCESSING,
        label_space="tiny",
        args=ARGS,
        lineage=Lineage(architecture="resnext_32_4l", training_data=("noise",), seed=seed),
    )
    read = read_supernet(path)
    for name, text in SUBNETS.items():
        subnet = supernet.space.parse(text)
        statistics = supernet.collect_statistics(subnet, batches())
        save_statistics(path, read.fingerprint, name, subnet, statistics)
    return supernet.eval()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with supernet.safetensors, and the supernet in memory; not to be changed."""
    folder = tmp_path_factory.mktemp("supernet")
    return folder, write(folder / "supernet.safetensors")


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of that folder for a test of its own."""
    return Path(shutil.copytree(trained[0], tmp_path / "own"))


def images():
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def logits_of(supernet, text):
    """Of a subnet that is active in memory, with statistics collected anew."""
    supernet.collect_statistics(supernet.space.parse(text), batches())
    with torch.no_grad():
        return supernet(PREPROCESSING(images()))


def load(folder, name=None, **settings):
    source = "supernet:supernet.safetensors" + (f"#{name}" if name else "")
    return load_classifier({"source": source, **settings}, folder)


@pytest.mark.parametrize("name", SUBNETS)
def test_a_subnet_by_name_gives_the_logits_of_the_active_one(trained, name):
    folder, supernet = trained
    assert torch.equal(load(folder, name)(images()), logits_of(supernet, SUBNETS[name]))


@pytest.mark.parametrize("name", SUBNETS)
def test_a_subnet_by_its_notation_is_the_one_by_its_name(trained, name):
    folder, _ = trained
    found, named = load(folder, SUBNETS[name]), load(folder, name)
    assert found.fingerprint == named.fingerprint and torch.equal(found(images()), named(images()))


@pytest.mark.parametrize("name", [None, "largest", "width=1.0", "depth=2-2-3-2"])
def test_the_largest_is_the_file_itself(trained, name):
    folder, supernet = trained
    as_file = load_classifier({"source": "file:supernet.safetensors"}, folder)
    assert torch.equal(load(folder, name)(images()), as_file(images()))
    supernet.activate(supernet.space.largest)
    with torch.no_grad():
        assert torch.equal(as_file(images()), supernet(PREPROCESSING(images())))
    assert as_file.card.num_parameters == load(folder).card.num_parameters


def test_the_file_gives_back_weights_space_and_facts(trained):
    folder, supernet = trained
    read = read_supernet(folder / "supernet.safetensors")
    assert read is read_supernet(folder / "supernet.safetensors")
    assert read.network.space == supernet.space and read.preprocessing == PREPROCESSING
    assert read.lineage == Lineage("resnext_32_4l", training_data=("noise",), seed=0)
    for name, tensor in supernet.network.state_dict().items():
        assert torch.equal(read.network.network.state_dict()[name], tensor), name
    parsed = {name: supernet.space.parse(text) for name, text in SUBNETS.items()}
    assert known_subnets(read) == {"largest": supernet.space.largest, **parsed}


def test_cards_tell_size_and_descent(trained):
    folder, supernet = trained
    cards = {name: load(folder, name).card for name in ("largest", *SUBNETS)}
    for name, card in cards.items():
        cost = supernet.cost(supernet.space.parse(SUBNETS.get(name, "")), 32)
        assert (card.num_parameters, card.macs) == (cost.num_parameters, cost.macs)
        assert card.name == name and card.training == "supernet" and card.label_space.name == "tiny"
        assert (card.architecture, card.training_data, card.seed) == ("resnext_32_4l subnet", ("noise",), 0)
    assert len({card.initial_weights for card in cards.values()}) == 1
    assert cards["tiny"].initial_weights.startswith("supernet ")
    assert len({load(folder, name).fingerprint for name in cards}) == 3


def test_subnets_of_one_file_share_its_weights(trained):
    folder, _ = trained
    models = [load(folder, name) for name in ("largest", *SUBNETS)]
    pointers = [{p.untyped_storage().data_ptr() for p in model.parameters()} for model in models]
    assert pointers[1] == pointers[0] and pointers[2] < pointers[0]


def test_a_supernet_that_changed_is_read_anew(folder):
    before = load(folder)(images())
    write(folder / "supernet.safetensors", seed=5)
    assert not torch.equal(load(folder)(images()), before)


@pytest.mark.parametrize("name", SUBNETS)
def test_a_saved_subnet_stands_on_its_own(folder, name):
    source = load(folder, name)
    save_subnet(folder / "alone.safetensors", read_supernet(folder / "supernet.safetensors"), name)
    (folder / "supernet.safetensors").unlink()
    alone = load_classifier({"source": "file:alone.safetensors"}, folder)
    assert torch.equal(alone(images()), source(images()))
    for fact in ("num_parameters", "macs", "training", "label_space", "initial_weights", "training_data"):
        assert getattr(alone.card, fact) == getattr(source.card, fact), fact


def test_an_unknown_subnet_is_told_with_close_names(trained):
    message = "a subnet of .*supernet.safetensors with statistics .*, found 'midle'; did you mean 'middle'"
    with pytest.raises(UserError, match=message):
        load(trained[0], "midle")


def test_a_subnet_that_was_not_recalibrated_is_refused(trained):
    message = r"with statistics for its batch norms, found 'depth=1-2-2-2'; add it to \[\[subnets\]\]"
    with pytest.raises(UserError, match=message):
        load(trained[0], "depth=1-2-2-2")


def test_a_subnet_outside_the_space_is_refused(trained):
    with pytest.raises(UserError, match=r"one of 2, 1 at place 0 for the dimension 'depth' .*, found 7"):
        load(trained[0], "depth=7-2-3-2")


def test_statistics_of_another_supernet_are_refused(folder):
    kept = subnets_folder(folder / "supernet.safetensors").rename(folder / "kept")
    write(folder / "supernet.safetensors", seed=5)
    shutil.rmtree(subnets_folder(folder / "supernet.safetensors"))
    kept.rename(subnets_folder(folder / "supernet.safetensors"))
    with pytest.raises(
        UserError, match=r"statistics of the supernet .*, found those of another supernet; rem"
    ):
        load(folder, "middle")


def test_a_missing_supernet_is_told(tmp_path):
    with pytest.raises(
        UserError, match=r"the supernet file .*supernet.safetensors, found no such file; corr"
    ):
        load(tmp_path, "middle")


def test_weights_of_no_supernet_are_told(folder):
    save_subnet(folder / "alone.safetensors", read_supernet(folder / "supernet.safetensors"), "tiny")
    with pytest.raises(UserError, match=r"a supernet in .*alone.safetensors, found weights without a search"):
        load_classifier({"source": "supernet:alone.safetensors"}, folder)


@pytest.mark.parametrize("size", [0, 100, 2000])
def test_broken_files_are_told(folder, size):
    for path in (folder / "supernet.subnets" / "tiny.safetensors", folder / "supernet.safetensors"):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(UserError, match=f"expected .* in {path}, found .*; "):
            load(folder, "middle")


@pytest.mark.parametrize(
    "metadata", [None, {"nversion": "{"}, {"nversion": "{}"}, {"nversion": '{"subnet": ""}'}]
)
def test_statistics_that_do_not_say_of_what_are_told(folder, metadata):
    path = folder / "supernet.subnets" / "tiny.safetensors"
    save_file(load_file(path), path, metadata=metadata)
    with pytest.raises(
        UserError, match=f"statistics of a subnet in {path}, found .*; run `nversion supernet train"
    ):
        load(folder, "middle")


@pytest.mark.parametrize("name", ["largest", "width=0.5", "a/b", "../a", "", "a#b"])
def test_statistics_get_names_that_sources_find_again(trained, tmp_path, name):
    _, supernet = trained
    with pytest.raises(ValueError, match="as a subnet's name, not 'largest', found"):
        save_statistics(tmp_path / "s.safetensors", "f", name, supernet.space.smallest, {})
    assert not list(tmp_path.iterdir())


def test_saving_a_supernet_takes_all_of_it_whatever_is_active(trained, tmp_path):
    _, supernet = trained
    supernet.activate(supernet.space.smallest)
    save_supernet(
        tmp_path / "again.safetensors",
        supernet,
        elasticity=ELASTICITY,
        arch=ARCH,
        preprocessing=PREPROCESSING,
        label_space="tiny",
        args=ARGS,
    )
    read = read_supernet(tmp_path / "again.safetensors")
    whole = extract(supernet, supernet.space.largest).eval()
    with torch.no_grad():
        assert torch.equal(read.network(images()), whole(images()))


@pytest.fixture(scope="module")
def small_study():
    path = Path(__file__).parents[1] / "study" / "small_study.py"
    spec = importlib.util.spec_from_file_location("small_study", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def canonical_images(folder):
    dataset = open_dataset(
        {"source": "folder", "path": "images", "label_space": "tiny", "num_classes": 3}, folder
    )
    canonical = Canonical(16, "squash")
    pixels = [torch.from_numpy(canonical.render(dataset.decode(i))) for i in range(len(dataset))]
    return torch.stack(pixels).float() / 255


def test_a_study_of_three_subnets_stores_their_logits(folder, small_study, monkeypatch):
    small_study.write_inputs(folder)
    sources = [f"supernet:supernet.safetensors{name}" for name in ("", "#middle", f"#{SUBNETS['tiny']}")]
    models = [{"source": source} for source in sources]
    small_study.write_toml(folder / "small.toml", models=models, attribution=None, representation=None)
    monkeypatch.setattr(
        sys, "argv", ["nversion", "study", "run", str(folder / "small.toml"), "--folder", str(folder / "out")]
    )
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    # Stored in float16, and computed in another memory format.
    for name, source in {"largest": "largest", "middle": "middle", SUBNETS["tiny"]: "tiny"}.items():
        predictions = [
            path.parent
            for path in (folder / "out" / "predictions" / "d" / "clean").glob("*/manifest.json")
            if json.loads(path.read_text())["what"]["model"]["name"] == name
        ]
        stored_NC = torch.from_numpy(np.load(predictions[0] / "array.npy")).float()
        expected_NC = load(folder, source)(canonical_images(folder))
        expected_NC = expected_NC - expected_NC.amax(1, keepdim=True)  # as float16 is stored
        assert len(predictions) == 1 and stored_NC.shape == (12, 3)
        expected_NC -= expected_NC.amax(1, keepdim=True)  # as float16 holds them
        torch.testing.assert_close(stored_NC, expected_NC, rtol=2e-3, atol=2e-3)
    assert pl.read_parquet(folder / "out" / "tables" / "models.parquet")["model"].n_unique() == 3


def test_a_search_space_that_is_none_is_told(folder):
    path = folder / "supernet.safetensors"
    state, stated = read_weights(path)
    facts = stated.model_dump(mode="json")
    facts["elasticity"]["width_multipliers"] = [2.0]
    save_file(state, path, metadata={"nversion": json.dumps(facts)})
    with pytest.raises(
        UserError, match=r"a sound 'elasticity.width_multipliers' in .*ratios above 0 and at most 1"
    ):
        load_classifier({"source": f"supernet:{path}"})


def test_statistics_that_lack_a_tensor_are_told(folder):
    path = next((folder / "supernet.subnets").glob("*.safetensors"))
    tensors, facts = read_tensors(path)
    tensors.pop(next(key for key in tensors if key.endswith("running_var")))
    write_tensors(path, tensors, facts)
    with pytest.raises(
        UserError, match=r"expected \d+ values of .*running_var in .*, found .*shape \(0,\); "
    ):
        load_classifier({"source": f"supernet:{folder}/supernet.safetensors#{path.stem}"})


def test_an_extracted_subnet_finds_the_user_s_own_architecture(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text(
        "from nversion.training.small_networks import build\n\ndef net():\n    return build('resnet', 10)\n"
    )
    supernet = ElasticNetwork(build("resnet", 10)[0])
    path = tmp_path / "own.safetensors"
    save_supernet(
        path,
        supernet,
        elasticity=Elasticity(),
        arch="python:nets.py:net",
        preprocessing=PREPROCESSING,
        label_space="digits",
    )
    read = read_supernet(path, tmp_path, "python:nets.py:net")
    save_subnet(tmp_path / "extracted.safetensors", read, "largest")
    monkeypatch.chdir("/")
    extracted = {"source": f"file:{tmp_path}/extracted.safetensors"}
    with pytest.raises(UserError, match=rf'name it next to .*: arch = "python:{tmp_path}/nets.py:net"'):
        load_classifier(extracted)
    found = load_classifier(extracted | {"arch": f"python:{tmp_path}/nets.py:net"})
    images = torch.rand(2, 3, 32, 32)
    whole = {"source": f"supernet:{path}", "arch": "python:nets.py:net"}
    assert torch.equal(found(images), load_classifier(whole, tmp_path)(images))

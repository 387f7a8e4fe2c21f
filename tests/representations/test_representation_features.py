"""Gram matrices of layers against the features themselves, and whole comparisons of two models."""

import weakref

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from nversion.core import UserError
from nversion.diversity import CKASums, linear_gram
from nversion.representations import CKA_COLUMNS, compare_representations, layer_grams, layers_of


def test_grams_are_those_of_the_features(networks):
    net, images_N3HW = networks.classifier(networks.Blocks()), networks.images(6)
    gram_LNN, logits_NC = layer_grams(net, images_N3HW, ["stem", "stages.0", "stages.1", "head"])
    with torch.inference_mode():
        stem = net.module.stem(net.preprocessing(images_N3HW))
        first = net.module.stages[0](stem)
        second = net.module.stages[1](first)
        expected = [linear_gram(t.flatten(1)) for t in (stem, first, second, net(images_N3HW))]
        assert torch.equal(logits_NC, net(images_N3HW))
    torch.testing.assert_close(gram_LNN, torch.stack(expected), rtol=1e-6, atol=1e-9)


def test_features_are_seen_before_a_later_module_changes_them_in_place(networks):
    net, images_N3HW = networks.classifier(networks.Blocks()), networks.images(5)
    gram_LNN, _ = layer_grams(net, images_N3HW, ["stem.1"])
    with torch.inference_mode():
        before_relu = net.module.stem[1](net.module.stem[0](images_N3HW))
    torch.testing.assert_close(gram_LNN[0], linear_gram(before_relu.flatten(1)), rtol=1e-6, atol=1e-9)


def test_the_memory_format_changes_rounding_alone(networks):
    net, images_N3HW = networks.classifier(networks.Blocks()), networks.images(6)
    plain_LNN, _ = layer_grams(net, images_N3HW, ["stem", "stages.1"])
    net.to(memory_format=torch.channels_last)
    other_LNN, _ = layer_grams(
        net, images_N3HW.contiguous(memory_format=torch.channels_last), ["stem", "stages.1"]
    )
    torch.testing.assert_close(other_LNN, plain_LNN, rtol=1e-4, atol=1e-5)


def test_mixed_precision_does_not_reach_the_products(networks):
    net, images_N3HW = networks.classifier(networks.Blocks()), networks.images(6)
    outputs = []
    net.module.stem.register_forward_hook(lambda _m, _i, output: outputs.append(output.clone()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gram_LNN, _ = layer_grams(net, images_N3HW, ["stem"])
    assert outputs[0].dtype == torch.bfloat16
    torch.testing.assert_close(gram_LNN[0], linear_gram(outputs[0].float().flatten(1)), rtol=1e-6, atol=1e-6)


def test_features_are_dropped_as_soon_as_their_gram_matrix_is_made(networks):
    net, alive = networks.classifier(networks.Blocks(depths=(3, 3))), []
    layers = [name for name, _ in net.module.named_modules() if name]
    seen = []

    def watch(_module, _inputs, output):
        seen.append(weakref.ref(output))
        alive.append(len({id(tensor) for reference in seen if (tensor := reference()) is not None}))

    for module in net.module.modules():
        module.register_forward_hook(watch)
    layer_grams(net, networks.images(6), layers)
    assert len(seen) > 25
    assert max(alive) <= 5  # what the network itself holds on to


@pytest.mark.gpu
def test_a_gpu_gives_the_same_table(networks):
    pool = [
        networks.classifier(networks.Blocks(), "a"),
        networks.classifier(networks.Blocks(6), "b", seed=1),
    ]
    on_cpu = compare_representations(*pool, networks.images(24).split(8))
    on_gpu = compare_representations(*(net.cuda() for net in pool), networks.images(24).split(8))
    assert np.allclose(on_gpu["value"].to_numpy(), on_cpu["value"].to_numpy(), atol=1e-3)


def test_a_layer_that_does_not_run_is_told(networks):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rare, self.fc = nn.Identity(), nn.Linear(3, 3)

        def forward(self, x):
            pooled = x.mean((2, 3))
            return self.fc(self.rare(pooled) if len(x) == 3 else pooled)

    net = networks.classifier(Net())
    assert "rare" in layers_of(net, ["*"])
    with pytest.raises(UserError, match="the layer 'rare' of 'net' to run, found that it did not"):
        layer_grams(net, networks.images(5), ["rare"])


def test_the_table_names_pairs_of_layers_in_order(networks):
    a = networks.classifier(networks.Blocks(), "a")
    b = networks.classifier(networks.Blocks(6, (1, 1)), "b", seed=1)
    table = compare_representations(a, b, networks.images(40).split(8))
    assert table.schema == CKA_COLUMNS
    between = table.filter(model_a="a", model_b="b")
    assert between["depth_a"].to_list() == np.repeat(range(4), 3).tolist()
    assert between["layer_b"].to_list() == ["stem", "stages.0.0", "stages.1.0"] * 4
    assert table.filter(model_a="b", model_b="a").is_empty()
    within = table.filter(pl.col("model_a") == pl.col("model_b"), pl.col("layer_a") == pl.col("layer_b"))
    assert within["value"].to_list() == [1.0] * 7
    assert table["n_images"].unique().to_list() == [40]
    assert set(table["note"]) == {""}
    assert table["value"].is_between(-1, 1).all()
    assert table["stderr"].is_finite().all()


def test_a_network_and_its_copy_are_alike_in_every_layer(networks):
    a, b = (networks.classifier(networks.Blocks(), name) for name in "ab")
    table = compare_representations(a, b, [networks.images(8)])
    same = table.filter(pl.col("layer_a") == pl.col("layer_b"))
    assert same["value"].to_list() == pytest.approx([1.0] * len(same), abs=1e-12)


def test_batches_may_be_bytes_or_tuples(networks):
    a, b = networks.classifier(networks.Blocks(), "a"), networks.classifier(networks.Blocks(6), "b", seed=1)
    bytes_N3HW = (networks.images(8) * 255).to(torch.uint8)
    labels_N = torch.zeros(8)
    table = compare_representations(a, b, [(bytes_N3HW, labels_N)])
    assert table.equals(compare_representations(a, b, [bytes_N3HW.float() / 255]), null_equal=True)


def test_small_batches_are_left_out_and_told(networks):
    a, b = networks.classifier(networks.Blocks(), "a"), networks.classifier(networks.Blocks(6), "b", seed=1)
    batches = [networks.images(8, seed) for seed in range(5)]
    table = compare_representations(a, b, [*batches, networks.images(3)])
    assert set(table["note"]) == {"1 minibatch of fewer than 4 images left out"}
    assert set(table["n_images"]) == {40}
    none = compare_representations(a, b, [networks.images(3)])
    assert none["value"].is_nan().all()
    assert none["note"][0].startswith("no minibatch of at least 4 images")


def test_a_dead_layer_is_undefined_with_its_reason(networks):
    a, b = networks.classifier(networks.Blocks(), "a"), networks.classifier(networks.Blocks(6), "b", seed=1)
    nn.init.zeros_(b.module.stem[1].weight)  # the norm behind gives its bias for every image
    dead = compare_representations(a, b, [networks.images(8)], ["stem", "stages.0.0"]).filter(layer_b="stem")
    dead = dead.filter(model_b="b")
    assert dead["value"].is_nan().all()
    assert set(dead["note"]) == {"features are constant, or differ for one image alone"}


@pytest.mark.shared
@pytest.mark.slow
def test_minibatches_of_real_features_agree_with_all_images_at_once(shared):
    from PIL import Image

    folder = shared / "data" / "nips2017_dev1000"
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".jpg"))[:192]
    images_N3HW = torch.stack(
        [
            torch.from_numpy(np.array(Image.open(p).convert("RGB").resize((64, 64)))).permute(2, 0, 1)
            for p in paths
        ]
    )
    pool = _pool(shared, ("resnet18_pqf", "squeezenet1_1_gluon"))
    gram_LNN = torch.cat([layer_grams(c, images_N3HW.float() / 255, layers_of(c))[0] for c in pool])
    whole = CKASums.zeros(1, len(gram_LNN))
    whole.update(gram_LNN)
    upper_LL = torch.triu(torch.ones_like(whole.cka()), 1) > 0
    deviations = []
    for seed in range(20):
        small = CKASums.zeros(50, len(gram_LNN))
        for rows in torch.randperm(192, generator=torch.Generator().manual_seed(seed)).split(16):
            small.update(gram_LNN[:, rows][:, :, rows])  # HSIC1 does not mind whose mean was subtracted
        deviations.append(((small.cka() - whole.cka()) / small.stderr())[upper_LL])
    deviation = torch.stack(deviations)
    assert (deviation.abs() < 3).double().mean() > 0.99
    assert deviation.mean().abs() < 0.2  # and to neither side


def _pool(shared, names):
    import importlib.util

    from nversion.models import Preprocessing, make_classifier

    spec = importlib.util.spec_from_file_location("zoo", shared / "weights" / "zoo.py")
    zoo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(zoo)
    built = {name: zoo.build(name) for name in names}
    return [
        make_classifier(module, Preprocessing(**(facts | {"input_size": 64})), name=name, source="zoo")
        for name, (module, facts) in built.items()
    ]

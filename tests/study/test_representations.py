"""The stored HSIC1 of a study against the layers themselves; kills, unreadable images and mistakes."""

import importlib.util
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from nversion.attribution import attribute
from nversion.core import UserError
from nversion.diversity import CKASums, hsic1, linear_gram
from nversion.ensembles import Ensembles
from nversion.evaluation.measure import mean_of_pairs
from nversion.models import Preprocessing, make_classifier
from nversion.predictions import Inference, run
from nversion.predictions.similarities import RepresentationWriter, represented_batches
from nversion.study.spec import RepresentationTable

SIX = Inference(batch_size=6, channels_last=False)
SPEC = RepresentationTable(layers=["stem", "body.?"], batches=2)


@pytest.fixture(scope="module")
def tiny():
    """The builders of the tests of the inference loop."""
    path = Path(__file__).parents[1] / "predictions" / "tiny_parts.py"
    spec = importlib.util.spec_from_file_location("tiny_parts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Body(torch.nn.Module):
    """A stem and a chain of convolutions."""

    def __init__(self, width, depth, seed):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, width, 3, stride=2)
        self.body = torch.nn.Sequential(*(torch.nn.Conv2d(width, width, 3, padding=1) for _ in range(depth)))
        self.head = torch.nn.Linear(width, 3)
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng))

    def forward(self, images_N3HW):
        return self.head(self.body(self.stem(images_N3HW)).relu().mean((2, 3)))


def body(name, depth, seed=0):
    preprocessing = Preprocessing(16, mean=(0.5,) * 3, std=(0.25,) * 3)
    return make_classifier(Body(4, depth, seed), preprocessing, name=name, source="test", label_space="tiny")


@pytest.fixture(scope="module")
def pool():
    return [body("a", 1), body("b", 3, seed=1)]


def writer_of(tiny, root, data, pool, spec=SPEC, inference=SIX, **options):
    return RepresentationWriter(
        root, data, tiny.CANONICAL, tiny.CONDITIONS, pool, spec, inference, tiny.CPU, **options
    )


def feed(tiny, data, writer, **options):
    run(
        data,
        tiny.CANONICAL,
        tiny.CONDITIONS,
        [writer],
        batch_size=writer.inference.batch_size,
        device=tiny.CPU,
        **options,
    )
    writer.finish()
    return writer


def rendered(tiny, data, condition, rows):
    images = np.stack([tiny.CANONICAL.render(data.decode(i)) for i in rows])
    ids = [data.sample_ids[i] for i in rows]
    return condition.render(torch.from_numpy(images), ids).float() / 255


def features(classifier, images_N3HW):
    """The outputs of stem and body, one after the other."""
    with torch.inference_mode():
        outputs = [classifier.module.stem(classifier.preprocessing(images_N3HW))]
        for conv in classifier.module.body:
            outputs.append(conv(outputs[-1]))
    return [output.flatten(1) for output in outputs]


def test_stored_values_are_those_of_all_models_on_the_same_images(tiny, pool, tmp_path):
    data = tiny.dataset(18)
    writer = feed(tiny, data, writer_of(tiny, tmp_path, data, pool))
    assert [(e.model, e.layer, e.depth) for e in writer.entries] == [
        (0, "stem", 0),
        (0, "body.0", 1),
        (1, "stem", 0),
        (1, "body.0", 1),
        (1, "body.1", 2),
        (1, "body.2", 3),
    ]
    for condition in tiny.CONDITIONS:
        by_hand = []
        for batch in writer.batches:
            images_N3HW = rendered(tiny, data, condition, range(6 * batch, 6 * batch + 6))
            grams = [linear_gram(f) for model in pool for f in features(model, images_N3HW)]
            by_hand.append(hsic1(torch.stack(grams)))
        found = writer.read(condition, num_blocks=50)
        torch.testing.assert_close(found.hsic_JTT, torch.stack(by_hand), rtol=1e-5, atol=1e-6)
        assert found.images_J.tolist() == [6, 6]


def test_attribution_maps_of_the_predicted_class_are_compared_too(tiny, pool, tmp_path):
    data, condition = tiny.dataset(12), tiny.CONDITIONS[0]
    spec = SPEC.model_copy(update={"maps": ["saliency", "integrated_gradients-2"], "batches": 1})
    writer = feed(tiny, data, writer_of(tiny, tmp_path, data, pool, spec, absolute=False))
    assert [entry.layer for entry in writer.entries[6:]] == ["map:saliency", "map:integrated_gradients-2"] * 2
    start = 6 * writer.batches[0]
    images_N3HW = rendered(tiny, data, condition, range(start, start + 6))
    maps = [
        attribute(model, images_N3HW, model(images_N3HW).argmax(-1), "saliency", False).flatten(1)
        for model in pool
    ]
    expected = hsic1(torch.stack([linear_gram(values) for values in maps]))
    found = writer.read(condition, 50)
    torch.testing.assert_close(found.hsic_JTT[0][6::2, 6::2], expected, rtol=1e-4, atol=1e-9)
    table = found.table(["a", "b"])
    assert table.filter((pl.col("depth_a") < 0) != (pl.col("depth_b") < 0)).is_empty()
    between = table.filter(model_a="a", model_b="b", layer_a="map:saliency", layer_b="map:saliency")
    cka = expected[0, 1] / (expected[0, 0] * expected[1, 1]).sqrt()
    assert between["value"].item() == pytest.approx(cka.item(), rel=1e-4)
    assert between["depth_a"].item() == -1
    assert writer.num_missing_passes() == 0


def test_maps_do_not_enter_the_similarity_of_models(tiny, pool, tmp_path):
    data, condition = tiny.dataset(12), tiny.CONDITIONS[0]
    plain = feed(tiny, data, writer_of(tiny, tmp_path / "plain", data, pool)).read(condition, 4)
    spec = SPEC.model_copy(update={"maps": ["saliency"]})
    mapped = feed(tiny, data, writer_of(tiny, tmp_path / "mapped", data, pool, spec)).read(condition, 4)
    mapped, plain = mapped.similarity(), plain.similarity()
    torch.testing.assert_close(mapped.full_E, plain.full_E, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(mapped.without_BE, plain.without_BE, rtol=1e-10, atol=1e-12)


def test_similarity_is_the_mean_of_matched_depths_with_a_replicate_for_each_block(tiny, pool, tmp_path):
    data, condition = tiny.dataset(18), tiny.CONDITIONS[0]
    found = feed(tiny, data, writer_of(tiny, tmp_path, data, pool)).read(condition, num_blocks=5)
    cka_MM, cka_BMM = found.similarity().full_E, found.similarity().without_BE

    def matched(hsic_TT):
        # Steps of the 4 layers of b: a stands at its first layer for two of them, at its last for two.
        size_T = hsic_TT.diagonal().sqrt()
        cka_TT = hsic_TT / size_T[:, None] / size_T
        return (cka_TT[0, 2] + cka_TT[0, 3] + cka_TT[1, 4] + cka_TT[1, 5]) / 4

    first, second = found.hsic_JTT
    assert cka_MM.diagonal().tolist() == [1.0, 1.0]
    torch.testing.assert_close(cka_MM[0, 1], matched(first + second), rtol=1e-9, atol=0)
    torch.testing.assert_close(cka_BMM[0, 1, 0], matched(second), rtol=1e-9, atol=0)
    torch.testing.assert_close(cka_BMM[1, 0, 1], matched(first), rtol=1e-9, atol=0)
    assert torch.equal(cka_BMM[2:], cka_MM.expand(3, 2, 2))


def test_standard_errors_of_the_table_are_over_minibatches_whatever_the_blocks(tiny, pool, tmp_path):
    data, condition = tiny.dataset(18), tiny.CONDITIONS[0]
    writer = feed(tiny, data, writer_of(tiny, tmp_path, data, pool))
    table = writer.read(condition, 1).table(["a", "b"])
    assert table.equals(writer.read(condition, 50).table(["a", "b"]))
    assert table["stderr"].is_nan().all()  # of two minibatches
    assert set(table["note"]) == {"no standard error: fewer than 5 minibatches"}
    assert set(table["n_images"]) == {12}
    assert writer.read(condition, 50).batches_B().tolist() == [1, 1] + [0] * 48


def test_a_similarity_has_one_standard_error_in_both_tables(tiny, pool, tmp_path):
    data, condition = tiny.dataset(25), tiny.CONDITIONS[0]
    one_layer, five = SPEC.model_copy(update={"layers": ["stem"], "batches": 5}), Inference(5)
    stored = feed(tiny, data, writer_of(tiny, tmp_path, data, pool, one_layer, five)).read(condition, 50)
    of_pair = mean_of_pairs(stored.similarity(), Ensembles.all_of(2, 2))
    row = stored.table(["a", "b"]).row(by_predicate=(pl.col("model_a") != pl.col("model_b")), named=True)
    assert of_pair.full_E.item() == pytest.approx(row["value"])
    assert of_pair.stderr().tolist() == pytest.approx([row["stderr"]])


def test_unreadable_images_are_left_out_for_all_models(tiny, pool, tmp_path):
    data, condition = tiny.dataset(12, torn={1}), tiny.CONDITIONS[0]
    writer = feed(tiny, data, writer_of(tiny, tmp_path, data, pool), exclude_unreadable=True)
    found = writer.read(condition, 50)
    assert found.images_J.tolist() == [5, 6]
    images_N3HW = rendered(tiny, data, condition, [0, 2, 3, 4, 5])
    expected = hsic1(torch.stack([linear_gram(f) for model in pool for f in features(model, images_N3HW)]))
    torch.testing.assert_close(found.hsic_JTT[0], expected, rtol=1e-5, atol=1e-6)


def test_a_batch_with_fewer_than_four_readable_images_is_left_out_and_told(tiny, pool, tmp_path):
    data, steps = tiny.dataset(12, torn={0, 1, 2}), []
    writer = writer_of(tiny, tmp_path, data, pool, on_step=steps.append)
    num_steps = writer.num_steps()
    feed(tiny, data, writer, exclude_unreadable=True)
    assert len(steps) == num_steps
    found = writer.read(tiny.CONDITIONS[0], 50)
    assert found.images_J.tolist() == [3, 6]
    table = found.table(["a", "b"])
    assert all(note.endswith("1 minibatch of fewer than 4 images left out") for note in table["note"])
    assert table["value"].is_finite().all()
    sums = CKASums.of(found.hsic_JTT[1:], found.images_J[1:], 1)
    upper = table.filter(model_a="a", model_b="b")["value"].to_numpy()
    assert np.array_equal(upper, sums.cka()[:2, 2:].flatten().numpy())


def test_a_data_set_of_three_images_is_undefined_with_a_reason(tiny, pool, tmp_path):
    data = tiny.dataset(3)
    found = feed(tiny, data, writer_of(tiny, tmp_path, data, pool)).read(tiny.CONDITIONS[0], 5)
    table = found.table(["a", "b"])
    assert table["value"].is_nan().all()
    assert set(table["note"]) == {"no minibatch of at least 4 images"}
    cka_MM, cka_BMM = found.similarity().full_E, found.similarity().without_BE
    assert cka_MM.isnan().all()
    assert cka_BMM.shape == (5, 2, 2)


def test_a_killed_run_computes_what_is_missing_and_ends_in_the_same_bytes(tiny, pool, tmp_path):
    data = tiny.dataset(18)
    whole = feed(tiny, data, writer_of(tiny, tmp_path / "whole", data, pool))
    killed = writer_of(tiny, tmp_path / "killed", data, pool)
    assert killed.num_steps() == 2 * 3 * 2
    assert killed.num_missing_samples() == 3 * 12
    killed.consume = _twice(killed.consume)
    with pytest.raises(KeyboardInterrupt):
        feed(tiny, data, killed)
    again = writer_of(tiny, tmp_path / "killed", data, pool)
    assert again.num_steps() == 4 * 2
    feed(tiny, data, again)
    assert tiny.files(tmp_path / "killed") == tiny.files(tmp_path / "whole")
    assert not writer_of(tiny, tmp_path / "killed", data, pool).num_steps()
    assert whole.set_aside() == []


def _twice(consume):
    calls = []

    def until_killed(rendered):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(rendered.batch)
        consume(rendered)

    return until_killed


def test_other_models_layers_or_batches_are_another_array(tiny, pool, tmp_path):
    data = tiny.dataset(18)

    def folder(models=pool, spec=SPEC, **options):
        return writer_of(tiny, tmp_path, data, models, spec, **options).arrays["d/clean"].folder

    changed = [
        folder(pool[::-1]),
        folder([pool[0], body("b", 3, seed=2)]),
        folder(spec=SPEC.model_copy(update={"layers": ["stem"]})),
        folder(spec=SPEC.model_copy(update={"maps": ["saliency"]})),
        folder(spec=SPEC.model_copy(update={"batches": 3})),
        folder(absolute=False),
        folder(inference=Inference(batch_size=9, channels_last=False)),
    ]
    assert len({folder(), *changed}) == 8
    assert folder(inference=Inference(6, storage="float32", channels_last=False)) == folder()


def test_the_choice_of_batches_is_seeded_and_without_those_too_small(tiny):
    data = tiny.dataset(63)
    few = RepresentationTable(batches=4, seed=1)
    chosen = represented_batches(data, few, 6)
    assert chosen == represented_batches(data, few, 6) == sorted(set(chosen))
    assert len(chosen) == 4
    assert chosen != represented_batches(data, RepresentationTable(batches=4, seed=2), 6)
    assert represented_batches(data, RepresentationTable(batches=99), 6) == list(range(10))


def test_only_the_asked_conditions_are_compared(tiny, pool, tmp_path):
    data = tiny.dataset(12)
    writer = writer_of(tiny, tmp_path, data, pool, SPEC.model_copy(update={"conditions": ["*lines*"]}))
    assert [writer.needs(condition, 0) for condition in tiny.CONDITIONS] == [False, True, False]
    assert writer.read(tiny.CONDITIONS[0], 50) is None


def test_mistakes_are_told_before_anything_runs(tiny, pool, tmp_path):
    data = tiny.dataset(12)
    with pytest.raises(UserError, match=r"at least 4 images for \[representation\], found batch_size = 2"):
        writer_of(tiny, tmp_path, data, pool, inference=Inference(batch_size=2))
    with pytest.raises(UserError, match=r"found 'salliency'; did you mean 'saliency'\?"):
        writer_of(tiny, tmp_path, data, pool, SPEC.model_copy(update={"maps": ["salliency"]}))
    with pytest.raises(UserError, match=r"did you mean 'stem'\?"):
        writer_of(tiny, tmp_path, data, pool, SPEC.model_copy(update={"layers": ["stemm"]}))

"""Images are decoded once, models run where something is missing, and the bytes never tell the history."""

import errno
import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import PIL
import pytest
import timm
import torch
import torchvision

import nversion
from nversion.core import UserError, spans
from nversion.corruptions import CORRUPTIONS
from nversion.data import Condition, UnreadableImageError
from nversion.predictions import Inference, LogitsWriter, describe_condition, made_with, place, run


def logits_by_hand(tiny, data, condition, classifier, batch_size):
    images = np.stack([tiny.CANONICAL.render(data.decode(i)) for i in range(len(data))])
    rows = []
    for start, stop in spans(len(data), batch_size):
        ids = data.sample_ids[start:stop]
        corrupted_N3HW = condition.render(torch.from_numpy(images[start:stop]), ids)
        with torch.no_grad():
            rows.append(classifier(corrupted_N3HW.float() / 255))
    return torch.cat(rows).numpy()


def test_the_store_holds_each_classifiers_logits_on_the_rendered_images(tiny, tmp_path):
    data, models = tiny.dataset(10), [tiny.classifier("a", 3), tiny.classifier("b", 5)]
    writer = tiny.fill(tmp_path, data, models)
    for condition in tiny.CONDITIONS:
        for model in models:
            stored = writer.arrays[condition.name, model.name].read()
            assert np.array_equal(stored, logits_by_hand(tiny, data, condition, model, 4))


def test_float16_stores_the_nearest_half_precision_differences_from_the_maximum(tiny, tmp_path):
    data, model = tiny.dataset(10), tiny.classifier("a")
    inference = Inference(batch_size=4, storage="float16", channels_last=False)
    writer = tiny.fill(tmp_path, data, [model], inference=inference)
    by_hand = logits_by_hand(tiny, data, Condition("d"), model, 4)
    highest = by_hand.max(1, keepdims=True)
    stored = writer.arrays["d/clean", "a"].read()
    assert stored.dtype == np.float16
    assert np.array_equal(stored, (by_hand - highest).astype(np.float16))
    assert np.array_equal(writer.read(("d/clean", "a"))[np.arange(10)], stored.astype(np.float32) + highest)


@pytest.mark.parametrize("shared", [0.0, 4000.0, -60000.0, 1e6])
def test_a_part_that_all_classes_share_costs_no_answer_and_comes_back(tiny, tmp_path, shared):
    data, inference = tiny.dataset(40), Inference(8, "float16", None, False)
    model = tiny.classifier("a", alter=lambda _, logits_NC: logits_NC.double().add(shared).float())
    writer = tiny.fill(tmp_path, data, [model], inference=inference)
    by_hand = logits_by_hand(tiny, data, Condition("d"), model, 8)
    found = writer.read(("d/clean", "a"))[np.arange(40)]
    assert writer.arrays["d/clean", "a"].note == 0
    assert np.array_equal(found.argmax(1), by_hand.argmax(1))
    assert np.abs(found - by_hand).max() <= 2**-11 * np.ptp(by_hand, 1).max() + 2**-23 * abs(shared)


def test_a_kill_between_logits_and_their_offsets_loses_one_batch(tiny, tmp_path):
    data, inference = tiny.dataset(10), Inference(4, "float16", None, False)
    writer = tiny.fill(tmp_path, data, [tiny.classifier("a")], inference=inference)
    place = ("d/clean", "a")
    before = writer.read(place)[np.arange(10)]
    shutil.rmtree(writer.offsets[place].folder)
    again = tiny.fill(tmp_path, data, [tiny.classifier("a")], inference=inference)
    assert again.set_aside() == []
    assert np.array_equal(again.read(place)[np.arange(10)], before)


def test_each_image_is_decoded_once_however_many_models_and_conditions(tiny, tmp_path, decoded, forwards):
    data = tiny.dataset(10)
    tiny.fill(tmp_path, data, [tiny.classifier(name) for name in "abc"])
    assert decoded == dict.fromkeys(range(10), 1)
    assert forwards == dict.fromkeys("abc", 3 * 3)  # three batches under three conditions


def test_a_new_model_runs_alone(tiny, tmp_path, decoded, forwards):
    data = tiny.dataset(10)
    tiny.fill(tmp_path, data, [tiny.classifier("a")])
    forwards.clear(), decoded.clear()
    tiny.fill(tmp_path, data, [tiny.classifier("a"), tiny.classifier("b", 4)])
    assert forwards == {"b": 9}
    assert decoded == dict.fromkeys(range(10), 1)


def test_a_new_condition_runs_alone(tiny, tmp_path, forwards):
    data, models = tiny.dataset(10), [tiny.classifier("a"), tiny.classifier("b", 4)]
    tiny.fill(tmp_path, data, models, tiny.CONDITIONS[:1])
    before = tiny.files(tmp_path)
    forwards.clear()
    tiny.fill(tmp_path, data, models, tiny.CONDITIONS[:2])
    assert forwards == {"a": 3, "b": 3}
    assert before.items() <= tiny.files(tmp_path).items()


def test_nothing_is_decoded_when_everything_is_cached(tiny, tmp_path, decoded, forwards):
    data, models = tiny.dataset(10), [tiny.classifier("a")]
    tiny.fill(tmp_path, data, models)
    forwards.clear(), decoded.clear()
    writer = tiny.fill(tmp_path, data, models)
    assert writer.num_steps() == 0
    assert not decoded and not forwards


def test_only_the_batches_that_are_missing_are_decoded(tiny, tmp_path, decoded):
    data, models = tiny.dataset(10), [tiny.classifier("a")]
    batches = spoil_after(tiny, tmp_path, data, models, parts=4)
    assert batches == 4
    decoded.clear()
    tiny.fill(tmp_path, data, models)
    assert decoded == dict.fromkeys(range(4, 10), 1)  # the first batch was whole under all conditions


def test_the_bytes_do_not_depend_on_what_was_there_before(tiny, tmp_path):
    data, models = tiny.dataset(10), [tiny.classifier("a"), tiny.classifier("b", 4), tiny.classifier("c", 5)]
    tiny.fill(tmp_path / "at once", data, models)
    tiny.fill(tmp_path / "grown", data, models[1:2], tiny.CONDITIONS[2:])
    tiny.fill(tmp_path / "grown", data, models[:2], tiny.CONDITIONS[:1])
    spoil_after(tiny, tmp_path / "grown", data, models, parts=5)
    tiny.fill(tmp_path / "grown", data, models)
    assert tiny.files(tmp_path / "at once") == tiny.files(tmp_path / "grown")


def spoil_after(tiny, root, data, models, parts):
    """Stop a run after `parts` written parts, as an exception would; how many were written."""
    written = 0

    class EnoughError(Exception):
        pass

    def count(_):
        nonlocal written
        written += 1
        if written == parts:
            raise EnoughError

    place(models, tiny.FLOAT32, tiny.CPU)
    writer = LogitsWriter(
        root, data, tiny.CANONICAL, tiny.CONDITIONS, models, tiny.FLOAT32, tiny.CPU, on_step=count
    )
    with pytest.raises(EnoughError):
        run(data, tiny.CANONICAL, tiny.CONDITIONS, [writer], batch_size=4, device=tiny.CPU)
    return written


def test_a_full_disk_keeps_the_finished_parts_and_the_next_run_resumes(tiny, tmp_path, monkeypatch, forwards):
    data, models = tiny.dataset(10), [tiny.classifier("a"), tiny.classifier("b", 4)]
    tiny.fill(tmp_path / "whole", data, models)
    original, parts = Path.write_bytes, 0

    def full(self, content):
        nonlocal parts
        parts += self.name.startswith(".part-")
        if parts > 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        UserError, match=r"found a full disk; free some space and run again: what is finished is"
    ):
        tiny.fill(tmp_path / "full", data, models)
    monkeypatch.undo()
    assert len(list((tmp_path / "full").rglob("part-*"))) == 7
    assert not list((tmp_path / "full").rglob("*.tmp"))
    writer = tiny.fill(tmp_path / "full", data, models)
    assert writer.set_aside() == []
    assert tiny.files(tmp_path / "full") == tiny.files(tmp_path / "whole")


@pytest.mark.parametrize("victim", ["array.npy", "manifest.json"])
def test_an_altered_file_is_set_aside_named_and_computed_again(tiny, tmp_path, victim, forwards):
    data, models = tiny.dataset(10), [tiny.classifier("a"), tiny.classifier("b", 4)]
    tiny.fill(tmp_path, data, models)
    before = tiny.files(tmp_path)
    path = next((tmp_path / "d" / "clean").glob(f"a-*/{victim}"))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    forwards.clear()
    writer = tiny.fill(tmp_path, data, models)
    assert writer.set_aside() == [f"{path.parent}.set-aside-0"]
    assert forwards == {"a": 3}
    after = tiny.files(tmp_path)
    assert {k: v for k, v in after.items() if "set-aside" not in k} == before


def test_other_weights_are_another_folder_and_the_old_one_stays(tiny, tmp_path, forwards):
    data = tiny.dataset(10)
    tiny.fill(tmp_path, data, [tiny.classifier("a", seed=0)])
    before = tiny.files(tmp_path)
    forwards.clear()
    tiny.fill(tmp_path, data, [tiny.classifier("a", seed=1)])
    assert forwards == {"a": 9}
    assert before.items() < tiny.files(tmp_path).items()
    assert len(list((tmp_path / "d" / "clean").iterdir())) == 2


@pytest.mark.parametrize(
    "other", [{"storage": "float16"}, {"batch_size": 5}, {"amp": "bfloat16"}, {"channels_last": True}]
)
def test_every_setting_that_can_change_the_bytes_is_another_folder(tiny, tmp_path, other):
    data, models = tiny.dataset(6), [tiny.classifier("a")]
    tiny.fill(tmp_path, data, models, tiny.CONDITIONS[:1])
    inference = Inference(**(vars(tiny.FLOAT32) | other))
    tiny.fill(tmp_path, data, models, tiny.CONDITIONS[:1], inference)
    assert len(list((tmp_path / "d" / "clean").iterdir())) == 2


def test_an_unreadable_image_stops_the_run_and_is_named(tiny, tmp_path):
    data, models = tiny.dataset(10, torn=[6]), [tiny.classifier("a")]
    with pytest.raises(UnreadableImageError, match=r"a whole image in 6.png, found image file is truncated"):
        tiny.fill(tmp_path, data, models)
    assert len(list(tmp_path.rglob("part-000000-*"))) == 3  # the batch before it is kept


def test_an_excluded_image_is_nan_and_its_neighbours_are_as_they_were(tiny, tmp_path):
    models = [tiny.classifier("a")]
    whole = tiny.fill(tmp_path / "whole", tiny.dataset(10), models)
    torn = tiny.fill(tmp_path / "torn", tiny.dataset(10, torn=[6]), models, exclude_unreadable=True)
    others = np.arange(10) != 6
    for key, array in torn.arrays.items():
        assert np.isnan(array.read()[6]).all()
        assert np.array_equal(array.read()[others], whole.arrays[key].read()[others])


def test_the_loop_names_every_image_that_it_excluded(tiny, tmp_path):
    data = tiny.dataset(10, torn=[1, 6])
    reasons = run(
        data,
        tiny.CANONICAL,
        tiny.CONDITIONS,
        [Wanting()],
        batch_size=4,
        device=tiny.CPU,
        exclude_unreadable=True,
    )
    assert list(reasons) == ["i001", "i006"]
    assert reasons["i006"].startswith("expected a whole image in 6.png, found image file is truncated")


class Wanting:
    """A consumer that lacks every batch and keeps what it gets."""

    def __init__(self):
        self.taken = []

    def needs(self, condition, batch):
        return True

    def consume(self, rendered):
        self.taken.append(rendered)


def test_images_labels_and_positions_stay_together(tiny):
    data, consumer = tiny.dataset(10), Wanting()
    run(data, tiny.CANONICAL, [Condition("d")], [consumer], batch_size=4, device=tiny.CPU)
    assert [(r.batch, r.start, r.stop) for r in consumer.taken] == [(0, 0, 4), (1, 4, 8), (2, 8, 10)]
    images = torch.cat([r.images_N3HW for r in consumer.taken]).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(images, tiny.images_NHW3(10))
    assert torch.cat([r.labels_N for r in consumer.taken]).tolist() == data.labels_N.tolist()


@pytest.mark.parametrize("num_threads", [1, 7])
def test_a_corrupted_image_does_not_depend_on_batch_or_threads(tiny, num_threads):
    data, conditions = tiny.dataset(10), tiny.CONDITIONS[1:]
    by_size = []
    for batch_size in (3, 10):
        consumer = Wanting()
        run(
            data,
            tiny.CANONICAL,
            conditions,
            [consumer],
            batch_size=batch_size,
            device=tiny.CPU,
            num_threads=num_threads,
        )
        by_size.append(
            [torch.cat([r.images_N3HW for r in consumer.taken if r.condition == c]) for c in conditions]
        )
    for small, large in zip(*by_size, strict=True):
        assert torch.equal(small, large)


def spoiled(value):
    """Gives `value` as the logits of every sample that is not the probe's plain grey."""

    def alter(images_N3HW, logits_NC):
        varied_N = images_N3HW.flatten(1).std(1) > 1.0
        return torch.where(varied_N[:, None], torch.full_like(logits_NC, value), logits_NC)

    return alter


@pytest.mark.parametrize("storage", ["float16", "float32"])
def test_nan_logits_name_model_condition_and_sample(tiny, tmp_path, storage):
    data, models = (
        tiny.dataset(6),
        [tiny.classifier("fine"), tiny.classifier("bad", alter=spoiled(torch.nan))],
    )
    with pytest.raises(
        UserError,
        match=r"finite logits from 'bad' under d/clean, found nan or inf on 4 of 4 images, first on 'i000'; "
        "check its weights and preprocessing, or leave it out; finished batches are kept",
    ):
        tiny.fill(tmp_path, data, models, inference=Inference(4, storage, None, False))


def test_logits_beyond_float16_ask_for_float32_and_run_with_it(tiny, tmp_path):
    data, models = tiny.dataset(6), [tiny.classifier("large", alter=lambda _, logits: logits * 1e5)]
    with pytest.raises(
        UserError,
        match=r'some further apart than float16 holds on 4 of 4 .* set storage = "float32" under \[run\]',
    ):
        tiny.fill(tmp_path, data, models, inference=Inference(4, "float16", None, False))
    writer = tiny.fill(tmp_path, data, models, inference=Inference(4, "float32", None, False))
    assert writer.arrays["d/clean", "large"].read().max() > 70000.0


def test_nan_logits_on_an_excluded_image_are_no_error(tiny, tmp_path):
    def black_is_nan(images_N3HW, logits_NC):
        black_N = images_N3HW.flatten(1).amax(1) < -1.5
        return torch.where(black_N[:, None], torch.nan, logits_NC)

    data, models = tiny.dataset(6, torn=[2]), [tiny.classifier("a", alter=black_is_nan)]
    writer = tiny.fill(tmp_path, data, models, exclude_unreadable=True)
    assert np.isnan(writer.arrays["d/clean", "a"].read()).any(1).tolist() == [i == 2 for i in range(6)]


def nearly_tied(images_N3HW, logits_NC):
    """Class 1 wins by less than float16 can tell, which moves the top-1 to class 0."""
    return torch.tensor([[0.0, 1e-8, -1.0]]).expand(len(logits_NC), 3)


def test_float16_counts_the_top1_that_it_changed(tiny, tmp_path):
    data = tiny.dataset(10, torn=[3])
    models = [tiny.classifier("tied", alter=nearly_tied), tiny.classifier("a")]
    inference = Inference(4, "float16", None, False)
    writer = tiny.fill(tmp_path, data, models, inference=inference, exclude_unreadable=True)
    assert writer.arrays["d/clean", "tied"].note == 9
    assert writer.arrays["d/clean", "a"].note == 0


def test_bfloat16_autocast_runs_on_the_cpu_and_is_close(tiny, tmp_path):
    data, models = tiny.dataset(10), [tiny.classifier("a")]
    plain = tiny.fill(tmp_path, data, models).arrays["d/clean", "a"].read()
    inference = Inference(4, "float32", "bfloat16", False)
    reduced = tiny.fill(tmp_path, data, models, inference=inference).arrays["d/clean", "a"].read()
    assert not np.array_equal(plain, reduced)
    assert np.abs(plain - reduced).max() < 0.05 * np.abs(plain).max()


def test_the_memory_format_changes_rounding_only(tiny, tmp_path):
    data = tiny.dataset(10)
    first = tiny.fill(tmp_path, data, [tiny.classifier("a", 8)]).arrays["d/clean", "a"].read()
    inference = Inference(4, "float32", None, True)
    last = tiny.fill(tmp_path, data, [tiny.classifier("a", 8)], inference=inference)
    assert np.allclose(first, last.arrays["d/clean", "a"].read(), rtol=1e-5, atol=1e-5)


PLUG_IN = """
from nversion.corruptions import Corruption

class Darker(Corruption):
    name = "darker"
    parameters = {}

    def _draw(self, rng, height, width):
        return {}

    def _render(self, images_n3HW, columns, out_n3HW):
        out_n3HW.copy_(images_n3HW // 2)
"""


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Writes the file of a corruption of a third party and registers its class anew."""

    def write(source):
        path = tmp_path / "darker.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location("some_darker", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "some_darker", module)
        spec.loader.exec_module(module)
        monkeypatch.setitem(CORRUPTIONS._entries, "darker", module.Darker)

    return write


def test_an_edited_corruption_of_a_third_party_is_computed_anew(tiny, tmp_path, plug_in, forwards):
    data, models, conditions = tiny.dataset(10), [tiny.classifier("a")], [Condition("d", "darker", 1.0)]
    plug_in(PLUG_IN)
    first = tiny.fill(tmp_path / "store", data, models, conditions).arrays["d/darker-1", "a"].read()
    assert forwards == {"a": 3}
    tiny.fill(tmp_path / "store", data, models, conditions)
    assert forwards == {"a": 3}
    plug_in(PLUG_IN.replace("// 2", "// 3"))
    edited = tiny.fill(tmp_path / "store", data, models, conditions).arrays["d/darker-1", "a"].read()
    assert forwards == {"a": 6}
    assert not np.array_equal(first, edited)


def test_the_key_of_conditions_that_nversion_defines_holds_no_code(tiny):
    for condition in tiny.CONDITIONS:
        assert describe_condition(tiny.dataset(), tiny.CANONICAL, condition).keys() == {
            "rendering",
            "data",
            "canonical",
            "corruption",
            "severity",
            "seed",
        }


def test_an_unfinished_array_names_everything_that_its_bytes_depend_on(tiny):
    assert made_with(tiny.CPU) == {
        "device": "cpu",
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__.split("+")[0],
        "timm": timm.__version__,
        "pillow": PIL.__version__,
        "numpy": np.__version__,
        "nversion": nversion.__version__,
    }


def test_a_part_that_is_altered_while_the_run_goes_on_stops_it_and_is_computed_by_the_next(
    tiny, tmp_path, forwards
):
    data, models = tiny.dataset(10), [tiny.classifier("a")]

    def spoil(_):
        for path in tmp_path.rglob("part-000000-*.npy"):
            path.write_bytes(b"other")

    place(models, tiny.FLOAT32, tiny.CPU)
    writer = LogitsWriter(
        tmp_path, data, tiny.CANONICAL, tiny.CONDITIONS[:1], models, tiny.FLOAT32, tiny.CPU, on_step=spoil
    )
    with pytest.raises(UserError, match=r"found other bytes, set aside as .*; run again"):
        run(data, tiny.CANONICAL, tiny.CONDITIONS[:1], [writer], batch_size=4, device=tiny.CPU)
    forwards.clear()
    stored = tiny.fill(tmp_path, data, models, tiny.CONDITIONS[:1]).arrays["d/clean", "a"].read()
    assert forwards == {"a": 1}
    assert np.array_equal(stored, logits_by_hand(tiny, data, Condition("d"), models[0], 4))


@pytest.mark.gpu
def test_logits_of_a_gpu_are_those_of_the_cpu_within_the_stated_tolerance(tiny, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    images_N3HW = torch.from_numpy(tiny.images_NHW3(10)).permute(0, 3, 1, 2).float() / 255
    model = tiny.classifier("a", 64)
    with torch.inference_mode():
        on_cpu_NC = model(images_N3HW)
        on_gpu_NC = model.cuda()(images_N3HW.cuda()).cpu()
    assert (on_gpu_NC - on_cpu_NC).abs().max() < 1e-4 * on_cpu_NC.abs().max()

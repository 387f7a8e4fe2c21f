"""A run computes what is missing, says what it finds, and ends in the same tables whatever happened."""

import json
import math
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nversion.core import UserError
from nversion.core.study_files import read_table
from nversion.data.image_files import ImageFiles
from nversion.models import Classifier
from nversion.predictions.grams import attributed_samples
from nversion.study import make_plan, open_study, plan, run_study, say_plan
from nversion.study.estimates import seconds_of_tables
from nversion.study.pictures import chosen_samples, models_of_different_families
from nversion.study.spec import EnsemblesTable


class Lines:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.said, self.steps, self.total = [], 0, 0

    def say(self, text):
        self.said.append(text)

    def start(self, text, total):
        self.total += total

    def advance(self):
        self.steps += 1


@pytest.fixture
def again(finished, small, tmp_path):
    """A copy of a finished study with its inputs, to be changed."""
    shutil.copytree(finished.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path


def opened(small, folder, **changes):
    return open_study(small.spec(**changes), folder / "out", folder)


def stores(small, folder):
    """The files of all stores but the clock's readings."""
    of_stores = ("predictions", "attributions", "representations")
    files = small.files(folder / "out").items()
    return {name: content for name, content in files if name.startswith(of_stores)}


def same_tables(one, other, names=None):
    for path in sorted((one / "tables").glob("*.parquet")):
        if names is None or path.stem in names:
            assert read_table(one, path.stem).equals(read_table(other, path.stem)), path.stem


def test_the_plan_counts_what_is_missing_before_and_after(small, inputs, finished):
    before = make_plan(opened(small, inputs))
    # Four models, two conditions, three batches; eight attributed images under two conditions.
    assert (before.batches_total, before.batches_missing) == (24, 24)
    assert (before.maps_total, before.maps_missing) == (16, 16)
    assert before.ensembles == {2: 6, 3: 4}
    # Of each of two batches under two conditions a count and a similarity for every two of twelve entries.
    similarities = 2 * 2 * (1 + 12 * 12) * 8
    assert before.compared_missing == 16
    assert before.bytes_missing == 8 * 12 * 3 * 2 + 2 * 4 * 8 * 4 * 4 * 8 + similarities
    assert before.seconds > 0
    after = make_plan(open_study(small.spec(), finished, finished.parent))
    assert (after.batches_missing, after.maps_missing, after.bytes_missing) == (0, 0, 0)
    assert after.seconds == after.seconds_of_tables
    assert (after.batches_total, after.maps_total) == (24, 16)


def test_the_plan_counts_single_batches_of_an_interrupted_run(small, inputs, monkeypatch):
    interrupt(monkeypatch, after=7)
    with pytest.raises(KeyboardInterrupt):
        small.run(inputs)
    monkeypatch.undo()
    assert make_plan(opened(small, inputs)).batches_missing == 24 - 7


def interrupt(monkeypatch, after):
    """Raise KeyboardInterrupt once `after` batches of logits are stored."""
    from nversion.predictions import LogitsWriter

    original, stored = LogitsWriter._store, 0

    def store(self, *arguments):
        nonlocal stored
        if stored == after:
            raise KeyboardInterrupt
        stored += 1
        return original(self, *arguments)

    monkeypatch.setattr(LogitsWriter, "_store", store)


def test_a_plan_is_plain_data(small, inputs):
    from dataclasses import asdict

    facts = json.loads(json.dumps(asdict(make_plan(opened(small, inputs)))))
    assert facts["batches_missing"] == 24


def test_a_disk_that_is_too_small_is_told_before_anything_runs(small, inputs, monkeypatch):
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(
        UserError, match=r"expected 0.0 GB free in .*, found 0.0 GB; free some space, store float16, or name"
    ):
        small.run(inputs)
    assert not (inputs / "out" / "predictions").exists()


def test_interrupted_and_resumed_gives_the_stores_and_tables_of_one_go(small, inputs, finished, monkeypatch):
    interrupt(monkeypatch, after=10)
    with pytest.raises(KeyboardInterrupt):
        small.run(inputs)
    monkeypatch.undo()
    small.run(inputs)
    assert stores(small, inputs) == stores(small, finished.parent)
    same_tables(finished, inputs / "out")


def test_a_finished_study_runs_no_model_for_logits_or_maps(small, again, monkeypatch):
    calls = Counter()
    original = Classifier.forward

    def forward(self, images_N3HW):
        calls[self.name] += 1
        return original(self, images_N3HW)

    monkeypatch.setattr(Classifier, "forward", forward)
    before = stores(small, again)
    small.run(again, report={"images": 0, "maps": 0})
    assert calls == {"a": 1, "bb": 1, "ccc": 1, "dddd": 1}  # on a blank image, for the order of the layers
    assert stores(small, again) == before


def test_an_added_model_runs_alone_and_the_others_rows_stay(small, again, finished, monkeypatch):
    calls = Counter()
    original = Classifier.forward

    def forward(self, images_N3HW):
        calls[self.name] += 1
        return original(self, images_N3HW)

    monkeypatch.setattr(Classifier, "forward", forward)
    names = ["a", "bb", "ccc", "dddd", "eeeee"]
    models = [{"source": "python:models.py:build", "label_space": "tiny", "names": names}]
    run_study(small.spec(models=models, attribution=None, representation=None), again / "out", again)
    # Three batches under two conditions, and a trial of five small batches before.
    assert calls == {"eeeee": 6 + 5}
    old = read_table(finished, "models").select("model", "condition", "top1", "nll", "ece")
    assert old.join(read_table(again / "out", "models"), on=old.columns).height == old.height


def test_an_altered_array_is_named_and_the_tables_come_out_the_same(small, again, finished):
    path = next((again / "out" / "predictions").rglob("array.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    before, reporter = stores(small, finished.parent), Lines()
    run_study(small.spec(), again / "out", again, reporter)
    assert reporter.said[1] == (
        f"Set aside, it does not match its manifest and is computed again: {path.parent}.set-aside-0"
    )
    assert {k: v for k, v in stores(small, again).items() if "set-aside" not in k} == before
    same_tables(finished, again / "out")


def test_a_plan_names_what_it_set_aside(small, again):
    path = next((again / "out" / "attributions").rglob("array.npy"))
    path.write_bytes(b"torn")
    study, reporter = opened(small, again), Lines()
    say_plan(make_plan(study), study, reporter)
    assert reporter.said[0].endswith(f"computed again: {path.parent}.set-aside-0")


def test_a_plan_says_what_was_taken_of_a_checkpoint(small, again):
    study, reporter = opened(small, again), Lines()
    first = study.classifiers[0]
    first.card = replace(first.card, notes=("weights under prefix 'module.'",))
    say_plan(make_plan(study), study, reporter)
    assert f"{first.name}: weights under prefix 'module.'" in reporter.said


def test_progress_ends_where_it_was_announced(small, inputs):
    reporter = Lines()
    run_study(small.spec(), inputs / "out", inputs, reporter)
    assert reporter.steps == reporter.total


def truncate(folder, index):
    path = folder / "images" / f"{index:03d}.png"
    path.write_bytes(path.read_bytes()[:200])


def test_a_truncated_image_stops_the_run_and_is_named(small, inputs):
    truncate(inputs, 5)
    with pytest.raises(
        UserError, match=r"expected a whole image in .*/images/005.png, found .*; replace the file"
    ):
        small.run(inputs)


def test_an_excluded_image_is_counted_and_leaves_the_others_as_they_were(small, inputs, finished):
    truncate(inputs, 5)
    small.run(inputs, run={"unreadable": "exclude"})
    out = inputs / "out"
    assert read_table(out, "conditions").select("n", "excluded").rows() == [(11, 1), (11, 1)]
    assert read_table(out, "models")["n"].unique().to_list() == [11]
    assert list(json.loads((out / "manifest.json").read_text())["unreadable"]["d"]) == ["005.png"]
    others = np.arange(12) != 5
    for path in sorted((finished / "predictions" / "d" / "clean").glob("*/array.npy")):
        name = path.parent.name.rpartition("-")[0]
        torn = np.load(next((out / "predictions" / "d" / "clean").glob(f"{name}-*/array.npy")))
        assert np.array_equal(torn[others], np.load(path)[others])
        assert np.isnan(torn[5]).all()


def test_top1_with_an_excluded_image_is_the_share_of_the_others(small, inputs, finished):
    truncate(inputs, 5)
    small.run(inputs, run={"unreadable": "exclude"}, attribution=None)
    labels_N = np.delete(np.arange(12) % 3, 5)
    for row in read_table(inputs / "out", "models").iter_rows(named=True):
        array = next((finished / "predictions" / row["condition"]).glob(f"{row['model']}-*/array.npy"))
        right_N = np.delete(np.load(array), 5, axis=0).argmax(1) == labels_N
        assert row["top1"] == pytest.approx(right_N.mean())


def test_what_an_earlier_run_excluded_stops_a_run_that_says_stop(small, inputs):
    truncate(inputs, 5)
    small.run(inputs, run={"unreadable": "exclude"})
    with pytest.raises(UserError, match=r"expected a whole image in .*/images/005.png"):
        small.run(inputs, run={"unreadable": "stop"})


def test_a_data_set_without_readable_images_is_told(small, inputs):
    for index in range(12):
        truncate(inputs, index)
    with pytest.raises(UserError, match=r"two readable images in the data set 'd', found 0 of 12; replace"):
        small.run(inputs, run={"unreadable": "exclude"})


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("spoiled", r"finite logits from 'spoiled' under d/clean, found nan or inf on 4 of 4 images, first "
         r"on '000.png'; check its weights and preprocessing, or leave it out"),
        ("large", r"finite logits from 'large' under d/clean, found some further apart than float16 holds "
         r"on 4 of 4 images, first on '000.png'; set storage = \"float32\" under \[run\]"),
    ],
)  # fmt: skip
def test_logits_that_cannot_be_stored_are_told(small, inputs, name, sentence):
    models = [{"source": "python:models.py:build", "label_space": "tiny", "names": ["a", "bb", name]}]
    with pytest.raises(UserError, match=sentence):
        small.run(inputs, models=models, attribution=None, representation=None)


def test_float32_storage_amp_and_other_settings_run_to_the_end(small, inputs):
    small.run(inputs, run={"storage": "float32", "amp": "bfloat16", "channels_last": False})
    assert read_table(inputs / "out", "models")["changed_top1"].sum() == 0


def test_an_edited_model_file_is_run_anew_and_its_old_logits_stay(small, again):
    before = stores(small, again)
    path = again / "models.py"
    path.write_text(path.read_text().replace("sum(map(ord, name))", "1 + sum(map(ord, name))"))
    small.run(again, attribution=None)
    after = stores(small, again)
    assert before.items() < after.items()
    assert len(list((again / "out" / "predictions" / "d" / "clean").iterdir())) == 8


def test_a_sample_of_ensembles_is_taken_and_stated(small, inputs):
    reporter = Lines()
    spec = small.spec(ensembles={"sizes": [2, 3], "sample": 5, "num_blocks": 4}, attribution=None)
    plan = run_study(spec, inputs / "out", inputs, reporter)
    assert plan.ensembles == {2: 5, 3: 4}
    assert "5 of 2 members, 4 of 3 members (a sample of at most 5 a size)" in reporter.said[1]
    ensembles = read_table(inputs / "out", "ensembles").filter(consensus="vote", condition="d/clean")
    assert ensembles["size"].value_counts().sort("size").rows() == [(2, 5), (3, 4)]
    manifest = json.loads((inputs / "out" / "manifest.json").read_text())
    assert manifest["settings"]["ensembles"]["sample"] == 5


def test_corrupted_gains_are_related_to_clean_and_to_corrupted_diversity(finished):
    frame = read_table(finished, "correlations")
    pairs = frame.select("diversity_condition", "accuracy_condition").unique().sort(pl.all()).rows()
    assert pairs == [("d/clean", "d/clean"), ("d/clean", "d/lines-1"), ("d/lines-1", "d/lines-1")]


def test_few_images_of_a_data_set_are_attributed_by_a_seeded_choice(small, inputs):
    study = opened(small, inputs)
    chosen = attributed_samples(study.datasets["d"], study.spec.attribution)
    assert chosen.tolist() == sorted(set(chosen.tolist())) and len(chosen) == 8
    all_of_them = study.spec.attribution.model_copy(update={"images": 500})
    assert attributed_samples(study.datasets["d"], all_of_them).tolist() == list(range(12))


def test_pictures_show_readable_images_of_different_classes_first(small, inputs):
    dataset = opened(small, inputs).datasets["d"]
    whole = chosen_samples(dataset, 3, "samples")
    assert sorted(dataset.labels_N[whole].tolist()) == [0, 1, 2]
    truncate(inputs, whole[0])
    without = chosen_samples(opened(small, inputs).datasets["d"], 3, "samples")
    assert whole[0] not in without
    assert sorted(dataset.labels_N[without].tolist()) == [0, 1, 2]
    assert len(chosen_samples(dataset, 50, "samples")) == 11


def test_pictures_take_one_model_of_each_family_first(small, inputs):
    classifiers = opened(small, inputs).classifiers  # CNN, ViT, and two others of one family
    assert [c.name for c in models_of_different_families(classifiers, 3)] == ["a", "bb", "ccc"]
    assert [c.card.family for c in classifiers][2] == classifiers[3].card.family


def test_every_picture_is_a_png_of_the_canonical_size(finished):
    import io

    from PIL import Image

    for name in ("samples", "maps"):
        for png in read_table(finished, name)["png"]:
            image = Image.open(io.BytesIO(png))
            assert (image.format, image.size) == ("PNG", (16, 16))


def test_each_data_set_is_told_of_on_its_own(small, inputs):
    table = small.content()["data"]["d"]
    small.run(inputs, data={"e": {**table, "count": 5}}, attribution=None)
    assert read_table(inputs / "out", "conditions").select("condition", "n").rows() == [
        ("d/clean", 12), ("d/lines-1", 12), ("e/clean", 5), ("e/lines-1", 5),
    ]  # fmt: skip
    pairs = read_table(inputs / "out", "correlations").select("diversity_condition", "accuracy_condition")
    assert {(a[0], b[0]) for a, b in pairs.rows()} == {("d", "d"), ("e", "e")}


def test_images_are_decoded_once_for_logits_and_maps_of_all_models(small, inputs, monkeypatch):
    counts = Counter()
    original = ImageFiles.decode

    def decode(self, index):
        counts[index] += 1
        return original(self, index)

    monkeypatch.setattr(ImageFiles, "decode", decode)
    small.run(inputs, report={"images": 0, "maps": 0})
    assert counts == dict.fromkeys(range(12), 1)


def test_more_ensembles_than_memory_holds_are_refused_with_the_way_out(small, inputs, monkeypatch):
    monkeypatch.setattr(plan, "RESULTS_BYTES", 10_000)
    with pytest.raises(UserError, match=r"found \d+; set sample = \d+ or less under \[ensembles\]"):
        opened(small, inputs)


def test_ensembles_are_counted_before_they_are_made():
    spec = EnsemblesTable(sizes=[2, 40], sample=None)
    assert plan.num_ensembles(spec, 80) == {2: 3160, 40: math.comb(80, 40)}
    assert plan.num_ensembles(EnsemblesTable(sizes=[2, 40], sample=1000), 80) == {2: 1000, 40: 1000}


def test_tables_of_another_run_do_not_stay(small, inputs):
    folder = inputs / "tables-stay"
    run_study(small.spec(), folder, inputs)
    assert (folder / "tables" / "maps.parquet").exists()
    without = small.spec().model_copy(update={"attribution": None})
    run_study(without, folder, inputs)
    assert not (folder / "tables" / "maps.parquet").exists()


def test_a_second_run_still_says_why_an_image_was_left_out(small, inputs, tmp_path):
    shutil.copytree(inputs, tmp_path / "in")
    victim = sorted((tmp_path / "in").rglob("*.png"))[2]
    victim.write_bytes(victim.read_bytes()[:60])
    spec = small.spec(run={"unreadable": "exclude", "batch_size": 4})
    reasons = []
    for _ in range(2):
        run_study(spec, tmp_path / "out", tmp_path / "in")
        manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
        reasons.append(manifest["unreadable"])
    assert victim.name in str(reasons[0])
    assert reasons[0] == reasons[1]


def test_threads_are_in_the_manifest_and_change_no_table(small, inputs, tmp_path):
    tables = []
    for threads in (1, 2):
        folder = tmp_path / str(threads)
        run_study(small.spec(run={"threads": threads}, attribution=None, representation=None), folder, inputs)
        assert json.loads((folder / "manifest.json").read_text())["threads"] == threads
        tables.append((folder / "tables" / "ensembles.parquet").read_bytes())
    assert tables[0] == tables[1]


def test_the_time_of_tables_grows_with_what_they_hold():
    few = {"conditions": 2, "ensembles": 100, "measures": 10, "images": 1000, "classes": 10, "rules": 1}
    seconds = [seconds_of_tables(**few | more) for more in ({}, {"ensembles": 1000}, {"classes": 10_000})]
    assert seconds == sorted(seconds) and len(set(seconds)) == 3
    # The demo as it was measured: 24 s of tables, 17 of the report and 6 until they begin.
    demo = {"conditions": 5, "ensembles": 680, "measures": 45, "images": 4505, "classes": 10, "rules": 5}
    assert 30 < seconds_of_tables(**demo) < 60


def test_the_plan_tells_the_time_of_tables_where_no_model_runs(small, again):
    reporter = Lines()
    study = opened(small, again)
    plan = make_plan(study)
    say_plan(plan, study, reporter)
    assert plan.seconds == plan.seconds_of_tables > 18
    assert reporter.said[-1] == f"To run: no model; about {plan.seconds:.0f} s for start, tables and figures"

"""Every mistake in a study file is answered in one sentence: expected, found, next step."""

import pytest

from nversion.core import UserError
from nversion.study import open_study, parse_spec, read_spec


def answer(small, folder, **changes):
    """The sentence that a study with these changes gets."""
    with pytest.raises(UserError) as error:
        open_study(small.spec(**changes), folder / "out", folder)
    return str(error.value)


# What is wrong in the file itself, seen without opening anything.
IN_THE_FILE = {
    "unknown key": (
        {"run": {"bacth_size": 4}},
        "expected keys that a study knows in small.toml, found run.bacth_size; did you mean 'batch_size'?",
    ),
    "unknown key of an optional table": (
        {"attribution": {"image": 4}},
        "expected keys that a study knows in small.toml, found attribution.image; did you mean 'images' "
        "or 'targets'?",
    ),
    "unknown table": (
        {"ensemble": {"sizes": [2]}},
        "expected keys that a study knows in small.toml, found ensemble; did you mean 'ensembles'?",
    ),
    "missing table": (
        {"study": None},
        "expected study in small.toml, found nothing; add it; a whole example comes from: nversion study new",
    ),
    "no models": (
        {"models": None},
        "expected models in small.toml, found nothing; "
        "add it; a whole example comes from: nversion study new",
    ),
    "wrong type": (
        {"run": {"batch_size": "many"}},
        "expected a sound value of run.batch_size in small.toml, found 'many' (Input should be a valid "
        "integer, "
        "unable to parse string as an integer); correct it and run again",
    ),
    "out of range": (
        {"run": {"batch_size": 0}},
        "expected a sound value of run.batch_size in small.toml, found 0 (Input should be greater than "
        "or equal "
        "to 1); correct it and run again",
    ),
    "no such choice": (
        {"run": {"storage": "float8"}},
        "expected a sound value of run.storage in small.toml, found 'float8' (Input should be 'float16' or "
        "'float32'); correct it and run again",
    ),
    "sizes of one": (
        {"ensembles": {"sizes": [1, 2]}},
        "expected a sound value of ensembles.sizes in small.toml, found [1, 2] (an ensemble has at least 2 "
        "members; single models are in the tables anyway); correct it and run again",
    ),
    "no condition": (
        {"conditions": {"clean": False, "corruptions": {}}},
        "expected a sound value of conditions in small.toml, found {'clean': False, 'corruptions': {}} (no "
        "condition is asked for: set clean = true or name a corruption); correct it and run again",
    ),
    "a corruption without severity": (
        {"conditions": {"clean": True, "corruptions": {"lines": []}}},
        "expected a sound value of conditions in small.toml, found {'clean': True, 'corruptions': "
        "{'lines': []}} "
        "(lines has no severity: name one, or take the line out); correct it and run again",
    ),
    "a severity that is no number": (
        {"conditions": {"corruptions": {"lines": "strong"}}},
        "expected a sound value of conditions.corruptions.lines.0 in small.toml, found 'strong' (Input "
        "should be "
        "a valid number, unable to parse string as a number); correct it and run again",
    ),
    "a name that is no file name": (
        {"study": {"name": "../up"}},
        "expected a sound value of study.name in small.toml, found '../up' (String should match pattern "
        "'^[A-Za-z0-9][A-Za-z0-9._-]*$'); correct it and run again",
    ),
    "a data set named like a folder above": (
        {"data": {"..": {}}},
        "expected a sound value of data in small.toml, found {'d': {'source': 'folder', 'path': 'images', "
        "'label_space': 'tiny', 'num_classes': 3}, '..': {}} (a data set cannot be called '..': no slashes, "
        "no dot in front); correct it and run again",
    ),
    "no pattern": (
        {"attribution": {"conditions": []}},
        "expected a sound value of attribution.conditions in small.toml, found [] (List should have at "
        "least 1 "
        "item after validation, not 0); correct it and run again",
    ),
}

# What does not fit the rest of the package, the data or the models.
TOGETHER = {
    "unknown corruption": (
        {"conditions": {"corruptions": {"linse": 1.0}}},
        "expected a known corruption, found 'linse'; did you mean 'lines' or 'perlin_noise' or 'blue_noise'?",
    ),
    "severity out of range": (
        {"conditions": {"corruptions": {"lines": -1.0}}},
        "expected a severity from 0 to 1000 for lines, found -1.0; see the levels in use with: "
        "nversion corruptions ls",
    ),
    "severity twice": (
        {"conditions": {"corruptions": {"lines": [1.0, 1.0]}}},
        "expected each condition once, found 'd/lines-1' 2 times; "
        "name it once, or give the second a name of its own",
    ),
    "unknown consensus": (
        {"ensembles": {"consensus": ["voting"]}},
        "expected a known consensus rule, found 'voting'; did you mean 'vote'?",
    ),
    "consensus twice": (
        {"ensembles": {"consensus": ["vote", "vote"]}},
        "expected each consensus rule once, found 'vote' 2 times; "
        "name it once, or give the second a name of its own",
    ),
    "unknown diversity metric": (
        {"ensembles": {"diversity": ["disagrement"]}},
        "expected a known diversity metric, found 'disagrement'; did you mean 'disagreement' or "
        "'label_disagreement'?",
    ),
    "diversity metric twice": (
        {"ensembles": {"diversity": ["entropy", "entropy"]}},
        "expected each diversity metric once, found 'entropy' 2 times; "
        "name it once, or give the second a name of its own",
    ),
    "unknown attribution method": (
        {"attribution": {"methods": ["salience"]}},
        "expected a known attribution method, found 'salience'; did you mean 'saliency'?",
    ),
    "sizes above the number of models": (
        {"ensembles": {"sizes": [3, 5]}},
        "expected ensembles of at most 4 members, the number of models, found sizes = [3, 5]; "
        "ask for smaller ensembles or name more models",
    ),
    "a pattern beside one that matches": (
        {"attribution": {"conditions": ["*/clean", "d/line-1"]}},
        "expected patterns that match a condition under attribution.conditions, found 'd/line-1'; "
        "did you mean 'd/lines-1' or 'd/clean'?",
    ),
    "a pattern of representations that matches nothing": (
        {"representation": {"conditions": ["d/cleen"]}},
        "expected patterns that match a condition under representation.conditions, found 'd/cleen'; "
        "did you mean 'd/clean' or 'd/lines-1'?",
    ),
    "unknown baseline": (
        {"study": {"name": "small", "baseline": "cc"}},
        "expected a known model as study.baseline, found 'cc'; did you mean 'ccc'?",
    ),
    "unknown model of pictures": (
        {"report": {"map_models": ["ddd"]}},
        "expected a known model under report.map_models, found 'ddd'; did you mean 'dddd'?",
    ),
    "no such device": (
        {"run": {"device": "cudda"}},
        "expected a device that this machine has, found device = 'cudda'; "
        'set device = "auto" or "cpu"; see: nversion doctor',
    ),
    "a device that keeps nothing": (
        {"run": {"device": "meta"}},
        "expected a device that this machine has, found device = 'meta'; "
        'set device = "auto" or "cpu"; see: nversion doctor',
    ),
    "unknown setting of a data set": (
        {"data": {"d": {"source": "folder", "path": "images", "labelspace": "tiny"}}},
        "expected a setting of the data set 'd' (folder), found 'labelspace'; "
        "did you mean 'label_space' or 'labels' or 'label_column'?",
    ),
    "unknown source": (
        {"data": {"d": {"source": "foldr"}}},
        "expected a known data set source, found 'foldr'; did you mean 'folder' or 'imagefolder'?",
    ),
    "two label spaces": (
        {"data": {"d": {"source": "digits"}}},
        "expected one label space for all models and data sets of a study, found 'digits' of 10 classes (the "
        "data set 'd') and 'tiny' of 3 classes (the model 'a'); leave one out, or correct its `label_space`",
    ),
    "labels out of range": (
        {"data": {"d": {"source": "folder", "path": "images", "label_space": "tiny", "num_classes": 2}}},
        "expected labels 0 to 1 of the label space 'tiny', found label 2 in line 4 of "
        "{folder}/images/labels.csv "
        "(002.png); correct the label (they are 0-based), or name the label space it belongs to",
    ),
    "resize of a squashed image": (
        {"canonical": {"resize": 20}},
        "expected no `resize` with mode 'squash' of the canonical image, found 20; "
        "leave it out, or use mode 'crop'",
    ),
}


OF = {"source": "folder", "path": "images", "label_space": "tiny", "num_classes": 3}

# What would end a run only when every model has run, or never.
LIMITS = {
    "a seed of the study": ({"conditions": {"seed": 2**63}}, "conditions.seed in small.toml, found 9223372"),
    "a seed of a sample": ({"ensembles": {"seed": 2**63}}, "ensembles.seed"),
    "a seed of draws": ({"ensembles": {"draw_seed": 2**64}}, "ensembles.draw_seed"),
    "a seed of maps": ({"attribution": {"seed": 2**63}}, "attribution.seed"),
    "a seed of representations": ({"representation": {"seed": 2**63}}, "representation.seed"),
    "blocks": ({"ensembles": {"num_blocks": 10**9}}, "ensembles.num_blocks .* less than or equal to 10000"),
    "a batch": ({"run": {"batch_size": 10**9}}, "run.batch_size .* less than or equal to 65536"),
    "severities": (
        {"conditions": {"corruptions": {"lines": [0.1] * 101}}},
        "conditions.corruptions.lines .* at most 100 items",
    ),
    "a severity": ({"conditions": {"corruptions": {"lines": float("nan")}}}, "lines.0 .* a finite number"),
    "a long name of a study": ({"study": {"name": "a" * 201}}, "study.name .* at most 200 characters"),
    "a control character": ({"data": {"a\x07": OF}}, r"data in .* called 'a\\x07': a control character"),
    "half a character": ({"data": {"a\udc80": OF}}, "bytes that are not UTF-8"),
    "a long name": ({"data": {"ä" * 101: OF}}, "202 bytes, more than 200"),
    "two names in one folder": ({"data": {"val": OF, "Val": OF}}, "'val' and 'Val' are one folder where"),
    "an empty path": ({"hazards": {"groups": ""}}, "hazards.groups .* at least 1 character"),
    "a blank path": ({"conditions": {"severities": " "}}, "conditions.severities .* match pattern"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_what_would_end_a_run_late_is_refused_in_the_file(small, limit):
    changes, sentence = LIMITS[limit]
    with pytest.raises(UserError, match=sentence):
        small.spec(**changes)


@pytest.mark.parametrize("name", ["a\tb", "ä" * 101, "\x7f"])
def test_a_model_is_called_what_a_folder_can_be(small, inputs, name):
    models = [{**small.content()["models"][0], "names": ["a", name], "families": {}}]
    sentence = answer(small, inputs, models=models, ensembles={"sizes": [2]})
    assert sentence.startswith(
        "expected a name of a model that can be a folder's: at most 200 bytes of UTF-8"
    )
    assert sentence.endswith("; give it another `name`")


@pytest.mark.parametrize("name", ["fog\n", "f" * 250])
def test_a_corruption_of_ones_own_is_called_what_a_folder_can_be(small, inputs, monkeypatch, name):
    from nversion.corruptions import CORRUPTIONS

    monkeypatch.setitem(CORRUPTIONS._entries, name, CORRUPTIONS["lines"])
    sentence = answer(small, inputs, conditions={"corruptions": {name: [1]}})
    assert sentence.startswith("expected a name of a condition that can be a folder's: at most 200 bytes")


def test_an_empty_path_of_a_data_set_is_refused(small, inputs):
    assert answer(small, inputs, data={"d": OF | {"path": ""}}) == (
        "expected a path as 'path' of the data set 'd' (folder), found an empty text; write the path, or "
        "leave the setting out"
    )


def test_all_ensembles_of_many_models_are_counted_not_made(small, inputs):
    names = [f"m{i}" for i in range(60)]
    models = [{**small.content()["models"][0], "names": names, "families": {}}]
    sentence = answer(small, inputs, models=models, ensembles={"sizes": [30]})
    assert "found 118,264,581,564,861,424; set sample = " in sentence


@pytest.mark.parametrize("mistake", IN_THE_FILE)
def test_a_mistake_in_the_file_is_told(small, mistake):
    changes, sentence = IN_THE_FILE[mistake]
    with pytest.raises(UserError) as error:
        small.spec(**changes)
    assert str(error.value) == sentence


@pytest.mark.parametrize("mistake", TOGETHER)
def test_what_does_not_fit_together_is_told_before_anything_runs(small, inputs, mistake):
    changes, sentence = TOGETHER[mistake]
    assert answer(small, inputs, **changes) == sentence.replace("{folder}", str(inputs))
    assert not (inputs / "out").exists()


def test_one_model_table_in_single_brackets_is_told(small):
    tables = small.content(models=None) | {"models": {"source": "timm:resnet18"}}
    with pytest.raises(UserError, match=r"sound value of models in x.toml, .*Input should be a valid list"):
        parse_spec(tables, "x.toml")


def test_a_missing_study_file_is_told_how_to_get_one(tmp_path):
    with pytest.raises(
        UserError,
        match=r"expected a study file, found .*none.toml, which cannot be read \(No such file or "
        r"directory\); write one with: nversion study new none.toml",
    ):
        read_spec(tmp_path / "none.toml")


def test_text_that_is_no_toml_is_told_with_its_line(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("[study]\nname = small\n")
    with pytest.raises(UserError, match=r"expected TOML, found .*bad.toml: .*line 2.*; correct that line"):
        read_spec(path)


def test_a_study_file_that_is_no_utf8_is_told(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_bytes(b'[study]\nname = "\xff\xfe"\n')
    with pytest.raises(
        UserError, match=r"expected UTF-8 text in .*bad.toml, found other bytes; save the file"
    ):
        read_spec(path)


def test_one_severity_is_a_list_of_one(small):
    assert small.spec(conditions={"corruptions": {"lines": 2}}).conditions.corruptions == {"lines": [2.0]}


def test_sizes_are_asked_for_once_each_in_order(small):
    assert small.spec(ensembles={"sizes": [3, 2, 3]}).ensembles.sizes == [2, 3]


def test_a_clean_and_a_corrupted_condition_of_each_data_set(small, inputs):
    table = small.content()["data"]["d"]
    study = open_study(
        small.spec(
            data={"e": {**table, "count": 5}}, conditions={"seed": 3, "corruptions": {"lines": [1, 2]}}
        ),
        inputs / "out",
        inputs,
    )
    assert [c.name for c in study.conditions] == [
        "d/clean", "d/lines-1-seed3", "d/lines-2-seed3", "e/clean", "e/lines-1-seed3", "e/lines-2-seed3",
    ]  # fmt: skip
    assert [len(d) for d in study.datasets.values()] == [12, 5]

"""Commands answer quickly, end with examples or the next command, and tell a mistake in one sentence."""

import json
import os
import subprocess
import sys

import pytest
import typer
from PIL import Image

from nversion.cli.main import app
from nversion.core import UserError
from nversion.core.extras import EXTRAS
from nversion.study import read_spec


def commands():
    """Every command with its words, groups included."""
    found = {(): typer.main.get_command(app)}
    for name, command in typer.main.get_command(app).commands.items():
        found[name,] = command
        for inner, leaf in getattr(command, "commands", {}).items():
            found[name, inner] = leaf
    return found


LEAVES = [words for words, command in commands().items() if not hasattr(command, "commands")]


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_a_commands_help_ends_with_two_examples_of_it(call, words):
    code, out, _ = call(*words, "--help")
    tail = out[out.index("Examples:") :]
    assert code == 0
    assert tail.count("nversion " + " ".join(words)) == 2


def test_help_ends_with_two_examples(call):
    code, out, _ = call("--help")
    assert code == 0
    assert out[out.index("Examples:") :].count("nversion ") == 2


def test_help_imports_nothing_heavy():
    program = (
        "import sys; sys.argv = ['nversion', '--help']\n"
        "from nversion.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = 'torch torchvision timm captum polars altair scipy sklearn pydantic jinja2 PIL'.split()\n"
        "print('heavy:', [name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["studdy"], "No such command 'studdy'. Did you mean 'study'?"),
        (["study", "plna"], "No such command 'plna'. Did you mean 'plan'?"),
        (["corruptions", "sohw"], "No such command 'sohw'. Did you mean 'show'?"),
        (["doctor", "--jsno"], "No such option: --jsno"),
        (["study", "plan"], "Missing argument 'STUDY.toml'"),
        (
            ["corruptions", "show", "waterdrop"],
            "error: expected a known corruption, found 'waterdrop'; did you mean 'water_drop'",
        ),
        (
            ["models", "show", "tim:resnet18"],
            "error: expected a known model source, found 'tim'; did you mean 'timm'?\n",
        ),
        (["models", "ls", "resnat50"], "found 'resnat50'; did you mean 'resnet50'"),
        (["study", "run", "none.toml"], "write one with: nversion study new none.toml\n"),
        (["report", "nothing"], "expected a finished study in nothing"),
    ],
)
def test_an_unknown_name_is_answered_with_exit_code_two(call, tmp_path, monkeypatch, arguments, answer):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert answer in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments", [["--debug", "study", "plan", "x.toml"], ["study", "plan", "x.toml", "--debug"]]
)
def test_debug_anywhere_shows_the_traceback(monkeypatch, tmp_path, arguments):
    from nversion.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nversion", *arguments])
    with pytest.raises(UserError, match="expected a study file"):
        main()


def test_a_folder_that_cannot_be_written_is_told_in_one_sentence(call, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = call("study", "new", tmp_path / "file" / "study.toml")
    assert code == 2
    assert err.startswith(f"error: expected {tmp_path / 'file'}") and err.count("\n") == 1
    assert err.endswith("; correct the path or its permissions\n")


@pytest.mark.parametrize(
    ("arguments", "of"),
    [
        (["study", "run", "s.toml", "--folder", ""], "--folder"),
        (["train", "r.toml", "--folder="], "--folder"),
        (["study", "plan", " "], "every argument"),
    ],
)
def test_an_empty_argument_is_refused(call, arguments, of):
    assert call(*arguments) == (
        2,
        "",
        f"error: expected a value of {of}, found an empty text; is a variable of the shell unset? write the "
        "value, or leave the option out\n",
    )


@pytest.mark.parametrize("option", ["--help", "--no-pretrained"])
def test_options_without_a_value_are_not_empty(option):
    from nversion.cli.main import _refuse_empty

    _refuse_empty(["models", option, "a=", "b"])


def test_a_seed_beyond_64_bits_is_refused(call):
    code, _, err = call("demo", "--seed", 2**63)
    assert code == 2 and "9223372036854775807" in "".join(err.split())


def test_a_pipe_is_no_study_file(call, tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    code, _, err = call("study", "plan", tmp_path / "pipe.toml")
    assert code == 2 and "cannot be read (a pipe or a device, which may never end)" in err


def test_the_version_is_told(call):
    import nversion

    assert call("--version") == (0, f"nversion {nversion.__version__}\n", "")


def test_a_new_study_file_is_a_study_and_is_not_overwritten(call, tmp_path):
    path = tmp_path / "mine.toml"
    code, out, _ = call("study", "new", path)
    assert code == 0
    assert out.splitlines()[-1] == f"Next: edit it, then: nversion study plan {path}"
    assert read_spec(path).ensembles.sizes == [2, 3]
    path.write_text("mine")
    code, _, err = call("study", "new", path)
    assert (code, err) == (
        2,
        f"error: expected a new file, found {path}, which exists; name another, or add --force\n",
    )
    assert path.read_text() == "mine"
    assert call("study", "new", path, "--force")[0] == 0
    assert read_spec(path).study.name == "my-study"


def test_corruptions_are_listed_as_json(call):
    rows = json.loads(call("corruptions", "ls", "--json")[1])
    of = {row["corruption"]: row for row in rows}
    assert of["lines"]["paper strength, 224 px"] == 1.6
    assert of["scatter"]["levels, 32 px"][:2] == [1.4, 1.8]
    assert of["fog"]["group"] == "imagenet-c-weather" and of["fog_cifar"]["group"] == "cifar-c"
    assert of["chromatic_abberation"]["also known as"] == ["chromatic_aberration"]
    assert len(of) >= 49 + 19


def test_corruptions_are_listed_as_a_table_with_the_next_command(call):
    code, out, _ = call("corruptions", "ls")
    assert code == 0
    assert "checkerboard_cutout" in out
    assert out.splitlines()[-1] == "Next: nversion corruptions show"


def test_models_are_listed_as_json(call):
    rows = json.loads(call("models", "ls", "torchvision:resnet1*", "--json")[1])
    assert [row["source"] for row in rows] == [f"torchvision:resnet{n}" for n in (101, 152, 18)]
    assert "IMAGENET1K_V1" in rows[0]["pretrained"]
    assert [len(row["training_data"]) for row in rows] == [len(row["pretrained"]) for row in rows]
    assert rows[0]["training_data"][0] == ["imagenet-1k"]


def test_the_list_for_people_has_no_room_for_descent(call):
    assert "training_data" not in call("models", "ls", "torchvision:resnet1*")[1]


def test_a_models_card_is_shown_without_weights(call):
    code, out, _ = call("models", "show", "timm:mobilenetv3_small_050", "--no-pretrained", "--json")
    (card,) = json.loads(out)
    assert code == 0
    assert (card["model"], card["classes"], round(card["macs"] / 1e6)) == ("mobilenetv3_small_050", 1000, 24)
    assert (card["architecture"], card["training_data"], card["seed"]) == ("mobilenetv3_small_050", [], 0)


def test_the_doctor_tells_versions_and_devices_as_json(call):
    import torch

    facts = {row["what"]: row["value"] for row in json.loads(call("doctor", "--json")[1])}
    assert facts["torch"] == torch.__version__.split("+")[0]
    assert {"cpu cores", "memory", "free disk here", "hugging face cache"} <= facts.keys()


def test_names_with_brackets_are_printed_as_they_are(capsys):
    from nversion.cli.console import print_rows

    print_rows([{"data": "val[red]"}], as_json=False)
    assert "val[red]" in capsys.readouterr().out


def test_a_contact_sheet_is_a_png(call, tmp_path):
    path = tmp_path / "sheet.png"
    code, out, _ = call("corruptions", "show", "lines", "--size", 32, "--out", path)
    assert code == 0
    assert f"Wrote {path}" in out
    with Image.open(path) as image:
        assert image.format == "PNG"


def test_a_contact_sheet_of_ones_own_image(call, tmp_path):
    Image.new("RGB", (40, 30), "orange").save(tmp_path / "photo.jpg")
    path = tmp_path / "sheet.png"
    options = ["--image", tmp_path / "photo.jpg", "--size", 32, "--out", path]
    assert call("corruptions", "show", "--group", "imagenet-c-blur", *options)[0] == 0
    assert path.exists()


def test_all_sheets_are_a_file_for_each_group(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, _ = call("corruptions", "show", "--size", 16, "--tile", 16, "--out", "all.jpg")
    assert code == 0
    groups = {"imagenet-c-bar", "imagenet-c-extra"}
    groups |= {f"{large}-{part}" for large in ("c-bar-candidates", "cifar-c") for part in (1, 2)}
    groups |= {f"imagenet-c-{kind}" for kind in ("noise", "blur", "weather", "digital")}
    assert {path.name for path in tmp_path.glob("*.jpg")} >= {f"all-{group}.jpg" for group in groups}
    with Image.open("all-imagenet-c-bar.jpg") as image:
        assert image.size == (4 + 6 * 20, 4 + 10 * 36)


def test_an_unknown_group_is_told_the_nearest_name(call):
    code, _, err = call("corruptions", "show", "--group", "imagenet-c-blurs")
    assert (
        code == 2
        and "a group of corruptions, found 'imagenet-c-blurs'; did you mean 'imagenet-c-blur'" in err
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--out", "sheet.gif"],
            "error: expected a .png or .jpg file to write, found sheet.gif; name it sheet.png, say\n",
        ),
        (
            ["--image", "none.png"],
            "error: expected an image file, found none.png, no such file; name another --image",
        ),
    ],
)
def test_a_contact_sheet_that_cannot_be_made_is_told(call, tmp_path, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    code, _, err = call("corruptions", "show", *options)
    assert code == 2
    assert err.startswith(sentence)


def test_the_doctor_names_every_extra_of_the_package_and_how_to_install_it(call, monkeypatch):
    from importlib import metadata

    shown = {row["what"] for row in json.loads(call("doctor", "--json")[1])}
    assert {name for _, names in EXTRAS.values() for name in names.values()} <= shown
    version = metadata.version

    def none(package):
        if package == "pymoo":
            raise metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(metadata, "version", none)
    (row,) = (row for row in json.loads(call("doctor", "--json")[1]) if row["what"] == "pymoo")
    assert row["value"] == "not installed"
    assert row["note"] == 'optional: search in supernets; pip install "nversion[nas]"'


def test_models_are_listed_without_python_s_brackets(call):
    _, out, _ = call("models", "ls", "torchvision:resnet18")
    assert "IMAGENET1K_V1" in out and "(" not in out.replace("(guessed)", "")


def test_a_model_of_one_s_own_can_be_shown_with_all_its_settings(call, tmp_path):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\n"
        "def build(name, width):\n    return nn.Sequential(nn.Flatten(), nn.Linear(3 * width ** 2, 4))\n"
    )
    table = "preprocessing={input_size=5, mean=[0, 0, 0], std=[1, 1, 1], resize='pillow'}"
    settings = [part for one in ("args={width=5}", "label_space=four", table) for part in ("--set", one)]
    code, out, _ = call(
        "models", "show", f"python:{tmp_path}/nets.py:build", "--name", "a", *settings, "--json"
    )
    (facts,) = json.loads(out)
    assert code == 0 and facts["model"] == "a" and facts["macs"] == 300 and facts["resize"] == "pillow"
    assert facts["label_space"] == "four"


def test_a_setting_without_a_value_is_told(call):
    code, _, err = call("models", "show", "timm:resnet18", "--set", "size")
    assert code == 2 and "expected --set KEY=VALUE, found 'size'; write it as" in err

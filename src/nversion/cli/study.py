"""`nversion study new | plan | run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nversion.core.errors import UserError

from .console import ConsoleReporter, examples, next_command, print_rows, results_folder

if TYPE_CHECKING:
    from nversion.study import StudySpec

app = typer.Typer(help="Write, plan and run a study.", no_args_is_help=True)

Spec = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="Study file.")]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Folder for results. Default: runs/NAME of the study."),
]

TEMPLATE = """\
# A study file. Question: which ensembles of these models fail together least?
# Paths are relative to this file. Plan it with `nversion study plan`, run it with `nversion study run`.

[study]
name = "my-study"
question = "Which three of these models make the most resilient ensemble?"

[data.val]                      # any name; several data sets may stand here
source = "folder"               # or imagenet, imagenetv2, imagefolder, npz, parquet, torchvision, digits
path = "images"                 # a folder with labels.csv (columns: file, label; labels are 0-based)
label_space = "imagenet-1k"
# count = 1000                  # a seeded part of the images
# max_pixels = 89478485         # height times width of the largest image that is decoded
# accepted = "accepted.csv"     # further labels that count as right: columns sample_id, labels
# terms = "where the images come from and what they may be used for"

[canonical]                     # the image that corruptions and models see
size = 224
mode = "crop"                   # or "squash"

[conditions]
clean = true
# severities = "severities.toml"  # of `nversion corruptions severities`: what costs a model a given accuracy
# as_released = true            # through JPEG as ImageNet-C was, so that mCE compares with published numbers
# sets = ["imagenet-c"]         # published ones: imagenet-c, imagenet-c-extra, imagenet-c-bar, cifar-10-c, …

[conditions.corruptions]        # name = severity, or a list of severities
plasma_noise = 4.0
checkerboard_cutout = 4.0
water_drop = 7.0
lines = 1.6

# [conditions.stored.released]  # corrupted images on disk: ImageNet-C, CIFAR-10-C, or `corruptions apply`
# path = "ImageNet-C"
# corruptions = ["fog", "snow"] # all that are there when left out; so for severities = [1, 3, 5]

[[models]]
source = "timm:resnet50.a1_in1k"

[[models]]
source = "torchvision:mobilenet_v3_large"

[[models]]
source = "timm:deit_tiny_patch16_224.fb_in1k"

# Your own classes: name them once, in the data set and in every model.
#   [data.val]
#   label_space = "signs"       # any name
#   num_classes = 43
#   [[models]]
#   source = "file:weights/a.safetensors"      # with its architecture and preprocessing:
#   arch = "timm:resnet18"
#   num_classes = 43
#   weights = "ema"             # of a checkpoint with averaged weights as well; "plain" when left out
#   label_space = "signs"
#   preprocessing = { input_size = 64, mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] }
#   [[models]]
#   source = "python:my_models.py:build"       # build(name) returns a module, or (module, preprocessing)
#   names = ["small", "large"]
#   label_space = "signs"
# Models of timm see images of the size at which their weights were evaluated; or `size = "train"`.
# `preprocessing = { resize = "pillow" }` resizes the canonical image to a model's size as Pillow does.
# `plan` loads every model, so it downloads pretrained weights that are not in the cache yet.

[ensembles]
sizes = [2, 3]
consensus = ["average", "probability", "median", "geometric_mean", "vote"]
# sample = 1000                 # a seeded sample of so many ensembles a size, instead of all
# draw_seed = 0                 # settle tied votes by a seeded draw, instead of their expected accuracy
# diversity = ["disagreement"]  # instead of every metric that nversion knows

[attribution]                   # leave this table out to skip attributions
methods = ["saliency"]          # grad_cam, input_x_gradient, integrated_gradients-10 (passes)
targets = ["predicted", "label"]  # or "ensemble": what the mean of all models predicts
normalise = ["none", "l2"]
images = 128                    # a seeded part; leave out for all
conditions = ["*"]              # shell patterns on condition names

[representation]                # CKA between the layers of all models; leave this table out to skip it
batches = 4                     # whole batches of images, a seeded choice
# layers = ["layer?.*"]         # patterns on module names, instead of stages and blocks
# maps = ["saliency"]           # attribution maps that are compared, too

[reliability]                   # which facts of the models' cards make methodologies
group_by = ["family", "training"]

# [benchmark]
# baseline = "alexnet"          # of corruption errors: a model of this study, or published errors
# published = "rows.csv"        # your own: columns name, clean, corruptions (fog: all levels; fog-3: one)

# [hazards]
# groups = "groups.csv"         # columns class, group
# costs = "costs.csv"           # columns label, taken, cost

[run]
device = "auto"
# threads = 4                   # of torch; left out: all cores. Two studies on one machine: half each
batch_size = 64
storage = "float16"
"""


@app.command(epilog=examples("nversion study new study.toml", "nversion study new road-signs.toml --force"))
def new(
    path: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="File to write.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented study file to start from."""
    from nversion.core import write_text

    if path.exists() and not force:
        raise UserError(
            expected="a new file", found=f"{path}, which exists", next_step="name another, or add --force"
        )
    write_text(path, TEMPLATE)
    typer.echo(f"Wrote {path}")
    next_command(f"edit it, then: nversion study plan {path}")


@app.command(epilog=examples("nversion study plan study.toml", "nversion study plan study.toml --json"))
def plan(
    spec: Spec,
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Print what is cached, what will run, how long it takes and the disk space it needs."""
    from dataclasses import asdict

    from nversion.core import only_run
    from nversion.study import make_plan, open_study, say_plan

    content, target = _read(spec, folder)
    with only_run(target):  # looking at a store tidies it, which a run in progress must not meet
        opened = open_study(content, target, spec.parent)
        planned = make_plan(opened)
    if as_json:
        print_rows([asdict(planned)], as_json=True)
        return
    say_plan(planned, opened, ConsoleReporter())
    next_command(f"nversion study run {spec}" + (f" --folder {folder}" if folder else ""))


@app.command(
    epilog=examples("nversion study run study.toml", "nversion study run study.toml --folder /data/study")
)
def run(
    spec: Spec,
    folder: Folder = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Skip figures and report.")] = False,
) -> None:
    """Run what is missing, then write tables, figures and report.html; resume after an interruption."""
    from nversion.report import build_report
    from nversion.study import run_study

    content, target = _read(spec, folder)
    text = spec.read_bytes()  # now: someone may edit the file while the models run
    with ConsoleReporter() as reporter:
        run_study(content, target, spec.parent, reporter)
        _keep_copy(text, spec, target)
        if not no_report:
            reporter.start("Figures and report", 1)
            report = build_report(target)
            reporter.advance()
    typer.echo(f"Tables: {target / 'tables'}")
    if no_report:
        next_command(f"nversion report {target}")
    else:
        typer.echo(f"Report: {report}")
        next_command(f"nversion report {target} --open")


def _keep_copy(text: bytes, spec: Path, folder: Path) -> None:
    """Copy the study file to the folder of its results."""
    from nversion.core import write_bytes

    copy = folder / "study.toml"
    if copy.resolve() != spec.resolve():
        write_bytes(copy, text)


def _read(path: Path, folder: Path | None) -> tuple[StudySpec, Path]:
    from nversion.study import read_spec

    content = read_spec(path)
    return content, results_folder(folder, content.study.name)

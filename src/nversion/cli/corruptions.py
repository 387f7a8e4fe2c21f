"""`nversion corruptions ls | show | apply | severities`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nversion.core.errors import UserError

from .console import LARGEST_SEED, ConsoleReporter, console, examples, next_command, print_rows

if TYPE_CHECKING:
    from torch import Tensor

    from nversion.severity_search import FoundSeverity

app = typer.Typer(
    help="List and draw corruptions, search for severities, write corrupted data sets.", no_args_is_help=True
)

ROWS_OF_A_SHEET = 10  # where all are drawn, so that none is too tall to look at


@app.command(epilog=examples("nversion corruptions ls", "nversion corruptions ls --json"))
def ls(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the corruptions by group, with their levels at 224 and at 32 pixels."""
    from nversion.corruptions import (
        CORRUPTIONS,
        PAPER_STRENGTHS_CIFAR,
        PAPER_STRENGTHS_IMAGENET,
        grouped,
        levels_of,
    )

    aliases: dict[str, list[str]] = {}
    for alias, name in CORRUPTIONS.aliases.items():
        aliases.setdefault(name, []).append(alias)
    rows = [
        {
            "group": group,
            "corruption": name,
            "levels, 224 px": list(levels_of(name, 224)),
            "levels, 32 px": list(levels_of(name, 32)),
            "paper strength, 224 px": PAPER_STRENGTHS_IMAGENET.get(name),
            "paper strength, 32 px": PAPER_STRENGTHS_CIFAR.get(name),
            "also known as": aliases.get(name, []),
            "what it does": (CORRUPTIONS[name].__doc__ or "").split("\n")[0],
        }
        for group, names in grouped().items()
        for name in names
    ]
    print_rows(rows if as_json else [_in_words(row) for row in rows], as_json=as_json)
    if not as_json:
        next_command("nversion corruptions show")


def _in_words(row: dict[str, Any]) -> dict[str, Any]:
    """A row for people: levels by their ends, without the paper's strengths."""

    def ends(levels: list[float]) -> str:
        return f"{levels[0]:g} … {levels[-1]:g} ({len(levels)})" if len(levels) > 1 else f"{levels[0]:g}"

    return {
        "group": row["group"],
        "corruption": row["corruption"],
        "levels, 224 px": ends(row["levels, 224 px"]),
        "32 px": ends(row["levels, 32 px"]),
        "what it does": row["what it does"]
        + "".join(f" Also known as {alias}." for alias in row["also known as"]),
    }


@app.command(
    epilog=examples(
        "nversion corruptions show", "nversion corruptions show water_drop --image photo.jpg --out sheet.png"
    )
)
def show(
    name: Annotated[str | None, typer.Argument(help="Corruption to draw. Default: all.")] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Group to draw, a name that `corruptions ls` prints.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Image to corrupt. Default: a drawn picture.")] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=4096,
            help="Side of the canonical image in pixels. Default: 224, 32 for CIFAR-10-C.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the corruption's random parameters.")
    ] = 0,
    tile: Annotated[
        int | None,
        typer.Option(min=8, max=4096, help="Side of a tile in pixels. Default: the image's side."),
    ] = None,
    out: Annotated[Path, typer.Option(help="PNG or JPEG file to write.")] = Path("corruptions.png"),
) -> None:
    """Write contact sheets: a row for each corruption, columns of five published levels.

    Without a corruption or a group, write one file per group (two for a large group), named after --out.
    """
    from nversion.core import whole_file
    from nversion.corruptions import CORRUPTIONS, contact_sheet, shown_levels

    kind = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}.get(out.suffix.lower())
    if kind is None:
        raise UserError(
            expected="a .png or .jpg file to write", found=str(out), next_step="name it sheet.png, say"
        )
    for which, names in _asked(name, group).items():
        of_cifar = all(
            one.endswith("_cifar") and CORRUPTIONS[one].__module__.startswith("nversion.") for one in names
        )
        side = size or (32 if of_cifar else 224)
        drawn = tile or (3 * side if side < 64 else None)
        rows = [(one, shown_levels(one, side)) for one in names]
        sheet = contact_sheet(_canonical(image, side), rows, seed, drawn)
        path = out if name or group else out.with_name(f"{out.stem}-{which}{out.suffix}")
        with whole_file(path) as temporary:
            sheet.save(temporary, kind, quality=80, optimize=kind == "PNG")
        typer.echo(f"Wrote {path}")
    next_command("name corruptions and severities in a study file: nversion study new study.toml")


def _asked(name: str | None, group: str | None) -> dict[str, list[str]]:
    """Names of corruptions by sheet.

    Raises:
        UserError: a name is unknown, before any image is read.
    """
    from nversion.core import did_you_mean, spans
    from nversion.corruptions import CORRUPTIONS, grouped

    if name is not None and group is not None:
        raise UserError(
            expected="a corruption or a group",
            found=f"{name!r} and {group!r}",
            next_step="leave one of them out",
        )
    if name is not None:
        CORRUPTIONS[name]
        return {name: [CORRUPTIONS.aliases.get(name, name)]}
    groups = grouped()
    if group is None:
        return {
            f"{one}-{1 + start // ROWS_OF_A_SHEET}" if len(names) > ROWS_OF_A_SHEET else one: names[
                start:stop
            ]
            for one, names in groups.items()
            for start, stop in spans(len(names), ROWS_OF_A_SHEET)
        }
    if group not in groups:
        raise UserError(
            expected="a group of corruptions", found=repr(group), next_step=did_you_mean(group, list(groups))
        )
    return {group: groups[group]}


def _canonical(image: Path | None, side: int) -> Tensor:
    """The canonical image of a file, or the drawn picture."""
    import torch

    from nversion.corruptions import picture
    from nversion.data import Canonical, UnreadableImageError, decode_image

    if image is None:
        return picture(side)
    try:
        return torch.from_numpy(Canonical(size=side).render(decode_image(image)))
    except UnreadableImageError as error:
        raise UserError(
            expected="an image file", found=f"{image}, {error.found}", next_step="name another --image"
        ) from error


@app.command(
    epilog=examples(
        "nversion corruptions apply study.toml --out val-c --dry-run",
        "nversion corruptions apply images.toml --out cifar10-c --layout cifar-c --workers 8",
    )
)
def apply(
    spec: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.toml", help="Study file, or a file with its tables data, canonical and conditions."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="TREE", help="Folder to write.")],
    layout: Annotated[
        str,
        typer.Option(
            "--layout",
            help="imagenet-c: JPEG in corruption/severity/class, which changes results by up to some points; "
            "png: the same without loss; cifar-c: one .npy a corruption, without loss.",
        ),
    ] = "imagenet-c",
    quality: Annotated[int, typer.Option("--quality", help="JPEG quality, 1 to 100.")] = 85,
    as_released: Annotated[
        bool,
        typer.Option(
            "--as-released",
            help="Compress images as ImageNet-C was released (JPEG of quality 85), in every layout.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Number of worker processes. Default: one per core.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and exit.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking for confirmation.")] = False,
) -> None:
    """Write corrupted data sets to disk in the layout of a published benchmark.

    Run the same command to resume after an interruption. Studies read such trees as conditions.
    """
    from nversion.core import usable_cores
    from nversion.data.trees import check_disk, check_workers, plan_tree, write_tree
    from nversion.study import duration, read_images_spec, say_hidden, say_released, trees_of

    workers = workers if workers is not None else usable_cores()
    check_workers(workers)
    command = f"nversion corruptions apply {spec} --out {out}"
    with ConsoleReporter() as reporter:
        asked = read_images_spec(spec)
        if as_released:
            conditions = asked.conditions.model_copy(update={"as_released": True})
            asked = asked.model_copy(update={"conditions": conditions})
        trees = trees_of(asked, spec.parent, out, layout, quality)
        if layout != "imagenet-c":
            say_released(asked, [one for tree in trees for one in tree.conditions], reporter)
        say_hidden([tree.dataset for tree in trees], reporter)
        if layout == "imagenet-c":
            reporter.say(
                f"JPEG of quality {quality} changes the images once more, accuracies by up to some points; "
                "--layout png keeps every pixel"
            )
        plans = [plan_tree(tree) for tree in trees]
        for tree, plan in zip(trees, plans, strict=True):
            done = plan.images_total - plan.images_missing
            reporter.say(
                f"{tree.dataset.name} to {tree.folder} ({tree.layout}): {len(tree.conditions)} conditions of "
                f"{len(tree.dataset):,} images; {done:,} of {plan.images_total:,} are there"
            )
            if plan.images_missing:
                reporter.say(
                    f"To write: {plan.images_missing:,} images, about {plan.bytes_missing / 1e6:,.0f} MB "
                    f"({plan.bytes_free / 1e9:,.0f} GB free), about {duration(plan.seconds / workers)} "
                    f"with {workers} worker{'' if workers == 1 else 's'}"
                )
        check_disk(plans, out)
    if dry_run:
        next_command(command + (f" --layout {layout}" if layout != "imagenet-c" else ""))
        return
    if any(plan.images_missing for plan in plans) and not yes and console.is_terminal:
        typer.confirm("Write them?", default=True, abort=True)
    with ConsoleReporter() as reporter:
        for tree, plan in zip(trees, plans, strict=True):
            if plan.chunks_missing:
                reporter.start(f"Writing {tree.dataset.name}", plan.chunks_missing)
            write_tree(tree, workers, reporter.advance)
    typer.echo(f"Wrote {out}")
    next_command(
        f"read it in a study: [conditions.stored.{_name_of(out)}] with path = {str(out.resolve())!r}, "
        "then nversion study plan STUDY.toml"
    )


@app.command(
    epilog=examples(
        "nversion corruptions severities study.toml --model resnet50 --drop 0.1 --out severities.toml",
        "nversion corruptions severities study.toml --model small --drop 0.1 --drop 0.2 --corruption fog "
        "--corruption lines --count 1000 --out severities.toml",
    )
)
def severities(
    spec: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.toml", help="Study file, or a file with its tables data, canonical and models."
        ),
    ],
    model: Annotated[str, typer.Option("--model", help="Name of the reference model in the file.")],
    drop: Annotated[
        list[float],
        typer.Option("--drop", help="Drop in accuracy from clean images, as a fraction; repeatable."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="SEVERITIES.toml", help="File to write.")],
    corruption: Annotated[
        list[str] | None,
        typer.Option("--corruption", help="Corruption to search; repeatable. Default: the file's, or all."),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="Data set, where the file has several.")] = None,
    count: Annotated[
        int | None, typer.Option("--count", help="Size of a random part of the images. Default: all images.")
    ] = None,
    part_seed: Annotated[
        int, typer.Option("--part-seed", min=0, max=LARGEST_SEED, help="Seed of the part.")
    ] = 0,
) -> None:
    """Find the severity of each corruption that costs a reference model a given accuracy.

    Measured answers are kept in a folder next to the written file: another call with more corruptions or
    drops, or after an interruption, measures only what is missing.
    """
    import os

    from nversion.core import write_text
    from nversion.severity_search import search_severities, severities_toml
    from nversion.study import read_pool_spec
    from nversion.study.reference import asked_corruptions, open_reference

    content = read_pool_spec(spec)
    names = corruption or asked_corruptions(content)
    with ConsoleReporter() as reporter:
        reference = open_reference(content, spec.parent, model, data, count, part_seed)
        rows = search_severities(reference, names, drop, out.with_suffix(".measured"), reporter)
    print_rows([_found(row) for row in rows], as_json=False)
    write_text(out, severities_toml(reference, rows))
    typer.echo(f"Wrote {out}")
    named = os.path.relpath(out, spec.parent)  # as the study file would name it
    next_command(f'set severities = "{named}" under [conditions] of {spec}, then: nversion study plan {spec}')


def _found(row: FoundSeverity) -> dict[str, Any]:
    of_severity = "" if row.severity_low is None else f"{row.severity_low:.4g} to {row.severity_high:.4g}"
    return {
        "corruption": row.corruption,
        "drop asked": f"{row.target:g}",
        "severity": "none" if row.severity is None else f"{row.severity:g}",
        "95 % interval": of_severity,
        "measured at": f"{row.measured_at:g}",
        "top-1": f"{row.accuracy:.3f}",
        "drop": f"{row.drop:.3f} ({row.drop_low:.3f} to {row.drop_high:.3f})",
        "images": row.num_images,
        "note": row.note,
    }


def _name_of(out: Path) -> str:
    """The folder's name as it may stand in a study file."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in out.resolve().name)
    return name.strip("-_") or "tree"

"""`nversion corruptions ls | show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nversion.core.errors import UserError

from .console import examples, next_command, print_rows

app = typer.Typer(help="List corruptions and look at them.", no_args_is_help=True)


@app.command(epilog=examples("nversion corruptions ls", "nversion corruptions ls --json"))
def ls(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the corruptions with the strengths of the paper."""
    from nversion.corruptions import CORRUPTIONS, PAPER_STRENGTHS_CIFAR, PAPER_STRENGTHS_IMAGENET

    rows = [
        {
            "corruption": name,
            "paper strength, 224 px": PAPER_STRENGTHS_IMAGENET.get(name),
            "paper strength, 32 px": PAPER_STRENGTHS_CIFAR.get(name),
            "what it does": (CORRUPTIONS[name].__doc__ or "").split("\n")[0],
        }
        for name in CORRUPTIONS
    ]
    print_rows(rows, as_json=as_json)
    if not as_json:
        next_command("nversion corruptions show")


@app.command(
    epilog=examples(
        "nversion corruptions show", "nversion corruptions show water_drop --image photo.jpg --out sheet.png"
    )
)
def show(
    name: Annotated[str | None, typer.Argument(help="One corruption; all when left out.")] = None,
    image: Annotated[Path | None, typer.Option(help="Your image; a digit when left out.")] = None,
    size: Annotated[int, typer.Option(min=1, max=4096, help="Side of the canonical image in pixels.")] = 224,
    seed: Annotated[int, typer.Option(min=0, help="Of the corruption's random choices.")] = 0,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("corruptions.png"),
) -> None:
    """Write a contact sheet: one row a corruption, one column a severity."""
    import torch

    from nversion.core import whole_file
    from nversion.corruptions import CORRUPTIONS, contact_sheet, levels_of
    from nversion.data import Canonical, UnreadableImageError, decode_image, open_dataset

    if out.suffix.lower() != ".png":
        raise UserError(expected="a .png file to write", found=str(out), next_step="name it sheet.png, say")
    if name is not None:
        CORRUPTIONS[name]  # an unknown name is told before any image is read
    try:
        pixels = open_dataset({"source": "digits"}).decode(0) if image is None else decode_image(image)
    except UnreadableImageError as error:
        raise UserError(
            expected="an image file", found=f"{image}, {error.found}", next_step="name another --image"
        ) from error
    canonical = torch.from_numpy(Canonical(size=size).render(pixels))
    names = [name] if name is not None else list(CORRUPTIONS)
    sheet = contact_sheet(canonical, [(n, levels_of(n, size)[:5]) for n in names], seed)
    with whole_file(out) as temporary:
        sheet.save(temporary, "PNG")
    typer.echo(f"Wrote {out}")
    next_command("name corruptions and severities in a study file: nversion study new study.toml")

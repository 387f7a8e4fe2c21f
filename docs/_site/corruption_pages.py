"""A page for every corruption that comes with nversion: what it does, its picture, and an example."""

from __future__ import annotations

import inspect
import io

from generated import Generated
from nversion.corruptions import CORRUPTIONS, contact_sheet, grouped, levels_of, picture, shown_levels
from nversion.corruptions.groups import ABOUT, CIFAR_C

SECTION = "Corruptions"


def corruption_pages() -> list[Generated]:
    """An overview, and a page for every corruption."""
    overview = Generated("corruptions/index.md", _overview(), "Overview", SECTION)
    pages = [
        Generated(f"corruptions/{name}.md", _page(name, group), name, SECTION)
        for group, names in grouped().items()
        for name in names
    ]
    return [overview, *pages]


def corruption_pictures() -> list[Generated]:
    """The picture of every corruption's page."""
    return [
        Generated(f"corruptions/{name}.png", _picture(name, group))
        for group, names in grouped().items()
        for name in names
    ]


def _overview() -> str:
    lines = [
        "# Corruptions",
        "",
        "Every corruption that comes with nversion, by the published set that it belongs to. For the same",
        "parameters the pixels are those of the published code, in every batch, worker and thread count.",
        "Severities compare within one corruption only: [severity 3 of two benchmarks is not one thing]"
        "(../gotchas.md#severity-3-of-two-benchmarks-is-not-one-thing).",
        "",
    ]
    for group, names in grouped().items():
        side = _side(group)
        lines += [
            f"## {ABOUT[group]}",
            "",
            f"`nversion corruptions show --group {group} --out sheet.png` draws them.",
            "",
        ]
        lines += [f"| corruption | what it does | severities at {side} px |", "|---|---|---|"]
        for name in names:
            levels = ", ".join(f"{level:g}" for level in levels_of(name, side))
            lines.append(f"| [`{name}`]({name}.md) | {_summary(name)} | {levels} |")
        lines.append("")
    return "\n".join(lines)


def _page(name: str, group: str) -> str:
    side = _side(group)
    summary, _, details = _docstring(name).partition("\n\n")
    described = details.partition(">>>")[0].replace("Limit:", "Cost:").strip()
    rows = [f"| `{key}` | {kind} |" for key, kind in CORRUPTIONS[name].parameters.items()]
    return "\n".join(
        [
            f"# {name}",
            "",
            summary,
            "",
            f"![A drawing at {side} pixels, and the same under five severities of {name}]({name}.png)",
            "",
            described,
            "",
            f"It belongs to the group `{group}`: {ABOUT[group]}. Severities in use at {side} pixels: "
            + ", ".join(f"{level:g}" for level in levels_of(name, side))
            + ".",
            "",
            "| parameter of one image | values |",
            "|---|---|",
            *rows,
            "",
            "## Example",
            "",
            "```python",
            "import nversion as nv",
            "",
            f"images = nv.corruptions.picture({side})[None]  # uint8 (N, 3, H, W)",
            f'corrupted = nv.corrupt(images, "{name}", severity={shown_levels(name, side)[2]:g}, seed=0)',
            "corrupted.shape, (corrupted.float() - images).abs().mean()",
            "```",
            "",
        ]
    )


def _picture(name: str, group: str) -> bytes:
    side = _side(group)
    rows = [(name, shown_levels(name, side))]
    png = io.BytesIO()
    contact_sheet(picture(side), rows, tile=None if side > 32 else 96).save(png, "PNG", optimize=False)
    return png.getvalue()


def _docstring(name: str) -> str:
    return inspect.getdoc(CORRUPTIONS[name]) or ""


def _summary(name: str) -> str:
    return " ".join(_docstring(name).partition("\n\n")[0].split())


def _side(group: str) -> int:
    return 32 if group == CIFAR_C else 224

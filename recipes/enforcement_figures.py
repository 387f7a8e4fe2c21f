"""The paper's figures 10 to 12 of what enforcement_results.py evaluated.

    python recipes/enforcement_figures.py --trained runs/gtsrb/enforcement --tracks runs/gtsrb/tracks.npz \\
        --heterogeneous runs/gtsrb/heterogeneous --triple deit/seed-0 mnasnet_1/seed-0 squeezenet/seed-0 \\
        --out docs/results

enforcement-accuracy.png: accuracy of the average of each heuristic under each condition, mean over seeds with
Student's 95 % interval (Fig. 10). enforcement-maps.png: pixels of eight clean images of held-out tracks, as
bright as the saliency of the predicted class is high, for the members of one seed (Fig. 11); the first images
of a seeded order that are of different classes and not dark. enforcement-layers.png: CKA of the layers of the
first two members of one seed (Fig. 12).
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import polars as pl
import torch
from enforcement_measures import NUM_CKA, predict, seeded_part
from enforcement_results import BASELINE, conditions, members_of
from PIL import Image, ImageDraw
from scipy import stats
from torch import Tensor

from nversion.attribution import attribute, masked
from nversion.models import Classifier
from nversion.report import Figure
from nversion.report.charts import CATEGORIES, ROWS, percent_axis
from nversion.representations import compare_representations

SHOWN = (BASELINE, "gncl-average", "eq8-0.001", "cosine")
TRIPLE = "heterogeneous"
NUM_IMAGES = 8
LEAST_BRIGHTNESS = 90  # of 255: pixels of a dark image are black under any map
SIDE = 64  # pixels of one image in the picture


def save(image: Image.Image, path: Path) -> None:
    """As a PNG of 64 colours."""
    image.convert("RGB").quantize(64).save(path, optimize=True)
    print(path)


def save_chart(chart: Any, rows: pl.DataFrame, path: Path) -> None:
    """A chart of named rows, in the look of the report."""
    figure = Figure("", "", "", chart, {"rows": rows}, panel_width=0)
    save(Image.open(io.BytesIO(figure.render("png"))), path)


def accuracies(trained: Path) -> pl.DataFrame:
    """Mean and interval over seeds, of heuristics that learned at least half of what the baseline did."""
    rows = []
    for condition in (c.name.split("/")[1] for c in conditions("evaluate")):
        for variant in sorted({run.parts[-3] for run in trained.glob("*/seed-*/training.json")}):
            kept = sorted(trained.glob(f"{variant}/seed-*/evaluation-evaluate-{condition}.npz"))
            found = np.array([np.load(file)["right_N"].mean() for file in kept])
            half = stats.t.ppf(0.975, max(len(found) - 1, 1)) * found.std(ddof=1) / np.sqrt(len(found))
            rows.append((variant, condition, found.mean(), found.mean() - half, found.mean() + half))
    table = pl.DataFrame(rows, schema=["heuristic", "condition", "accuracy", "low", "high"], orient="row")
    clean = table.filter(condition="clean")
    least = clean.filter(heuristic=BASELINE)["accuracy"][0] / 2
    learned = clean.filter(pl.col("accuracy") >= least)["heuristic"].to_list()
    return table.filter(pl.col("heuristic").is_in(learned))


def accuracy_chart(table: pl.DataFrame) -> Any:
    """A panel a condition, a row a heuristic, the baseline first."""
    order = sorted(table["heuristic"].unique(), key=lambda name: (name != BASELINE, name))
    base = alt.Chart().encode(
        y=alt.Y("heuristic:N", sort=order, axis=alt.Axis(title=None)),
        color=alt.Color("heuristic:N", sort=order, scale=alt.Scale(range=CATEGORIES), legend=None),
    )
    axis = percent_axis("accuracy of the average", tickCount=4)
    interval = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", scale=alt.Scale(zero=False), axis=axis), x2="high:Q"
    )
    mean = base.mark_point(filled=True, size=70).encode(x="accuracy:Q")
    panels = alt.layer(interval, mean, data=ROWS).properties(width=190, height=150)
    names = [c.name.split("/")[1] for c in conditions("evaluate")]
    return panels.facet(
        facet=alt.Facet("condition:N", sort=names, header=alt.Header(title=None)), columns=3
    ).resolve_scale(x="independent")


def maps_picture(ensembles: dict[str, list[Classifier]], images_N3HW: Tensor) -> Image.Image:
    """A row for the images, then one for each member; a column an image."""
    left, num_rows = 190, 1 + sum(map(len, ensembles.values()))
    sheet = Image.new("RGB", (left + SIDE * len(images_N3HW), SIDE * num_rows), color="white")
    draw = ImageDraw.Draw(sheet)

    def put(row: int, label: str, pictures_N3HW: list[Tensor]) -> None:
        draw.text((6, row * SIDE + SIDE // 2 - 6), label, fill="black")
        for column, picture in enumerate(pictures_N3HW):
            tile = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
            sheet.paste(
                tile.resize((SIDE, SIDE), Image.Resampling.NEAREST), (left + column * SIDE, row * SIDE)
            )

    put(0, "image", list(images_N3HW))
    row = 1
    floats = images_N3HW.float() / 255
    for name, members in ensembles.items():
        for member in members:
            predicted_N = predict([member], floats)[0].argmax(-1)
            maps_N3HW = attribute(member, floats, predicted_N, "saliency", True)
            shown = [
                masked(image, own, smoothing=1 / 40)
                for image, own in zip(images_N3HW, maps_N3HW, strict=True)
            ]
            put(row, f"{name}: {member.name}", shown)
            row += 1
    return sheet


def layers_table(ensembles: dict[str, list[Classifier]], images_N3HW: Tensor) -> pl.DataFrame:
    """CKA of every layer of the first member with every layer of the second, of each ensemble."""
    found = []
    for name, (first, second, *_) in ensembles.items():
        cka = compare_representations(first, second, torch.split(images_N3HW, 64))
        between = cka.filter(pl.col("model_a") == first.name, pl.col("model_b") == second.name)
        found.append(
            between.select(
                pl.lit(f"{name}: {first.name} (down), {second.name}").alias("ensemble"),
                pl.col("depth_a").alias("down"),
                pl.col("depth_b").alias("across"),
                "value",
            )
        )
    return pl.concat(found)


def layers_chart(table: pl.DataFrame) -> Any:
    """A heatmap an ensemble."""
    order = table["ensemble"].unique(maintain_order=True).to_list()
    return (
        alt.Chart(ROWS)
        .mark_rect()
        .encode(
            x=alt.X("across:O", axis=alt.Axis(title="block, first to last", labelAngle=0)),
            y=alt.Y("down:O", axis=alt.Axis(title=None)),
            color=alt.Color(
                "value:Q",
                scale=alt.Scale(scheme="viridis", domain=[0, 1], clamp=True),
                legend=alt.Legend(title="CKA"),
            ),
        )
        .properties(width=220, height=220)
        .facet(
            facet=alt.Facet("ensemble:N", sort=order, header=alt.Header(title=None, labelLimit=260)),
            columns=3,
        )
        .resolve_scale(x="independent", y="independent")
    )


def main() -> None:
    """Draw all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trained", type=Path, required=True)
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--heterogeneous", type=Path, required=True)
    parser.add_argument("--triple", nargs=3, required=True, metavar="VARIANT/seed-S")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = accuracies(given.trained)
    save_chart(accuracy_chart(table), table, given.out / "enforcement-accuracy.png")
    ensembles = {name: members_of(given.trained / name / "seed-0" / "training.json") for name in SHOWN}
    ensembles[TRIPLE] = [
        member for name in given.triple for member in members_of(given.heterogeneous / name / "training.json")
    ]
    file = np.load(given.tracks, allow_pickle=False)
    images_N3HW = torch.from_numpy(file["x_evaluate"]).permute(0, 3, 1, 2).contiguous()
    order = seeded_part(len(images_N3HW), NUM_CKA)
    bright = order[images_N3HW[order].float().mean((1, 2, 3)) > LEAST_BRIGHTNESS]
    _, first_N = np.unique(file["y_evaluate"][bright], return_index=True)
    some = images_N3HW[bright[np.sort(first_N)[:NUM_IMAGES]]]
    save(maps_picture(ensembles, some), given.out / "enforcement-maps.png")
    layers = layers_table(ensembles, images_N3HW[order].float() / 255)
    save_chart(layers_chart(layers), layers, given.out / "enforcement-layers.png")


if __name__ == "__main__":
    main()

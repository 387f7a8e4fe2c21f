"""Why Eq. 8 diverges and its bounded successor does not, step by step.

    python recipes/why_eq8_diverges.py --tracks runs/gtsrb/tracks.npz --out docs/results/eq8

Three members learn German traffic signs under Eq. 8 (attribution_variance, at three weights) and under
attribution_cosine, from the same weights and on the same batches. At every step: the length of the maps, the
cross-entropy, the length of the penalty's gradient as a multiple of the cross-entropy's, and the cosine
between the two gradients (−1: what one gains the other loses).
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from nversion.models.untrained import seeded
from PIL import Image
from torch import Tensor

from nversion.core import generator
from nversion.losses import TrainingBatch, make_loss
from nversion.models import Preprocessing
from nversion.training.members import Members
from nversion.training.optimizers import make_optimizer
from nversion.training.recipe import MapsTable
from nversion.training.small_networks import PREPROCESSING, build

LOSSES = {
    "Eq. 8, λ = 1": {"name": "attribution_variance", "weight": 1.0},
    "Eq. 8, λ = 0.01": {"name": "attribution_variance", "weight": 0.01},
    "Eq. 8, λ = 0.001": {"name": "attribution_variance", "weight": 0.001},
    "cosine, λ = 0.5": {"name": "attribution_cosine", "weight": 0.5, "warm_up": 0.0},
}
BATCH = 64


def gradients(term: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """The gradient of a term over all parameters, flat; 0 where a parameter does not matter."""
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(found, parameters, strict=True)]
    )


def trace(spec: dict[str, Any], images_N3HW: Tensor, labels_N: Tensor, steps: int) -> list[dict[str, float]]:
    """Train for so many steps and measure each; stops where a number is no longer finite."""
    modules = []
    for member in range(3):
        with seeded(member):
            modules.append(build("resnet", int(labels_N.max()) + 1)[0].train())
    members = Members(modules, [Preprocessing(**PREPROCESSING)] * 3, MapsTable(images=32))
    parameters = list(members.parameters())
    optimizer = make_optimizer({"name": "adabelief", "learning_rate": 1e-2}, parameters)
    loss = make_loss(spec)
    order = generator("why eq 8").permutation(len(labels_N))
    rows: list[dict[str, float]] = []
    for step in range(steps):
        index = torch.from_numpy(order[step * BATCH : (step + 1) * BATCH])
        outputs = members(images_N3HW[index], labels_N[index], loss.needs)
        assert outputs.maps_MNP is not None
        terms = loss(TrainingBatch(outputs.logits_MNC, labels_N[index], outputs.maps_MNP, epoch=9.0))
        own, penalty = terms.values()
        own_P, penalty_P = gradients(own, parameters), gradients(penalty, parameters)
        row = {
            "step": step + 1,
            "length of the maps": outputs.maps_MNP.norm(dim=-1).mean().item(),
            "cross-entropy": own.item(),
            "gradient of the penalty by that of the cross-entropy": (penalty_P.norm() / own_P.norm()).item(),
            "cosine of the two gradients": torch.nn.functional.cosine_similarity(
                own_P, penalty_P, dim=0
            ).item(),
        }
        if not all(np.isfinite(value) for value in row.values()):
            break
        rows.append(row)
        optimizer.zero_grad()
        torch.autograd.backward(own + penalty)
        optimizer.step()
    return rows


def figure(table: pl.DataFrame) -> Any:
    """Four panels over the steps, a line for each loss."""
    import altair as alt

    def panel(metric: str) -> Any:
        is_log = "cosine" not in metric
        shown = table.filter(pl.col(metric) > 0) if is_log else table  # the cosine's gradient may be 0
        scale = alt.Scale(type="log" if is_log else "linear")
        return (
            alt.Chart(alt.Data(values=shown.to_dicts()))
            .mark_line(strokeWidth=1.5)
            .encode(
                x=alt.X("step:Q", title="step"),
                y=alt.Y(f"{metric}:Q", title=None, scale=scale, axis=alt.Axis(tickCount=4)),
                color=alt.Color("loss:N", title=None, sort=list(LOSSES)),
            )
            .properties(width=330, height=180, title=metric)
        )

    first, second, third, fourth = (panel(name) for name in table.columns if name not in ("step", "loss"))
    return (first | second) & (third | fourth)


def main() -> None:
    """Train, write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=110)
    given = parser.parse_args()
    torch.set_num_threads(1)
    file = np.load(given.tracks, allow_pickle=False)
    images = torch.from_numpy(file["x_fit"]).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(file["y_fit"])
    rows = [
        {"loss": name, **row}
        for name, spec in LOSSES.items()
        for row in trace(spec, images, labels, given.steps)
    ]
    table = pl.DataFrame(rows)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(given.out.with_suffix(".parquet"))
    drawn = io.BytesIO()
    figure(table).save(drawn, format="png", ppi=80)
    Image.open(drawn).convert("RGB").quantize(64).save(given.out.with_suffix(".png"), optimize=True)
    print(table.group_by("loss", maintain_order=True).agg(pl.all().last()))


if __name__ == "__main__":
    main()

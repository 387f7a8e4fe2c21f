"""A page for every registered diversity metric: its facts, a picture of its values, an example."""

from __future__ import annotations

import inspect

import altair as alt
import numpy as np
import polars as pl
import vl_convert

import nversion as nv
from generated import Generated
from nversion.diversity import Metric, metrics_of

SECTION = "Metrics"
APPLIED_TO = {
    "pairs": "right and wrong answers of every pair; the value of an ensemble is the mean over its pairs",
    "failure counts": "the number of members that fail on each sample",
    "outputs": "softmax outputs of every pair; the value of an ensemble is the mean over its pairs",
    "votes": "the classes that the members predict",
    "likelihood": "the likelihood of the ensemble and of its members",
    "layers": "activations of layers",
    "maps": "attribution maps",
}
STEPS = 9
SHOWN = 5_000, 5  # samples and classes of the picture


def metric_pages() -> list[Generated]:
    """An overview, and a page for every metric."""
    overview = Generated("metrics/index.md", _overview(), "Overview", SECTION)
    pages = [Generated(f"metrics/{one.name}.md", _page(one), one.label, SECTION) for one in _shown()]
    others = [
        Generated(f"metrics/{name}.md", page, title, SECTION) for name, title, page in _functions_alone()
    ]
    return [overview, *pages, *others]


def metric_pictures() -> list[Generated]:
    """The picture of every metric's page that has one."""
    labels_N = np.arange(SHOWN[0]) % SHOWN[1]
    values: dict[str, list[float]] = {}
    for step in range(STEPS):
        predictions = nv.Predictions.from_arrays(_logits(step / (STEPS - 1)), labels_N)
        found = nv.evaluate(predictions, sizes=[3], consensus=["average"]).diversity
        for name, value in found.select("metric", "value").iter_rows():
            values.setdefault(name, []).append(value)
    return [
        Generated(f"metrics/{one.name}.svg", _svg(values[one.name], one.label).encode()) for one in _shown()
    ]


def _shown() -> list[Metric]:
    return [one for one in metrics_of().values() if one.function is not None]


def _logits(independence: float) -> np.ndarray:
    """Logits (3, N, C) of three models of one accuracy, with the same (0) to independent (1) errors."""
    rng = np.random.default_rng(0)
    num_samples, num_classes = SHOWN
    shared_NC, own_3NC = rng.normal(size=(num_samples, num_classes)), rng.normal(size=(3, *SHOWN))
    noise = np.sqrt(1 - independence) * shared_NC + np.sqrt(independence) * own_3NC
    return noise + 2 * np.eye(num_classes)[np.arange(num_samples) % num_classes]


def _svg(values: list[float], label: str) -> str:
    frame = pl.DataFrame({"independence": np.linspace(0, 1, len(values)), label: values})
    chart = (
        alt.Chart(frame.drop_nans(), width=420, height=220)
        .mark_line(point=True)
        .encode(
            alt.X("independence", title="errors of three models: from the same (0) to independent (1)"),
            alt.Y(label, title=label, scale=alt.Scale(zero=False)),
        )
    )
    return vl_convert.vegalite_to_svg(chart.to_json())


def _bounds(metric: Metric) -> str:
    low, high = (f"{bound:.4g}".replace("inf", "∞").replace("-", "−") for bound in metric.bounds(3))
    return f"{low} to {high}"


def _direction(metric: Metric) -> str:
    return "high is diverse" if metric.higher_is_more_diverse else "low is diverse"


def _overview() -> str:
    lines = [
        "# Metrics",
        "",
        "Every metric is a function of `nversion.metrics`, and a class with torchmetrics' protocol.",
        "Every study and `nversion.evaluate` compute them for all ensembles, with standard errors.",
        "Bounds are those of three members. An undefined value is nan, never 0. Where they mislead: [gotchas]"
        "(../gotchas.md#diversity).",
        "",
        "| metric | computed from | formula | bounds | direction |",
        "|---|---|---|---|---|",
    ]
    for one in _shown():
        formula = one.formula.replace("|", "\\|")
        lines.append(
            f"| [{one.label}]({one.name}.md) | {one.of} | `{formula}` | {_bounds(one)} | {_direction(one)} |"
        )
    lines += [f"| [{title}]({name}.md) | arrays | | | |" for name, title, _ in _functions_alone()]
    return "\n".join([*lines, ""])


def _page(metric: Metric) -> str:
    function = getattr(metric.function, "__name__", metric.name)
    class_name = nv.metrics.class_name(function)
    documented = (inspect.getdoc(metric.function) or "").partition("\n\nArgs:")[0].partition(">>>")[0].strip()
    return f"""# {metric.label}

`{metric.formula}`

{documented}

| | |
|---|---|
| name in tables | `{metric.name}` |
| computed from | {APPLIED_TO[metric.of]} |
| bounds, three members | {_bounds(metric)} |
| direction | {_direction(metric)} |
| undefined | {metric.undefined_when} |

![{metric.label} of three models whose errors go from the same to independent]({metric.name}.svg)

Three models of one accuracy, on five classes: on the left all make the same errors, on the right they are
independent.

## Example

```python
import numpy as np

import nversion as nv

rng = np.random.default_rng(0)
labels = rng.integers(0, 3, 200)
logits = rng.normal(size=(3, 200, 3)) + 2 * np.eye(3)[labels]  # models, samples, classes
nv.metrics.{function}(logits, labels=labels)
```

In a training loop, with batches:

```python
metric = nv.metrics.{class_name}(num_models=3)
for batch in np.split(np.arange(200), 4):
    metric.update(logits[:, batch], labels[batch])
metric.compute()
```
"""


def _functions_alone() -> list[tuple[str, str, str]]:
    """Functions of `nversion.metrics` on other arrays than predictions: name, title, page."""
    examples = {
        "attribution_diversity": (
            "Attribution diversity",
            "maps = np.random.default_rng(0).normal(size=(3, 8, 3, 16, 16))  # models, samples, C, H, W\n"
            'nv.metrics.attribution_diversity(maps), nv.metrics.attribution_diversity(maps, normalise="l2")',
        ),
        "cka": (
            "CKA",
            "features = np.random.default_rng(0).normal(size=(2, 64, 10))  # of two layers, 64 samples\n"
            "nv.metrics.cka(features[0], features[1]), nv.metrics.cka(features[0], 3 * features[0])",
        ),
        "mcnemar_p_value": (
            "McNemar's exact test",
            "nv.metrics.mcnemar_p_value(10, 3)  # samples that only the one, only the other model gets right",
        ),
    }
    return [
        (
            name,
            title,
            f"# {title}\n\n::: nversion.metrics.functions.{name}\n\n## Example\n\n"
            "```python\nimport numpy as np\n\n"
            f"import nversion as nv\n\n{code}\n```\n",
        )
        for name, (title, code) in examples.items()
    ]

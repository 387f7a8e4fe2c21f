"""The result of an evaluation: its tables, a report of them, and how it shows in a notebook or a terminal."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from torch import Tensor

from nversion.core.fingerprint import fingerprint
from nversion.core.study_files import write_manifest, write_table

from .stored import StoredStudy

if TYPE_CHECKING:
    from .evaluate import Inputs
    from .studied import RightAnswers

_BEST = 5  # ensembles that a summary lists
_WIDTH = 30  # characters of the longest bar


class Result:
    """Tables of an evaluation as polars frames: `result.ensembles`, `result.diversity`, ...

    Fractions lie in [0, 1]; undefined is nan, never 0. Frames of ensembles have the columns `ensemble` (a
    name) and `members` (a list of models' names).

    Attributes:
        tables: the frames by name. A table that the predictions have no rows for is not there, as
            `robustness` where there is no corruption.
        inputs: what was evaluated.
        answers: by data set, how often every model and ensemble is right in each block of images.
    """

    def __init__(
        self, tables: Mapping[str, pl.DataFrame], inputs: Inputs, answers: Mapping[str, RightAnswers]
    ) -> None:
        self.tables = dict(tables)
        self.inputs = inputs
        self.answers = dict(answers)

    def __getattr__(self, name: str) -> pl.DataFrame:
        tables = self.__dict__.get("tables", {})
        if name in tables:
            frame: pl.DataFrame = tables[name]
            return frame
        raise AttributeError(f"no table {name!r} here; there are {', '.join(sorted(tables))}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tables]

    def best(self, count: int = _BEST) -> pl.DataFrame:
        """The ensembles of highest mean accuracy over the conditions.

        They are chosen on the images that their accuracy is of: see `nversion.selection` for one that is not.

        Returns:
            Columns ensemble, size, consensus, top1 (the mean), worst (the lowest) and gain (the mean
            improvement over the best member).
        """
        return (
            self.tables["ensembles"]
            .group_by("ensemble", "size", "consensus", maintain_order=True)
            .agg(top1=pl.col("top1").mean(), worst=pl.col("top1").min(), gain=pl.col("improvement").mean())
            .sort("top1", descending=True, maintain_order=True)
            .unique("ensemble", keep="first", maintain_order=True)
            .head(count)
        )

    def stored(self, name: str = "evaluation", identity: str = "") -> StoredStudy:
        """What choosing among the ensembles needs, with their right answers.

        Args:
            name, identity: of the study that was evaluated.
        """
        cards = self.inputs.cards
        credits: dict[str, dict[str, Tensor]] = {}
        for of_data in self.answers.values():
            credits.setdefault(of_data.consensus, {}).update(of_data.credits)
        return StoredStudy(
            name=name,
            hash=identity,
            asked=self.inputs.asked,
            conditions=tuple(self.inputs.conditions),
            model_names=tuple(card.name for card in cards),
            predictions=self.inputs.predictions,
            architectures=tuple(card.architecture for card in cards),
            trainings=tuple(card.training for card in cards),
            credits=credits,
            **StoredStudy.costs([card.num_parameters for card in cards], [card.macs for card in cards]),
        )

    def report(self, path: str | Path) -> Path:
        """Write the report of these tables as one HTML file that needs no other; returns its path."""
        build = import_module("nversion.report").build_report
        path = Path(path)
        with tempfile.TemporaryDirectory() as folder:
            self._write_study(Path(folder))
            page = Path(build(Path(folder), include_figures=False))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(page.read_bytes())
        return path

    def _write_study(self, folder: Path) -> None:
        """Tables and a manifest as a study leaves them, as far as a report reads them."""
        inputs = self.inputs
        settings = {
            "ensembles": inputs.asked.model_dump(mode="json"),
            "reliability": inputs.reliability.model_dump(mode="json"),
        }
        identity = fingerprint(settings)
        facts = {"study": "evaluation", "study_hash": identity}
        digests = {name: write_table(folder, name, frame, facts) for name, frame in self.tables.items()}
        manifest = {
            "study": "evaluation",
            "question": "Which ensembles of these models fail together least?",
            "baseline": None,
            "study_hash": identity,
            "nversion": import_module("nversion").__version__,
            "settings": settings,
            "models": [{"name": card.name, "source": card.source} for card in inputs.cards],
            "datasets": [
                {"name": name, "source": name, "n": len(of.labels_N), "excluded": 0}
                for name, of in inputs.samples.items()
            ],
            "logits": {},
        }
        write_manifest(folder, manifest, digests)

    def _title(self) -> str:
        ensembles, models = self.tables["ensembles"], len(self.inputs.cards)
        counts = ensembles.unique("ensemble").group_by("size", maintain_order=True).len().sort("size")
        of_sizes = ", ".join(f"{count} of {size} members" for size, count in counts.iter_rows())
        conditions = (
            "1 condition" if len(self.inputs.conditions) == 1 else f"{len(self.inputs.conditions)} conditions"
        )
        return f"{models} models under {conditions}; ensembles: {of_sizes}"

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                row["ensemble"],
                row["consensus"].replace("_", " "),
                f"{100 * row['top1']:.1f}",
                f"{100 * row['worst']:.1f}",
                f"{100 * row['gain']:+.1f}",
            )
            for row in self.best().iter_rows(named=True)
        ]

    def _bars(self) -> list[tuple[str, float]]:
        """Mean accuracy of every model, and of the best ensemble, in [0, 1]."""
        models = self.tables["models"].group_by("model", maintain_order=True).agg(pl.col("top1").mean())
        best = self.best(1).select("ensemble", "top1").row(0)
        return [*sorted(models.iter_rows(), key=lambda row: -row[1])[:_BEST], best]

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}: {self._title()}", "", *_aligned([_HEADER, *self._rows()]), ""]
        bars = self._bars()
        width = max(len(name) for name, _ in bars)
        lines += [f"{name:<{width}} {100 * x:5.1f} % {'█' * round(_WIDTH * x)}" for name, x in bars]
        return "\n".join([*lines, "", f"Tables: {', '.join(sorted(self.tables))}"])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in _HEADER)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in self._rows()
        )
        bars = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{100 * x:.1f} %</td><td><div style='background:#4c78a8;"
            f"height:1em;width:{200 * x:.0f}px'></div></td></tr>"
            for name, x in self._bars()
        )
        tables = ", ".join(sorted(self.tables))
        return (
            f"<p><b>{html.escape(self._title())}</b></p><table><tr>{head}</tr>{body}</table>"
            f"<table>{bars}</table><p>Tables: {tables}</p>"
        )

    def __rich__(self) -> Any:
        table = import_module("rich.table").Table(title=self._title(), caption="Mean accuracy in percent")
        for name in _HEADER:
            table.add_column(name, justify="left" if name in _HEADER[:2] else "right")
        for row in self._rows():
            table.add_row(*row)
        return table


_HEADER = ("ensemble", "consensus", "top-1, mean %", "worst condition %", "gain over best member")


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

"""BootstrapNAS configurations, and the paper's listing of one, as tables of a supernet specification."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from nversion.core import UserError
from nversion.core.tables import FileKind, read_json

from .bootstrapnas_schema import (
    ALIGNMENT,
    BatchNorms,
    BootstrapNas,
    Configuration,
    Search,
    StageDescription,
    Training,
)

BOOTSTRAPNAS = FileKind("BootstrapNAS configuration", "see docs/table-ii.md")


def read_bootstrapnas(path: Path) -> dict[str, Any]:
    """The tables `supernet`, `elasticity`, `stages` and `search` of a BootstrapNAS configuration.

    The file is NNCF's JSON (keys of its 2.19), whole or from "bootstrapNAS" on, also as a listing: with line
    numbers, comments after # or //, without the outer braces, with commas before a closing bracket.
    Rules and defaults are NNCF's. Refused is what our supernets do not have; three things differ:

    * Keys other than "bootstrapNAS" are not read: a specification has its own model, data and optimizer.
    * `bn_adapt` changes nothing: every subnet's batch norms are recalibrated before it is evaluated, in
      training and search alike, with one number of samples (NNCF's search has a default of its own, 2000).
    * A stage that trains "width" trains our "width" and "expansion", both of which NNCF calls width. Choices
      are no more than the greatest `depth_indicator` and `width_indicator` of the stages: others were
      never trained.

    `ref_acc` is in percent and no objective: of the candidates with more than `ref_acc` − `acc_delta` the
    search reports the one with the fewest MACs, and if none has, the largest subnet, saying so (in NNCF
    and here). The 93.65 of Listing 1 also stands in the example of NNCF's documentation and cannot be a
    top-1 accuracy of the paper's models on ImageNet, whose best is 76.3 (Figure A): no candidate qualifies.
    Where it is missing, or -1, it is left out: NNCF then takes the accuracy of the supernet itself.

    Raises:
        UserError: the file cannot be read, is no JSON, or says something unknown, against NNCF's rules, or
            without a counterpart here.
    """
    content = read_json(
        path, "a BootstrapNAS configuration", "correct the path `bootstrapnas`", plain=plain_json
    )
    whole = BOOTSTRAPNAS.checked(Configuration, content, str(path)).bootstrapNAS
    check_dims(whole.training, str(path))
    tables = {
        "supernet": {"batch_norm_samples": _samples(whole, str(path)), "importance": "filters"},
        "elasticity": _elasticity(whole.training, str(path)),
        "stages": [_stage(stage) for stage in whole.training.schedule.list_stage_descriptions],
    }
    return tables | ({"search": _search(whole.search, str(path))} if whole.search else {})


def plain_json(text: str) -> str:
    """JSON of a listing: without line numbers, comments and stray commas, with outer braces.

    >>> plain_json('1# from a paper\\n2"a":{\\n3 "b": [1, 2,], // two\\n4}')
    '{\\n"a":{\\n "b": [1, 2] \\n}}'
    """
    # Numbers count as those of lines only if they start at the first line and go up by one: JSON itself may
    # begin a line with a number, but no object begins with one.
    lines, count = text.strip().splitlines(), None
    for place, line in enumerate(lines):
        number = re.match(r"\s*(\d+)", line)
        if number and (place == 0 or int(number[1]) == count):
            count = int(number[1]) + 1
            lines[place] = line[number.end() :]
    text = "\n".join(lines)
    string = r'("(?:\\.|[^"\\\n])*")'
    text = re.sub(rf"{string}|(?:#|//)[^\n]*", lambda found: found[1] or "", text)
    if not text.lstrip().startswith("{"):
        text = "{" + text + "}"
    return re.sub(rf"{string}|,(?=\s*[}}\]])", lambda found: found[1] or "", text)


def check_dims(training: Training, origin: str) -> None:
    """NNCF's rules for what is elastic when: each stage goes on from the one before.

    (Its rule that a stage leaves no gap in the order cannot be broken with two dimensions.)

    Raises:
        UserError: kernels are elastic, there is no stage, or a rule is broken.
    """
    order, stages = training.progressivity_of_elasticity, training.schedule.list_stage_descriptions
    elasticity = training.elasticity
    available = elasticity.available_elasticity_dims
    if "kernel" in available:
        named = "available_elasticity_dims" in elasticity.model_fields_set
        raise UserError(
            expected=f"elasticity of depth and width, not of kernels, in {origin}",
            found=f"available_elasticity_dims = {available}" + ("" if named else " (NNCF's default)"),
            next_step='set "available_elasticity_dims" to ["depth", "width"]',
        )
    if not stages:
        raise UserError(
            expected=f"list_stage_descriptions in {origin}",
            found="none (of NNCF's default ones the first trains kernels)",
            next_step="add one or more stages",
        )
    if unordered := [dim for dim in available if dim not in order]:
        raise UserError(
            expected=f"all available dimensions in progressivity_of_elasticity in {origin}",
            found=f"no {unordered[0]!r} in {order}",
            next_step="add it where it comes",
        )
    last, first = -1, len(order)
    for number, stage in enumerate(stages, 1):
        dims = stage.train_dims
        if unknown := [dim for dim in dims if dim not in available]:
            found = f"{unknown[0]!r} in stage {number}"
            found += "" if "train_dims" in stage.model_fields_set else " (NNCF's default)"
            raise UserError(
                expected=f"train_dims of {available}, the available dimensions, in {origin}",
                found=found,
                next_step='kernels cannot be elastic: set "train_dims" without them'
                if unknown[0] == "kernel"
                else "make it available or take it out",
            )
        places = [order.index(dim) for dim in dims]
        high, low = max(places, default=-1), min(places, default=len(order))
        if high < last or low > first:
            raise UserError(
                expected=f"stages that add dimensions in the order {order} in {origin}",
                found=f"stage {number}, which goes back to {dims}",
                next_step="keep what the stage before it trains",
            )
        last, first = high, low


def _samples(whole: BootstrapNas, origin: str) -> int:
    parts = [("training", whole.training.batchnorm_adaptation)]
    parts += [("search", whole.search.batchnorm_adaptation)] if whole.search else []
    given = {place: table.num_bn_adaptation_samples for place, table in parts if table}
    if len(set(given.values())) > 1:
        raise UserError(
            expected=f"one num_bn_adaptation_samples for training and search in {origin}",
            found=f"{given['training']} and {given['search']}",
            next_step="set both to the same number, or leave one out",
        )
    return next(iter(given.values()), BatchNorms().num_bn_adaptation_samples)


def _elasticity(training: Training, origin: str) -> dict[str, Any]:
    elasticity, stages = training.elasticity, training.schedule.list_stage_descriptions
    available, width = elasticity.available_elasticity_dims, elasticity.width
    skips = max(stage.depth_indicator for stage in stages) if "depth" in available else 0
    if "width" not in available:
        return {"max_skips": skips, "width_multipliers": [1.0]}
    if not width.width_multipliers:
        raise UserError(
            expected=f"elasticity.width.width_multipliers in {origin}",
            found="none (steps of the same size in every layer are no ratios)",
            next_step='add them, such as "width_multipliers": [1, 0.8, 0.6]',
        )
    num_widths = max(stage.width_indicator for stage in stages)
    return {
        "max_skips": skips,
        "width_multipliers": sorted(width.width_multipliers, reverse=True),
        "min_width": width.min_width,
        "width_step": ALIGNMENT,
        "max_num_widths": num_widths if width.max_num_widths < 0 else min(num_widths, width.max_num_widths),
    }


def _stage(stage: StageDescription) -> dict[str, Any]:
    table: dict[str, Any] = {
        "dims": [],
        "epochs": stage.epochs,
        "reorganise": stage.reorg_weights,
        "learning_rate": stage.init_lr,
        "epochs_lr": stage.epochs_lr or stage.epochs,
    }
    if "depth" in stage.train_dims:
        table["dims"] += ["depth"]
        table["max_skips"] = stage.depth_indicator
    if "width" in stage.train_dims:
        table["dims"] += ["width", "expansion"]
        table["num_widths"] = stage.width_indicator
    return table


def _search(search: Search, origin: str) -> dict[str, Any]:
    if search.population > search.num_evals:
        raise UserError(
            expected=f"num_evals of at least the population, {search.population}, in {origin}",
            found=str(search.num_evals),
            next_step="raise it or lower the population",
        )
    table: dict[str, Any] = {
        "evaluations": search.num_evals // search.population * search.population,  # whole generations
        "population": search.population,
        "seed": search.seed,
        "acc_delta": search.acc_delta,
    }
    return table | ({"ref_acc": search.ref_acc} if search.ref_acc != -1 else {})

"""`manifest.json`: all that someone needs to make a study's tables again."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
import torch

import nversion
from nversion.core.study_files import write_manifest as write_sealed_manifest

from .plan import OpenStudy, Plan, study_hash


def write_manifest(study: OpenStudy, plan: Plan, facts: Mapping[str, Any], seconds: float) -> None:
    """Write `manifest.json`, last of all: how the tables were made, and their digests."""
    spec = study.spec
    manifest = {
        "study": spec.study.name,
        "question": spec.study.question,
        "baseline": spec.study.baseline,
        "study_hash": study_hash(study),
        "nversion": nversion.__version__,
        "command": " ".join(["nversion", *sys.argv[1:]]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **_machine(study),
        "python": sys.version.split()[0],
        "polars": pl.__version__,
        "datasets": [
            {
                "name": name,
                "source": dataset.name,
                "n": facts["num_samples"][name],
                "excluded": facts["excluded"][name],
                "hidden": dataset.hidden,
                "fingerprint": dataset.fingerprint,
                "label_space": dataset.label_space.name,
                "terms": spec.data[name].get("terms", ""),
            }
            for name, dataset in study.datasets.items()
        ],
        "models": [
            {
                "name": c.name,
                "source": c.card.source,
                "fingerprint": c.fingerprint,
                "preprocessing": vars(c.preprocessing),
                "outputs": c.card.outputs,
                "repeatable": c.card.repeatable,  # False: not a function of the image alone
            }
            for c in study.classifiers
        ],
        "settings": {
            **spec.model_dump(mode="json", exclude={"data", "models", "study"}),
            "ensembles_of_each_size": plan.ensembles,
        },
        "identities": [
            "geometric_mean: the normalised geometric mean of the members' softmax is the softmax of their "
            "mean logits, so its winner is that of average on every sample"
        ]
        if "geometric_mean" in spec.ensembles.consensus
        else [],
        "storage": {"dtype": spec.run.storage, "changed_top1": facts["changed_top1"]},
        "logits": facts["logits"],
        "near_ties": facts["near_ties"],
        "attribution_passes": facts["attribution_passes"],
        "unreadable": facts["unreadable"],
        "seconds": round(seconds, 1),
    }
    write_sealed_manifest(study.folder, manifest, facts["tables"])


def _machine(study: OpenStudy) -> dict[str, Any]:
    """Where it ran."""
    return {
        "device": str(study.device),
        "device_name": torch.cuda.get_device_name(study.device) if study.device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }

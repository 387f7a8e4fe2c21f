"""Images that all or nearly all models miss: common failures, or wrong labels?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nversion.report.blocks import Block, Section, Sheet, Words
from nversion.report.images import thumbnail_uri
from nversion.report.labels import is_undefined, percent, plural
from nversion.report.tables import Study

SHOWN = 24
SIDE = 112


def section(study: Study) -> Section | None:
    """A contact sheet; one sentence where no image is suspected, and None where nobody looked."""
    if "suspects" not in study.extra:
        return None
    table = study.table("suspects")
    title = "Common failures, or wrong labels?"
    settings = study.manifest.get("settings") or {}
    asked = settings.get("reliability") or {}
    share, agreement = asked.get("suspect_share"), asked.get("suspect_agreement")
    those = f"at least {percent(share, 0)} of the models miss" if share else "all or nearly all models miss"
    if agreement:
        those += f", at least {percent(agreement, 0)} naming the same other class"
    if table.is_empty():
        said = f"There is no image that {those}, so none is suspected of a wrong label."
        return Section("suspects", "Suspects", title, [Words(said)])
    limit = (settings.get("report") or {}).get("suspects", SHOWN)
    shown = [_picture(row) for row in table.head(limit).iter_rows(named=True)]
    images = table.select("dataset", "sample_id").unique().height
    blocks: list[Block] = [
        Words(
            f"There {'is' if images == 1 else 'are'} {plural(images, 'image')} that {those}. Where most of "
            "them agree on another class, the label may be wrong or the image may show both, or the models "
            "learned the same mistake; where they scatter, it is hard. Nobody has looked at these labels: "
            "being on this sheet proves nothing."
        ),
        Sheet(shown),
    ]
    if table.height > len(shown):
        blocks.append(
            Words(f"{table.height - len(shown):,} more are in tables/suspects.parquet.", quiet=True)
        )
    return Section("suspects", "Suspects", title, blocks)


def _picture(row: Mapping[str, Any]) -> dict[str, Any]:
    label = row["label_name"] or "unknown"
    agreed = (
        "no wrong class stands out"
        if is_undefined(row["agreed_share"])
        else f"{percent(row['agreed_share'], 0)} say {row['agreed_name'] or 'another class'}"
    )
    wrong = f"{row['num_wrong']} of {row['num_models']} wrong"
    return {
        "uri": thumbnail_uri(row["png"], SIDE),
        "alt": f"{row['sample_id']}, labelled {label}; {agreed}",
        "title": f"labelled {label}",
        "lines": [agreed, wrong],
    }

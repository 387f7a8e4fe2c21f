"""Images that all or nearly all models misclassify: common failures or wrong labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nversion.report.blocks import Picture, Sheet, Words, quiet
from nversion.report.images import thumbnail_uri
from nversion.report.labels import is_undefined, percent, plural
from nversion.report.registry import Blocks, section
from nversion.report.tables import Study

SHOWN = 24
SIDE = 112


@section("suspects", order=190, nav="Suspects", title="Common failures or wrong labels?")
def suspects(study: Study) -> Blocks:
    """A contact sheet; one sentence where no image is suspected, and None without the table."""
    if "suspects" not in study.tables:
        return None
    table = study.table("suspects")
    share, agreement = (study.setting("reliability", f"suspect_{key}") for key in ("share", "agreement"))
    which = "all or nearly all models misclassify"
    if share:
        which = f"at least {percent(share, 0)} of the models misclassify"
    if agreement:
        which += f", at least {percent(agreement, 0)} of them as the same other class"
    if table.is_empty():
        return [Words(f"There is no image that {which}, so no label is suspected to be wrong.")]
    limit = study.setting("report", "suspects")
    shown = table.head(SHOWN if limit is None else limit)
    images = table.select("dataset", "sample_id").unique().height
    more = table.height - shown.height
    return [
        Words(
            f"There {'is' if images == 1 else 'are'} {plural(images, 'image')} that {which}. Where most of "
            "them agree on another class, the label may be wrong, the image may show both, or the models "
            "learned the same mistake; where they disagree, the image is hard. These labels were not "
            "checked: an image on this sheet is not proven to be mislabelled."
        ),
        Sheet([_picture(row) for row in shown.iter_rows(named=True)]),
        *quiet(f"{more:,} more are in tables/suspects.parquet." if more else ""),
    ]


def _picture(row: Mapping[str, Any]) -> Picture:
    label = row["label_name"] or "unknown"
    agreed = (
        "no wrong class stands out"
        if is_undefined(row["agreed_share"])
        else f"{percent(row['agreed_share'], 0)} say {row['agreed_name'] or 'another class'}"
    )
    return Picture(
        thumbnail_uri(row["png"], SIDE),
        f"{row['sample_id']}, labelled {label}; {agreed}",
        f"labelled {label}",
        [agreed, f"{row['num_wrong']} of {row['num_models']} wrong"],
    )

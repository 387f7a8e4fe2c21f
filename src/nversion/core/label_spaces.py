"""Label spaces by name: the known ones, and those that a table of settings describes."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import UserError
from .labels import LabelSpace

IMAGENET = "imagenet-1k"
# Label spaces that need no further settings: name -> number of classes.
KNOWN_LABEL_SPACES = {IMAGENET: 1000}


def label_space_of(
    what: str,
    name: str,
    *,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    num_outputs: int | None = None,
) -> LabelSpace:
    """The label space called `name` of `what`, from all that is known about its number of classes.

    Args:
        what: whose label space, as it reads in an error ("the data set 'val'").
        name: of the label space.
        num_classes: as the settings give it.
        class_names: in label order.
        num_outputs: a classifier's number of logits.

    Raises:
        UserError: the number of classes is unknown, or two sources of it disagree.

    >>> label_space_of("a test", "shapes", class_names=["circle", "square"])
    LabelSpace(name='shapes', num_classes=2)
    """
    counts = {
        f"the label space {name!r}": KNOWN_LABEL_SPACES.get(name),
        "the setting `num_classes`": num_classes,
        "the class names": len(class_names) if class_names is not None else None,
        "the width of the output": num_outputs,
    }
    stated = {source: count for source, count in counts.items() if count is not None}
    if not stated:
        raise UserError(
            expected=f"the number of classes of the label space {name!r} of {what}",
            found="none",
            next_step='add `num_classes = ...` or `classes = "classes.csv"` (columns label, name)',
        )
    if len(set(stated.values())) > 1:
        raise UserError(
            expected=f"one number of classes for {what}",
            found=", ".join(f"{count} by {source}" for source, count in stated.items()),
            next_step="correct the one that is wrong, or name another label space",
        )
    return LabelSpace(name, next(iter(stated.values())), None if class_names is None else tuple(class_names))

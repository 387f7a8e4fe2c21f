"""Label spaces: what the class indices of a data set and of a classifier mean."""

from __future__ import annotations

from dataclasses import dataclass, field

from .errors import UserError


@dataclass(frozen=True)
class LabelSpace:
    """A named set of classes; index i of logits and labels is class i of it.

    Two label spaces are the same when name and number of classes are.
    """

    name: str
    num_classes: int
    class_names: tuple[str, ...] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.class_names is not None and len(self.class_names) != self.num_classes:
            raise UserError(
                expected=f"{self.num_classes} class names for the label space {self.name!r}",
                found=str(len(self.class_names)),
                next_step="name every class once, in the order of the logits",
            )

    def name_of(self, label: int) -> str:
        """The class's name, or its index as text where the classes have no names."""
        return self.class_names[label] if self.class_names else str(label)

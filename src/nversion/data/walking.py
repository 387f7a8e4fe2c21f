"""Image files below a folder, without those that systems, viewers and editors hide among them."""

from __future__ import annotations

from pathlib import Path, PurePath

from .images import IMAGE_SUFFIXES

# Written without a dot by archivers (macOS), network drives (Synology), file systems and Windows.
_OF_SYSTEMS = frozenset(
    {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "Thumbs.db"}
)


def is_hidden(path: PurePath | str) -> bool:
    """Whether a file, or a folder on the way to it, is hidden; `path` starts below the folder that was named.

    >>> is_hidden("cat/.ipynb_checkpoints/1.png"), is_hidden("cat/._1.png"), is_hidden("cat/1.png")
    (True, True, False)
    """
    return any(
        (part.startswith(".") and part != "..") or part in _OF_SYSTEMS for part in PurePath(path).parts
    )


def visible_folders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted, hidden ones left out."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def image_files(folder: Path, *, deep: bool = True) -> tuple[list[Path], int]:
    """The image files below `folder`, sorted, and how many hidden ones were left out.

    Args:
        folder: where to look; that it is hidden itself does not matter.
        deep: in all folders below, too.
    """
    found = folder.rglob("*") if deep else folder.iterdir()
    images = sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)
    visible = [path for path in images if not is_hidden(path.relative_to(folder))]
    hidden = set(images) - set(visible)
    return visible, sum(path.is_file() for path in hidden)  # folders of thumbnails are called as their image


def hidden_in_folders(folder: Path) -> int:
    """How many image files lie in the hidden folders of `folder`, none of which is a class."""
    hidden = [path for path in folder.iterdir() if path.is_dir() and is_hidden(path.name)]
    return sum(len(files) + count for files, count in map(image_files, hidden))

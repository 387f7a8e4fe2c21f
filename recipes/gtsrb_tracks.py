"""German traffic signs in parts that share no track: `python recipes/gtsrb_tracks.py GTSRB.npz OUT.npz`.

The source has the arrays x_train, y_train, track_train, x_test, y_test, class_names. Frames of one track are
nearly alike, so a whole track goes to one part: "fit" (60 % of the tracks of each class) to learn from,
"select" (15 %) to choose a loss's weight by, "evaluate" (25 %) to report on. "test" is the source's test set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from nversion.core import generator

PARTS = {"fit": 0.6, "select": 0.15, "evaluate": 0.25}


def parts_of_tracks(
    track_N: np.ndarray[tuple[int], np.dtype[np.int64]], label_N: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The tracks of each part; every class with at least four tracks is in every part."""
    found: dict[str, list[int]] = {part: [] for part in PARTS}
    label_of = dict(zip(track_N.tolist(), label_N.tolist(), strict=True))
    for label in np.unique(label_N):
        tracks = generator("gtsrb tracks", int(label)).permutation(
            [t for t in label_of if label_of[t] == label]
        )
        num_evaluate = max(1, round(PARTS["evaluate"] * len(tracks)))
        num_select = max(1, round(PARTS["select"] * len(tracks)))
        found["evaluate"] += tracks[:num_evaluate].tolist()
        found["select"] += tracks[num_evaluate : num_evaluate + num_select].tolist()
        found["fit"] += tracks[num_evaluate + num_select :].tolist()
    return {part: np.array(tracks) for part, tracks in found.items()}


def main() -> None:
    """Write the parts and print their sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    source = np.load(given.source, allow_pickle=False)
    arrays = {"class_names": source["class_names"], "x_test": source["x_test"], "y_test": source["y_test"]}
    for part, tracks in parts_of_tracks(source["track_train"], source["y_train"]).items():
        chosen = np.isin(source["track_train"], tracks)
        arrays |= {
            f"x_{part}": source["x_train"][chosen],
            f"y_{part}": source["y_train"][chosen],
            f"track_{part}": source["track_train"][chosen],
        }
        print(f"{part}: {chosen.sum()} images of {len(tracks)} tracks")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(given.out, **arrays)


if __name__ == "__main__":
    main()

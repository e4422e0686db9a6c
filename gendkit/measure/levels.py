"""From scores of frames to scores of people and of clips, for all clips at once.

A score table enters, one row a crop: the manifest's columns, the `component` of its clip, `p_fake`
and `margin`, by how much the logit of fake is above that of real. It leaves with one row a person
of a clip, or a clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gendkit.data.links import CLIP
from gendkit.errors import InvalidArgument, InvalidLabels
from gendkit.measure.labels import checked_pairs

Level = Literal["frame", "track", "video", "file"]
LEVELS: tuple[Level, ...] = get_args(Level)
SCORES = ("p_fake", "margin")
"""Columns that are averaged."""
OF_A_CROP = ("sample", "frame", "time", "box", "landmarks", "confidence", "path")
"""Columns that tell nothing of a clip."""


def at_level(
    table: pd.DataFrame, level: Level = "video", *, apart: Sequence[str] = ()
) -> pd.DataFrame:
    """Return a score table with one row a frame, a person of a clip, or a clip.

    Parameters
    ----------
    table
        One row a crop, with `dataset`, `video`, `label`, and `p_fake`, `margin` or both; with
        `track`, where that is asked for.
    level
        - `frame`: the crops as they are.
        - `track`: the mean over a person's crops in a clip.
        - `video`: the mean over all crops of a clip, as the paper has it.
        - `file`: the highest of a clip's tracks, as `gendkit score` has it; the same where a clip
          has one person.
    apart
        Further columns that tell rows apart, such as `detector` and `seed`.

    Returns
    -------
    pandas.DataFrame
        In order of first appearance: the other columns as the first crop of each has them, without
        those that are of a crop only; the scores; and `crops`, how many of them have a score. A
        crop whose score is NaN is left out of the mean, which is NaN where there is no other.

    Raises
    ------
    InvalidArgument
        For an unknown level, and for a column that is not there.
    InvalidLabels
        If a clip has rows of several labels.
    """
    if level not in LEVELS:
        raise InvalidArgument(f"level is {level!r}; expected one of {', '.join(LEVELS)}.")
    scores = [name for name in SCORES if name in table]
    keys = [*apart, *CLIP, *(["track"] if level in ("track", "file") else [])]
    missing = [name for name in (*keys, "label") if name not in table]
    if missing or not scores:
        raise InvalidArgument(
            f"the score table lacks {', '.join(missing) or ' and '.join(SCORES)}; it has "
            f"{', '.join(map(str, table.columns))}."
        )
    values = table[scores].astype(np.float64)
    if level == "frame":
        found = table.assign(**{name: values[name] for name in scores})
        return found.assign(crops=values.notna().all(axis=1).astype(np.int64))
    number, first = numbered(table, keys)
    groups = values.groupby(number)
    kept = [n for n in table.columns if n not in OF_A_CROP and (n != "track" or level != "video")]
    found = table[kept].iloc[first].reset_index(drop=True)
    found = found.assign(**groups.mean(), crops=groups[scores[0]].count())
    return _highest(found, [*apart, *CLIP], scores[0]) if level == "file" else found


def numbered(
    table: pd.DataFrame, keys: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the clips, or people of clips, that crops are of.

    Parameters
    ----------
    table
        One row a crop, with `video`, `label` and the `keys` that tell apart what is numbered.

    Returns
    -------
    number, first
        (N,) of each crop, in order of first appearance, and (G,) the first crop of each.

    Raises
    ------
    InvalidLabels
        If one has crops of several labels.
    """
    number = table.groupby(list(keys), sort=False, dropna=False).ngroup().to_numpy()
    first = np.flatnonzero(~pd.Series(number).duplicated().to_numpy())
    labels = table["label"]
    same = labels.fillna(-1).to_numpy()  # what is not known is no label of its own
    if (mixed := same != same[first][number]).any():
        clip = table["video"].to_numpy()[mixed][0]
        raise InvalidLabels(f"clip {clip!r} has crops labelled real and crops labelled fake.")
    return number.astype(np.int64), first


def means(scores: ArrayLike, number: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean (..., G) of scores (..., N) over the crops of each number (N,).

    Sums are compensated (Kahan), so that means that are equal tie.
    """
    s = np.asarray(scores, dtype=np.float64)
    found = pd.DataFrame(s.reshape(-1, len(number)).T).groupby(number).mean().to_numpy().T
    return np.asarray(found.reshape(*s.shape[:-1], -1), dtype=np.float64)


def _highest(tracks: pd.DataFrame, keys: list[str], score: str) -> pd.DataFrame:
    """Return of each clip the track that scores highest."""
    groups = tracks.groupby(keys, sort=False, dropna=False)
    order = np.lexsort((-tracks[score].fillna(-np.inf).to_numpy(), groups.ngroup().to_numpy()))
    number = groups.ngroup().to_numpy()[order]
    best = order[np.concatenate([[True], number[1:] != number[:-1]])] if len(order) else order
    return tracks.iloc[best].reset_index(drop=True)


def video_level(
    videos: Sequence[str] | NDArray[np.str_], labels: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Average the scores of each video's frames.

    Sums are compensated (Kahan), so that means that are equal tie.

    Returns
    -------
    labels, scores
        (V,) in order of first appearance.

    Raises
    ------
    InvalidLabels
        If a video has frames of both labels, or if there is not one label and one finite score a
        frame.
    """
    y, s = checked_pairs(labels, scores)
    if len(videos) != len(y):
        raise InvalidLabels(f"{len(videos)} videos for {len(y)} frames; expected one a frame.")
    number, names = pd.factorize(np.asarray(videos, dtype=object))
    fakes = np.bincount(number, y, minlength=len(names))
    frames = np.bincount(number, minlength=len(names))
    if len(mixed := np.flatnonzero((fakes != 0) & (fakes != frames))):
        raise InvalidLabels(
            f"video {names[mixed[0]]!r} has frames labelled real and frames labelled fake."
        )
    return (fakes > 0).astype(np.int64), means(s, number)

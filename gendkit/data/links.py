"""Which clips hang together: by a target clip, or by a person who is seen or lends a face.

A manifest's table enters, numbers of connected components leave. A split that cuts no component
cannot leak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

CLIP = ["dataset", "video"]
"""Columns that name a clip."""
LINKS = {"video": ("video", "pair"), "identity": ("target_identity", "donor_identity")}
"""What links clips of a data set: columns that hold names of one kind."""


def components(table: pd.DataFrame) -> NDArray[np.int64]:
    """Return for each row (N,) the number of its connected component, in order of appearance.

    Clips are linked when they share a target clip, or a person who is seen or lends a face in both;
    a target clip itself belongs to its fakes. Names are those of their data set: people whom two
    share, such as FaceForensics++ and DF40, which was made of its videos, are not linked.
    """
    import pandas as pd
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    columns = [*CLIP, *(name for names in LINKS.values() for name in names if name != "video")]
    rows, clips = _numbered(table[columns])
    if not len(clips):
        return np.zeros(0, dtype=np.int64)
    ends, nodes, free = [], [], len(clips)
    for names in LINKS.values():
        # One vocabulary for a kind: who lends a face is also somebody who is seen.
        parts = [clips.loc[clips[name] != "", ["dataset", name]] for name in names]
        both = pd.concat([part.set_axis(["dataset", "name"], axis=1) for part in parts])
        number = both.groupby(["dataset", "name"], sort=False).ngroup().to_numpy()
        ends.append(both.index.to_numpy())
        nodes.append(number + free)
        free += int(number.max(initial=-1)) + 1
    one, other = np.concatenate(ends), np.concatenate(nodes)
    graph = coo_matrix((np.ones(len(one)), (one, other)), shape=(free, free))
    found = connected_components(graph, directed=False)[1][: len(clips)]
    return np.asarray(pd.factorize(found)[0], dtype=np.int64)[rows]


def split_apart(
    table: pd.DataFrame, *, by: str = "split"
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return each row's component (N,), and whether that lies in several groups of a column.

    Rows without a group are in none, but they link.
    """
    import pandas as pd

    number = components(table)
    grouped = (table[by] != "").to_numpy()
    groups = pd.Series(table[by].to_numpy()[grouped]).groupby(number[grouped]).nunique()
    return number, np.isin(number, groups.index[groups > 1].to_numpy())


def _numbered(table: pd.DataFrame) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Return for each row which of the distinct rows it is, and these, numbered from 0.

    There are far fewer distinct clips than crops.
    """
    groups = table.groupby(list(table.columns), sort=False, dropna=False)
    number = np.asarray(groups.ngroup(), dtype=np.int64)
    return number, table[~table.duplicated().to_numpy()].reset_index(drop=True)

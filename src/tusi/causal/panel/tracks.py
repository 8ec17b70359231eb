"""Descriptors of atoms that were followed from frame to frame, as the movie that questions in time are asked of."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from tusi.causal.table import CausalTable
from tusi.data import Descriptors
from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrackedMovie:
    """A movie, and which of its rows are the same atom in consecutive frames.

    Attributes
    ----------
    table
        Complete rows; the images are the frames that have any.
    track
        Number of the atom of each row. An atom gets a new number where a whole frame is missing, so that no two rows
        are taken for neighbours in time across the gap.
    """

    table: CausalTable
    track: Int[np.ndarray, " row"]


def tracked_movie(tables: Sequence[Descriptors], *, track: Int[np.ndarray, " row"]) -> TrackedMovie:
    """Return the movie of atoms that were followed, for `lagged_table`, `tusi.causal.lagged_search` and the like.

    An atom may be lost in some frames, a value may be missing, a whole frame may be lost: such rows are left out, and
    only windows in which an atom is there with all its values in every frame are compared. Frames are taken as equally
    far apart in time.

    Parameters
    ----------
    tables
        Descriptor tables with equal rows; `Descriptors.image` is the number of the frame, counted in steps of the time
        between two frames.
    track
        Number of the atom or site of each row, the same in all frames.

    Raises
    ------
    InputError
        There are not as many tracks as rows, an atom has two rows in a frame, or no row is complete.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> position = np.tile([[0.0, 0.0], [0.0, 4.0], [4.0, 0.0]], (4, 1))
    >>> strain = rng.standard_normal(12)
    >>> strain[5] = np.nan
    >>> frames = Descriptors.of(position, {"strain": (strain, 0.1, "1")}, length_unit="angstrom")
    >>> frames = dataclasses.replace(frames, image=np.repeat([0, 1, 3, 4], 3))
    >>> movie = tracked_movie([frames], track=np.tile([7, 8, 9], 4))
    >>> movie.track.tolist(), movie.table.n_dropped
    ([0, 2, 4, 0, 2, 1, 3, 5, 1, 3, 5], 1)
    """
    if not tables:
        raise InputError("tables", expected="at least one table of descriptors", got="none")
    track, frame = np.asarray(track), tables[0].image
    if track.shape != frame.shape:
        raise InputError("track", expected=f"one number for each of {len(frame)} rows", got=f"shape {track.shape}")
    if len(np.unique(np.stack([track, frame]), axis=1).T) < len(track):
        raise InputError("track", expected="one row of an atom in a frame", got="several")
    table = CausalTable.of_descriptors(tables, image_names=[str(number) for number in np.unique(frame)])
    kept = np.all([np.isfinite(one.value).all(axis=1) for one in tables], axis=0)
    present, place = np.unique(frame[kept], return_inverse=True)
    stretch = np.concatenate([[0], np.cumsum(np.diff(present) > 1)])[place.reshape(-1)]
    pieces = np.unique(np.stack([track[kept], stretch]), axis=1, return_inverse=True)[1]
    return TrackedMovie(table=table, track=pieces.reshape(-1))

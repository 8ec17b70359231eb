"""Periodic cells: what a lattice becomes when it is handed to a simulation."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PeriodicCell:
    """Atoms in a box that repeats itself.

    Attributes
    ----------
    vectors
        The three cell vectors as rows (x, y, z), in angstrom; right-handed.
    position
        (x, y, z) of the atoms, in angstrom.
    symbol
        Chemical symbol of each atom, or another name without blanks; X where it is not known.
    periodic
        Along which vectors the box truly repeats; files that cannot say so drop this.
    comment
        One line for the head of a file.

    Examples
    --------
    >>> cell = PeriodicCell(vectors=3.0 * np.eye(3), position=np.zeros((1, 3)), symbol=("Po",))
    >>> len(cell), cell.fractional.tolist(), round(cell.volume, 6)
    (1, [[0.0, 0.0, 0.0]], 27.0)
    """

    vectors: Float[np.ndarray, "3 3"]
    position: Float[np.ndarray, "atom 3"]
    symbol: tuple[str, ...]
    periodic: tuple[bool, bool, bool] = (True, True, True)
    comment: str = ""

    def __post_init__(self) -> None:
        for name, shape in (("vectors", (3, 3)), ("position", (len(self.symbol), 3))):
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.shape != shape or not np.isfinite(values).all():
                raise InputError(name, expected=f"finite numbers of shape {shape}", got=f"shape {values.shape}")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        lengths = np.linalg.norm(self.vectors, axis=1)
        if self.volume <= 1e-6 * np.prod(lengths):
            raise InputError("vectors", expected="three vectors that span a right-handed box", got=f"{self.vectors}")
        wrong = [name for name in self.symbol if not name or any(letter.isspace() for letter in name)]
        if wrong:
            raise InputError("symbol", expected="names without blanks", got=repr(wrong[0]))

    def __len__(self) -> int:
        return len(self.symbol)

    @property
    def volume(self) -> float:
        """Volume of the box, in cubic angstrom."""
        return float(np.linalg.det(self.vectors))

    @property
    def fractional(self) -> Float[np.ndarray, "atom 3"]:
        """Positions in units of the cell vectors."""
        return self.position @ np.linalg.inv(self.vectors)

    @property
    def lengths(self) -> Float[np.ndarray, "3"]:
        """Lengths of the cell vectors, in angstrom."""
        return np.linalg.norm(self.vectors, axis=1)

    @property
    def angles(self) -> Float[np.ndarray, "3"]:
        """Angles alpha (b, c), beta (a, c), gamma (a, b), in degrees."""
        unit = self.vectors / self.lengths[:, None]
        cosine = [unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]
        return np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))

    def repeated(self, n_a: int, n_b: int) -> "PeriodicCell":
        """Return the cell repeated along its first two vectors.

        Parameters
        ----------
        n_a, n_b
            How many times.
        """
        steps = np.array([(i, j, 0) for i in range(n_a) for j in range(n_b)]) @ self.vectors
        return dataclasses.replace(
            self,
            vectors=self.vectors * np.array([[n_a], [n_b], [1]]),
            position=(self.position + steps[:, None]).reshape(-1, 3),
            symbol=self.symbol * (n_a * n_b),
        )

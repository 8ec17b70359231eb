"""Choices for statistical normal modes."""

import dataclasses
from typing import Literal

from tusi.errors import InputError

Null = Literal["measurement", "independent"]
"""What atoms do where there is no mode: only their measured positions err, or each is displaced by itself too."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModeSettings:
    """How modes are looked for.

    Attributes
    ----------
    null
        What atoms do without modes. "measurement": nothing but the errors of their positions. "independent": each is
        displaced by itself as well, isotropically, with a variance that is estimated.
    each_image_centred
        Subtract each image's own mean neighbourhood, so that different cells or scan distortions make no mode.
    level
        Modes are accepted one after the other until a p-value exceeds this.
    n_replicas
        Simulated data sets without modes behind each p-value.
    most_modes
        At most so many modes are tested.
    """

    null: Null = "measurement"
    each_image_centred: bool = True
    level: float = 0.05
    n_replicas: int = 399
    most_modes: int = 6

    def __post_init__(self) -> None:
        if self.null not in ("measurement", "independent"):
            raise InputError("null", expected="'measurement' or 'independent'", got=repr(self.null))
        if not 0 < self.level < 1:
            raise InputError("level", expected="a probability between 0 and 1", got=str(self.level))
        if self.n_replicas < 19:
            raise InputError("n_replicas", expected="at least 19", got=str(self.n_replicas))
        if self.most_modes < 1:
            raise InputError("most_modes", expected="at least 1", got=str(self.most_modes))

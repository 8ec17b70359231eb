"""A step's result with what was said meanwhile: warnings kept, refusals in words."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tusi.errors import TusiError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StepResult:
    """What one step made of one image.

    Attributes
    ----------
    value
        What the step returned; `None` when it failed.
    error
        Why it failed, empty when it did not.
    warnings
        (category, text) of every warning given meanwhile.
    """

    value: Any
    error: str = ""
    warnings: tuple[tuple[str, str], ...] = ()


def captured(function: Callable[..., Any], *arguments: Any) -> StepResult:
    """Call a function; keep its warnings, and turn a refusal of the data into words."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value, error = function(*arguments), ""
        except (TusiError, np.linalg.LinAlgError) as refused:
            value, error = None, str(refused)
    said = dict.fromkeys((warning.category.__name__, str(warning.message)) for warning in caught)
    return StepResult(value=value, error=error, warnings=tuple(said))

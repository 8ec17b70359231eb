"""What can go wrong, and what a caller should be told.

A caller's mistake is an `InputError`; a solve that stopped early is a `ConvergenceError` that still carries its best
result; physics that says "do not trust this" is a typed warning *and* a field or flag of the result.
"""


class TusiError(Exception):
    """Any error that tusi raises on purpose."""


class InputError(TusiError, ValueError):
    """A caller's mistake: the message names the input, what was expected, what came, and the next step."""

    def __init__(self, name: str, *, expected: str, got: str, then: str = "") -> None:
        self.name, self.expected, self.got, self.then = name, expected, got, then
        super().__init__(f"`{name}`: expected {expected}; got {got.rstrip('.')}." + (f" {then}" if then else ""))

    def __reduce__(self) -> tuple:
        """Survive the journey between worker processes."""
        return (_rebuild_input_error, (self.name, self.expected, self.got, self.then))


def _rebuild_input_error(name: str, expected: str, got: str, then: str) -> InputError:
    return InputError(name, expected=expected, got=got, then=then)


class ConvergenceError(TusiError, RuntimeError):
    """A solve that stopped before it converged; `result` is the best that it reached."""

    def __init__(self, message: str, *, result: object) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple:
        """Survive the journey between worker processes."""
        return (_rebuild_convergence_error, (str(self), self.result))


def _rebuild_convergence_error(message: str, result: object) -> ConvergenceError:
    return ConvergenceError(message, result=result)


class TusiWarning(UserWarning):
    """Any warning that tusi gives; the same words stand in the result that it concerns."""


class MetadataWarning(TusiWarning):
    """A file says too little or contradicts what is known (no pixel size, a colour display, a wrong scale)."""


class ScarceDataWarning(TusiWarning):
    """Too few atoms, sites or images for the number that was asked for."""


class IdentifiabilityWarning(TusiWarning):
    """The data cannot tell some directions of the parameters apart."""


class CalibrationWarning(TusiWarning):
    """A stated uncertainty or p-value rests on an assumption that this input violates."""

"""The folder `RESULT.partial/` of a run that has not finished: one file per finished step and image.

A file carries the key of all that its content depends on, so a second run takes what still holds and does the rest.
"""

import dataclasses
import os
from pathlib import Path

from tusi.data import storage
from tusi.errors import InputError
from tusi.study.capture import StepResult
from tusi.study.files import CLASSES

_CLASSES = {**CLASSES, "step-result": StepResult}


@dataclasses.dataclass(frozen=True)
class PartialFolder:
    """Finished steps on disk; `path` is `None` when nothing is kept."""

    path: Path | None

    @classmethod
    def beside(cls, result: str | os.PathLike | None) -> "PartialFolder":
        """Make (or find again) the folder that belongs to a result file.

        Raises
        ------
        InputError
            The folder cannot be made or written to.
        """
        if result is None:
            return cls(None)
        path = Path(f"{os.fspath(result)}.partial")
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(
                "out", expected="a file in a folder that can be written to", got=f"{str(result)!r} ({error.strerror})"
            ) from error
        return cls(path)

    def load(self, step: str, number: int, key: str) -> StepResult | None:
        """Return a finished step, or `None` when it is not here or its file is damaged."""
        if self.path is None or not (file := self._file(step, number, key)).exists():
            return None
        try:
            return storage.load(file, classes=_CLASSES)
        except InputError:
            return None

    def save(self, step: str, number: int, key: str, result: StepResult) -> None:
        """Keep a finished step."""
        if self.path is not None:
            storage.save(result, self._file(step, number, key), classes=_CLASSES)

    def remove(self) -> None:
        """Delete the folder, and in it nothing but what a run put there."""
        if self.path is None:
            return
        for pattern in ("*-*-*.step.h5", ".*.tmp"):
            for file in self.path.glob(pattern):
                file.unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def _file(self, step: str, number: int, key: str) -> Path:
        assert self.path is not None
        return self.path / f"{step}-{number:03d}-{key[:24]}.step.h5"

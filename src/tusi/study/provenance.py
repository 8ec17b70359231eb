"""How a result was made: hashes of the inputs, versions, platform, and the command that repeats it."""

import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
from pathlib import Path
from typing import Any

from tusi.errors import InputError
from tusi.study.analysis import InputFile
from tusi.study.options import MODELS, SCAN_ERROR, AnalysisOptions

_LIBRARIES = ("numpy", "scipy", "numba", "xarray", "tifffile", "h5py")


def describe_inputs(paths: tuple[str, ...]) -> tuple[InputFile, ...]:
    """Hash every input; raise `InputError` for what is missing, unreadable or given twice."""
    if not paths:
        raise InputError("paths", expected="at least one image", got="none")
    files, seen = [], {}
    for path, name in zip(paths, _names(paths), strict=True):
        digest, n_bytes = _hash(Path(path))
        if digest in seen:
            raise InputError(
                "paths",
                expected="different images",
                got=f"{path!r} with the same content as {seen[digest]!r}",
                then="The same image twice would count as twice the evidence.",
            )
        seen[digest] = path
        files.append(InputFile(path=path, name=name, sha256=digest, n_bytes=n_bytes))
    return tuple(files)


def key_of(*parts: Any) -> str:
    """Return the hash of plain values and frozen objects whose `repr` is their content."""
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of tusi, Python and the libraries that calculate."""
    found = [("tusi", importlib.metadata.version("tusi")), ("python", platform.python_version())]
    return (*found, *((name, importlib.metadata.version(name)) for name in _LIBRARIES))


def machine() -> str:
    """Return machine type and operating system."""
    return f"{platform.system()} {platform.machine()}"


def command_of(paths: tuple[str, ...], options: AnalysisOptions) -> str:
    """Return the command line that makes the same result again, whatever the number of workers."""
    words = ["tusi", "analyze" if options.models else "structure", *paths]
    if options.species:
        words += ["--species", ",".join(options.species)]
    for region in options.regions:
        words += ["--region", str(region)]
    for name in ("pixel_size", "lattice_constant", "temperature", "dataset"):
        value = getattr(options, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if options.models not in (MODELS, ()):
        words += ["--models", ",".join(options.models)]
    if not options.structure:
        words.append("--no-structure")
    if options.structure and not options.symmetry:
        words.append("--no-symmetry")
    if options.models and options.structure and not options.causes:
        words.append("--no-causes")
    if options.scan_error != SCAN_ERROR:
        words += ["--scan-error", str(options.scan_error)]
    words += ["--seed", str(options.seed)]
    return shlex.join(words)


def _names(paths: tuple[str, ...]) -> list[str]:
    """Return the file names without ending, made unique by their number."""
    stems = [Path(path).stem or path for path in paths]
    return [
        stem if stems.count(stem) == 1 else f"{stem} ({stems[: i + 1].count(stem)})" for i, stem in enumerate(stems)
    ]


def _hash(path: Path) -> tuple[str, int]:
    """Return hash and size of a file, or of all files in a folder (a Zarr store)."""
    if not path.exists():
        raise InputError("paths", expected="a file", got=f"{str(path)!r}, which does not exist")
    members = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest, n_bytes = hashlib.sha256(), 0
    for member in members:
        if path.is_dir():
            digest.update(str(member.relative_to(path)).encode() + b"\0")
        try:
            with open(member, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
                n_bytes += os.fstat(file.fileno()).st_size
        except OSError as error:
            raise InputError(
                "paths", expected="a file that can be read", got=f"{str(path)!r} ({error.strerror})"
            ) from error
    return digest.hexdigest(), n_bytes

"""Real data sets by name: which files they are, where they come from, and that they are what they should be."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from tusi.datasets.download import download, sha256_of
from tusi.errors import InputError

FOLDER_VARIABLE = "TUSI_DATA"
"""Environment variable that names the folder in which real data sets lie."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RealFile:
    """One file of a data set.

    Attributes
    ----------
    sha256
        Its SHA-256 sum, hexadecimal.
    n_bytes
        Its size, in bytes.
    url
        Where it can be fetched; empty when nowhere.
    """

    sha256: str
    n_bytes: int
    url: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RealDataset:
    """A registered data set.

    Attributes
    ----------
    title
        What it shows.
    citation
        Whom to cite.
    licence
        Under which terms it may be used.
    folder
        Its folder inside the data folder.
    files
        Its files by name.
    """

    title: str
    citation: str
    licence: str
    folder: str
    files: Mapping[str, RealFile]


REAL_DATASETS: dict[str, RealDataset] = {
    "mos2-res2": RealDataset(
        title="Mo(1-x)Re(x)S2 monolayers, HAADF-STEM, x = .05, .55, .78, .95; 8-bit pictures without a scale",
        citation="Vlcek et al., npj Comput. Mater. 7, 42 (2021); images by S. Yang and M. Chisholm",
        licence="none stated: for testing only, not to be redistributed",
        folder="more2",
        files={
            "re05.tiff": RealFile(
                sha256="ed4921657a26b61226feb852df88b491de71b93e0c4e36196aa7662d1df26ecc", n_bytes=1766200
            ),
            "re05_sites.csv": RealFile(
                sha256="8f3ed30441459bb76cda0d4198bffa44e50e21deacdca47d9ce851ac900e1a54", n_bytes=8809
            ),
            "re55.tiff": RealFile(
                sha256="20d59019c94818fb9b8716b0f1ea7e72d40f51ba9d539bf87ce82083c11428fc", n_bytes=895076
            ),
            "re55_sites.csv": RealFile(
                sha256="451411b0182c4929df298cf31e424489af9cdd69318e42bb5c97338328bb9a9d", n_bytes=8763
            ),
            "re78.tiff": RealFile(
                sha256="f54c9e53de6afaa81e18a0473786057e64a39d4c73c0ad853ca335010d8659c2", n_bytes=895696
            ),
            "re95.tiff": RealFile(
                sha256="2921c31574007f624e04a76bd9bafb7e37b19ecd5e242d2b04ced33e7a4e8774", n_bytes=894944
            ),
        },
    ),
    "mos2-res2-48": RealDataset(
        title="Mo(1-x)Re(x)S2 monolayer, HAADF-STEM, the field of x = .55 with a wider border; 8-bit picture",
        citation="pycroscopy sample data, re48.tiff",
        licence="MIT",
        folder="mores2-re48",
        files={
            "re48.tiff": RealFile(
                sha256="b087d2a1cd27652bd4b40eda5a0835bb9763319609866569dd2643195b0ab753", n_bytes=722222
            ),
            "reference_numbers.json": RealFile(
                sha256="32e518061fd618948e54486a58d2e1f74f3906eb7d5a11d69263cc1008d790c9", n_bytes=2835
            ),
        },
    ),
    "mos2": RealDataset(
        title="MoS2 monolayers, HAADF-STEM at 60 kV: 1 % V-doped (9 nm) and with vacancies and contamination (7 nm)",
        citation="SciLink example data",
        licence="MIT",
        folder="mos2-haadf",
        files={
            "MoS2_stem_Exp-000-2.npy": RealFile(
                sha256="a2546278c0fc18016688de44d5d8f3df21eb61f1915232f120d936095b2a3d31", n_bytes=2097280
            ),
            "MoS2_stem_Exp-001-5.npy": RealFile(
                sha256="74dd13de10282aa8f8a8cea84ab3a3b653fadeabc4b63ea6845afd90d9c049fb", n_bytes=2097280
            ),
        },
    ),
}
"""The data sets by name."""


def real_data(name: str, *, folder: str | Path | None = None, cache: str | Path | None = None) -> dict[str, Path]:
    """Return the files of a registered data set, checked against their SHA-256 sums.

    A local copy is taken where there is one. Else a file that has an address is fetched once into the cache and kept.

    Parameters
    ----------
    name
        One of `REAL_DATASETS`.
    folder
        Folder that holds the data sets, or this one; the environment variable TUSI_DATA when `None`.
    cache
        Where fetched files are kept; `tusi` in the user's cache folder when `None`.

    Returns
    -------
    dict of str to Path
        Path of each file by its name.

    Raises
    ------
    InputError
        The name is unknown, a file is nowhere, or it is not the registered one.

    Examples
    --------
    >>> sorted(REAL_DATASETS)
    ['mos2', 'mos2-res2', 'mos2-res2-48']
    """
    if name not in REAL_DATASETS:
        raise InputError("name", expected=f"one of {', '.join(sorted(REAL_DATASETS))}", got=repr(name))
    dataset = REAL_DATASETS[name]
    given = folder if folder is not None else os.environ.get(FOLDER_VARIABLE)
    kept = Path(cache) if cache is not None else _user_cache()
    places = [] if given is None else [Path(given) / dataset.folder, Path(given)]
    return {key: _locate(key, file, places, kept / dataset.folder) for key, file in dataset.files.items()}


def _locate(name: str, file: RealFile, places: list[Path], kept: Path) -> Path:
    """Return the first copy of a file, fetched if need be, and check it."""
    for place in (*places, kept):
        path = place / name
        if path.is_file():
            found = sha256_of(path)
            if found != file.sha256:
                raise InputError(
                    str(path), expected=f"SHA-256 {file.sha256}", got=found, then="Replace it by the registered file."
                )
            return path
    if not file.url:
        where = ", ".join(str(place) for place in places) or f"no folder: {FOLDER_VARIABLE} is not set"
        raise InputError(
            "folder", expected=f"a folder with {name}", got=where, then=f"Set {FOLDER_VARIABLE} to the data folder."
        )
    return download(file.url, kept / name, sha256=file.sha256, n_bytes=file.n_bytes)


def _user_cache() -> Path:
    """Return the folder in which fetched files are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tusi"

"""`tusi unmix`: the phases of an image from its local spectra, where they are, and how sure that is."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tusi.cli.console import output, print_warnings, quiet_warnings, told
from tusi.cli.options import Dataset, PixelSize, Seed
from tusi.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from tusi.structure.unmixing import ImageUnmixing

_PICTURES = (".png", ".svg", ".pdf")
_SUFFIXES = (*_PICTURES, ".h5", ".json", ".nc")


def unmix(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="One image.")],
    *,
    window: Annotated[
        int | None, typer.Option(help="Side of the windows, in pixels.", show_default="eight periods")
    ] = None,
    step: Annotated[
        int | None, typer.Option(help="Distance between windows, in pixels.", show_default="half a window")
    ] = None,
    phases: Annotated[
        int | None, typer.Option(help="Number of phases, where it is known.", show_default="by evidence, up to 6")
    ] = None,
    level: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.9,
    pixel_size: PixelSize = None,
    dataset: Dataset = None,
    seed: Seed = 0,
    out: Annotated[
        Path, typer.Option(help="Picture (.png, .svg, .pdf), result (.h5), maps (.nc), or a summary (.json).")
    ] = Path("phases.png"),
) -> None:
    """Find the phases of an image by unmixing the spectra of windows, with the abundance of each in every window.

    Windows over an interface and windows that no mixture explains are counted apart. "One phase" is an answer.
    """
    import numpy as np

    from tusi.io import read
    from tusi.structure.sliding import SlidingWindows, windows_for
    from tusi.structure.unmixing import BayesianUnmixing, unmix_image

    check_out(out)
    settings = BayesianUnmixing(level=level) if phases is None else BayesianUnmixing(numbers=(phases,), level=level)
    with quiet_warnings() as said, told() as progress:
        grid = read(image, pixel_size=pixel_size, dataset=dataset)
        if window is None:
            windows = windows_for(grid)
            windows = windows if step is None else SlidingWindows(size=windows.size, step=step)
        else:
            windows = SlidingWindows(size=window, step=step)
        found = unmix_image(
            grid,
            rng=np.random.default_rng(seed),
            windows=windows,
            settings=settings,
            progress=None if progress is None else lambda done, total: progress("Unmixing", done, total),
        )
        write_unmixing(found, grid, out=out)
    print_warnings(said)
    for line in summary_of(found)["says"]:
        output().print(line, markup=False, soft_wrap=True)
    output().print(f"[bold]written[/]  {out}", soft_wrap=True)


def summary_of(found: "ImageUnmixing") -> dict:
    """Return what was found, in numbers and in words."""
    mixture = found.mixture
    n, total = mixture.n_end_members, len(mixture)
    probability = float(mixture.number_probability[mixture.number == n][0])
    inside = [int((mixture.inside == k).sum()) for k in range(n)]
    mean = mixture.abundance.mean(axis=0)
    height, width = found.windows.shape
    says = [
        f"{n} phase{'s' if n > 1 else ''} (probability {probability:.3g} among {mixture.number.min()} to "
        f"{mixture.number.max()}) in {total} windows of {height} x {width} pixels",
        *(f"phase {k + 1}: {100 * mean[k]:.1f} % of the image, fills {inside[k]} windows" for k in range(n)),
        f"{int(mixture.mixed.sum())} windows mixed, as over an interface; "
        f"{int(mixture.unexplained.sum())} that no mixture explains",
    ]
    return {
        "says": says,
        "n_phases": n,
        "number": mixture.number.tolist(),
        "number_probability": mixture.number_probability.tolist(),
        "mean_abundance": mean.tolist(),
        "windows_inside": inside,
        "windows_mixed": int(mixture.mixed.sum()),
        "windows_unexplained": int(mixture.unexplained.sum()),
        "window": [height, width],
        "noise_deviation": found.noise_deviation,
    }


def write_unmixing(found: "ImageUnmixing", grid: "xr.DataArray", *, out: Path) -> Path:
    """Write the phases of an image as a picture, a result, maps, or a summary."""
    check_out(out)
    from tusi.data.storage import save, write_atomically

    if out.suffix == ".h5":
        from tusi.study.files import CLASSES

        return save(found, out, classes=CLASSES)
    if out.suffix == ".json":
        return write_atomically(out, f"{json.dumps(summary_of(found), indent=1)}\n".encode())
    if out.suffix == ".nc":
        return write_atomically(out, bytes(found.maps().to_netcdf(engine="h5netcdf")))
    import io

    from tusi.plot.canvas import new_figure
    from tusi.plot.unmixing import draw_unmixing, size_of_unmixing

    figure = draw_unmixing(new_figure(*size_of_unmixing(found, grid=grid)), found, grid=grid)
    content = io.BytesIO()
    figure.savefig(content, format=out.suffix[1:], dpi=150, facecolor="#fffffe", bbox_inches="tight")
    return write_atomically(out, content.getvalue())


def check_out(out: Path) -> None:
    """Refuse a file that could not be written, before anything is computed."""
    if out.suffix not in _SUFFIXES:
        raise InputError("out", expected=f"a name ending in {', '.join(_SUFFIXES)}", got=repr(str(out)))
    if not out.parent.is_dir():
        raise InputError("out", expected="a file in a folder that exists", got=repr(str(out)))

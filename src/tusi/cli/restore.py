"""`tusi restore`: frames as the microscope wrote them in, one image that `tusi analyze` reads out."""

from pathlib import Path
from typing import Annotated

import typer

from tusi.cli.console import output, print_warnings, quiet_warnings, told
from tusi.cli.options import Dataset, PixelSize
from tusi.errors import InputError


def restore(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="A movie, an image, or several images of one area.", show_default=False),
    ],
    *,
    scan_angles: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Angle of the fast axis of each file, in degrees, from x towards y.",
            show_default="what the files state",
        ),
    ] = None,
    non_rigid: Annotated[
        bool, typer.Option("--non-rigid", help="Warp the frames of a movie smoothly and row by row.")
    ] = False,
    pixel_size: PixelSize = None,
    dataset: Dataset = None,
    out: Annotated[
        Path, typer.Option(help="Restored image (.tiff, .nc); a page with before and after lies beside it (.html).")
    ] = Path("restored.tiff"),
) -> None:
    """Make one image of a movie, of images with different scan angles, or of one image with shifted rows.

    A movie is registered and averaged. Images scanned at different angles are freed from drift: `--scan-angles 0,90`.
    One image has its rows put straight; strain and drift cannot be told apart in it.
    """
    from tusi.study.restoration import RestorationOptions, check_target, write_restored
    from tusi.study.restoration import restore as restore_files

    check_target(out, inputs=files)
    options = RestorationOptions(
        non_rigid=non_rigid,
        scan_angles=None if scan_angles is None else angles_of(scan_angles),
        pixel_size=pixel_size,
        dataset=dataset,
    )
    from tusi.report.restoration import write_restoration_report

    with quiet_warnings() as said, told() as progress:
        restored = restore_files(
            files,
            options=options,
            progress=None if progress is None else lambda done, total: progress("Registering", done, total),
        )
        write_restored(restored, out)
        page = write_restoration_report(restored, out.with_suffix(".html"))
    verdict = restored.verdict
    print_warnings([text for text in said if not any(text in sentence for sentence in verdict)])
    for sentence in verdict:
        output().print(sentence, markup=False, soft_wrap=True)
    output().print(f"\n[bold]image[/]   {out}\n[bold]report[/]  {page}", soft_wrap=True)


def angles_of(text: str) -> tuple[float, ...]:
    """Return the angles that a text lists."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError("scan_angles", expected="numbers of degrees, as in 0,90", got=repr(text)) from error

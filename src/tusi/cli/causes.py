"""`tusi causes`: a table or a movie in, what acts on what out, with probabilities and in words."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tusi.cli.analyze import listed, result_path
from tusi.cli.console import output, print_warnings, quiet_warnings, told
from tusi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tusi.causal import Knowledge
    from tusi.data import CausalGraph
    from tusi.study.causes import CausalAnalysis, CausesOptions
    from tusi.study.causes.files import CausalInput
    from tusi.study.causes.movies import MovieCauses, MovieOptions


RESAMPLES, MOST_ROWS = 20, 3000
"""How often searches are repeated when nothing is said, and rows above which they are not: it takes too long."""


def causes(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="Text with named columns, or a result of `tusi analyze` or `tusi structure`.",
            show_default=False,
        ),
    ],
    *,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="The variables.", show_default="all columns of numbers")
    ] = None,
    position: Annotated[str | None, typer.Option(metavar="Y,X", help="Columns that say where each row lies.")] = None,
    image: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column that names the image.")] = None,
    time: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of the time or frame, in a movie: what acts on what later."),
    ] = None,
    track: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column that names the atom or site from frame to frame.")
    ] = None,
    lags: Annotated[int, typer.Option(help="Frames to look back, in a movie.")] = 1,
    error: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COLUMN", help="Standard error of a variable: a column or a number. Repeat."),
    ] = None,
    tiers: Annotated[
        str | None, typer.Option(metavar="A,B>C>D", help="What comes first: later groups never act on earlier ones.")
    ] = None,
    forbid: Annotated[list[str] | None, typer.Option(metavar="A>B", help="A does not act on B. Repeat.")] = None,
    require: Annotated[list[str] | None, typer.Option(metavar="A>B", help="A is known to act on B. Repeat.")] = None,
    exogenous: Annotated[
        str | None, typer.Option(metavar="A,B", help="Variables on which nothing in the table acts.")
    ] = None,
    species: Annotated[str | None, typer.Option(metavar="A", help="Species that is counted, in a result.")] = None,
    long_waves: Annotated[
        bool | None,
        typer.Option(
            help="Let waves count that are longer than 32 rows; thickness, tilt and drift are such.",
            show_default="not where rows have positions, but no times",
        ),
    ] = None,
    resamples: Annotated[
        int | None,
        typer.Option(
            help="Search again in so many images put together from blocks of these: how stable is it?",
            show_default=f"{RESAMPLES}, none above {MOST_ROWS} rows",
        ),
    ] = None,
    graph: Annotated[
        Path | None, typer.Option(help="Also write the graph alone, as .dot or .gml, for dowhy, networkx, Graphviz.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of shifted images and simulated experiments.")] = 0,
    level: Annotated[float, typer.Option(help="P-value above which FCI takes two variables for independent.")] = 0.01,
    out: Annotated[Path, typer.Option(help="Result file (.h5); the report lies beside it (.html).")] = Path(
        "causes.h5"
    ),
) -> None:
    """Say what acts on what in a table, how probably, and what the data cannot decide."""
    from tusi.data import storage
    from tusi.report.causes import write_causes_report
    from tusi.study.causes import CausesOptions
    from tusi.study.causes.files import ColumnRoles, read_causal_table
    from tusi.study.causes.movies import MovieOptions
    from tusi.study.files import CLASSES

    out = _checked(result_path(out), table)
    export = _export(graph)
    roles = ColumnRoles(
        variables=listed(columns),
        position=_pair("position", position, ",") if position else None,
        image=image,
        time=time,
        track=track,
        error=tuple(_pair("error", one, "=") for one in error or ()),
    )
    if time is not None and (tiers or forbid or require or exogenous):
        raise InputError(
            "time", expected="no other knowledge of what comes first", got="tiers or pairs, too",
            then="Leave them out: only what came before can act.",
        )  # fmt: skip
    arrows = tuple(tuple(_pair(what, one, ">") for one in given or ()) for what, given in
                   (("forbid", forbid), ("require", require)))  # fmt: skip
    with quiet_warnings() as said, told() as progress:
        given = read_causal_table(table, roles=roles, species=species)
        known = knowledge_of(given.knowledge, tiers=tiers, arrows=arrows, exogenous=listed(exogenous))
        slow = long_waves if long_waves is not None else time is not None or not given.located
        if time is None:
            again = RESAMPLES if resamples is None and len(given.table) <= MOST_ROWS else resamples or 0
            options = CausesOptions(long_waves=slow, level=level, resamples=again)
        else:
            options = MovieOptions(n_lags=lags, level=level, long_waves=slow)
        found = _discovered(given, known, options, seed=seed, progress=progress)
        found = _made(found, given, (table, known))
        storage.save(found, out, classes=CLASSES)
        page = write_causes_report(found, out.with_suffix(".html"))
        if graph is not None:
            storage.write_atomically(graph, f"{export(found.graph)}\n".encode())
    print_warnings(said)
    print_causes(found)
    output().print(f"\n[bold]result[/]  {out}\n[bold]report[/]  {page}", markup=True, soft_wrap=True)


def _discovered(
    given: "CausalInput", known: "Knowledge", options: "CausesOptions | MovieOptions", *, seed: int,
    progress: "Callable[[str, int, int], None] | None",
) -> "CausalAnalysis | MovieCauses":  # fmt: skip
    """Return what is found in a table of places, or of places and times."""
    import numpy as np

    from tusi.study.causes import CausesOptions, discover_causes
    from tusi.study.causes.movies import discover_in_time

    rng = np.random.default_rng(seed)
    if isinstance(options, CausesOptions):
        return discover_causes(
            given.table, rng=rng, knowledge=known, options=options, meaning=given.meaning, progress=progress
        )
    return discover_in_time(given.table, rng=rng, track=given.track, options=options, progress=progress)


def knowledge_of(
    given: "Knowledge", *, tiers: str | None, arrows: tuple[tuple, ...], exogenous: tuple[str, ...]
) -> "Knowledge":
    """Return what the file and the options know together; tiers of the options replace those of the file."""
    from tusi.causal import Knowledge

    forbidden, required = arrows
    named = tuple(listed(tier) for tier in tiers.split(">")) if tiers else given.tiers
    if tiers and not all(named):
        raise InputError("tiers", expected="groups of names, causes first, as in a,b>c>d", got=repr(tiers))
    return Knowledge(
        tiers=named,
        forbidden=tuple(dict.fromkeys((*given.forbidden, *forbidden))),
        required=tuple(dict.fromkeys((*given.required, *required))),
        exogenous=tuple(dict.fromkeys((*given.exogenous, *exogenous))),
    )


def print_causes(found: "CausalAnalysis | MovieCauses") -> None:
    """Print the verdict, the probabilities, and what is wrong with the table."""
    from rich.table import Table
    from rich.text import Text

    console = output()
    for i, sentence in enumerate(found.verdict):
        console.print(Text(sentence, style="bold" if i == 0 else ""))
    edges = found.graph.edges(0.3)
    if edges:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("pair", "connected", "relation"):
            table.add_column(title, justify="right" if title == "connected" else "left")
        for edge in edges:
            pair, _, _ = str(edge).partition(" (P")
            table.add_row(Text(pair), f"{edge.connected:.2f}", f"{edge.relation}, {edge.probability:.2f}")
        console.print()
        console.print(table)
    dropped = [f"{found.table.n_dropped} rows with missing values were left out."] if found.table.n_dropped else []
    print_warnings([*map(str, found.findings), *found.notes, *dropped])


def _checked(out: Path, table: Path) -> Path:
    """Return where the result goes, or refuse to replace what tusi did not write."""
    from tusi.data import storage
    from tusi.study.files import CLASSES

    if out.exists():
        if table.exists() and out.samefile(table):
            raise InputError("out", expected="another file than the table", got=repr(str(out)))
        try:
            storage.load(out, classes=CLASSES)
        except InputError as error:
            raise InputError(
                "out", expected="a new file, or a result to replace", got=f"{str(out)!r}, which tusi did not write",
                then="Move it away or choose another name.",
            ) from error  # fmt: skip
    return out


def _export(path: Path | None) -> "Callable[[CausalGraph], str]":
    """Return what writes a graph in the language of a file."""
    from tusi.causal.structural import to_dot, to_gml

    ways = {".dot": to_dot, ".gml": to_gml}
    if path is not None and path.suffix not in ways:
        raise InputError("graph", expected="a name that ends in .dot or .gml", got=repr(str(path)))
    return ways[path.suffix] if path is not None else to_dot


def _pair(name: str, text: str, separator: str) -> tuple[str, str]:
    """Split at one sign."""
    parts = tuple(part.strip() for part in text.split(separator))
    if len(parts) != 2 or not all(parts):
        raise InputError(name, expected=f"two names with {separator!r} between them", got=repr(text))
    return parts[0], parts[1]


def _made(
    found: "CausalAnalysis | MovieCauses", given: "CausalInput", asked: "tuple[Path, Knowledge]"
) -> "CausalAnalysis | MovieCauses":
    """Return the result with what the page says about how it was made."""
    import dataclasses

    from tusi.study.provenance import versions

    table, known = asked
    made = (
        ("table", table.name),
        ("command", shlex.join(["tusi", *sys.argv[1:]])),
        ("SHA-256", given.sha256),
        ("options", repr(found.options)),
        ("known before", repr(known)),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions())),
    )
    return dataclasses.replace(found, made=made, notes=(*given.notes, *found.notes))

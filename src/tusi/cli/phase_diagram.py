"""`tusi phase-diagram`: what fitted couplings predict over temperature, and field or composition."""

import dataclasses
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tusi.cli.console import output, print_warnings, quiet_warnings, told
from tusi.cli.execution import workers_for
from tusi.cli.options import Seed
from tusi.errors import InputError

if TYPE_CHECKING:
    from tusi.generative.prediction.conditions import Conditions, FittedModel
    from tusi.generative.prediction.diagram import PhaseDiagram
    from tusi.generative.prediction.transition import Transition

_SUFFIXES = (".png", ".svg", ".pdf", ".html", ".h5", ".json")
_MOST_VALUES = 200


def phase_diagram(
    result: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RESULT.h5]", help="A result of `tusi analyze` or `tusi fit-hamiltonian` that holds the couplings."
        ),
    ] = None,
    *,
    model: Annotated[
        str | None, typer.Option(help="Lattice model; with a result, which of its models (the best by default).")
    ] = None,
    couplings: Annotated[str, typer.Option(metavar="K=0.4,...", help="Couplings, in kT.")] = "",
    covariance: Annotated[
        str, typer.Option(metavar="A,B;C,D", help="Their covariance, rows apart by semicolons.", show_default="0")
    ] = "",
    crystal: Annotated[str, typer.Option(help="Crystal, without a result.")] = "square",
    temperatures: Annotated[
        str, typer.Option(metavar="LOW:HIGH:N", help="Temperatures, relative to that of the couplings, or in K.")
    ] = "0.5:3:11",
    reference: Annotated[
        float | None, typer.Option(help="Temperature of the couplings, in K; temperatures are then in K.")
    ] = None,
    compositions: Annotated[str, typer.Option(metavar="LOW:HIGH:N", help="Fractions of the second species.")] = "",
    fields: Annotated[str, typer.Option(metavar="NAME=LOW:HIGH:N", help="Fields added to a coupling, in kT.")] = "",
    sizes: Annotated[str, typer.Option(metavar="N,...", help="Cells along each side of the crystals.")] = "16,24,32",
    samples: Annotated[int, typer.Option(help="Samples of each chain.")] = 500,
    draws: Annotated[int, typer.Option(help="Draws of the couplings behind the bands.")] = 100,
    seed: Seed = 0,
    out: Annotated[
        Path,
        typer.Option(help="Picture (.png, .svg, .pdf), page (.html), all numbers (.h5), or a summary (.json)."),
    ] = Path("phase-diagram.png"),
    workers: Annotated[
        int | None,
        typer.Option(help="Worker processes; 1 starts none.", show_default="cores, up to 4"),
    ] = None,
    context: typer.Context = None,  # type: ignore[assignment]
) -> None:
    """Predict phases and transitions from couplings, with bands that hold their uncertainty.

    Either from a result of `tusi analyze` or `tusi fit-hamiltonian`, or from a model and its couplings.
    Says "no transition resolved" when so.
    """
    import numpy as np

    from tusi.generative.lattice.crystal import CRYSTALS
    from tusi.generative.prediction.conditions import Conditions
    from tusi.generative.prediction.diagram import DiagramPlan
    from tusi.generative.prediction.diagram import phase_diagram as predict
    from tusi.report.phase_diagram import transitions_of
    from tusi.study import couplings_of
    from tusi.study.provenance import versions

    _check_out(out)
    if result is None:
        if crystal not in CRYSTALS:
            raise InputError("crystal", expected=f"one of {', '.join(CRYSTALS)}", got=repr(crystal))
        fitted, lattice = _from_options(model, couplings, covariance), CRYSTALS[crystal]
    else:
        fitted, lattice = couplings_of(result, model=model)
    name, _, span = fields.rpartition("=")
    conditions = Conditions(
        crystal=lattice,
        temperatures=_values(temperatures, "temperatures"),
        reference_temperature=reference,
        field=name or None,
        fields=_values(span, "fields"),
        compositions=_values(compositions, "compositions"),
    )
    plan = DiagramPlan(sizes=tuple(int(n) for n in _numbers(sizes, "sizes")), n_samples=samples, n_draws=draws)
    fitted = _with_field(fitted, conditions)
    with quiet_warnings() as said, told() as progress, workers_for(4, workers=workers, scheduler=None) as executor:
        diagram = predict(
            fitted,
            conditions=conditions,
            rng=np.random.default_rng(seed),
            plan=plan,
            executor=executor,
            progress=None if progress is None else lambda done, total: progress("simulations", done, total),
        )
        diagram = dataclasses.replace(
            diagram, command=_command(context), versions=tuple(f"{name} {version}" for name, version in versions())
        )
        transitions = transitions_of(diagram)
    print_warnings([*said, *diagram.notes])
    write_diagram(diagram, transitions, out=out)
    print_diagram(diagram, transitions)
    output().print(f"[bold]written[/]  {out}", soft_wrap=True)


def print_diagram(diagram: "PhaseDiagram", transitions: list["Transition"]) -> None:
    """Print the Hamiltonian, the grid and every transition."""
    from tusi.generative.prediction.transition import unit_in_words

    console = output()
    console.print(
        f"{diagram.equation}, {diagram.crystal} lattice, order: {diagram.order}", markup=False, soft_wrap=True
    )
    low, high = diagram.temperature[0], diagram.temperature[-1]
    sizes, unit = ", ".join(map(str, diagram.sizes)), unit_in_words(diagram.temperature_unit)
    console.print(f"{low:.4g} to {high:.4g} {unit}, {sizes} cells along an edge", soft_wrap=True)
    for one in transitions:
        at = f"{diagram.axis} {one.level:g}: " if diagram.axis else ""
        console.print(f"{at}{one}", markup=False, soft_wrap=True)
    if not transitions:
        console.print("no transition looked for: that takes at least two sizes and three temperatures", soft_wrap=True)
    if diagram.command:
        console.print(f"\nmade by: {diagram.command}", markup=False, soft_wrap=True)


def write_diagram(diagram: "PhaseDiagram", transitions: list["Transition"], *, out: Path) -> Path:
    """Write a phase diagram as a picture, as a page, as all its numbers, or as a summary."""
    _check_out(out)
    if out.suffix == ".h5":
        from tusi.data import storage
        from tusi.study.files import CLASSES

        return storage.save(diagram, out, classes=CLASSES)
    if out.suffix == ".json":
        return _write_summary(diagram, transitions, out)
    if out.suffix == ".html":
        from tusi.report import write_phase_diagram_report

        return write_phase_diagram_report(diagram, out)
    import io

    from tusi.data.storage import write_atomically
    from tusi.plot import draw_phase_diagram, new_figure

    figure = draw_phase_diagram(new_figure(10.5, 5.6), diagram, transitions=transitions)
    content = io.BytesIO()
    figure.savefig(content, format=out.suffix[1:], dpi=150, facecolor="#fffffe")
    return write_atomically(out, content.getvalue())


def _write_summary(diagram: "PhaseDiagram", transitions: list["Transition"], out: Path) -> Path:
    """Write observables and transitions of the largest crystal as text."""
    summary = {
        "equation": diagram.equation,
        "crystal": diagram.crystal,
        "order": diagram.order,
        "sizes": diagram.sizes,
        "axis": diagram.axis,
        "temperature_unit": diagram.temperature_unit,
        "temperature": diagram.temperature.tolist(),
        "level": diagram.level.tolist(),
        "observables": {
            name: {"value": diagram.value[-1, :, :, k].tolist(), "band": diagram.band[-1, :, :, k].tolist()}
            for k, name in enumerate(diagram.observables)
        },
        "transitions": [
            {
                "level": one.level,
                "resolved": one.resolved,
                "says": str(one),
                "value": one.value if one.resolved else None,
                "interval": one.interval if one.resolved else None,
            }
            for one in transitions
        ],
        "notes": diagram.notes,
        "command": diagram.command,
        "versions": diagram.versions,
    }
    from tusi.data.storage import write_atomically

    return write_atomically(out, f"{json.dumps(summary, indent=1)}\n".encode())


def _from_options(model: str | None, couplings: str, covariance: str) -> "FittedModel":
    """Return the model that the options describe."""
    import numpy as np

    from tusi.generative.lattice.named import named_model
    from tusi.generative.prediction.conditions import FittedModel

    if model is None or not couplings:
        raise InputError(
            "model", expected="a result file, or a model with couplings", got="neither",
            then="For example --model ising --couplings K=0.4.",
        )  # fmt: skip
    definition = named_model(model)
    pairs = [part.partition("=") for part in couplings.split(",")]
    value = definition.couplings(**{name.strip(): _number(text, "couplings") for name, _, text in pairs})
    given = [name.strip() for name, _, _ in pairs]
    spread = np.zeros((len(value), len(value)))
    if covariance:
        rows = [_numbers(row, "covariance") for row in covariance.split(";")]
        if len({len(row) for row in rows} | {len(rows), len(given)}) > 1:
            raise InputError(
                "covariance", expected=f"a row of {len(given)} for each of {', '.join(given)}", got=covariance
            )
        place = [definition.parameters.index(name) for name in given]
        spread[np.ix_(place, place)] = rows
    return FittedModel(model=definition, value=value, covariance=spread)


def _command(context: typer.Context | None) -> str:
    """Return the command line that makes the same result again, wherever it is written; empty outside a command."""
    if context is None:
        return ""
    words = ["tusi", "phase-diagram"]
    for option in context.command.params:
        given = context.params.get(option.name or "")
        if option.param_type_name == "argument":
            words += [str(given)] if given is not None else []
        elif option.name == "seed" or (option.name not in ("out", "workers") and given != option.get_default(context)):
            words += [option.opts[0], str(given)]
    return shlex.join(words)


def _with_field(fitted: "FittedModel", conditions: "Conditions") -> "FittedModel":
    """Give the model chemical potentials where fields are asked for that it lacks."""
    from tusi.generative.lattice.named import with_fields

    if not conditions.fields or conditions.field in fitted.model.parameters:
        return fitted
    return fitted.with_model(with_fields(fitted.model))


def _check_out(out: Path) -> None:
    if out.suffix not in _SUFFIXES:
        raise InputError("out", expected=f"a name ending in {', '.join(_SUFFIXES)}", got=repr(str(out)))
    if not out.parent.is_dir():
        raise InputError("out", expected="a file in a folder that exists", got=repr(str(out)))


def _values(text: str, name: str) -> tuple[float, ...]:
    """Return LOW:HIGH:N, or numbers with commas, as values."""
    if ":" not in text:
        return tuple(_numbers(text, name))
    parts = _numbers(text.replace(":", ","), name)
    if len(parts) != 3 or not 1 <= parts[2] <= _MOST_VALUES or parts[2] != int(parts[2]):
        raise InputError(name, expected=f"LOW:HIGH:N with N up to {_MOST_VALUES}", got=repr(text))
    low, high, n = parts
    return tuple(low + (high - low) * k / max(n - 1, 1) for k in range(int(n)))


def _numbers(text: str, name: str) -> list[float]:
    return [_number(part, name) for part in text.split(",") if part.strip()]


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(name, expected="numbers", got=repr(text)) from None

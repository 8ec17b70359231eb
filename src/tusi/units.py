"""The unit system: angstrom, eV, K, s, counts. Everything else is converted at the door."""

from tusi.errors import InputError

BOLTZMANN = 8.617333262e-5
"""Boltzmann constant, eV/K."""

PIXEL = "pixel"
ANGSTROM = "angstrom"
LENGTH_UNITS = (PIXEL, ANGSTROM)
"""The units in which a position can be stated."""

_ANGSTROMS_PER = {
    "angstrom": 1.0,
    "å": 1.0,
    "a": 1.0,
    "pm": 1e-2,
    "nm": 1e1,
    "um": 1e4,
    "µm": 1e4,
    "μm": 1e4,
    "mm": 1e7,
    "cm": 1e8,
    "m": 1e10,
}


def angstroms(value: float, unit: str) -> float:
    """Convert a length to angstrom.

    Parameters
    ----------
    value
        The length, in `unit`.
    unit
        A unit of length as microscope files spell it: pm, nm, um, mm, cm, m, angstrom.

    Returns
    -------
    float
        The length in angstrom.

    Raises
    ------
    InputError
        The unit is not one of length.

    Examples
    --------
    >>> angstroms(0.25, "nm")
    2.5
    """
    try:
        return value * _ANGSTROMS_PER[unit.strip().lower()]
    except KeyError:
        known = ", ".join(sorted(_ANGSTROMS_PER))
        raise InputError("unit", expected=f"a unit of length ({known})", got=repr(unit)) from None

"""Lattice models with names: from the Ising model to segregation at a surface."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tusi.errors import InputError
from tusi.generative.lattice.crystal import Crystal
from tusi.generative.lattice.model import LatticeModel, Term, tabulate
from tusi.generative.lattice.motifs import Motif, NearestClusters, PairShell, SingleSite
from tusi.generative.lattice.symmetry import Orbit


def ising(*, shells: int = 1, field: bool = True, species: tuple[str, str] = ("down", "up")) -> LatticeModel:
    """Return the Ising model: `E/kT = -K sum s_i s_j - h sum s_i`, s = -1 for species 0 and +1 for species 1.

    Parameters
    ----------
    shells
        Shells of neighbours with a coupling of their own: K (or K1, K2, ...).
    field
        Whether there is a field h.
    species
        Names of the two states.

    Examples
    --------
    >>> ising(shells=2, field=False).parameters
    ('K1', 'K2')
    """
    return _spins("Ising" if shells == 1 else f"Ising to shell {shells}", (-1.0, 1.0), shells, field, species)


def blume_capel(*, shells: int = 1, field: bool = True, species: Sequence[str] = ("-", "0", "+")) -> LatticeModel:
    """Return the Blume-Capel model: spins -1, 0, +1 with `E/kT = -K sum s_i s_j + D sum s_i^2 - h sum s_i`.

    Parameters
    ----------
    shells
        Shells of neighbours with a coupling of their own.
    field
        Whether there is a field h.
    species
        Names of the three states.

    References
    ----------
    M. Blume, Phys. Rev. 141, 517 (1966); H. W. Capel, Physica 32, 966 (1966).

    Examples
    --------
    >>> blume_capel(field=False).parameters
    ('K', 'D')
    """
    return _spins("Blume-Capel", (-1.0, 0.0, 1.0), shells, field, tuple(species))


def potts(n_species: int = 3, *, shells: int = 1, field: bool = False) -> LatticeModel:
    """Return the Potts model: `E/kT = -K sum d(s_i, s_j)`, and a field on each species but the first.

    Parameters
    ----------
    n_species
        States of a site.
    shells
        Shells of neighbours with a coupling of their own.
    field
        Whether species 1, 2, ... have fields h1, h2, ...

    Examples
    --------
    >>> print(potts(3))
    E/kT = -K sum_NN d(alike)
    """
    alike = tabulate(lambda i, j: i == j, n_species=n_species, n_corners=2)
    terms = [
        Term(coupling=_numbered("K", k, shells), motif=PairShell(shell=k), table=alike, counts="-d(alike)")
        for k in range(1, shells + 1)
    ]
    names = tuple(chr(ord("A") + s) for s in range(n_species))
    fields = species_fields(names) if field else ()
    return LatticeModel(name=f"Potts {n_species}", species=names, terms=(*(_negative(t) for t in terms), *fields))


def solution(
    species: Sequence[str], *, shells: int = 1, fields: bool = False, labels: tuple[str, str] | None = None
) -> LatticeModel:
    """Return the pair-additive solution of any number of species: one energy per unlike pair and shell.

    `E/kT = sum_shells sum_(a<b) w_ab N_ab`, the interacting solution with as many species as are named: three make
    the three-state solution of FeSeTe with its vacancies.

    Parameters
    ----------
    species
        Names of the species.
    shells
        Shells of neighbours.
    fields
        Whether every species but the first has a chemical potential (in kT, a weight of exp(h)).
    labels
        Labels of the sites whose pairs interact; all by default.

    References
    ----------
    L. Vlcek et al., ACS Nano 11, 10313 (2017).

    Examples
    --------
    >>> solution(("Te", "Se", "vac")).parameters
    ('w_TeSe', 'w_Tevac', 'w_Sevac')
    """
    names, n = tuple(species), len(species)
    terms = []
    for shell in range(1, shells + 1):
        for a in range(n):
            for b in range(a + 1, n):
                table = tabulate(lambda i, j, a=a, b=b: {i, j} == {a, b}, n_species=n, n_corners=2)
                terms.append(
                    Term(
                        coupling=_numbered(f"w_{names[a]}{names[b]}", shell, shells),
                        motif=PairShell(shell=shell, labels=labels),
                        table=table,
                        counts=f"d({{{a}}} {{{b}}})",
                    )
                )
    extra = species_fields(names) if fields else ()
    return LatticeModel(name=f"solution of {n}", species=names, terms=(*terms, *extra))


def pair_model(*, shells: int = 1, species: tuple[str, str] = ("A", "B"), name: str = "") -> LatticeModel:
    """Return the two-species solution with one energy per unlike pair: P1 with one shell, P2 with two.

    Examples
    --------
    >>> print(pair_model(shells=2))
    E/kT = w1 sum_NN d(unlike) + w2 sum_NNN d(unlike)
    """
    unlike = tabulate(lambda i, j: i != j, n_species=2, n_corners=2)
    terms = tuple(
        Term(coupling=f"w{k}", motif=PairShell(shell=k), table=unlike, counts="d(unlike)") for k in range(1, shells + 1)
    )
    return LatticeModel(name=name or f"P{shells}", species=species, terms=terms)


def triangle_model(*, species: tuple[str, str] = ("A", "B")) -> LatticeModel:
    """Return the many-body model M: energies of nearest-neighbour triangles with one and with two of species 1.

    A triangle with a vacancy keeps one bond; if that is unlike it adds a quarter to both mixed kinds, so that equal
    weights are exactly a nearest-neighbour pair energy, vacancies or not.

    Examples
    --------
    >>> print(triangle_model(species=("Mo", "Re")))
    E/kT = w1 sum_T d(Mo Mo Re) + w2 sum_T d(Mo Re Re)
    """
    quarter = tabulate(lambda i, j: 0.25 * (i != j), n_species=2, n_corners=2)
    terms = tuple(
        Term(
            coupling=f"w{n}",
            motif=NearestClusters(size=3),
            table=tabulate(lambda i, j, k, n=n: i + j + k == n, n_species=2, n_corners=3),
            counts="d(" + " ".join(["{0}"] * (3 - n) + ["{1}"] * n) + ")",
            with_vacancy=quarter,
        )
        for n in (1, 2)
    )
    return LatticeModel(name="M", species=species, terms=terms)


def segregation(
    *,
    species: tuple[str, str] = ("La", "Ca"),
    surface: str | tuple[str, ...] = "surface",
    oxygen: str = "oxygen",
) -> LatticeModel:
    """Return segregation at a surface: exchange energies in the bulk and at the surface, and surface site energies.

    `w_CL` is the energy of an unlike nearest pair anywhere, `w_LL` the energy of a pair of the first species, both in
    the surface layer, and `w_LO` the energy of the first species on a surface site with oxygen above it, relative to
    one without. Sites are labelled by `slab`: anything but the labels named here is bulk. A slab without such sites
    has no such energies, so that slabs with and without oxygen share one model.

    Parameters
    ----------
    species
        Names of the two species.
    surface
        Label, or labels, of the sites among which `w_LL` counts: `("surface", "oxygen")` where it acts in the surface
        layer whether or not oxygen covers it.
    oxygen
        Label of the surface sites with oxygen above them.

    Examples
    --------
    >>> segregation().parameters
    ('w_CL', 'w_LL', 'w_LO')
    """
    unlike = tabulate(lambda i, j: i != j, n_species=2, n_corners=2)
    both_first = tabulate(lambda i, j: i == j == 0, n_species=2, n_corners=2)
    first = tabulate(lambda i: i == 0, n_species=2, n_corners=1)
    within = (surface,) if isinstance(surface, str) else tuple(surface)
    return LatticeModel(
        name="segregation",
        species=species,
        terms=(
            Term(coupling="w_CL", motif=PairShell(shell=1), table=unlike, counts="d(unlike)"),
            Term(coupling="w_LL", motif=PairsWithin(labels=within), table=both_first, counts="d({0} {0})"),
            Term(coupling="w_LO", motif=SitesWithin(labels=(oxygen,)), table=first, counts="d({0})"),
        ),
    )


def adatoms(
    site_types: Sequence[str], *, species: tuple[str, str] = ("empty", "adatom"), repulsion: bool = False
) -> LatticeModel:
    """Return adatoms on sites of several types: one energy per type, the first type's being zero.

    Without interactions `P(type i) ~ exp(-e_i)`; the number of adatoms is conserved or has a chemical potential.

    Parameters
    ----------
    site_types
        Labels of the sites, as the crystal names them.
    species
        Names of an empty and of an occupied site.
    repulsion
        Whether two adatoms on nearest sites cost an energy v.

    Examples
    --------
    >>> adatoms(("hollow", "bridge")).parameters
    ('e_bridge',)
    >>> adatoms(("hollow", "bridge"), repulsion=True).parameters
    ('e_bridge', 'v')
    """
    if len(site_types) < 2:
        raise InputError("site_types", expected="at least two labels", got=str(site_types))
    terms = tuple(
        Term(coupling=f"e_{label}", motif=SingleSite(label=label), table=(0.0, 1.0), counts="d({1})")
        for label in site_types[1:]
    )
    both = tabulate(lambda i, j: i == j == 1, n_species=2, n_corners=2)
    pair = Term(coupling="v", motif=PairShell(), table=both, counts="d({1} {1})")
    return LatticeModel(name="adatoms", species=species, terms=(*terms, pair) if repulsion else terms)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairsWithin(Motif):
    """Nearest pairs of a crystal whose two sites both have one of these labels; none where the crystal lacks them.

    Attributes
    ----------
    labels
        The labels.
    """

    labels: tuple[str, ...]

    @property
    def n_corners(self) -> int:
        """Two sites."""
        return 2

    @property
    def symbol(self) -> str:
        """Return "NN" and the labels."""
        return "NN " + (f"{self.labels[0]}-{self.labels[0]}" if len(self.labels) == 1 else "+".join(self.labels))

    def orbits(self, crystal: Crystal) -> tuple[Orbit, ...]:
        """Return the nearest pairs that lie within."""
        found = PairShell(shell=1).orbits(crystal)
        return tuple(o for o in found if all(crystal.labels[site[-1]] in self.labels for site in o.clusters[0]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SitesWithin(Motif):
    """Sites with one of these labels; none where the crystal lacks them.

    Attributes
    ----------
    labels
        The labels.
    """

    labels: tuple[str, ...]

    @property
    def n_corners(self) -> int:
        """One site."""
        return 1

    @property
    def symbol(self) -> str:
        """Return the labels."""
        return "+".join(self.labels)

    def orbits(self, crystal: Crystal) -> tuple[Orbit, ...]:
        """Return the orbits of such sites."""
        known = (label for label in self.labels if label in crystal.labels)
        return tuple(orbit for label in known for orbit in SingleSite(label=label).orbits(crystal))


def species_fields(species: Sequence[str], *, label: str | None = None) -> tuple[Term, ...]:
    """Return a field on every species but the first: `-h_s sum_i d(s_i = s)`.

    Examples
    --------
    >>> [term.coupling for term in species_fields(("A", "B", "C"))]
    ['h_B', 'h_C']
    """
    return tuple(
        Term(
            coupling=f"h_{name}" + (f"_{label}" if label else ""),
            motif=SingleSite(label=label),
            table=tuple(-float(s == k) for s in range(len(species))),
            counts=f"-d({{{k}}})",
        )
        for k, name in enumerate(species)
        if k
    )


def with_fields(model: LatticeModel, *, label: str | None = None) -> LatticeModel:
    """Return the model with a chemical potential for every species but the first.

    Examples
    --------
    >>> with_fields(pair_model()).parameters
    ('w1', 'h_B')
    """
    extra = species_fields(model.species, label=label)
    return LatticeModel(name=model.name, species=model.species, terms=(*model.terms, *extra), homes=model.homes)


def _spins(name: str, values: tuple[float, ...], shells: int, field: bool, species: tuple[str, ...]) -> LatticeModel:
    """Return a model of spins with these values, coupled by shells."""
    n = len(values)
    terms = [
        Term(
            coupling=_numbered("K", k, shells),
            motif=PairShell(shell=k),
            table=tabulate(lambda i, j: -values[i] * values[j], n_species=n, n_corners=2),
            counts="-s_i s_j",
        )
        for k in range(1, shells + 1)
    ]
    if 0.0 in values:
        terms.append(_site_term("D", np.square(values), "s_i^2"))
    if field:
        terms.append(_site_term("h", -np.asarray(values), "-s_i"))
    return LatticeModel(name=name, species=species, terms=tuple(terms))


def _site_term(coupling: str, values: np.ndarray, counts: str) -> Term:
    motif: Motif = SingleSite()
    return Term(coupling=coupling, motif=motif, table=tuple(float(v) for v in values), counts=counts)


def _negative(term: Term) -> Term:
    """Return the term with its table's sign turned, as "-d(alike)" says."""
    return Term(coupling=term.coupling, motif=term.motif, table=tuple(-x for x in term.table), counts=term.counts)


def _numbered(name: str, shell: int, shells: int) -> str:
    return name if shells == 1 else f"{name}{shell}"


NAMED_MODELS = {
    "random": lambda: LatticeModel(name="random"),
    "P1": lambda: pair_model(shells=1),
    "P2": lambda: pair_model(shells=2),
    "M": triangle_model,
    "ising": ising,
    "potts": potts,
    "blume-capel": blume_capel,
    "three-state": lambda: solution(("A", "B", "C")),
    "segregation": segregation,
}
"""Makers of the models that need no further choice, by name."""


def named_model(name: str) -> LatticeModel:
    """Return a model by its name.

    Raises
    ------
    InputError
        There is no such model.

    Examples
    --------
    >>> named_model("P1").parameters
    ('w1',)
    """
    if name not in NAMED_MODELS:
        raise InputError("model", expected=f"a name among {', '.join(NAMED_MODELS)}", got=repr(name))
    return NAMED_MODELS[name]()

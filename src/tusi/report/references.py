"""What to cite for a result: the papers behind the methods that it used."""

from tusi.study import Analysis

_TUSI = "The tusi developers, tusi: from atomically resolved images to the physics that made them."

_ALWAYS = (
    "A. J. den Dekker, S. Van Aert, A. van den Bos, D. Van Dyck, Ultramicroscopy 104, 83 (2005): "
    "maximum-likelihood estimation of column positions and its bound.",
    "J. Fatermans, S. Van Aert, A. J. den Dekker, Ultramicroscopy 201, 81 (2019): the number of columns by model "
    "selection.",
)

_LATTICE = (
    "M. J. Hytch, E. Snoeck, R. Kilaas, Ultramicroscopy 74, 131 (1998): phases of lattice fringes, along which the "
    "lattice is followed.",
)

_SPECIES = (
    "S. Van Aert, K. J. Batenburg, M. D. Rossell, R. Erni, G. Van Tendeloo, Nature 470, 374 (2011): species and "
    "counts from mixtures on column intensity.",
)

_HAMILTONIAN = (
    "L. Vlcek, M. Ziatdinov, A. Maksov, A. Tselev, A. P. Baddorf, S. V. Kalinin, R. K. Vasudevan, ACS Nano 13, 718 "
    "(2019): lattice Hamiltonians from images by statistical distance.",
    "S. V. Kalinin, A. Ghosh, R. Vasudevan, M. Ziatdinov, From atomically resolved imaging to generative and causal "
    "models, Nature Physics 18, 1152 (2022).",
    "J. Besag, The Statistician 24, 179 (1975): pseudolikelihood, from which the maximum-likelihood search starts.",
    "C. Varin, P. Vidoni, Biometrika 92, 519 (2005): the composite-likelihood information criterion.",
)


def citation(analysis: Analysis) -> tuple[str, ...]:
    """Return what to cite for this result.

    Parameters
    ----------
    analysis
        A finished analysis.

    Returns
    -------
    tuple of str
        tusi itself, then the papers behind the methods that this analysis used.

    Examples
    --------
    >>> from tusi.study import load
    >>> citation(load("analysis.h5"))[0]  # doctest: +SKIP
    """
    version = dict(analysis.provenance.versions).get("tusi", "")
    found = [f"{_TUSI} Version {version}.", *_ALWAYS]
    if any(image.lattice is not None for image in analysis.images):
        found += _LATTICE
    if any(image.species is not None for image in analysis.images):
        found += _SPECIES
    if analysis.comparison is not None:
        found += _HAMILTONIAN
    return tuple(found)

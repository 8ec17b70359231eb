"""What to cite for a result: the papers behind the methods that it used."""

from tusi.study import Analysis
from tusi.study.inversion import Inversion
from tusi.study.restoration import RestoredImage

_TUSI = "The tusi developers, tusi: from atomically resolved images to the physics that made them."

_ALWAYS = (
    "A. J. den Dekker, S. Van Aert, A. van den Bos, D. Van Dyck, Ultramicroscopy 104, 83 (2005): "
    "maximum-likelihood estimation of column positions and its bound.",
    "J. Fatermans, S. Van Aert, A. J. den Dekker, Ultramicroscopy 201, 81 (2019): the number of columns by model "
    "selection.",
)

_CRITERION = "C. Varin, P. Vidoni, Biometrika 92, 519 (2005): the composite-likelihood information criterion."

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
    _CRITERION,
)


_STACKS = (
    "B. H. Savitzky et al., Ultramicroscopy 191, 56 (2018): registration of stacks without jumps by a lattice vector.",
    "B. Berkels et al., Ultramicroscopy 138, 46 (2014): non-rigid registration of stacks.",
)

_PAIRS = (
    "C. Ophus, J. Ciston, C. T. Nelson, Ultramicroscopy 162, 1 (2016): drift from images with orthogonal scan "
    "directions.",
)

_DEFECTS = (
    "M. J. Hytch, J.-L. Putaux, J.-M. Penisson, Nature 423, 270 (2003): dislocations seen by the phase of the lattice.",
)

_SYMMETRY = ("P. Moeck, Symmetry 10, 133 (2018): the plane groups as competing models of an image.",)

_METHODS = {
    "maximum-likelihood": (
        "C. J. Geyer, E. A. Thompson, J. R. Stat. Soc. B 54, 657 (1992): maximum likelihood from Monte Carlo samples.",
    ),
    "pseudolikelihood": (),
    "distance": (
        "L. Vlcek, A. A. Chialvo, J. Chem. Phys. 143, 144110 (2015): force fields of least statistical distance.",
        "R. Beran, Ann. Stat. 5, 445 (1977): estimates of least Hellinger distance.",
    ),
    "posterior": (
        "C. J. Geyer, E. A. Thompson, J. R. Stat. Soc. B 54, 657 (1992): likelihoods from Monte Carlo samples.",
        "I. Murray, Z. Ghahramani, D. J. C. MacKay, Proc. UAI 22, 359 (2006): posteriors of models whose partition "
        "function is not known.",
    ),
}

_ARRANGEMENTS = (
    "L. Vlcek, A. Maksov, M. Pan, R. K. Vasudevan, S. V. Kalinin, ACS Nano 11, 10313 (2017): lattice models from "
    "images by statistical distance.",
    "A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application (Cambridge University Press, 1997): "
    "p-values from refitted replicas.",
    "C. R. Rao, Proc. Cambridge Philos. Soc. 44, 50 (1948): the score test.",
)

_BESAG = "J. Besag, The Statistician 24, 179 (1975): pseudolikelihood."

_WALD = "A. Wald, Trans. Am. Math. Soc. 54, 426 (1943): the power of likelihood-ratio tests, from the information."


def inversion_citation(inversion: Inversion) -> tuple[str, ...]:
    """Return what to cite for an inversion.

    Parameters
    ----------
    inversion
        A finished inversion.

    Returns
    -------
    tuple of str
        tusi itself, then the papers behind the methods that this inversion used.

    Examples
    --------
    >>> from tusi.study import load_inversion
    >>> inversion_citation(load_inversion("hamiltonian.h5"))[0]  # doctest: +SKIP
    """
    version = dict(inversion.provenance.versions).get("tusi", "")
    found = [f"{_TUSI} Version {version}."]
    if any(fit.estimate is not None for fit in inversion.fits):
        found += [_BESAG, *_METHODS.get(inversion.options.method, ())]
    found += _ARRANGEMENTS
    if len(inversion.fits) > 1:
        found.append(_CRITERION)
    return (*found, _WALD) if inversion.decisions else tuple(found)


def restoration_citation(restored: RestoredImage) -> tuple[str, ...]:
    """Return what to cite for a restored image: tusi itself, then the papers behind the method.

    Parameters
    ----------
    restored
        A restored image.

    Examples
    --------
    >>> restoration_citation(restore("movie.tiff"))[0]  # doctest: +SKIP
    """
    if restored.restoration is None:
        return (_TUSI,)
    return (_TUSI, *(_PAIRS if restored.restoration.resolved else _STACKS))


def phase_diagram_citation() -> tuple[str, ...]:
    """Return what to cite for a phase diagram: tusi itself, then the methods.

    Examples
    --------
    >>> phase_diagram_citation()[0].startswith("The tusi developers")
    True
    """
    return (
        _TUSI,
        "A. M. Ferrenberg, R. H. Swendsen, Phys. Rev. Lett. 63, 1195 (1989): averages carried between temperatures.",
        "K. Binder, Z. Phys. B 43, 119 (1981): transitions from crossings of cumulants.",
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
    if analysis.structure is not None:
        if any(image.defects is not None for image in analysis.structure.images):
            found += _DEFECTS
        if any(image.symmetry is not None for image in analysis.structure.images):
            found += _SYMMETRY
    if analysis.comparison is not None:
        found += _HAMILTONIAN
    return tuple(found)

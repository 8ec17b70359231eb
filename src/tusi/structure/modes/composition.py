"""Modes of composition: arrangements of species around a site that are more frequent than chance."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tusi.data import Atoms
from tusi.errors import InputError
from tusi.structure.modes.directions import centred, check_alike, find_directions, second_moment
from tusi.structure.modes.result import NormalModes
from tusi.structure.modes.settings import ModeSettings
from tusi.structure.neighbourhoods import Neighbourhoods


def composition_modes(
    neighbourhoods: Sequence[Neighbourhoods],
    atoms: Sequence[Atoms],
    *,
    rng: np.random.Generator,
    settings: ModeSettings | None = None,
) -> NormalModes:
    """Find the patterns in which the species of neighbours vary together, with p-values against a random alloy.

    Features are the probabilities of each species but the first in each slot, minus the image's mean. Chance is an
    alloy of the same atoms whose species are dealt out anew within each image, which is exact for a random alloy:
    shared neighbours, uncertain labels and the composition of each image are all in it. One species that gathers makes
    a mode of one sign in all slots; chains and rings make modes with nodes.

    Parameters
    ----------
    neighbourhoods
        One of each image, with the same slots.
    atoms
        The atoms of each image, with species probabilities.
    rng
        Source of randomness.
    settings
        Choices; `null` has no meaning here.

    Returns
    -------
    NormalModes
        Shapes as changes of probability, one component for each species but the first.

    Raises
    ------
    InputError
        Images with different slots or species, or atoms without species.

    Examples
    --------
    >>> import dataclasses
    >>> from tusi.structure.neighbourhoods import neighbourhoods
    >>> rng = np.random.default_rng(1)
    >>> y, x = np.mgrid[:20, :20] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom")
    >>> label = rng.integers(0, 2, 400)
    >>> atoms = dataclasses.replace(atoms, species=("Mo", "Re"), species_probability=np.eye(2)[label])
    >>> composition_modes([neighbourhoods(atoms, n_slots=4)], [atoms], rng=rng).components
    ('Re',)
    """
    settings = settings or ModeSettings()
    species = _species(neighbourhoods, atoms)
    complete = [_labelled(one, own) for one, own in zip(neighbourhoods, atoms, strict=True)]
    image = np.repeat(np.arange(len(complete)), [len(one) for one in complete])
    _, group = np.unique(image if settings.each_image_centred else np.zeros_like(image), return_inverse=True)
    n_groups, n_slots = int(group.max(initial=-1)) + 1, neighbourhoods[0].n_slots
    labels = [own.species_probability[:, 1:] for own in atoms]
    n_features = n_slots * (len(species) - 1)
    first = neighbourhoods[0]
    nothing = NormalModes.none(
        first.reference, species[1:], level=settings.level, unit="1", length_unit=first.length_unit
    )
    if not n_features or len(image) <= n_features + n_groups:
        return nothing
    features = centred(_gathered(complete, labels), group)
    scale = float(np.sqrt(np.trace(second_moment(features, n_groups)) / n_features))
    if not scale > 0:
        return nothing
    replicas = [
        second_moment(centred(_gathered(complete, _dealt(labels, rng)), group) / scale, n_groups)
        for _ in range(settings.n_replicas)
    ]
    found = find_directions(
        second_moment(features / scale, n_groups), np.stack(replicas), level=settings.level, most=settings.most_modes
    )
    n_modes = len(found.p_value)
    direction = found.vector[:n_modes]
    return NormalModes(
        score=features / scale @ direction.T,
        score_error=_score_error(complete, labels, direction / scale),
        position=np.concatenate([one.position for one in complete]),
        centre=np.concatenate([one.centre for one in complete]),
        image=image,
        eigenvalue=found.eigenvalue,
        null_eigenvalue=found.null_eigenvalue,
        p_value=found.p_value,
        shape=(scale * np.sqrt(found.eigenvalue[:n_modes, None]) * direction).reshape(n_modes, n_slots, -1),
        reference=first.reference,
        components=species[1:],
        level=settings.level,
        unit="1",
        length_unit=first.length_unit,
    )


def _species(neighbourhoods: Sequence[Neighbourhoods], atoms: Sequence[Atoms]) -> tuple[str, ...]:
    """Return the species of all images."""
    check_alike(neighbourhoods, atoms)
    species = {own.species for own in atoms}
    if len(species) > 1 or len(atoms[0].species) < 2:
        raise InputError(
            "atoms", expected="the same two or more species in all images", got=str(sorted(species)),
            then="Call `classify_species` first.",
        )  # fmt: skip
    return atoms[0].species


def _labelled(one: Neighbourhoods, atoms: Atoms) -> Neighbourhoods:
    """Return the complete neighbourhoods whose neighbours all have species."""
    complete = one[one.complete]
    unknown = np.flatnonzero(np.isnan(atoms.species_probability).any(axis=1))
    return complete[~np.isin(complete.neighbour, unknown).any(axis=1)]


def _gathered(
    complete: Sequence[Neighbourhoods], labels: Sequence[Float[np.ndarray, "atom component"]]
) -> Float[np.ndarray, "sample feature"]:
    """Return the labels of all neighbours as rows."""
    return np.concatenate(
        [
            own[one.neighbour].reshape(len(one), one.n_slots * own.shape[1])
            for one, own in zip(complete, labels, strict=True)
        ]
    )


def _dealt(
    labels: Sequence[Float[np.ndarray, "atom component"]], rng: np.random.Generator
) -> list[Float[np.ndarray, "atom component"]]:
    """Return the labels dealt out anew among the atoms of each image that have one."""
    dealt = []
    for own in labels:
        known = np.flatnonzero(np.isfinite(own).all(axis=1))
        anew = own.copy()
        anew[known] = own[rng.permutation(known)]
        dealt.append(anew)
    return dealt


def _score_error(
    complete: Sequence[Neighbourhoods],
    labels: Sequence[Float[np.ndarray, "atom component"]],
    direction: Float[np.ndarray, "mode feature"],
) -> Float[np.ndarray, "sample mode"]:
    """Return the standard error of each score that uncertain labels make."""
    variance = [own * (1 - own) for own in labels]
    return np.sqrt(_gathered(complete, variance) @ (direction**2).T)

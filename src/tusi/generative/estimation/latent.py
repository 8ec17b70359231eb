"""An image as a lattice system and its evidence: what is random, what is seen, and which couplings act on it.

The log-likelihood of an image is `log Z(w | evidence) - log Z(w)`: two partition functions of the same system, with and
without the weights of what was seen. Where every species is certain the first is minus the energy of one arrangement.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from tusi.errors import InputError
from tusi.generative.estimation.observation import Observation
from tusi.generative.lattice.compilation import lattice_system
from tusi.generative.lattice.model import LatticeModel, Term
from tusi.generative.lattice.motifs import SingleSite
from tusi.generative.lattice.system import LatticeSystem


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """One image ready for inference.

    Its own couplings are the shared ones times `ratio`, then its chemical potentials: none where the model's fields
    say all, nor where the numbers of each species are certain, which are then conditioned on.

    Sites at a window's border, whose surroundings were not all seen, are clamped to what they hold. Where that is
    uncertain or unseen they are random too, weighted with and without evidence alike by what is known of each alone
    (which holds their field), so that they carry the doubt inwards and nothing else is inferred from them.

    Attributes
    ----------
    system
        Sites and interactions before the evidence on the inner sites.
    evidence
        The same with the evidence as weights; only uncertain sites are free. None where all is certain.
    probability
        Probability of each species on each site without regard to neighbours: where chains start.
    inner
        Random sites that are not at the border: the data.
    informed
        Sites of which the image says something, or that hold nothing.
    n_shared
        Couplings that all images share.
    ratio
        What they are multiplied with.
    conserved
        Whether the numbers of each species on the random sites are conditioned on.
    name
        What to call it.
    """

    system: LatticeSystem
    evidence: LatticeSystem | None
    probability: Float[np.ndarray, "site species"]
    inner: Bool[np.ndarray, " site"]
    informed: Bool[np.ndarray, " site"]
    n_shared: int
    ratio: float
    conserved: bool
    name: str

    @property
    def n_fields(self) -> int:
        """Chemical potentials of this image."""
        return len(self.system.parameters) - self.n_shared

    @functools.cached_property
    def likely(self) -> Int[np.ndarray, " site"]:
        """The most likely species of every site alone."""
        return np.argmax(self.probability, axis=1).astype(np.int8)

    @functools.cached_property
    def observed(self) -> Float[np.ndarray, " local"]:
        """Statistics of the most likely arrangement: the observed ones where all is certain."""
        return self.system.statistics(self.likely)

    def local(
        self, couplings: Float[np.ndarray, " parameter"], fields: Float[np.ndarray, " field"]
    ) -> Float[np.ndarray, " local"]:
        """Return the couplings of this image."""
        return np.concatenate([self.ratio * couplings, fields])

    def starts(self, n_chains: int, *, rng: np.random.Generator) -> Int[np.ndarray, "chain site"]:
        """Return arrangements drawn from each site's own probabilities."""
        with np.errstate(divide="ignore"):
            weight = np.log(self.probability)
        noise = rng.gumbel(size=(n_chains, *weight.shape)) if self.evidence is not None else 0.0
        return np.broadcast_to(np.argmax(weight + noise, axis=-1), (n_chains, len(weight))).astype(np.int8)

    @functools.cached_property
    def settled(self) -> Bool[np.ndarray, " site"]:
        """Inner sites with a likely species of their own and of all that they interact with."""
        known = np.append(self.probability.max(axis=1) > 0.5, True)
        known[:-1] &= self.informed
        near = self.system.incidence
        fine = known[near.others].all(axis=1)
        doubts = np.zeros(self.system.n_sites, dtype=np.int64)
        owner = np.repeat(np.arange(self.system.n_sites), np.diff(near.start))
        np.add.at(doubts, owner[~fine], 1)
        return self.inner & known[:-1] & (doubts == 0)


def compile_images(
    observations: Sequence[Observation], model: LatticeModel, *, composition: str, conserve: bool = False
) -> tuple[tuple[Image, ...], tuple[str, ...]]:
    """Compile each image with the model, and with its own chemical potentials where it has them.

    Images that hold one species only say nothing beside a composition of their own and are left out, with a note. If
    every species is certain, the numbers of each may be conditioned on (`conserve`) instead.

    Raises
    ------
    InputError
        The model has a field that no image could tell from its own chemical potentials, or no site is random.
    """
    fields = _own_fields(model) if composition == "own" else ()
    conserved = (
        conserve and bool(fields) and all(bool((one.certain | ~one.sites.occupied).all()) for one in observations)
    )
    extended = model if conserved else dataclasses.replace(model, terms=(*model.terms, *fields))
    images, notes = [], []
    for number, observation in enumerate(observations):
        name = observation.name or f"image {number}"
        present = observation.species_probability[observation.informed].max(axis=0) > 0
        if fields and present.sum() == 1:
            notes.append(f"{name} holds one species only and says nothing beside its own composition")
            continue
        images.append(_compile(observation, extended, (len(model.terms), name, conserved)))
    if not images:
        raise InputError("observations", expected="an image with more than one species", got="none")
    return tuple(images), tuple(notes)


def _compile(observation: Observation, model: LatticeModel, of: tuple[int, str, bool]) -> Image:
    """Compile one image with an extended model, given how many couplings are shared, a name, what is conserved."""
    n_shared, name, conserved = of
    plain = lattice_system(model, observation.sites)
    if not plain.free.any():
        raise InputError(
            "observations",
            expected="at least one site whose surroundings were all seen",
            got=f"none of {plain.n_sites} in {name}",
            then="Use a larger window or shorter interactions.",
        )
    probability = np.where(plain.allowed, observation.independent, 0.0)
    occupied = observation.sites.occupied
    if not probability[occupied].sum(axis=1).all():
        raise InputError("observations", expected="species that the model lets sit there", got=f"others in {name}")
    probability /= np.maximum(probability.sum(axis=1, keepdims=True), 1e-300)
    border = occupied & ~plain.free
    doubtful = occupied & ~observation.certain & (plain.allowed.sum(axis=1) > 1)
    log_weight = plain.log_weight.copy()
    with np.errstate(divide="ignore"):
        log_weight[border & doubtful] = np.log(probability[border & doubtful])
    inner = plain.free
    system = _without_fields(
        dataclasses.replace(plain, log_weight=log_weight, free=inner | (border & doubtful)), border & doubtful
    )
    evidence = None
    if doubtful.any():
        seen = np.where((inner & observation.informed)[:, None], observation.log_likelihood, 0.0)
        evidence = dataclasses.replace(system, log_weight=log_weight + seen, free=doubtful)
    return Image(
        system=system,
        evidence=evidence,
        probability=probability,
        inner=inner,
        informed=observation.informed | ~occupied,
        n_shared=n_shared,
        ratio=float(observation.temperature_ratio),
        conserved=conserved,
        name=name,
    )


def _without_fields(system: LatticeSystem, sites: Bool[np.ndarray, " site"]) -> LatticeSystem:
    """Return the system without the clusters of one site on some sites."""
    real = system.members < system.n_sites
    lone = real.sum(axis=1) == 1
    owner = np.where(real, system.members, 0).sum(axis=1)
    kept = ~(lone & sites[np.minimum(owner, system.n_sites - 1)])
    return dataclasses.replace(system, members=system.members[kept], kind=system.kind[kept], weight=system.weight[kept])


def _own_fields(model: LatticeModel) -> tuple[Term, ...]:
    """Return a chemical potential of every species but the first, and make sure that the model has none of them."""
    for term in model.terms:
        if isinstance(term.motif, SingleSite) and term.motif.label is None:
            raise InputError(
                "composition",
                expected='"model" for a model that has a field on every site',
                got=f'"own", from which no image could tell {term.coupling}',
                then="Leave that field out of the model, or let it set the composition.",
            )
    return tuple(
        Term(
            coupling=f"own field of {name}",
            motif=SingleSite(),
            table=tuple(-float(s == k) for s in range(model.n_species)),
            counts=f"-d({{{k}}})",
        )
        for k, name in enumerate(model.species)
        if k
    )

"""The log-likelihood of the couplings as a smooth function, from Monte Carlo samples at one or several couplings."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.estimation.elimination import LEAST_SHARE, RIDGE, inverse_information, schur, solve  # noqa: F401
from tusi.generative.estimation.estimate import Composition
from tusi.generative.estimation.independent import independent_fields
from tusi.generative.estimation.latent import Image, compile_images
from tusi.generative.estimation.observation import Observation
from tusi.generative.estimation.surface_plan import Starts, SurfaceSampling, sampler_of
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.likelihood import COUPLING_LIMIT, NODE_DISTANCE, invert
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.samples import Samples
from tusi.generative.reweighting import Pool, pool_of

FIELD_STEPS, FIELD_TOLERANCE = 20, 1e-7
"""Newton steps for the chemical potentials at given couplings, and the gain in nats at which they end."""

FIELD_REACH = 2.0
"""How far chemical potentials are moved from where samples were drawn, in standard errors of complete data."""

MOST_NODES = 3
"""Nodes on either side of a surface's centre in each principal direction."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ImageSurface:
    """The log-likelihood of one image by its own couplings.

    Attributes
    ----------
    image
        The image.
    pool
        Samples of the system and, where species are uncertain, of the system given the evidence with weight -1.
    fields
        Chemical potentials at the surface's centre.
    slope
        How the best chemical potentials change with the shared couplings.
    samples
        Chains at the centre, for the system and for it given the evidence.
    final
        Where each chain ended.
    """

    image: Image
    pool: Pool
    fields: Float[np.ndarray, " field"]
    slope: Float[np.ndarray, "field parameter"]
    samples: tuple[Samples, ...]

    def evaluate(self, local: Float[np.ndarray, " local"]) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """Return log-likelihood, gradient, information and what it would be if all species were certain."""
        log_partition, mean, covariance = self.pool.moments(local)
        weight, observed = self.pool.weight, self.pool.observed
        value = -weight @ (observed @ local + log_partition)
        return float(value), weight @ (mean - observed), np.tensordot(weight, covariance, axes=1), covariance[0]

    def efficiency(self, directions: Float[np.ndarray, "k parameter"]) -> Float[np.ndarray, " segment"]:
        """Return how many independent samples one sample is worth for these combinations of the score, at most 1.

        The worst of the combinations counts; chemical potentials are eliminated.
        """
        worth = []
        for samples in self._scores(directions):
            n_samples = samples.statistics[..., 0].size
            worth.append(min(1.0, float(samples.effective_sample_size.min() / n_samples)))
        return np.array(worth)

    @functools.cached_property
    def worth(self) -> Float[np.ndarray, " segment"]:
        """How many independent samples one sample is worth for the score."""
        return self.efficiency(np.eye(self.image.n_shared))

    @property
    def r_hat(self) -> float:
        """Agreement of the chains on the score; the worst."""
        return float(max(np.nanmax(one.r_hat) for one in self._scores(np.eye(self.image.n_shared))))

    def _scores(self, directions: np.ndarray) -> list[Samples]:
        """Return the chains of combinations of the score, chemical potentials eliminated."""
        onto = directions @ np.hstack([np.eye(self.image.n_shared), self.slope.T / self.image.ratio])
        return [dataclasses.replace(one, statistics=one.statistics @ onto.T) for one in self.samples]

    def profile(
        self, couplings: Float[np.ndarray, " parameter"], *, away: Float[np.ndarray, " parameter"]
    ) -> tuple[np.ndarray, float, np.ndarray, np.ndarray, np.ndarray]:
        """Return the best chemical potentials at these couplings, and value, gradient and information there."""
        n = self.image.n_shared
        expected = self.fields + self.slope @ away
        fields = expected
        best = self.evaluate(self.image.local(couplings, fields))
        if not len(fields):
            return (fields, *best)
        metric = self.samples[0].covariance[n:, n:]
        for _ in range(FIELD_STEPS):
            _, gradient, information, complete = best
            step = solve(information[n:, n:], complete[n:, n:], gradient[n:])
            step /= max(1.0, float(np.abs(step).max()))
            for _ in range(8):
                off = fields + step - expected
                trial = self.evaluate(self.image.local(couplings, fields + step))
                if trial[0] >= best[0] - FIELD_TOLERANCE and off @ metric @ off <= FIELD_REACH**2:
                    break
                step = 0.5 * step
            else:
                break
            fields, best = fields + step, trial
            if gradient[n:] @ step < FIELD_TOLERANCE:
                break
        return (fields, *best)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Level:
    """The likelihood at some couplings.

    Attributes
    ----------
    value, gradient, information
        Log-likelihood up to a constant, its gradient, and minus its Hessian, chemical potentials maximised over.
    complete
        The information if all species were certain.
    fields
        Best chemical potentials of each image.
    """

    value: float
    gradient: Float[np.ndarray, " parameter"]
    information: Float[np.ndarray, "parameter parameter"]
    complete: Float[np.ndarray, "parameter parameter"]
    fields: tuple[Float[np.ndarray, " field"], ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LikelihoodSurface:
    """Log-likelihood of the couplings given all images, around some couplings at which samples were drawn.

    Samples are reweighted from where they were drawn (the multistate Bennett acceptance ratio for an exponential
    family). Where species are uncertain or unseen, an image's part is `log Z(w | evidence) - log Z(w)`, from two sets
    of samples. Chemical potentials that are an image's own are maximised over.

    Attributes
    ----------
    parameters
        Names of the couplings.
    nodes
        Couplings at which samples were drawn, in kT, the centre first.
    images
        The part of each image.

    References
    ----------
    C. J. Geyer and E. A. Thompson, J. R. Stat. Soc. B 54, 657 (1992).
    M. R. Shirts and J. D. Chodera, J. Chem. Phys. 129, 124105 (2008).
    """

    parameters: tuple[str, ...]
    nodes: Float[np.ndarray, "node parameter"]
    images: tuple[ImageSurface, ...]

    @property
    def centre(self) -> Float[np.ndarray, " parameter"]:
        """Couplings around which the surface is known, in kT."""
        return self.nodes[0]

    def level(self, couplings: Float[np.ndarray, " parameter"]) -> Level:
        """Return the likelihood at some couplings (kT) with all that is known of it."""
        n = len(self.parameters)
        value, gradient, information, complete = 0.0, np.zeros(n), np.zeros((n, n)), np.zeros((n, n))
        all_fields = []
        for one in self.images:
            fields, level, slope, inform, most = one.profile(couplings, away=couplings - self.centre)
            ratio = one.image.ratio
            value += level
            gradient += ratio * slope[:n]
            complete += ratio**2 * schur(most, most, n)
            information += ratio**2 * schur(inform, most, n)
            all_fields.append(fields)
        return Level(
            value=value, gradient=gradient, information=information, complete=complete, fields=tuple(all_fields)
        )

    def log_likelihood(
        self, couplings: Float[np.ndarray, " parameter"]
    ) -> tuple[float, Float[np.ndarray, " parameter"], Float[np.ndarray, "parameter parameter"]]:
        """Return the log-likelihood up to a constant, its gradient and minus its Hessian, at couplings in kT."""
        level = self.level(np.asarray(couplings, dtype=np.float64))
        return level.value, level.gradient, level.information

    def effective_sample_size(self, couplings: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, " segment"]:
        """Return the independent samples that each partition function rests on at these couplings (kT)."""
        couplings = np.asarray(couplings, dtype=np.float64)
        away = couplings - self.centre
        return self.sizes(couplings, [one.profile(couplings, away=away)[0] for one in self.images])

    def sizes(
        self, couplings: Float[np.ndarray, " parameter"], fields: Sequence[Float[np.ndarray, " field"]]
    ) -> Float[np.ndarray, " segment"]:
        """Return the same where the best chemical potentials are known."""
        pairs = zip(self.images, fields, strict=True)
        return np.concatenate(
            [one.pool.effective_sample_size(one.image.local(couplings, own)) * one.worth for one, own in pairs]
        )


def likelihood_surface(
    observations: Sequence[Observation],
    model: LatticeModel,
    *,
    nodes: Float[np.ndarray, "node parameter"],
    rng: np.random.Generator,
    composition: Composition = "own",
    sampling: SurfaceSampling | None = None,
) -> LikelihoodSurface:
    """Return the log-likelihood of the couplings from samples drawn at the given ones.

    Parameters
    ----------
    observations
        Images.
    model
        The Hamiltonian.
    nodes
        Couplings to sample at, in kT, the centre first. Chemical potentials of images are found on the way.
    rng
        The only source of randomness.
    composition
        Whether each image has chemical potentials of its own.
    sampling
        How many samples.

    Examples
    --------
    >>> from tusi.generative.estimation import observe
    >>> from tusi.generative.lattice import SQUARE, ising, periodic_sites
    >>> rng = np.random.default_rng(1)
    >>> image = observe(periodic_sites(SQUARE, (8, 8)), rng.integers(0, 2, 64))
    >>> surface = likelihood_surface(
    ...     [image], ising(field=False), nodes=np.array([[0.0]]), rng=rng, composition="model"
    ... )
    >>> value, gradient, information = surface.log_likelihood(np.array([0.05]))
    >>> bool(80 < information[0, 0] < 200)
    True
    """
    nodes = np.atleast_2d(np.asarray(nodes, dtype=np.float64))
    if nodes.shape[1] != len(model.terms) or not np.isfinite(nodes).all():
        raise InputError("nodes", expected=f"rows of {len(model.terms)} couplings", got=f"shape {nodes.shape}")
    wide = [image.widened(model.n_species) for image in observations]
    images, _ = compile_images(wide, model, composition=composition, conserve=True)
    sampling = sampling or SurfaceSampling()
    fields: Sequence[np.ndarray] = [independent_fields(image) for image in images]
    for _ in range(12 if images[0].n_fields else 0):
        surface = sample_surface_at(images, nodes[:1], fields, rng=rng, sampling=sampling)
        found = surface.level(nodes[0]).fields
        moved = max(float(np.abs(new - old).max()) for new, old in zip(found, fields, strict=True))
        fields = [old + np.clip(new - old, -1.0, 1.0) for new, old in zip(found, fields, strict=True)]
        if moved < 0.1:
            break
    return sample_surface_at(images, nodes, fields, rng=rng, sampling=sampling)


def sample_surface_at(
    images: Sequence[Image],
    nodes: Float[np.ndarray, "node parameter"],
    fields: Sequence[Float[np.ndarray, " field"]],
    *,
    rng: np.random.Generator,
    sampling: SurfaceSampling,
    starts: Starts | None = None,
) -> LikelihoodSurface:
    """Return the surface of compiled images from samples at nodes, the first with these chemical potentials."""
    surfaces = []
    for number, (image, own) in enumerate(zip(images, fields, strict=True)):
        start = starts[number] if starts else ()
        surfaces.append(_sample_image(image, (nodes, own), rng, sampling, start))
    return LikelihoodSurface(
        parameters=images[0].system.parameters[: images[0].n_shared], nodes=nodes, images=tuple(surfaces)
    )


def information_at_centre(surface: LikelihoodSurface) -> Float[np.ndarray, "parameter parameter"]:
    """Return the complete data's information from the chains at the centre alone: none where nothing ever moves."""
    n = len(surface.parameters)
    parts = [
        one.image.ratio**2 * schur(one.samples[0].covariance, one.samples[0].covariance, n) for one in surface.images
    ]
    return np.sum(parts, axis=0)


def final_arrangements(surface: LikelihoodSurface) -> Starts:
    """Return where the chains at the centre ended: where the next ones may start."""
    return [tuple(samples.final for samples in one.samples) for one in surface.images]


def star_nodes(
    centre: Float[np.ndarray, " parameter"],
    information: Float[np.ndarray, "parameter parameter"],
    *,
    complete: Float[np.ndarray, "parameter parameter"] | None = None,
) -> Float[np.ndarray, "node parameter"]:
    """Return the centre and, along each principal direction, couplings on either side of it.

    The outermost are 1.8 standard errors away. Where those are far for complete data, there are up to three on a side,
    close enough for samples at neighbouring ones to overlap.

    Parameters
    ----------
    centre
        Couplings, in kT.
    information
        Information on them.
    complete
        Information if all species were certain; the same where it is None.

    Examples
    --------
    >>> star_nodes(np.zeros(1), np.array([[4.0]])).round(2).tolist()
    [[0.0], [0.9], [-0.9]]
    """
    size, direction = np.linalg.eigh(invert(information))
    offsets = np.minimum(NODE_DISTANCE * np.sqrt(np.maximum(size, 0.0)), COUPLING_LIMIT / 3) * direction
    nodes = [centre]
    for offset in offsets.T:
        length = np.sqrt(max(offset @ (information if complete is None else complete) @ offset, 1e-12))
        n_steps = int(np.clip(np.ceil(length / NODE_DISTANCE - 0.01), 1, MOST_NODES))
        reach = min(1.0, n_steps * NODE_DISTANCE / length)
        for share in np.linspace(0.0, reach, n_steps + 1)[1:]:
            nodes += [centre + share * offset, centre - share * offset]
    return np.clip(np.array(nodes), -COUPLING_LIMIT, COUPLING_LIMIT)


def _sample_image(
    image: Image,
    at: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    sampling: SurfaceSampling,
    starts: tuple[np.ndarray, ...],
) -> ImageSurface:
    """Sample one image at all nodes; its chemical potentials follow the couplings to first order."""
    nodes, fields = at
    n = image.n_shared
    systems: list[LatticeSystem] = [image.system, *([image.evidence] if image.evidence is not None else [])]
    centre = image.local(nodes[0], fields)
    sampler = sampler_of(image, sampling.sampler)
    chains = []
    for number, system in enumerate(systems):
        start = starts[number] if starts else image.starts(sampling.n_chains, rng=rng)
        chains.append(draw_samples(system, centre, rng=rng, sampler=sampler, plan=sampling.plan(start)))
    most = chains[0].covariance
    inform = most - chains[1].covariance if len(chains) > 1 else most
    inverse = inverse_information(inform[n:, n:], most[n:, n:], least=LEAST_SHARE)[0]
    slope = -image.ratio * inverse @ inform[n:, :n]
    locals_ = np.array([image.local(node, fields + slope @ (node - nodes[0])) for node in nodes])
    segments = []
    for system, first in zip(systems, chains, strict=True):
        rows = [first.statistics.reshape(-1, len(centre))]
        for local in locals_[1:]:
            more = draw_samples(system, local, rng=rng, sampler=sampler, plan=sampling.plan(first.final))
            rows.append(more.statistics.reshape(-1, len(centre)))
        segments.append((locals_, np.stack(rows)))
    latent = len(systems) > 1
    observed = np.zeros((2, len(centre))) if latent else image.observed[None]
    pool = pool_of(segments, observed=observed, weight=np.array([1.0, -1.0][: len(systems)]))
    return ImageSurface(image=image, pool=pool, fields=fields, slope=slope, samples=tuple(chains))

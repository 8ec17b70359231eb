"""A likelihood surface that is sampled where it is asked for, keeps all it has sampled, and can be split into parts."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tusi.generative.estimation.latent import Image
from tusi.generative.estimation.mixture import pool_of_nodes
from tusi.generative.estimation.surface import (
    LEAST_SHARE,
    RIDGE,
    ImageSurface,
    LikelihoodSurface,
    SurfaceSampling,
    inverse_information,
)
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.exchange import Exchange
from tusi.generative.montecarlo.samples import Samples
from tusi.generative.reweighting import Pool

MOST_EXPONENTS = 2**20
"""Exponentials that are held at once while a surface is evaluated at many couplings."""

PROFILE_STEPS, LARGEST_STEP, SETTLED = 12, 1.0, 2e-3
"""Newton steps for the chemical potentials, the largest of them in kT, and the gain in nats, taken from the last step's
slope, at which they end."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ImageSamples:
    """All samples of one image.

    Attributes
    ----------
    image
        The image.
    fixed
        Whether its composition stays as it is.
    nodes
        Couplings and chemical potentials of the image at which samples were drawn.
    chains
        Samples of the system and, where species are uncertain, of the system given the evidence, at each node.
    """

    image: Image
    fixed: bool
    nodes: Float[np.ndarray, "node local"]
    chains: tuple[tuple[Samples, ...], ...]

    def pool(self, part: int | None = None) -> Pool:
        """Return the pool of all samples, or of one chain at each node."""
        n_local = self.nodes.shape[1]
        segments = []
        for node_chains in self.chains:
            rows = [one.statistics if part is None else one.statistics[part] for one in node_chains]
            segments.append((self.nodes, np.stack([row.reshape(-1, n_local) for row in rows])))
        latent = len(segments) > 1
        observed = np.zeros((2, n_local)) if latent else self.image.observed[None]
        return pool_of_nodes(segments, observed=observed, weight=np.array([1.0, -1.0][: len(segments)]))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GrowingSurface:
    """The log-likelihood of the couplings given all images, from samples at as many couplings as it was asked for.

    Attributes
    ----------
    nodes
        Couplings at which samples were drawn, the centre first, in kT.
    samples
        Of each image.
    sampling
        How they were drawn.
    surface
        The likelihood from all of them.
    """

    nodes: Float[np.ndarray, "node parameter"]
    samples: tuple[ImageSamples, ...]
    sampling: SurfaceSampling
    surface: LikelihoodSurface

    @property
    def centre(self) -> Float[np.ndarray, " parameter"]:
        """Couplings that were sampled first, in kT."""
        return self.nodes[0]

    def log_likelihood(
        self, couplings: Float[np.ndarray, " parameter"]
    ) -> tuple[float, Float[np.ndarray, " parameter"], Float[np.ndarray, "parameter parameter"]]:
        """Return the log-likelihood up to a constant, its gradient and minus its Hessian."""
        return self.surface.log_likelihood(couplings)

    def log_likelihoods(self, couplings: Float[np.ndarray, "batch parameter"]) -> Float[np.ndarray, " batch"]:
        """Return the log-likelihood at many couplings."""
        return profiled(self.surface, couplings)

    def effective_sample_size(self, couplings: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, " segment"]:
        """Return the independent samples that each partition function rests on."""
        return self.surface.effective_sample_size(couplings)

    def parts(self) -> tuple["GrowingSurface", ...]:
        """Return a surface from each chain alone."""
        parts = []
        for chain in range(self.sampling.n_chains):
            images = tuple(
                dataclasses.replace(one, pool=kept.pool(chain))
                for one, kept in zip(self.surface.images, self.samples, strict=True)
            )
            parts.append(dataclasses.replace(self, surface=dataclasses.replace(self.surface, images=images)))
        return tuple(parts)

    def extended(self, nodes: Float[np.ndarray, "node parameter"], *, rng: np.random.Generator) -> "GrowingSurface":
        """Return the surface with samples at more couplings; what was sampled before is kept."""
        samples = []
        for one, kept in zip(self.surface.images, self.samples, strict=True):
            fields = [one.profile(node, away=node - self.centre)[0] for node in nodes]
            locals_ = np.array([one.image.local(node, own) for node, own in zip(nodes, fields, strict=True)])
            samples.append(_sampled(kept, locals_, self.sampling, rng))
        return _assembled(np.vstack([self.nodes, nodes]), tuple(samples), self.sampling)


def growing_surface(
    images: Sequence[Image],
    nodes: Float[np.ndarray, "node parameter"],
    *,
    fields: Sequence[Float[np.ndarray, " field"]],
    rng: np.random.Generator,
    sampling: SurfaceSampling | None = None,
) -> GrowingSurface:
    """Sample compiled images at some couplings.

    An image of certain species with chemical potentials of its own is sampled at its composition by exchanges: its
    likelihood is that of the arrangement given the composition, and it needs no chemical potentials.

    Parameters
    ----------
    images
        Images.
    nodes
        Couplings, the centre first, in kT.
    fields
        Chemical potentials of each image at the centre, in kT.
    rng
        Source of randomness.
    sampling
        How many samples at each node.

    Examples
    --------
    >>> from tusi.generative.estimation import observe
    >>> from tusi.generative.estimation.latent import compile_images
    >>> from tusi.generative.lattice import SQUARE, ising, periodic_sites
    >>> rng = np.random.default_rng(1)
    >>> image = observe(periodic_sites(SQUARE, (8, 8)), rng.integers(0, 2, 64))
    >>> images, _ = compile_images([image], ising(field=False), composition="model")
    >>> surface = growing_surface(images, np.array([[0.0], [0.1]]), fields=[np.zeros(0)], rng=rng)
    >>> len(surface.extended(np.array([[-0.1]]), rng=rng).nodes), len(surface.parts())
    (3, 4)
    """
    sampling = sampling or SurfaceSampling()
    nodes = np.atleast_2d(np.asarray(nodes, dtype=np.float64))
    samples = []
    for image, own in zip(images, fields, strict=True):
        image, fixed = _at_fixed_composition(image)  # noqa: PLW2901
        own = own[: image.n_fields]  # noqa: PLW2901
        empty = ImageSamples(
            image=image, fixed=fixed, nodes=np.empty((0, len(image.system.parameters))), chains=((), ())
        )
        samples.append(_sampled(empty, image.local(nodes[0], own)[None], sampling, rng))
    surface = _assembled(nodes[:1], tuple(samples), sampling)
    return surface.extended(nodes[1:], rng=rng) if len(nodes) > 1 else surface


def profiled(
    surface: LikelihoodSurface, couplings: Float[np.ndarray, "batch parameter"]
) -> Float[np.ndarray, " batch"]:
    """Return a surface's log-likelihood at many couplings, given the composition of each image that has its own.

    The chemical potentials are maximised over, and the likelihood of the composition itself is taken out to the order
    of the saddle point, so that what is left is the likelihood at fixed composition.

    Parameters
    ----------
    surface
        The surface.
    couplings
        Couplings, in kT.

    References
    ----------
    O. E. Barndorff-Nielsen, D. R. Cox, *J. R. Stat. Soc. B* 41, 279 (1979).
    """
    total = np.zeros(len(couplings))
    for one in surface.images:
        chunk = max(1, MOST_EXPONENTS // len(one.pool.log_weight))
        for first in range(0, len(couplings), chunk):
            some = slice(first, first + chunk)
            total[some] += _profiled(one, couplings[some], couplings[some] - surface.centre)
    return total


def _profiled(one: ImageSurface, couplings: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Return one image's log-likelihood at a batch of couplings."""
    n = one.image.n_shared
    fields = one.fields + away @ one.slope.T
    shared = one.pool.statistics[:, :n] @ (one.image.ratio * couplings).T
    observed = one.pool.observed[:, :n] @ (one.image.ratio * couplings).T
    state = _levels(one.pool, (shared, observed, n), fields)
    if not fields.shape[1]:
        return state[0]
    size, active, gain = np.ones(len(fields)), np.arange(len(fields)), np.zeros(len(fields))
    for _ in range(PROFILE_STEPS):
        value, gradient, information, complete = (array[active] for array in state)
        step = _newton(information, complete, gradient)
        gain[active] = (gradient * step).sum(axis=1)
        moving = gain[active] > SETTLED
        active, step, value = active[moving], (size[active, None] * step)[moving], value[moving]
        if not len(active):
            break
        trial = _levels(one.pool, (shared[:, active], observed[:, active], n), fields[active] + step)
        better = trial[0] >= value - SETTLED
        size[active] = np.where(better, np.minimum(2 * size[active], 1.0), 0.3 * size[active])
        fields[active[better]] += step[better]
        for array, new in zip(state, trial, strict=True):
            array[active[better]] = new[better]
    return state[0] + 0.5 * gain + _composition(state[2], state[3])


def _composition(information: np.ndarray, complete: np.ndarray) -> np.ndarray:
    """Return minus the log-likelihood of the composition, up to a constant, with a flat prior where it is uncertain."""
    n_fields = complete.shape[1]
    whole = complete + 1e-9 * np.eye(n_fields)
    root = np.linalg.inv(np.linalg.cholesky(whole))
    share = np.linalg.eigvalsh(root @ information @ root.transpose(0, 2, 1))
    return 0.5 * np.linalg.slogdet(whole)[1] - 0.5 * np.log(np.maximum(share, LEAST_SHARE)).sum(axis=1)


def _levels(
    pool: Pool, at: tuple[np.ndarray, np.ndarray, int], fields: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return value, gradient and information with respect to the fields, at a batch of couplings and fields."""
    shared, observed, n = at
    rest = pool.statistics[:, n:]
    exponent = pool.log_weight[:, None] - shared - rest @ fields.T
    highest = np.maximum.reduceat(exponent, pool.start, axis=0)
    bounds = np.append(pool.start, len(pool.log_weight))
    batch, n_fields = fields.shape
    value, gradient = np.zeros(batch), np.zeros((batch, n_fields))
    information, complete = np.zeros((2, batch, n_fields, n_fields))
    for k, weight in enumerate(pool.weight):
        rows = slice(bounds[k], bounds[k + 1])
        probability = np.exp(exponent[rows] - highest[k])
        total = probability.sum(axis=0)
        value -= weight * (observed[k] + fields @ pool.observed[k, n:] + highest[k] + np.log(total))
        if not n_fields:
            continue
        probability /= total
        mean = probability.T @ rest[rows]
        products = (rest[rows][:, :, None] * rest[rows][:, None, :]).reshape(len(rest[rows]), -1)
        covariance = (probability.T @ products).reshape(batch, n_fields, n_fields) - mean[:, :, None] * mean[:, None, :]
        gradient += weight * (mean - pool.observed[k, n:])
        information += weight * covariance
        if k == 0:
            complete = covariance
    return value, gradient, information, complete


def _newton(information: np.ndarray, complete: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return Newton steps, no direction having less than a small part of the complete data's information."""
    floor = RIDGE * np.trace(complete, axis1=1, axis2=2)[:, None, None] + 1e-9
    root = np.linalg.inv(np.linalg.cholesky(complete + floor * np.eye(complete.shape[1]))).transpose(0, 2, 1)
    share, direction = np.linalg.eigh(root.transpose(0, 2, 1) @ information @ root)
    onto = root @ direction
    step = np.einsum("bij,bj,bkj,bk->bi", onto, 1 / np.maximum(share, LEAST_SHARE), onto, gradient)
    return step / np.maximum(1.0, np.abs(step).max(axis=1, keepdims=True) / LARGEST_STEP)


def _at_fixed_composition(image: Image) -> tuple[Image, bool]:
    """Return an image of certain species without its chemical potentials, and whether it had any."""
    if not image.n_fields or image.evidence is not None:
        return image, False
    n = image.n_shared
    system = dataclasses.replace(
        image.system, parameters=image.system.parameters[:n], table=np.ascontiguousarray(image.system.table[:, :, :n])
    )
    return dataclasses.replace(image, system=system), True


def _sampled(
    kept: ImageSamples, locals_: np.ndarray, sampling: SurfaceSampling, rng: np.random.Generator
) -> ImageSamples:
    """Return an image's samples with those at more nodes, whose chains start where the nearest node's ended."""
    image = kept.image
    systems = [image.system, *([image.evidence] if image.evidence is not None else [])]
    sampler = Exchange() if kept.fixed and sampling.sampler is None else sampling.sampler
    chains = []
    for system, before in zip(systems, kept.chains, strict=False):
        more = list(before)
        known = list(kept.nodes)
        for local in locals_:
            nearest = int(np.argmin([((local - node) ** 2).sum() for node in known])) if known else -1
            start = more[nearest].final if known else image.starts(sampling.n_chains, rng=rng)
            more.append(draw_samples(system, local, rng=rng, sampler=sampler, plan=sampling.plan(start)))
            known.append(local)
        chains.append(tuple(more))
    return ImageSamples(image=image, fixed=kept.fixed, nodes=np.vstack([kept.nodes, locals_]), chains=tuple(chains))


def _assembled(nodes: np.ndarray, samples: tuple[ImageSamples, ...], sampling: SurfaceSampling) -> GrowingSurface:
    """Return the surface of all samples; the chemical potentials follow the couplings as they do at the centre."""
    images = []
    for kept in samples:
        n = kept.image.n_shared
        first = [node_chains[0] for node_chains in kept.chains]
        most = first[0].covariance
        inform = most - first[1].covariance if len(first) > 1 else most
        inverse = inverse_information(inform[n:, n:], most[n:, n:], least=LEAST_SHARE)[0]
        images.append(
            ImageSurface(
                image=kept.image,
                pool=kept.pool(),
                fields=kept.nodes[0, n:],
                slope=-kept.image.ratio * inverse @ inform[n:, :n],
                samples=tuple(first),
            )
        )
    parameters = samples[0].image.system.parameters[: samples[0].image.n_shared]
    surface = LikelihoodSurface(parameters=parameters, nodes=nodes, images=tuple(images))
    return GrowingSurface(nodes=nodes, samples=samples, sampling=sampling, surface=surface)

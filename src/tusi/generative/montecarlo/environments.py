"""Local environments of the free sites, numbered: what a site's neighbours do to it becomes one look-up in a table.

Sites whose clusters, weights and fixed log-weights look alike form a class. The species of the neighbours make a code;
with two species, neighbours that act alike through pairs only enter by their number, so that eight neighbours of two
kinds give 25 codes instead of 256. For each class and code the energies, the conditional probabilities and the
contributions to the statistics of each species are tabulated.
"""

import dataclasses

import numba
import numpy as np
from jaxtyping import Float, Int, UInt8

from tusi.generative.lattice.system import LatticeSystem, count_statistics

MOST_CODES = 65536
"""Codes of a class beyond which no table is made."""

MOST_ROWS = 2**19
"""Codes of all classes together beyond which no table is made."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Environments:
    """A system with its sites reordered: the free ones by colour and class, then the others, a phantom last.

    Attributes
    ----------
    order
        Site at each place, phantom included.
    neighbours
        Places of the neighbours of each free place; the phantom's where there are fewer.
    segments
        First place, end and class of each run of places of one class.
    stride
        What a unit of species on each neighbour adds to the code, by class.
    n_neighbours, offset
        Neighbours of a class, and its first row in the tables.
    place_class
        Class of each free place.
    energy
        Energy in kT of each species in each environment; infinite where it is barred.
    statistics
        Each species' share of the statistics: a cluster is shared evenly among its free corners.
    """

    order: Int[np.ndarray, " place"]
    neighbours: Int[np.ndarray, "free neighbour"]
    segments: Int[np.ndarray, "segment 3"]
    stride: Int[np.ndarray, "class neighbour"]
    n_neighbours: Int[np.ndarray, " class"]
    offset: Int[np.ndarray, " class"]
    place_class: Int[np.ndarray, " free"]
    energy: Float[np.ndarray, "row species"]
    statistics: Float[np.ndarray, "row species parameter"]

    @property
    def thresholds(self) -> Int[np.ndarray, "row species_but_last"]:
        """Cumulative conditional probabilities times 2^32: a species is the number of thresholds not above the bits."""
        weight = np.exp(self.energy.min(axis=1, keepdims=True) - self.energy)
        cumulative = np.cumsum(weight, axis=1)
        return np.rint(cumulative[:, :-1] / cumulative[:, -1:] * 2.0**32).astype(np.int64)

    @property
    def sites(self) -> tuple:
        """Arrays that turn the species around a place into a row of the tables; unsigned, as compiled code likes it."""
        return (
            self.neighbours.astype(np.uint32),
            self.stride.astype(np.uint64),
            self.n_neighbours,
            self.offset.astype(np.uint64),
        )

    def arrange(self, species: Int[np.ndarray, " site"]) -> UInt8[np.ndarray, " place"]:
        """Return an arrangement in the order of the places."""
        return np.append(species, 0).astype(np.uint8)[self.order]


def tabulate_environments(system: LatticeSystem, couplings: Float[np.ndarray, " parameter"]) -> Environments | None:
    """Return the tables of a system, or None where its environments are too many.

    Parameters
    ----------
    system
        Sites, interactions and what is clamped.
    couplings
        w, in kT.

    Returns
    -------
    Environments | None
        Tables and the order of the sites.
    """
    near, colour = system.incidence, np.concatenate(system.colours)
    rank = np.full(system.n_sites, -1)
    rank[colour] = np.repeat(np.arange(len(system.colours)), [len(group) for group in system.colours])
    n_free = np.append(system.free, False)[system.members].sum(axis=1)
    n_real = (near.others < system.n_sites).sum(axis=1)
    before = np.concatenate([[0], np.cumsum(n_real)])
    most = int((before[near.start[colour + 1]] - before[near.start[colour]]).max(initial=0))
    types = entry_types(system, n_free)
    local = _mix_array(_local_bits(system.log_weight))
    neighbours, alike, site_key = _describe(colour, (near.start, near.others, n_real), types, local, most)
    _, first, which = np.unique(site_key, return_index=True, return_inverse=True)
    stride, base, run, n_neighbours, size = _number_codes(
        neighbours[first], alike[first], system.n_sites, system.n_species
    )
    if (size > MOST_CODES).any() or size.sum() > MOST_ROWS:
        return None
    offset = np.concatenate([[0], np.cumsum(size)])
    energy = np.empty((offset[-1], system.n_species))
    statistics = np.empty((offset[-1], system.n_species, len(system.parameters)))
    _tabulate(
        (colour[first], neighbours[first], stride, base, run, n_neighbours, offset),
        (near.start, near.cluster, near.others, near.stride, near.own_stride),
        (system.kind, system.weight, np.ascontiguousarray(system.table), n_free),
        (system.log_weight, couplings),
        (energy, statistics),
    )
    sequence = np.lexsort((colour, which, rank[colour]))
    order = np.concatenate([colour[sequence], np.flatnonzero(~system.free), [system.n_sites]])
    place = np.empty(system.n_sites + 1, dtype=np.int32)
    place[order] = np.arange(len(order))
    which = which[sequence]
    turns = np.flatnonzero(np.diff(which, prepend=-1))
    return Environments(
        order=order,
        neighbours=place[neighbours[sequence]],
        segments=np.column_stack([turns, np.append(turns[1:], len(which)), which[turns]]),
        stride=stride,
        n_neighbours=n_neighbours,
        offset=offset[:-1],
        place_class=which,
        energy=energy,
        statistics=statistics,
    )


def frozen_statistics(
    system: LatticeSystem, species: Int[np.ndarray, "chain site"]
) -> Float[np.ndarray, "chain parameter"]:
    """Return what the clusters without a free corner add to the statistics."""
    chosen = ~np.append(system.free, False)[system.members].any(axis=1)
    out = np.zeros((len(species), len(system.parameters)))
    strides = system.n_species ** np.arange(system.members.shape[1])
    clusters = (system.members[chosen], system.kind[chosen], system.weight[chosen])
    count_statistics(species, clusters, strides, system.table, out)
    return out


def entry_types(system: LatticeSystem, n_free: Int[np.ndarray, " cluster"]) -> np.ndarray:
    """Return 64 bits for each entry of the incidence, equal where the entries act alike.

    Two corners of a pair count as alike if the table does not tell them apart.
    """
    near, n_corners = system.incidence, system.members.shape[1]
    real = near.others < system.n_sites
    present = (real << np.arange(n_corners - 1)).sum(axis=1)
    combined = (system.kind[near.cluster] * n_corners + near.corner) * 2 ** (n_corners - 1) + present
    _, first, which = np.unique(combined, return_index=True, return_inverse=True)
    known: dict[bytes, int] = {}
    names = np.empty(len(first), dtype=np.uint64)
    species = np.arange(system.n_species)
    for number, entry in enumerate(first):
        label = np.int64(combined[entry]).tobytes()
        if real[entry].sum() <= 1:
            stride = near.stride[entry][real[entry]].sum()
            codes = species[:, None] * near.own_stride[entry] + species * stride
            label = system.table[system.kind[near.cluster[entry]], codes].tobytes() + real[entry].sum().tobytes()
        names[number] = known.setdefault(label, len(known))
    weight = _mix_array((system.weight + 0.0).view(np.uint64) + n_free.astype(np.uint64))
    return _mix_array(weight[near.cluster] + names[which])


def _local_bits(log_weight):
    """Return 64 bits for each site, equal where the fixed weights are."""
    bits = (np.ascontiguousarray(log_weight) + 0.0).view(np.uint64)
    return _mix_array(bits + np.arange(bits.shape[1], dtype=np.uint64)).sum(axis=1, dtype=np.uint64)


def _mix_array(bits):
    """Scramble each number (SplitMix64)."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def mix(bits):
    """Scramble a number into 64 random bits (SplitMix64)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _describe(sites, near, types, local, most):
    """List each site's neighbours in an order of their own, what they act like (0: unlike any), and the site's key."""
    start, others, n_real = near
    n_sites = len(start) - 1
    neighbours = np.full((len(sites), most), n_sites, dtype=np.int64)
    alike = np.zeros((len(sites), most), dtype=np.uint64)
    keys = np.zeros(len(sites), dtype=np.uint64)
    action, single = np.zeros(most, np.uint64), np.zeros(most, np.bool_)
    slot_of = np.zeros(n_sites + 1, dtype=np.uint64)
    for place in range(len(sites)):
        site = sites[place]
        found = neighbours[place]
        entries = range(start[site], start[site + 1])
        n_found = _find_neighbours(entries, (others, types, n_real, n_sites), (found, action, single))
        _sort_neighbours(n_found, (found, action, single))
        key = local[site]
        for slot in range(n_found):
            slot_of[found[slot]] = slot + 1
            alike[place, slot] = 0 if single[slot] else action[slot]
            key = mix(key + action[slot]) + np.uint64(single[slot])
        for entry in entries:
            if n_real[entry] != 1:
                code = mix(types[entry])
                for j in range(others.shape[1]):
                    code = mix(code + slot_of[others[entry, j]])
                key += code
        keys[place] = mix(key) + np.uint64(n_found)
    return neighbours, alike, keys


@numba.njit(cache=True, nogil=True)
def _find_neighbours(entries, near, slots):
    """Fill the slots of one site: each neighbour, its action through pairs, and whether it acts in larger clusters."""
    others, types, n_real, n_sites = near
    found, action, single = slots
    n_found = 0
    for entry in entries:
        for j in range(others.shape[1]):
            other = others[entry, j]
            if other == n_sites:
                continue
            slot = 0
            while slot < n_found and found[slot] != other:
                slot += 1
            if slot == n_found:
                found[slot], action[slot], single[slot] = other, 1, False
                n_found += 1
            if n_real[entry] == 1:
                action[slot] += types[entry]
            else:
                single[slot] = True
    return n_found


@numba.njit(cache=True, nogil=True)
def _sort_neighbours(n_found, slots):
    """Put neighbours in larger clusters first, as they were found; then the others by their action."""
    found, action, single = slots
    for slot in range(1, n_found):
        one, act, alone = found[slot], action[slot], single[slot]
        back = slot
        while back:
            if single[back - 1] or (not alone and act >= action[back - 1]):
                break
            found[back], action[back], single[back] = found[back - 1], action[back - 1], single[back - 1]
            back -= 1
        found[back], action[back], single[back] = one, act, alone


@numba.njit(cache=True, nogil=True)
def _number_codes(neighbours, alike, n_sites, n_species):
    """Give each neighbour of each class its stride, the base of its digit and its rank among those that share it."""
    n_classes, most = neighbours.shape
    stride = np.zeros((n_classes, most), dtype=np.int64)
    base, rank = stride.copy(), stride.copy()
    n_neighbours = np.zeros(n_classes, dtype=np.int64)
    size = n_neighbours + 1
    for k in range(n_classes):
        slot = 0
        while slot < most and neighbours[k, slot] < n_sites:
            end = slot + 1
            merge = n_species == 2 and alike[k, slot] != 0
            while merge and end < most and neighbours[k, end] < n_sites and alike[k, end] == alike[k, slot]:
                end += 1
            for j in range(slot, end):
                stride[k, j], rank[k, j] = size[k], j - slot
                base[k, j] = n_species + end - slot - 1
            size[k] = min(size[k] * (n_species + end - slot - 1), 2**40)
            slot = end
        n_neighbours[k] = slot
    return stride, base, rank, n_neighbours, size


@numba.njit(cache=True, nogil=True)
def _tabulate(classes, near, tables, weights, out):
    """Fill energies and shares of the statistics for every class, code and species."""
    sites, neighbours, stride, base, rank, n_neighbours, offset = classes
    start, cluster, others, other_stride, own_stride = near
    kind, weight, table, n_free = tables
    log_weight, couplings = weights
    energy, statistics = out
    n_species = energy.shape[1]
    state = np.zeros(len(start), dtype=np.int64)
    energy[:] = 0.0
    statistics[:] = 0.0
    for k in range(len(sites)):
        site = sites[k]
        for code in range(offset[k + 1] - offset[k]):
            for slot in range(n_neighbours[k]):
                digit = code // stride[k, slot] % base[k, slot]
                state[neighbours[k, slot]] = digit if n_species > 2 else np.int64(digit > rank[k, slot])
            row = offset[k] + code
            for s in range(n_species):
                energy[row, s] = -log_weight[site, s]
            for entry in range(start[site], start[site + 1]):
                outside = 0
                for j in range(others.shape[1]):
                    if others[entry, j] < len(log_weight):
                        outside += other_stride[entry, j] * state[others[entry, j]]
                c = cluster[entry]
                for s in range(n_species):
                    for parameter in range(len(couplings)):
                        part = weight[c] * table[kind[c], outside + s * own_stride[entry], parameter]
                        energy[row, s] += couplings[parameter] * part
                        statistics[row, s, parameter] += part / n_free[c]


@numba.njit(cache=True, nogil=True)
def count_environments(state, sites, counts, out):
    """Add every free site's share of the statistics."""
    neighbours, stride, n_neighbours, offset = sites
    table, segments, _ = counts
    partial = np.zeros((4, len(out)))
    for segment in range(len(segments)):
        which = segments[segment, 2]
        near, first = n_neighbours[which], offset[which]
        for place in range(segments[segment, 0], segments[segment, 1]):
            row = first
            for slot in range(near):
                row += stride[which, slot] * state[neighbours[place, slot]]
            for k in range(len(out)):
                partial[place & 3, k] += table[row, state[place], k]
    for j in range(4):
        for k in range(len(out)):
            out[k] += partial[j, k]

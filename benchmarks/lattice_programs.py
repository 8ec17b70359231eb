"""Monte Carlo of the same two-coupling Ising model with smol and icet; runs in the peers' environment, without tusi.

`bench_lattice_peers.py` calls it with a folder that holds `task.json` and reads `result.json` from there.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

SPACING, VACUUM, CUTOFF = 3.0, 20.0, 4.5
"""Lattice constant, height of the cell and largest distance of a pair, in angstrom: two shells, nothing across."""

SMALL = 6
"""Width of the small cells on which the coefficients are matched to energies."""

BOLTZMANN = 8.617333262e-5
"""eV/K."""


def energy(spins: np.ndarray, couplings: list[float]) -> float:
    """Return -K1 sum_NN ss - K2 sum_NNN ss of a periodic square."""
    near = spins * (np.roll(spins, 1, 0) + np.roll(spins, 1, 1))
    far = spins * (np.roll(spins, (1, 1), (0, 1)) + np.roll(spins, (1, -1), (0, 1)))
    return float(-couplings[0] * near.sum() - couplings[1] * far.sum())


def matched(vector, couplings: list[float]) -> np.ndarray:
    """Return the coefficients that make a program's linear form equal to the energy per site, exactly."""
    generator = np.random.default_rng(0)
    spins = [generator.choice([-1, 1], size=(SMALL, SMALL)) for _ in range(12)]
    rows = np.array([vector(one) for one in spins])
    wanted = np.array([energy(one, couplings) / one.size for one in spins])
    coefficients, *_ = np.linalg.lstsq(rows, wanted, rcond=None)
    if np.abs(rows @ coefficients - wanted).max() > 1e-9:
        raise RuntimeError("the program's clusters do not span the model")
    return coefficients


def run_smol(task: dict, move: str) -> dict:
    """Run smol's sampler."""
    from pymatgen.core import Lattice, Structure
    from smol.cofe import ClusterExpansion, ClusterSubspace
    from smol.moca import Ensemble, Sampler

    cell = Lattice.orthorhombic(SPACING, SPACING, VACUUM)
    primitive = Structure(cell, [{"Ag": 0.5, "Au": 0.5}], [[0, 0, 0]])
    subspace = ClusterSubspace.from_cutoffs(primitive, cutoffs={2: CUTOFF}, basis="sinusoid")

    def vector(spins: np.ndarray) -> np.ndarray:
        places = np.argwhere(np.ones(spins.shape)) / SMALL
        species = ["Au" if s > 0 else "Ag" for s in spins.ravel()]
        lattice = Lattice.orthorhombic(SPACING * SMALL, SPACING * SMALL, VACUUM)
        structure = Structure(lattice, species, np.column_stack([places, np.zeros(spins.size)]))
        return subspace.corr_from_structure(structure, scmatrix=np.diag([SMALL, SMALL, 1]))

    expansion = ClusterExpansion(subspace, matched(vector, task["couplings"]))
    chemical = {} if move == "swap" else {"chemical_potentials": {"Ag": 0.0, "Au": 0.0}}
    ensemble = Ensemble.from_cluster_expansion(expansion, np.diag([task["width"], task["width"], 1]), **chemical)
    sampler = Sampler.from_ensemble(ensemble, step_type=move, temperature=1 / BOLTZMANN, nwalkers=1, seeds=[1])
    occupancy = np.array(task["species"], dtype=np.int32)[None]
    sampler.run(task["burn_in"], occupancy, thin_by=task["burn_in"])
    start = time.process_time()
    sampler.run(task["n_steps"], thin_by=task["thin"])
    seconds = time.process_time() - start
    energies = sampler.samples.get_energies().ravel()[-(task["n_steps"] // task["thin"]) :]
    return {"energy": energies.tolist(), "seconds": seconds}


def run_icet(task: dict, move: str) -> dict:
    """Run icet's ensembles (mchammer)."""
    from ase import Atoms
    from icet import ClusterExpansion, ClusterSpace
    from mchammer.calculators import ClusterExpansionCalculator
    from mchammer.ensembles import CanonicalEnsemble, SemiGrandCanonicalEnsemble

    primitive = Atoms("Ag", cell=[SPACING, SPACING, VACUUM], pbc=True)
    space = ClusterSpace(primitive, cutoffs=[CUTOFF], chemical_symbols=["Ag", "Au"])

    def atoms(spins: np.ndarray) -> Atoms:
        structure = primitive.repeat((*spins.shape, 1))
        place = np.rint(structure.positions[:, :2] / SPACING).astype(int)
        structure.symbols = ["Au" if spins[tuple(p)] > 0 else "Ag" for p in place]
        return structure

    expansion = ClusterExpansion(
        space, matched(lambda spins: np.array(space.get_cluster_vector(atoms(spins))), task["couplings"])
    )
    width = task["width"]
    structure = atoms(2 * np.array(task["species"]).reshape(width, width) - 1)
    calculator = ClusterExpansionCalculator(structure, expansion)
    common = {
        "structure": structure,
        "calculator": calculator,
        "temperature": 1.0,
        "boltzmann_constant": 1.0,
        "random_seed": 1,
        "ensemble_data_write_interval": task["thin"],
        "trajectory_write_interval": 10**9,
    }
    ensemble = (
        CanonicalEnsemble(**common)
        if move == "swap"
        else SemiGrandCanonicalEnsemble(**common, chemical_potentials={"Ag": 0.0, "Au": 0.0})
    )
    ensemble.run(task["burn_in"])
    start = time.process_time()
    ensemble.run(task["n_steps"])
    seconds = time.process_time() - start
    values = ensemble.data_container.get("potential")
    return {"energy": [float(v) for v in values[-(task["n_steps"] // task["thin"]) :]], "seconds": seconds}


def main(folder: str) -> None:
    """Run every program and move of the task."""
    task = json.loads((Path(folder) / "task.json").read_text())
    result = {
        f"{name} {move}": run(task, move)
        for name, run in (("smol", run_smol), ("icet", run_icet))
        for move in ("swap", "flip")
    }
    (Path(folder) / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])

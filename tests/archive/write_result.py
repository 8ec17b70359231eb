"""Write the small result file that a released version leaves in this folder: run once per release, from this folder."""

import os
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tusi import study
from tusi.cli.series import tiff_of
from tusi.datasets import COUNTS, AlloyRecipe, simulate_alloy
from tusi.generative import HamiltonianSettings

HERE = Path(__file__).parent.resolve()


def main() -> None:
    """Simulate two small images, analyse them, keep the result."""
    target = HERE / f"result-{version('tusi')}.h5"
    target.unlink(missing_ok=True)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        names = []
        for number, composition in enumerate((0.4, 0.6)):
            recipe = AlloyRecipe(
                composition=composition,
                model="P1",
                couplings=(-0.3,),
                sulphur_intensity=0.0,
                spacing=16.0,
                vacancy_fraction=0.01,
                shape=(150, 160),
            )
            alloy = simulate_alloy(recipe, COUNTS, rng=np.random.default_rng(10 + number), image=number)
            names.append(f"alloy{number}.tiff")
            Path(names[-1]).write_bytes(tiff_of(alloy))
        settings = HamiltonianSettings(n_permutations=99, n_bootstrap=49, n_imputations=4, n_label_draws=50)
        options = study.AnalysisOptions(species=("Mo", "Re"), seed=5, settings=settings)
        study.analyze(names, options=options, out=target)


if __name__ == "__main__":
    main()

"""Whole runs: what is stored, what is resumed, and that neither interruption nor workers can be seen in the result."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tusi import study
from tusi.data import make_grid
from tusi.data.record import array_fields
from tusi.datasets import COUNTS, AlloyRecipe, simulate_alloy
from tusi.errors import InputError, MetadataWarning
from tusi.generative import HamiltonianSettings, fit_hamiltonians
from tusi.study import AnalysisOptions, DaskExecutor, Region, pipeline
from tusi.study.assembly import compact
from tusi.study.partial import PartialFolder
from tusi.study.steps import STEPS

QUICK = AnalysisOptions(
    species=("Mo", "Re"),
    models=("random", "P1"),
    seed=5,
    settings=HamiltonianSettings(n_permutations=19, n_bootstrap=19, n_imputations=2, n_label_draws=10),
)

RANDOM_ONLY = dataclasses.replace(QUICK, models=("random",))

# A run in a process of its own that is killed, with no chance to clean up, once this step has finished two images.
KILLED_RUN = """
import os, signal, sys, warnings
from tusi.data.record import array_fields
from tusi.generative import HamiltonianSettings, fit_hamiltonians
from tusi.study import AnalysisOptions, analyze

warnings.simplefilter("ignore")

def killed(step, done, total):
    if step == sys.argv[1] and done == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

settings = HamiltonianSettings(n_permutations=19, n_bootstrap=19, n_imputations=2, n_label_draws=10)
options = AnalysisOptions(species=("Mo", "Re"), models=("random", "P1"), seed=5, settings=settings)
analyze(sys.argv[4:], options=options, out=sys.argv[3], progress=killed)
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> list[str]:
    """Two small simulated images of one alloy, in files."""
    folder = tmp_path_factory.mktemp("images")
    paths = []
    for number, composition in enumerate((0.4, 0.6)):
        recipe = AlloyRecipe(
            composition=composition, model="P1", couplings=(-0.3,), sulphur_intensity=0.0, shape=(210, 220)
        )
        alloy = simulate_alloy(recipe, COUNTS, rng=np.random.default_rng(number), image=number)
        paths.append(str(folder / f"alloy{number}.tiff"))
        tifffile.imwrite(paths[-1], alloy.grid.values.astype(np.uint16))
    return paths


class Remembered:
    """The real fit, done once: the same graphs and the same random stream must come, and the same result goes back."""

    def __init__(self) -> None:
        self.known: dict[bytes, object] = {}

    def __call__(self, graphs, *, models, settings, rng, executor, progress):
        tables = [getattr(graph, field.name) for graph in graphs for field in array_fields(graph)]
        key = b"".join(table.tobytes() for table in tables) + repr((models, settings, rng.bit_generator.state)).encode()
        if key not in self.known:
            self.known[key] = fit_hamiltonians(graphs, models=models, settings=settings, rng=rng)
        return self.known[key]


@pytest.fixture(scope="module", autouse=True)
def _fit_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "fit_hamiltonians", Remembered())
        yield


@pytest.fixture(scope="module")
def reference(images, tmp_path_factory) -> tuple[study.Analysis, Path]:
    """The analysis of the two images, and its file, from one process without interruption."""
    out = tmp_path_factory.mktemp("reference") / "result.h5"
    with pytest.warns(MetadataWarning, match="no pixel size"):
        analysis = study.analyze(images, options=QUICK, out=out)
    return analysis, out


@pytest.mark.filterwarnings("ignore::tusi.errors.TusiWarning")
class TestRuns:
    def test_result_is_one_file_and_comes_back_whole(self, reference, tmp_path):
        analysis, out = reference
        assert os.listdir(out.parent) == ["result.h5"]
        again = study.save(study.load(out), tmp_path / "again.h5")
        assert again.read_bytes() == out.read_bytes()
        assert [image.complete for image in analysis.images] == [True, True]
        assert analysis.comparison is not None
        assert analysis.comparison.image_names == ("alloy0", "alloy1")
        assert any("pixel size" in text for text in analysis.images[0].warnings)

    def test_sites_and_species_are_those_of_the_images(self, reference):
        analysis, _ = reference
        for image, composition in zip(analysis.images, (0.4, 0.6), strict=True):
            assert 50 < len(image.graph) < 110
            assert abs(image.species.fraction[-1] - composition) < 0.2

    def test_workers_change_nothing(self, images, reference, tmp_path):
        with DaskExecutor(n_workers=2) as executor:
            study.analyze(images, options=QUICK, out=tmp_path / "r.h5", executor=executor)
        assert (tmp_path / "r.h5").read_bytes() == reference[1].read_bytes()

    @pytest.mark.parametrize(("step", "done"), [("Finding atoms", 1), ("Mapping symmetry", 2)])
    def test_killed_run_goes_on_and_gives_the_same_bytes(self, images, reference, tmp_path, monkeypatch, step, done):
        out = tmp_path / "r.h5"
        words = [sys.executable, "-c", KILLED_RUN, step, str(done), str(out), *images]
        killed = subprocess.run(words, capture_output=True, text=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert os.listdir(tmp_path) == ["r.h5.partial"]
        kept = {path.name.split("-")[0] for path in (tmp_path / "r.h5.partial").iterdir()}
        assert "read" in kept

        def forbidden(*arguments):
            raise AssertionError("a finished step was done again")

        finished = ("read",) if done == 1 else tuple(step.name for step in STEPS)
        changed = tuple(
            dataclasses.replace(step, function=forbidden) if step.name in finished else step for step in STEPS
        )
        monkeypatch.setattr(pipeline, "STEPS", changed)
        study.analyze(images, options=QUICK, out=out)
        assert out.read_bytes() == reference[1].read_bytes()
        assert os.listdir(tmp_path) == ["r.h5"]

    def test_finished_run_is_not_repeated(self, images, reference, monkeypatch):
        monkeypatch.setattr(pipeline._Run, "images", lambda self: pytest.fail("it ran again"))
        analysis = study.analyze(images, options=QUICK, out=reference[1])
        assert analysis.provenance == reference[0].provenance

    def test_damaged_kept_step_is_done_again(self, images, reference, tmp_path):
        out = tmp_path / "r.h5"

        def stop(step: str, done: int, total: int) -> None:
            if step == "Registering lattices":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            study.analyze(images, options=QUICK, out=out, progress=stop)
        for file in (tmp_path / "r.h5.partial").glob("find-*"):
            file.write_bytes(file.read_bytes()[:1000])
        study.analyze(images, options=QUICK, out=out)
        assert out.read_bytes() == reference[1].read_bytes()

    def test_an_image_without_atoms_is_flagged_and_the_others_go_on(self, images, tmp_path):
        empty = tmp_path / "empty.tiff"
        tifffile.imwrite(empty, np.zeros((64, 64), np.uint8))
        analysis = study.analyze([images[0], str(empty)], options=RANDOM_ONLY)
        assert [image.failed_step for image in analysis.images] == ["", "find"]
        assert analysis.images[1].error
        assert analysis.comparison is not None
        assert analysis.comparison.image_names == ("alloy0",)

    def test_no_image_left_is_the_callers_mistake_and_leaves_nothing(self, tmp_path):
        empty = tmp_path / "empty.tiff"
        tifffile.imwrite(empty, np.zeros((64, 64), np.uint8))
        with pytest.raises(InputError, match="at least one image that can be used; got empty: "):
            study.analyze(empty, options=QUICK, out=tmp_path / "r.h5")
        assert os.listdir(tmp_path) == ["empty.tiff"]

    def test_region_keeps_atoms_of_the_whole_image_but_sites_of_its_own(self, images, reference):
        options = dataclasses.replace(RANDOM_ONLY, regions=(Region(y0=20, y1=190, x0=0, x1=200, name="alloy0"),))
        image = study.analyze(images[0], options=options).images[0]
        whole = reference[0].images[0]
        assert len(image.finding.atoms) == len(whole.finding.atoms)
        assert len(image.graph) < len(whole.graph)
        assert image.species.atoms.position[:, 0].min() >= 19.5

    def test_lattice_constant_checks_the_scale_and_never_sets_it(self, images):
        options = dataclasses.replace(RANDOM_ONLY, lattice_constant=3.16)
        image = study.analyze(images[0], options=options).images[0]
        assert image.length_unit == "pixel"
        assert image.implied_pixel_size == pytest.approx(3.16 / 24, rel=0.02)
        options = dataclasses.replace(options, pixel_size=0.2)
        with pytest.warns(MetadataWarning, match=r"declared as 0\.2 angstrom, but the lattice constant implies 0\.13"):
            image = study.analyze(images[0], options=options).images[0]
        assert image.pixel_size == pytest.approx(0.2)


def test_missing_file_and_the_same_image_twice_are_refused(images, tmp_path):
    with pytest.raises(InputError, match="which does not exist"):
        study.analyze(tmp_path / "none.tiff", options=QUICK)
    with pytest.raises(InputError, match="with the same content as"):
        study.analyze([images[0], images[0]], options=QUICK)
    with pytest.raises(InputError, match="at least one image; got none"):
        study.analyze([], options=QUICK)


def test_a_file_that_tusi_did_not_write_is_never_replaced(images, tmp_path):
    out = tmp_path / "thesis.h5"
    out.write_text("all I have")
    with pytest.raises(InputError, match="Move it away or choose another name"):
        study.analyze(images, options=QUICK, out=out)
    assert out.read_text() == "all I have"


@pytest.mark.parametrize(
    "choice",
    [
        {"pixel_size": 0.0},
        {"lattice_constant": -1.0},
        {"seed": -1},
        {"models": ("P9",)},
        {"species": ("Mo",)},
    ],
)
def test_impossible_options_are_refused(choice):
    with pytest.raises(InputError, match=f"`{next(iter(choice))}`: expected"):
        AnalysisOptions(**choice)


def test_foreign_files_in_the_partial_folder_survive(tmp_path):
    folder = PartialFolder.beside(tmp_path / "r.h5")
    (tmp_path / "r.h5.partial" / "mine.txt").write_text("keep")
    folder.remove()
    assert os.listdir(tmp_path / "r.h5.partial") == ["mine.txt"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [([0.0, 255.0], np.uint8), ([0.0, 256.0], np.uint16), ([-1.0, 5.0], np.int16), ([0.5, 1.0], np.float32)],
)
def test_images_are_stored_in_the_smallest_type_without_loss(values, kind):
    grid = make_grid(np.array([values]))
    assert compact(grid).dtype == kind
    assert np.array_equal(compact(grid), grid)

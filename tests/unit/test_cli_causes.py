"""`tusi causes` as a user meets it: tables in, words and a page out, and every mistake said plainly."""

import sys

import numpy as np
import pytest

from tusi.cli import main
from tusi.data import storage
from tusi.study.causes.files import ColumnRoles, read_causal_table
from tusi.study.files import CLASSES


@pytest.fixture
def tusi(tmp_path, monkeypatch, capfd):
    """Run the command in an empty folder; return its exit code and all that it said, on one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tusi", "causes", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capfd.readouterr()
        text = " ".join((said.out + said.err).replace("│", " ").split())
        assert "Traceback" not in text
        return code, text

    return run


def write(path="table.csv", *, side=20, n_images=1, seed=0):
    """Write a world in which strain acts on polarisation."""
    rng = np.random.default_rng(seed)
    lines = ["image,row,column,strain,polarisation,strain_error,label"]
    for image in range(n_images):
        for row, column in np.ndindex(side, side):
            strain = rng.standard_normal()
            polarisation = 0.7 * strain + 0.5 * rng.standard_normal()
            lines.append(f"im{image},{row},{column},{strain:.6f},{polarisation:.6f},0.1,{'ab'[row % 2]}")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return lines


PLACED = ["--position", "row,column", "--columns", "strain,polarisation"]


def test_a_table_becomes_words_a_result_and_a_page(tusi, tmp_path):
    write()
    code, said = tusi("table.csv", *PLACED, "--tiers", "strain>polarisation", "--error", "strain=strain_error")
    assert code == 0, said
    assert "strain acts on polarisation" in said
    assert "strain -> polarisation" in said
    found = storage.load(tmp_path / "causes.h5", classes=CLASSES)
    assert found.table.error_covariance[0, 0, 0] == pytest.approx(0.01)
    assert found.knowledge.tiers == (("strain",), ("polarisation",))
    page = (tmp_path / "causes.html").read_text("utf-8")
    assert "tusi causes table.csv" in page
    assert dict(found.made)["SHA-256"] in page
    assert "table.csv" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["causes.h5", "causes.html", "table.csv"]
    before = (tmp_path / "causes.h5").read_bytes()
    assert tusi("table.csv", *PLACED, "--tiers", "strain>polarisation", "--error", "strain=strain_error")[0] == 0
    assert (tmp_path / "causes.h5").read_bytes() == before


@pytest.mark.parametrize(("name", "line"), [("g.dot", "strain -> polarisation ["), ("g.gml", "source 0 target 1")])
def test_the_graph_alone_is_written_for_other_programs(tusi, tmp_path, name, line):
    write()
    code, said = tusi("table.csv", *PLACED, "--tiers", "strain>polarisation", "--graph", name)
    assert code == 0, said
    assert line in (tmp_path / name).read_text("ascii")


def test_columns_are_taken_by_themselves_and_text_is_left_out_aloud(tusi):
    write(n_images=2)
    code, said = tusi("table.csv", "--position", "row,column", "--image", "image", "--error", "strain=strain_error")
    assert code == 0, said
    assert "label: no column of numbers, left out." in said
    assert "strain -- polarisation" in said
    assert "which acts on which cannot be told" in said


def test_rows_with_missing_values_are_dropped_and_counted(tusi):
    lines = write()
    lines[3] = lines[3].replace(lines[3].split(",")[3], "nan")
    lines[5] = "im0,,4,0.1,0.2,0.1,a"
    with open("table.csv", "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    code, said = tusi("table.csv", *PLACED)
    assert code == 0, said
    assert "2 rows with missing values were left out" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.csv"], "expected a file; got 'none.csv', which does not exist"),
        (["table.csv", "--columns", "strain,stress"], "expected a column 'stress'; got columns image, row"),
        (["table.csv", "--position", "y,x"], "expected a column 'y'"),
        (["table.csv", "--position", "row"], "two names with ',' between them"),
        (["table.csv", "--columns", "strain,label"], "numbers in column 'label'; got 'a'"),
        (["table.csv", *PLACED, "--tiers", "strain>stress"], "variables among strain, polarisation; got stress"),
        (["table.csv", *PLACED, "--tiers", "strain>"], "groups of names, causes first"),
        (["table.csv", *PLACED, "--forbid", "strain"], "two names with '>' between them"),
        (["table.csv", *PLACED, "--require", "a>b"], "variables among"),
        (["table.csv", *PLACED, "--require", "strain>polarisation", "--forbid", "strain>polarisation"], "forbidden"),
        (["table.csv", *PLACED, "--error", "strain=-1"], "standard errors >= 0"),
        (["table.csv", *PLACED, "--error", "label=0.1"], "one of strain, polarisation"),
        (["table.csv", *PLACED, "--level", "3"], "p-value between 0 and 1"),
        (["table.csv", *PLACED, "--out", "none/causes.h5"], "a folder that exists"),
        (["table.csv", *PLACED, "--out", "table.txt"], "a name ending in .h5"),
        (["one.csv"], "at least 12 complete rows; got 1"),
        (["text.csv"], "expected columns of numbers"),
        (["ragged.csv"], "2 cells in every row; got 1 in row 3"),
        (["empty.csv"], "a line of names and rows below it"),
        (["numbers.csv"], "a first line of names"),
        (["constant.csv"], "at least two variables that vary"),
        (["picture.h5"], "a tusi result file"),
        (["binary.csv"], "text with columns"),
    ],
)
def test_mistakes_are_said_plainly(tusi, tmp_path, words, message):
    write(side=8)
    rows = "\n".join(f"{k},1" for k in range(30))
    made = {
        "one.csv": "a,b\n1,2\n", "text.csv": "a,b\nx,y\n", "ragged.csv": "a,b\n1,2\n3\n", "empty.csv": "",
        "numbers.csv": "1,2\n3,4\n", "constant.csv": f"a,b\n{rows}\n", "picture.h5": "not a result",
    }  # fmt: skip
    for name, content in made.items():
        (tmp_path / name).write_text(content, "utf-8")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00a,b\n")
    code, said = tusi(*words)
    assert (code, message in said) == (2, True), said
    assert not (tmp_path / "causes.h5").exists()


def test_a_graph_of_a_kind_that_is_not_known_is_refused_before_anything_is_done(tusi, tmp_path):
    write()
    code, said = tusi("table.csv", *PLACED, "--graph", "g.png")
    assert code == 2
    assert "`graph`: expected a name that ends in .dot or .gml" in said
    assert not (tmp_path / "causes.h5").exists()


def test_a_foreign_file_is_not_replaced(tusi, tmp_path):
    write(side=8)
    (tmp_path / "causes.h5").write_text("mine", "utf-8")
    code, said = tusi("table.csv", *PLACED)
    assert code == 2
    assert "which tusi did not write" in said
    assert (tmp_path / "causes.h5").read_text("utf-8") == "mine"


def test_a_result_is_asked_again_with_more_knowledge(tusi, tmp_path):
    write(side=14)
    assert tusi("table.csv", *PLACED)[0] == 0
    code, said = tusi("causes.h5", "--exogenous", "strain", "--out", "again.h5")
    assert code == 0, said
    assert "strain -> polarisation" in said
    code, said = tusi("causes.h5", "--position", "row,column", "--out", "again.h5")
    assert code == 2
    assert "a text file where columns are chosen" in said
    assert tusi("causes.h5", "--out", "causes.h5")[0] == 2


def test_separators_lattice_indices_and_order_of_the_file(tmp_path):
    (tmp_path / "a.txt").write_text("y;x;a;b\n" + "\n".join(f"{k % 6};{k // 6};{k}.5;{-k}" for k in range(36)), "utf-8")
    placed = read_causal_table(tmp_path / "a.txt", roles=ColumnRoles(position=("y", "x")))
    assert placed.table.names == ("a", "b")
    assert placed.table.layout.shape(0) == (6, 6)
    assert placed.located
    lined = read_causal_table(tmp_path / "a.txt", roles=ColumnRoles(variables=("a", "b")))
    assert lined.table.layout.shape(0) == (36, 1)
    assert not lined.located

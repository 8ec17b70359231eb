"""Registered files are what they should be, whether from a folder or from a server, or they are refused."""

import dataclasses
import hashlib
import http.server
import os
import threading

import pytest

from tusi.datasets import REAL_DATASETS, RealDataset, RealFile, real_data
from tusi.datasets.download import download
from tusi.errors import InputError

CONTENT = b"atoms" * 40_000
SUM = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        body = CONTENT if self.path != "/long" else CONTENT * 2
        self.send_response(200)
        if self.path != "/long":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.path != "/cut" else body[: len(body) // 2])

    def log_message(self, *arguments):
        """Stay silent."""


@pytest.fixture
def server():
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def register(monkeypatch, url):
    file = RealFile(sha256=SUM, n_bytes=len(CONTENT), url=url)
    dataset = RealDataset(title="t", citation="c", licence="l", folder="set", files={"a.dat": file})
    monkeypatch.setitem(REAL_DATASETS, "test", dataset)
    monkeypatch.delenv("TUSI_DATA", raising=False)


def test_a_file_is_fetched_once_and_kept(server, tmp_path, monkeypatch):
    register(monkeypatch, f"{server}/good")
    path = real_data("test", cache=tmp_path)["a.dat"]
    assert path.read_bytes() == CONTENT
    register(monkeypatch, "http://127.0.0.1:1/nobody")
    assert real_data("test", cache=tmp_path)["a.dat"] == path


@pytest.mark.parametrize(
    ("place", "changes", "message"),
    [
        ("/good", {"sha256": "0" * 64}, "expected a.dat with SHA-256 000"),
        ("/cut", {}, f"{len(CONTENT)} bytes|IncompleteRead"),
        ("/long", {}, "got more"),
        ("/missing", {}, "404"),
    ],
)
def test_a_wrong_file_is_refused_and_nothing_is_left(server, tmp_path, place, changes, message):
    expected = {"sha256": SUM, "n_bytes": len(CONTENT)} | changes
    with pytest.raises(InputError, match=message):
        download(server + place, tmp_path / "a.dat", **expected)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(server, tmp_path, monkeypatch):
    def interrupt(*arguments, **names):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download(f"{server}/good", tmp_path / "a.dat", sha256=SUM, n_bytes=len(CONTENT))
    assert list(tmp_path.iterdir()) == []


def test_only_web_addresses_are_fetched(tmp_path):
    with pytest.raises(InputError, match="expected an http or https address"):
        download("file:///etc/hostname", tmp_path / "a.dat", sha256=SUM, n_bytes=10)


def test_a_changed_local_file_is_refused(tmp_path, monkeypatch):
    register(monkeypatch, "")
    (tmp_path / "a.dat").write_bytes(b"other")
    with pytest.raises(InputError, match=f"expected SHA-256 {SUM}"):
        real_data("test", folder=tmp_path)
    (tmp_path / "a.dat").write_bytes(CONTENT)
    assert real_data("test", folder=tmp_path) == {"a.dat": tmp_path / "a.dat"}


def test_a_data_set_that_is_nowhere_says_what_to_do(tmp_path, monkeypatch):
    register(monkeypatch, "")
    with pytest.raises(InputError, match=r"no folder: TUSI_DATA is not set.*Set TUSI_DATA"):
        real_data("test", cache=tmp_path)
    with pytest.raises(InputError, match="`name`: expected one of mos2, mos2-res2"):
        real_data("nothing")


@pytest.mark.parametrize("name", ["mos2", "mos2-res2", "mos2-res2-48"])
def test_the_real_files_are_the_registered_ones(name):
    if "TUSI_DATA" not in os.environ:
        pytest.skip("TUSI_DATA is not set: no real data here")
    paths = real_data(name)
    sizes = {key: path.stat().st_size for key, path in paths.items()}
    assert sizes == {key: file.n_bytes for key, file in REAL_DATASETS[name].files.items()}
    assert dataclasses.is_dataclass(REAL_DATASETS[name])

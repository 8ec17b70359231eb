"""Files fetched over the network: checked before they get their name, or not kept at all."""

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import BinaryIO

from tusi.errors import InputError

_CHUNK = 1 << 16
_TIMEOUT = 30.0


def sha256_of(path: Path) -> str:
    """Return the SHA-256 sum of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, path: Path, *, sha256: str, n_bytes: int) -> Path:
    """Fetch one file and keep it only if it is exactly the expected one.

    The bytes go to a temporary name beside the target and are hashed as they arrive; the file is renamed when the sum
    agrees. On any failure, an interrupt included, nothing is left behind.

    Parameters
    ----------
    url
        Where the file is; http or https.
    path
        Where to put it; the folder is made.
    sha256
        Its SHA-256 sum, hexadecimal.
    n_bytes
        Its size, in bytes; the transfer stops as soon as more arrives.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    InputError
        The address cannot be read, or what it holds is longer, shorter or different.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise InputError("url", expected="an http or https address", got=repr(url))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            digest = _stream(url, file, n_bytes=n_bytes)
        if digest != sha256:
            raise InputError(
                "url", expected=f"{path.name} with SHA-256 {sha256}", got=digest, then="The source has changed."
            )
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def _stream(url: str, file: BinaryIO, *, n_bytes: int) -> str:
    """Copy the address into the open file, at most this many bytes, and return the SHA-256 sum."""
    digest, n_read = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            while chunk := response.read(_CHUNK):
                n_read += len(chunk)
                if n_read > n_bytes:
                    raise InputError("url", expected=f"{n_bytes} bytes at {url}", got="more")
                file.write(chunk)
                digest.update(chunk)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise InputError(
            "url", expected=f"a file at {url}", got=str(error) or type(error).__name__, then="Try again later."
        ) from error
    if n_read < n_bytes:
        raise InputError("url", expected=f"{n_bytes} bytes at {url}", got=f"{n_read}", then="Try again later.")
    return digest.hexdigest()

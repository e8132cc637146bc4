"""Fetch a text over the network: try its mirrors, unpack it in memory, and keep it once its checksum is right.

A server and its archives are not trusted: only http and https, never more bytes than allowed, no archive member ever
becomes a file.
"""

import fnmatch
import gzip
import io
import math
import os
import tarfile
import tempfile
import uuid
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from pooch.utils import make_local_storage

ROUNDS = 2  # over all mirrors: one that fails is tried again after the others
TIMEOUT = (5, 60)  # seconds to connect, seconds without a byte
RECEIVED_AT_ONCE = 1 << 16  # bytes received or unpacked at a time
SLACK = 1 << 20  # bytes by which a download may exceed its prepared text: CRLF line ends, archive headers


def fetch_registered(entry, cache):
    """Fetch a registered text into the cache.

    Args:
        entry: of datasets.yaml.
        cache: the folder.

    Returns:
        `(path, reasons)`: the text's path, or None; and the error of each source that failed, by its URL.
    """
    make_local_storage(cache, env="CHARLM_CACHE")
    reasons = {}
    for source in entry["sources"] * ROUNDS:
        if isinstance(reasons.get(source["url"]), ValueError):
            continue  # it answered with another text, and would again
        try:
            return _fetch_from(source, entry, cache / entry["file"]), reasons
        except (requests.RequestException, ValueError) as error:
            reasons[source["url"]] = error
    return None, reasons


def fetch_url(url, path):
    """Download whatever is at an address of the user's own to a file.

    Raises:
        FileNotFoundError: it cannot be fetched.
        ValueError: an address that is neither http nor https.
    """
    try:
        _download(url, path)
    except requests.RequestException as error:
        raise FileNotFoundError(
            f"{url} cannot be fetched: {error}. Check the address and the network, or give the path of a file."
        ) from error


def check(path, version, origin):
    """Compare a file's size and sha256 with the registered ones.

    Raises:
        ValueError: they differ.
    """
    size, expected_size = path.stat().st_size, version["bytes"]
    found, expected = pooch.file_hash(str(path), alg="sha256"), version["sha256"]
    if (size, found) != (expected_size, expected):
        raise ValueError(
            f"{origin} has the wrong checksum: expected {expected_size:,} bytes with sha256 "
            f"{expected}, found {size:,} bytes with {found}."
        )


def _fetch_from(source, entry, target):
    most = entry["bytes"] + SLACK
    with tempfile.TemporaryDirectory(prefix="charlm-", ignore_cleanup_errors=True) as folder:
        packed = Path(folder) / "download"
        _download(source["url"], packed, most)
        pieces = _bounded(_unpack(packed, source, most), most)
        if entry.get("newlines") == "lf":
            pieces = [b"".join(pieces).replace(b"\r\n", b"\n").replace(b"\r", b"\n")]
        return _store(pieces, entry, target)


def _download(url, path, most=math.inf):
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url} is not fetched: only http and https are. Give the path of a local file.")
    fetch = pooch.HTTPDownloader(progressbar=True, chunk_size=RECEIVED_AT_ONCE, timeout=TIMEOUT)
    with path.open("wb") as file:
        fetch(url, _BoundedFile(file, most), pooch=None)


class _BoundedFile:
    """A file that refuses to grow beyond `most` bytes: a server may send without end."""

    def __init__(self, file, most):
        self.file, self.most, self.flush = file, most, file.flush

    def write(self, data):
        if self.file.tell() + len(data) > self.most:
            raise ValueError(f"the download is larger than the {self.most:,} bytes allowed for this text.")
        self.file.write(data)


def _unpack(packed, source, most):
    """Yield the content of a download in pieces."""
    try:
        if source["format"] == "text":
            yield from _pieces(packed.open("rb"))
        elif source["format"] == "zip":
            yield from _unzip(packed, source["members"])
        else:
            yield from _untar(packed, source["patterns"], most)
    except Exception as error:  # a damaged archive makes zipfile, tarfile and zlib raise many kinds
        raise ValueError(f"not a readable {source['format']}: {error!r}.") from error


def _unzip(packed, members):
    with zipfile.ZipFile(packed) as archive:
        for member in members:
            yield from _pieces(archive.open(member))


def _untar(packed, patterns, most):
    whole = 2 * most  # the files that fit no pattern are unpacked too
    with gzip.open(packed) as file:
        data = b"".join(_bounded(_pieces(file), whole))
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        wanted = [
            member
            for member in archive
            if member.isreg()
            and not member.issparse()
            and any(fnmatch.fnmatchcase(member.name, pattern) for pattern in patterns)
        ]
        for member in sorted(wanted, key=lambda member: os.fsencode(member.name)):
            yield archive.extractfile(member).read()


def _pieces(file):
    with file:
        while piece := file.read(RECEIVED_AT_ONCE):
            yield piece


def _bounded(pieces, most):
    """Pass pieces on until they exceed `most` bytes: a small archive may unpack to terabytes."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > most:
            raise ValueError(f"it unpacks to more than the {most:,} bytes allowed for this text.")
        yield piece


def _store(pieces, entry, target):
    """Write the text under a temporary name and rename it once checked, so that the cache has it whole."""
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    try:
        with partial.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        check(partial, entry, "the text")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target

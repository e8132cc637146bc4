"""Where the texts come from: the registry datasets.yaml, download, check, cache and stand-ins.

`load_corpus` gives a `Corpus` for a registered name, a text file or a URL, `load_folder` one for a folder's files;
`list_corpora` shows the names.
Three environment variables matter: `CHARLM_DATA`, a folder with prepared texts that is searched first;
`CHARLM_CACHE`, where downloads are kept; `CHARLM_OFFLINE=1`, which never touches the network.
"""

import codecs
import difflib
import fnmatch
import gzip
import hashlib
import io
import lzma
import math
import operator
import os
import tarfile
import tempfile
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
import yaml
from pooch.utils import make_local_storage

STANDINS = Path(__file__).with_name("standins")
ROUNDS = 2  # over all mirrors: one that fails is tried again after the others
TIMEOUT = (5, 60)  # seconds to connect, seconds without a byte
CHUNK = 1 << 16  # bytes received, unpacked or copied at a time
PIECE = 1 << 18  # bytes decoded, or characters hashed, at a time
SLACK = 1 << 20  # bytes by which a download may exceed its prepared text: CRLF line ends, archive headers


@dataclass(frozen=True, repr=False)
class Corpus:
    """A text and where it came from.

    Attributes:
        name: the registered name, or the file's name without its suffix.
        text: str; where `as_bytes`, one character (latin-1) a byte.
        sha256: of `text`, encoded as UTF-8, or as latin-1 where `as_bytes`.
        origin: the path or URL it was read from, or "stand-in".
        licence: what may be done with the text.
        is_standin: whether charlm's own model wrote it: its numbers are not the real text's.
        as_bytes: whether each character stands for one byte.
    """

    name: str
    text: str
    sha256: str
    origin: str
    licence: str
    is_standin: bool = False
    as_bytes: bool = False

    def __repr__(self):
        unit = "bytes" if self.as_bytes else "characters"
        standin = ", stand-in" if self.is_standin else ""
        return f"Corpus({self.name!r}, {len(self.text):,} {unit}, sha256 {self.sha256[:8]}{standin})"

    def show(self, text):
        """Return `text`, a piece of this corpus or like it, as a person reads it: bytes become UTF-8."""
        return text.encode("latin-1").decode("utf-8", errors="replace") if self.as_bytes else text


def load_corpus(name, limit=None, as_bytes=None):
    """Load a text by its registered name, its path or its URL.

    A registered text is looked for in the folder `CHARLM_DATA`, then in the cache, then at its sources, and
    checked against its registered sha256. If no source can be reached, its stand-in is taken instead, which
    one printed line says. Text is UTF-8: a byte order mark is dropped, CRLF and lone CR become LF. A text
    from a URL of your own is downloaded at every call and has no checksum to be checked against.

    Args:
        name: a name that `list_corpora()` shows, or the path or http(s) URL of any text file.
        limit: characters (bytes where `as_bytes`) to read at most, from the beginning; None reads all.
        as_bytes: read every byte as one character and change none; None means as registered, else False.

    Returns:
        A `Corpus`.

    Raises:
        ValueError: `limit` is below 1, the corpus is unknown, or the text is empty, not UTF-8 or not the
            registered one.
        FileNotFoundError: there is no such file, or the text cannot be had here and has no stand-in.
    """
    _check_limit(limit)
    corpora = registry()
    if name in corpora:
        return _load_registered(name, corpora[name], limit, as_bytes)
    if "://" in str(name):
        return _load_url(str(name), limit, bool(as_bytes))
    return _load_file(Path(name).expanduser(), corpora, limit, bool(as_bytes))


def load_folder(path, pattern="*.txt", limit=None, as_bytes=False):
    """Load the text files of a folder and of the folders in it as one text, each file on a new line.

    They are read in the order of their paths. Hidden files are left out, and links that lead out of the folder.

    Args:
        path: the folder.
        pattern: which files, such as "*.txt" or "chapters/*.md".
        limit, as_bytes: as in `load_corpus`.

    Returns:
        A `Corpus`, named after the folder.

    Raises:
        FileNotFoundError: no such folder, or no file in it that fits the pattern.
        ValueError: a file that is not UTF-8, no text in any of them, or a `limit` below 1.
    """
    _check_limit(limit)
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder.absolute()}. Check the path.")
    texts, length = [], 0
    for file in _files_in(folder.resolve(), pattern):
        if limit is not None and length >= limit:
            break
        with file.open("rb") as opened:
            text = opened.read().decode("latin-1") if as_bytes else _read_characters(opened, None, file)
        texts.append(text if text.endswith("\n") or not text else text + "\n")
        length += len(texts[-1])
    text = "".join(texts)[:limit]
    origin = str(folder / pattern)
    if not text:
        raise ValueError(f"{origin} is empty: the files hold 0 characters. Give a pattern of files with text.")
    return Corpus(folder.resolve().name, text, _sha256(text, as_bytes), origin, "not stated", False, as_bytes)


def _files_in(folder, pattern):
    """List a folder's files that fit a pattern, in the order of their paths."""
    try:
        found = sorted(file for file in folder.rglob(pattern) if file.is_file())
    except (ValueError, NotImplementedError) as error:
        raise ValueError(f"pattern={pattern!r} is none: {error}. Give one such as '*.txt'.") from None
    inside = [file for file in found if folder in file.resolve().parents]
    files = [file for file in inside if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    if not files:
        raise FileNotFoundError(f"{folder} holds no file that fits {pattern!r}. Give another pattern, such as '*.md'.")
    return files


def list_corpora():
    """Print a table of the registered corpora: characters, distinct ones, where each is now, licence."""
    print(f"{'name':<20}{'characters':>12}{'distinct':>10}  {'where':<30}licence")
    for name, entry in registry().items():
        size, where = f"{entry['characters']:>12,}{entry['distinct']:>10}", _whereabouts(name, entry)
        print(f"{name:<20}{size}  {where:<30}{entry['licence']}")


def unique_lines(text):
    """List a text's lines without blanks around them, empty ones and duplicates: the list of names in a names file.

    Duplicates go before a list is split; otherwise what is trained on is validated on, too.

    Returns:
        A list of strings in the order of their first appearance.

    Raises:
        ValueError: no line is left.
    """
    found = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not found:
        raise ValueError(f"The text's {len(text):,} characters hold no line but empty ones. Give one item a line.")
    return found


def registry():
    """Return the content of datasets.yaml, which explains its fields: a dict from names to entries."""
    here = Path(__file__).parent
    installed, checkout = here / "datasets.yaml", here.parent / "datasets.yaml"
    path = installed if installed.exists() else checkout
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _check_limit(limit):
    if limit is not None and operator.index(limit) < 1:
        raise ValueError(f"limit is {limit:,}, but at least 1 must be read. Use None for the whole text.")


def _load_registered(name, entry, limit, as_bytes):
    as_bytes = entry.get("as_bytes", False) if as_bytes is None else as_bytes
    path, reasons = _find_local(entry, limit, as_bytes), {}
    if path is None and not _offline():
        path, reasons = _fetch(entry)
    if path is None:
        return _load_standin(name, entry, limit, as_bytes, reasons)
    with path.open("rb") as file:
        return _read(file, name, str(path), limit, as_bytes, entry["licence"])


def _load_standin(name, entry, limit, as_bytes, reasons):
    path = STANDINS / f"{name}.txt.xz"
    prefixes = [version for folder in _local_folders().values() for version in _versions_in(folder, entry)]
    wrong_text = any(isinstance(reason, ValueError) for reason in reasons.values())
    if wrong_text or prefixes or not path.exists():
        error = ValueError if wrong_text else FileNotFoundError
        raise error(_why_unavailable(name, entry, prefixes, reasons))
    why = "CHARLM_OFFLINE is set" if _offline() else "no source could be reached"
    print(
        f"{name}: {why}, so this is the stand-in, text written by charlm's own model; "
        "its numbers are not the real text's."
    )
    with lzma.open(path) as file:
        return _read(file, name, "stand-in", limit, as_bytes, "as charlm itself", is_standin=True)


def _why_unavailable(name, entry, prefixes, reasons):
    lines = [f"{name} cannot be had here."]
    lines += [f"{url}: {type(error).__name__}: {error}" for url, error in reasons.items()]
    lines += [
        f"{part['file']} has its beginning, for a limit of at most {part['characters']:,} bytes, "
        f"or {part['utf8_characters']:,} characters with as_bytes=False."
        for part in prefixes
    ]
    network = "Unset CHARLM_OFFLINE" if _offline() else "Try again on another network"
    lines.append(
        f"{network}, or set CHARLM_DATA to a folder with {entry['file']} ({entry['bytes']:,} "
        "bytes), or give the path of a text of your own."
    )
    return "\n  ".join(lines)


def _load_url(url, limit, as_bytes):
    if _offline():
        raise FileNotFoundError(f"{url} is not fetched: CHARLM_OFFLINE is set. Unset it, or give a path.")
    parts = urlsplit(url)
    with tempfile.TemporaryDirectory(prefix="charlm-") as folder:
        path = Path(folder) / "download"
        try:
            _download(url, path)
        except requests.RequestException as error:
            raise FileNotFoundError(
                f"{url} cannot be fetched: {error}. Check the address and the network, or give the path of a file."
            ) from error
        with path.open("rb") as file:
            return _read(file, Path(parts.path).stem or parts.netloc, url, limit, as_bytes, "not stated")


def _load_file(path, corpora, limit, as_bytes):
    if os.path.isdir(path):
        raise ValueError(f"{path.absolute()} is a folder. Give one text file, or load_folder(path, pattern='*.txt').")
    if not os.path.exists(path):
        raise _missing(path, corpora)
    with path.open("rb") as file:
        return _read(file, path.stem, str(path), limit, as_bytes, "not stated")


def _missing(path, corpora):
    nearest = difflib.get_close_matches(path.stem.lower(), corpora, n=1)
    hint = f"Did you mean the corpus {nearest[0]!r}? " if nearest else ""
    known = f"The registered corpora are {', '.join(corpora)}."
    if path.suffix or len(path.parts) > 1:
        return FileNotFoundError(f"There is no file {path.absolute()}. {hint}Check the path. {known}")
    return ValueError(f"There is no corpus or file {str(path)!r}. {hint}{known}")


def _read(file, name, origin, limit, as_bytes, licence, is_standin=False):
    """Return the `Corpus` in a binary file, reading no more of it than `limit` needs."""
    if as_bytes:
        text = file.read(-1 if limit is None else limit).decode("latin-1")
    else:
        text = _read_characters(file, limit, origin)
    if not text:
        raise ValueError(f"{origin} is empty: 0 characters. Give a file with at least one.")
    return Corpus(name, text, _sha256(text, as_bytes), origin, licence, is_standin, as_bytes)


def _sha256(text, as_bytes):
    """Hash a text's bytes, a piece at a time."""
    found = hashlib.sha256()
    for start in range(0, len(text), PIECE):
        found.update(text[start : start + PIECE].encode("latin-1" if as_bytes else "utf-8"))
    return found.hexdigest()


def _read_characters(file, limit, origin):
    """Decode a file's UTF-8 a piece at a time, and no further than `limit` needs."""
    decoder, pieces, length, start = codecs.getincrementaldecoder("utf-8")(), [], 0, 0
    while limit is None or length <= limit + len(pieces):  # a CRLF may be cut in two at every piece's end
        data = file.read(PIECE)
        try:
            pieces.append(decoder.decode(data, final=not data))
        except UnicodeDecodeError as error:
            pieces.append(error.object[: error.start].decode("utf-8"))
            if limit is None or len(_plain("".join(pieces))) < limit:
                raise ValueError(_not_utf8(origin, start + error.start, error.object[error.start])) from None
            break
        if not data:
            break
        length += len(pieces[-1]) - pieces[-1].count("\r\n")
        start = file.tell() - len(decoder.getstate()[0])
    return _plain("".join(pieces))[:limit]


def _not_utf8(origin, offset, byte):
    return (
        f"{origin} is not UTF-8: the byte at offset {offset:,} is 0x{byte:02x}. "
        "Save it as UTF-8, or pass as_bytes=True (--as-bytes) to read every byte as one character."
    )


def _plain(text):
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _find_local(entry, limit, as_bytes):
    """Return the path of the smallest local file that covers `limit`, checked, or None."""
    for label, folder in _local_folders().items():
        for version in _versions_in(folder, entry):
            if version is entry or _covers(version, limit, as_bytes):
                _check_local(folder / version["file"], version, label)
                return folder / version["file"]
    return None


def _local_folders():
    cache = Path(os.environ.get("CHARLM_CACHE") or pooch.os_cache("charlm")).expanduser()
    data = os.environ.get("CHARLM_DATA")
    if not data:
        return {"cache": cache}
    folder = Path(data).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"CHARLM_DATA is {data!r}, but there is no folder {folder.absolute()}. "
            "Set it to the absolute path of a folder, or unset it."
        )
    return {"CHARLM_DATA": folder, "cache": cache}


def _versions_in(folder, entry):
    """Return the whole text and its prefixes as far as they are in a folder, the smallest first."""
    versions = sorted([entry, *entry.get("prefixes", [])], key=lambda version: version["bytes"])
    return [version for version in versions if (folder / version["file"]).is_file()]


def _covers(prefix, limit, as_bytes):
    return limit is not None and limit <= prefix["characters" if as_bytes else "utf8_characters"]


def _check_local(path, version, label):
    try:
        _check(path, version, path)
    except ValueError as error:
        if label != "cache":
            raise ValueError(f"{error} Replace the file, or take it out of {label}.") from None
        path.unlink()
        raise ValueError(f"{error} It is removed from the cache: load it again to fetch it anew.") from None


def _check(path, version, origin):
    size, expected_size = path.stat().st_size, version["bytes"]
    found, expected = pooch.file_hash(str(path), alg="sha256"), version["sha256"]
    if (size, found) != (expected_size, expected):
        raise ValueError(
            f"{origin} has the wrong checksum: expected {expected_size:,} bytes with sha256 "
            f"{expected}, found {size:,} bytes with {found}."
        )


def _offline():
    return os.environ.get("CHARLM_OFFLINE", "") not in ("", "0")


def _whereabouts(name, entry):
    for label, folder in _local_folders().items():
        for version in reversed(_versions_in(folder, entry)):
            return label if version is entry else f"{label} (first {version['bytes']:,})"
    if not _offline():
        return "download"
    return "stand-in" if (STANDINS / f"{name}.txt.xz").exists() else "not here, offline"


def _fetch(entry):
    """Return the path of the text, now in the cache, or None, and why each failed source failed."""
    cache, reasons = _local_folders()["cache"], {}
    make_local_storage(cache, env="CHARLM_CACHE")
    for source in entry["sources"] * ROUNDS:
        if isinstance(reasons.get(source["url"]), ValueError):
            continue  # it answered with another text, and would again
        try:
            return _fetch_from(source, entry, cache / entry["file"]), reasons
        except (requests.RequestException, ValueError) as error:
            reasons[source["url"]] = error
    return None, reasons


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
    fetch = pooch.HTTPDownloader(progressbar=True, chunk_size=CHUNK, timeout=TIMEOUT)
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
    """Yield the content of a download in pieces, in memory: no archive member ever becomes a file."""
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
    whole = 2 * most  # the files that no pattern takes are unpacked too
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
        while piece := file.read(CHUNK):
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
        _check(partial, entry, "the text")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target

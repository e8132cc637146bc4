"""Where the texts come from: the registry datasets.yaml, the folders and the cache they are looked for in, stand-ins.

`load_corpus` gives a `Corpus` for a registered name, a text file or a URL, `load_folder` one for a folder's files;
`list_corpora` shows the names. A stand-in is a surrogate text, sampled from charlm's own model of the real one.
Three environment variables matter: `CHARLM_DATA`, a folder with prepared texts that is searched first;
`CHARLM_CACHE`, where downloads are kept (and what XLA compiles); `CHARLM_OFFLINE=1`, which never touches the network.
"""

import codecs
import difflib
import functools
import hashlib
import lzma
import operator
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import yaml

from charlm.support import lookup

STANDINS = Path(__file__).with_name("standins")
PIECE = 1 << 18  # bytes decoded, or characters hashed, at a time
BLANKS = " \t\r\f\v"  # what `unique_lines` strips: of bytes read as characters, 0x85 and 0xA0 are no blanks


@dataclass(frozen=True, repr=False)
class Corpus:
    """A text and where it came from.

    Attributes:
        name: the registered name, or the file's name without its suffix.
        text: str; where `as_bytes`, one character (latin-1) a byte.
        sha256: of `text`, encoded as UTF-8, or as latin-1 where `as_bytes`.
        origin: the path or URL it was read from, or "stand-in".
        licence: what may be done with the text.
        is_standin: whether it was sampled from charlm's own model: its numbers are not the real text's.
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
        return decode_bytes(text) if self.as_bytes else text


class Source(NamedTuple):
    """Which text is meant, decided once by `resolve_source`."""

    kind: str  # "registered", "url", "folder" or "file"
    place: str  # a registered name, a URL, or a path
    pattern: str | None = None  # which files of a folder
    as_bytes: bool | None = None
    limit: int | None = None  # characters, or bytes

    def notes(self):
        """Return what finds the text again from any folder, as types that JSON has."""
        is_path = self.kind in ("folder", "file")
        place = Path(self.place).absolute().as_posix() if is_path else self.place
        return {"source": place, "pattern": self.pattern, "as_bytes": self.as_bytes, "limit": self.limit}

    def load(self):
        """Read the text; returns and raises as `load_corpus` and `load_folder`."""
        if self.kind == "folder":
            return load_folder(self.place, self.pattern or "*.txt", self.limit, bool(self.as_bytes))
        _check_limit(self.limit)
        if self.kind == "registered":
            return _load_registered(self.place, registry()[self.place], self.limit, self.as_bytes)
        load = _load_url if self.kind == "url" else _load_file
        return load(self.place, self.limit, bool(self.as_bytes))


def resolve_source(source, pattern=None, as_bytes=None, limit=None):
    """Decide what a name, a URL or a path stands for; a registered name goes before a path.

    Args:
        source: what the user gave.
        pattern: which files of a folder, such as `*.md`; with it, `source` is a folder.
        as_bytes, limit: as in `load_corpus`.

    Returns:
        A `Source`.
    """
    if pattern is None and source in registry():
        return Source("registered", source, None, as_bytes, limit)
    if pattern is None and "://" in str(source):
        return Source("url", str(source), None, as_bytes, limit)
    path = Path(source).expanduser()
    kind = "folder" if pattern is not None or os.path.isdir(path) else "file"
    return Source(kind, str(path), pattern, as_bytes, limit)


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
    source = resolve_source(name, as_bytes=as_bytes, limit=limit)
    if source.kind == "folder":
        folder = Path(source.place).absolute()
        raise ValueError(f"{folder} is a folder. Give one text file, or load_folder(path, pattern='*.txt').")
    return source.load()


def load_folder(path, pattern="*.txt", limit=None, as_bytes=False):
    """Load the text files of a folder and of the folders in it as one text, each file on a new line.

    They are read in the order of their paths. Hidden files are left out, and links that lead out of the folder.

    Args:
        path: the folder.
        pattern: which files, such as `*.txt` or `chapters/*.md`.
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
            text = _read_text(opened, limit and limit - length, as_bytes, file)
        texts.append(text if text.endswith("\n") or not text else text + "\n")
        length += len(texts[-1])
    text = "".join(texts)[:limit]
    origin = str(folder / pattern)
    if not text:
        raise ValueError(f"{origin} is empty: the files hold 0 characters. Give a pattern of files with text.")
    return Corpus(folder.resolve().name, text, _sha256(text, as_bytes), origin, "not stated", False, as_bytes)


def list_corpora():
    """Print a table of the registered corpora: characters, distinct ones, where each is now, licence."""
    print(f"{'name':<20}{'characters':>12}{'distinct':>10}  {'where':<30}licence")
    for name, entry in registry().items():
        offline = "stand-in" if (STANDINS / f"{name}.txt.xz").exists() else "not here, offline"
        where = lookup.whereabouts(entry) or (offline if lookup.is_offline() else "download")
        print(f"{name:<20}{entry['characters']:>12,}{entry['distinct']:>10}  {where:<30}{entry['licence']}")


def unique_lines(text):
    r"""List a text's lines without blanks around them, empty ones and duplicates: the list of names in a names file.

    Duplicates go before a list is split; otherwise what is trained on is validated on, too. A line ends with \n,
    and blanks are ASCII's: in bytes read as characters, any other may be part of a letter.

    Returns:
        A list of strings in the order of their first appearance.

    Raises:
        ValueError: no line is left.
    """
    stripped = (line.strip(BLANKS) for line in text.split("\n"))
    found = list(dict.fromkeys(line for line in stripped if line))
    if not found:
        raise ValueError(f"The text's {len(text):,} characters hold no line but empty ones. Give one item a line.")
    return found


def decode_bytes(text):
    """Turn characters that stand for bytes into the UTF-8 text that a person reads."""
    return text.encode("latin-1", "replace").decode("utf-8", errors="replace")


def encode_bytes(text):
    """Turn a text into characters that stand for the bytes of its UTF-8."""
    return text.encode("utf-8").decode("latin-1")


def registry():
    """Return the content of datasets.yaml, which explains its fields: a dict from names to entries."""
    here = Path(__file__).parent
    installed, checkout = here / "datasets.yaml", here.parent / "datasets.yaml"
    return _read_registry(installed if installed.exists() else checkout)


@functools.lru_cache(maxsize=2)
def _read_registry(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _check_limit(limit):
    if limit is not None and operator.index(limit) < 1:
        raise ValueError(f"limit is {limit:,}, but at least 1 must be read. Use None for the whole text.")


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


def _load_registered(name, entry, limit, as_bytes):
    as_bytes = entry.get("as_bytes", False) if as_bytes is None else as_bytes
    path, reasons = lookup.find_local(entry, limit, as_bytes), {}
    if path is None and not lookup.is_offline():
        from charlm.support import download  # here, and not before: it takes half of a short command's time

        path, reasons = download.fetch_registered(entry, lookup.local_folders()["cache"])
    if path is None:
        return _load_standin(name, entry, limit, as_bytes, reasons)
    with path.open("rb") as file:
        return _read(file, name, str(path), limit, as_bytes, entry["licence"])


def _load_standin(name, entry, limit, as_bytes, reasons):
    path = STANDINS / f"{name}.txt.xz"
    prefixes = [version for folder in lookup.local_folders().values() for version in lookup.versions_in(folder, entry)]
    wrong_text = any(isinstance(reason, ValueError) for reason in reasons.values())
    if wrong_text or prefixes or not path.exists():
        error = ValueError if wrong_text else FileNotFoundError
        raise error(_why_unavailable(name, entry, prefixes, reasons))
    why = "CHARLM_OFFLINE is set" if lookup.is_offline() else "no source could be reached"
    print(
        f"{name}: {why}, so this is the stand-in, text sampled from charlm's own model; "
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
    network = "Unset CHARLM_OFFLINE" if lookup.is_offline() else "Try again on another network"
    lines.append(
        f"{network}, or set CHARLM_DATA to a folder with {entry['file']} ({entry['bytes']:,} "
        "bytes), or give the path of a text of your own."
    )
    return "\n  ".join(lines)


def _load_url(url, limit, as_bytes):
    if lookup.is_offline():
        raise FileNotFoundError(f"{url} is not fetched: CHARLM_OFFLINE is set. Unset it, or give a path.")
    from charlm.support import download

    parts = urlsplit(url)
    with tempfile.TemporaryDirectory(prefix="charlm-") as folder:
        path = Path(folder) / "download"
        download.fetch_url(url, path)
        with path.open("rb") as file:
            return _read(file, Path(parts.path).stem or parts.netloc, url, limit, as_bytes, "not stated")


def _load_file(place, limit, as_bytes):
    path = Path(place)
    if not os.path.exists(path):
        raise _missing(path, registry())
    with path.open("rb") as file:
        return _read(file, path.stem, place, limit, as_bytes, "not stated")


def _missing(path, corpora):
    nearest = difflib.get_close_matches(path.stem.lower(), corpora, n=1)
    hint = f"Did you mean the corpus {nearest[0]!r}? " if nearest else ""
    known = f"The registered corpora are {', '.join(corpora)}."
    if path.suffix or len(path.parts) > 1:
        return FileNotFoundError(f"There is no file {path.absolute()}. {hint}Check the path. {known}")
    return ValueError(f"There is no corpus or file {str(path)!r}. {hint}{known}")


def _read(file, name, origin, limit, as_bytes, licence, is_standin=False):
    """Return the `Corpus` in a binary file, reading no more of it than `limit` needs."""
    text = _read_text(file, limit, as_bytes, origin)
    if not text:
        raise ValueError(f"{origin} is empty: 0 characters. Give a file with at least one.")
    return Corpus(name, text, _sha256(text, as_bytes), origin, licence, is_standin, as_bytes)


def _read_text(file, limit, as_bytes, origin):
    return file.read(limit or -1).decode("latin-1") if as_bytes else _read_characters(file, limit, origin)


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
            if limit is None or len(_with_lf("".join(pieces))) < limit:
                raise ValueError(_not_utf8(origin, start + error.start, error.object[error.start])) from None
            break
        if not data:
            break
        length += len(pieces[-1]) - pieces[-1].count("\r\n")
        start = file.tell() - len(decoder.getstate()[0])
    return _with_lf("".join(pieces))[:limit]


def _not_utf8(origin, offset, byte):
    return (
        f"{origin} is not UTF-8: the byte at offset {offset:,} is 0x{byte:02x}. "
        "Save it as UTF-8, or pass as_bytes=True (--as-bytes) to read every byte as one character."
    )


def _with_lf(text):
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")

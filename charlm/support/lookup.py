"""Look for a registered text on this machine: in the folder `CHARLM_DATA`, then in the cache `CHARLM_CACHE`.

An `entry`, and each of its `prefixes`, is a version of a text as datasets.yaml describes it.
"""

import os
from pathlib import Path


def find_local(entry, limit, as_bytes):
    """Return the path of the smallest local file that covers `limit`, checked, or None.

    Raises:
        ValueError: a file is not the registered one; from the cache it is removed.
    """
    for label, folder in local_folders().items():
        for version in versions_in(folder, entry):
            if version is entry or _covers(version, limit, as_bytes):
                _check_local(folder / version["file"], version, label)
                return folder / version["file"]
    return None


def local_folders():
    """Return the folders that texts are looked for in, by label; `CHARLM_DATA` first, where it is set.

    Raises:
        FileNotFoundError: `CHARLM_DATA` names no folder.
    """
    cache, data = cache_folder(), os.environ.get("CHARLM_DATA")
    if not data:
        return {"cache": cache}
    folder = Path(data).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"CHARLM_DATA is {data!r}, but there is no folder {folder.absolute()}. "
            "Set it to the absolute path of a folder, or unset it."
        )
    return {"CHARLM_DATA": folder, "cache": cache}


def cache_folder():
    """Return the folder in which charlm keeps what it can get again: `CHARLM_CACHE`, or the user's own."""
    named = os.environ.get("CHARLM_CACHE")
    if named:
        return Path(named).expanduser()
    import pooch  # here, and not before: it takes half of a short command's time

    return Path(pooch.os_cache("charlm"))


def versions_in(folder, entry):
    """Return the whole text and its prefixes as far as they are in a folder, the smallest first."""
    versions = sorted([entry, *entry.get("prefixes", [])], key=lambda version: version["bytes"])
    return [version for version in versions if (folder / version["file"]).is_file()]


def _covers(prefix, limit, as_bytes):
    return limit is not None and limit <= prefix["characters" if as_bytes else "utf8_characters"]


def _check_local(path, version, label):
    from charlm.support import download

    try:
        download.check(path, version, path)
    except ValueError as error:
        if label != "cache":
            raise ValueError(f"{error} Replace the file, or take it out of {label}.") from None
        path.unlink()
        raise ValueError(f"{error} It is removed from the cache: load it again to fetch it anew.") from None


def is_offline():
    """Whether `CHARLM_OFFLINE` forbids the network."""
    return os.environ.get("CHARLM_OFFLINE", "") not in ("", "0")


def whereabouts(entry):
    """Name the folder that holds an entry's text, or its longest prefix; None where it is not on this machine."""
    for label, folder in local_folders().items():
        for version in reversed(versions_in(folder, entry)):
            return label if version is entry else f"{label} (first {version['bytes']:,})"
    return None

"""Files of a run folder: written whole or not at all, checked when they are read, by one process at a time."""

import contextlib
import hashlib
import math
import os

try:
    import fcntl
except ImportError:  # Windows has no such locks: there nothing keeps two processes from one run
    fcntl = None

HDF5_OVERHEAD = 100_000  # bytes that a file of weights may take beside the weights themselves
UNFINISHED = "unfinished-"  # begins the name of a file that is being written


def write_text(path, text):
    """Write a text file in one move."""
    partial = unfinished(path)
    partial.write_text(text, encoding="utf-8", newline="")
    move(partial, path)


def unfinished(path):
    """Name the file that `path` is written to until it is whole."""
    return path.with_name(UNFINISHED + path.name)


def move(partial, path):
    """Put a finished file in its place in one move, after its bytes have reached the disk."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def save_weights(model, path):
    """Write a model's weights, and its optimizer's state, with their checksum beside them."""
    partial = unfinished(path)
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else [])]
    _try_room(partial, sum(4 * math.prod(variable.shape) for variable in variables) + HDF5_OVERHEAD)
    model.save_weights(partial, overwrite=True)
    write_text(checksum_file(path), _sha256(partial))
    move(partial, path)


def load_weights(model, path):
    """Read a model's weights, and its optimizer's state if it is compiled.

    Raises:
        ValueError: the file is damaged, or of another network.
    """
    noted = checksum_file(path)
    try:
        if noted.exists() and noted.read_text() != _sha256(path):
            raise ValueError("its sha256 is not the one noted when it was written")
        model.load_weights(path)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"{path} is damaged or belongs to another network ({str(error).splitlines()[0]}). "
            "Take the folder from a copy, use the other checkpoint, or train again."
        ) from error


def remove_weights(path):
    """Remove a file of weights and its checksum."""
    path.unlink()
    checksum_file(path).unlink(missing_ok=True)


def checksum_file(path):
    """Name the file that holds the sha256 of another."""
    return path.with_name(path.name + ".sha256")


def make_folder(path):
    """Make a folder, under the first free name of path, path-2, path-3, …

    Raises:
        ValueError: the path has no name of its own, as "." has none.
        OSError: it cannot be made.
    """
    if path.name in ("", ".."):
        raise ValueError(f"{path} is no name for a new folder. Give one, such as runs/mine.")
    number, free = 1, path
    while True:
        try:
            free.mkdir(parents=True)
            return free
        except FileExistsError:
            number += 1
            free = path.with_name(f"{path.name}-{number}")


def check_folder(path):
    """Make sure that `make_folder` can make a folder there, and leave nothing behind.

    Raises:
        ValueError, OSError: as for `make_folder`.
    """
    absent = [parent for parent in path.parents if not parent.exists()]
    for made in (make_folder(path), *absent):
        with contextlib.suppress(OSError):  # another process has put something there meanwhile
            made.rmdir()


@contextlib.contextmanager
def locked(folder):
    """Keep other processes out of a folder, as long as this one lives.

    Raises:
        ValueError: another process has it.
    """
    with (folder / "lock").open("a") as file:
        with contextlib.suppress(OSError):  # a file system without locks, as some network drives are
            if not _flock(file, wait=False):
                raise ValueError(f"{folder} is in use by another process, which trains it. Wait for it, or stop it.")
        yield


@contextlib.contextmanager
def held(path, wait=False):
    """Hold the lock of a file while the block runs; however the process ends, the system lets go of it.

    Args:
        path: the file; it is made where it is missing.
        wait: whether to wait for a process that has it.

    Yields:
        Whether this process has the lock: without `wait`, another one may.

    Raises:
        OSError: there are no locks here.
    """
    with path.open("a") as file:
        if not fcntl:
            raise OSError(f"{path}: Windows has no such locks. Use Linux, macOS, or the Windows Subsystem for Linux.")
        try:
            has = _flock(file, wait)
        except OSError as error:
            raise OSError(
                f"{path}: the file system has no locks ({error.strerror}), by which processes know of each other. "
                "Use a folder on another one."
            ) from error
        yield has


def _flock(file, wait):
    """Lock an open file; returns whether it could be had."""
    if fcntl:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
    return True


def _try_room(path, size):
    """Make sure that a file of some bytes can be written: on a full disk HDF5 ends the process instead of saying so.

    Raises:
        OSError: there is no room.
    """
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise OSError(
            f"{path.parent}: no room for {size:,} bytes ({error.strerror}). Make some, and resume."
        ) from error
    finally:
        path.unlink(missing_ok=True)


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()

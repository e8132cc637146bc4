"""Start TensorFlow and XLA without the messages that they write even where no GPU was expected, and keep what XLA compiles.

`import charlm` calls `prepare_tensorflow`, so whoever imports TensorFlow or Keras after that, in this package, in a
notebook or in a script, does so in silence. `CHARLM_VERBOSE=1` lets the messages through.
"""

import contextlib
import functools
import hashlib
import importlib.abc
import importlib.util
import os
import platform
import sys
from pathlib import Path

from charlm.support.lookup import cache_folder

MOST_KEPT = 500_000_000  # bytes of compiled functions
UNUSED = ("sklearn", "matplotlib")  # which Keras imports where they are installed, and can do without
_left_out = set()


def prepare_tensorflow():
    """See to it that TensorFlow, when it is imported, starts quietly and keeps what XLA compiles."""
    if "tensorflow" in sys.modules:
        keep_compiled(sys.modules["tensorflow"])
        return
    if not _is_verbose():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if os.environ.get("CHARLM_PROFILE") == "fast":  # the profile of tests, which start many processes
        start_light()
    sys.meta_path.insert(0, _Start())


def start_light():
    """Let TensorFlow start without what the `charlm` command does not use: a second less of the four that it takes.

    It is for a process that nobody else's code runs in, and for the profile "fast": Keras' wrappers for scikit-learn will
    not work there.
    """
    _left_out.update(UNUSED)


class _Start(importlib.abc.MetaPathFinder):
    """Finds TensorFlow where it is, once, and holds back what it writes to stderr while it is imported; and so Keras."""

    def __init__(self):
        self.awaited = {"tensorflow", "keras"}  # either may come first, and imports the other

    def find_spec(self, name, path=None, target=None):
        if name not in self.awaited:
            return None
        self.awaited.remove(name)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            start = spec.loader.exec_module

            def start_quietly(module):
                with quiet_stderr() if name == "tensorflow" else contextlib.nullcontext(), hidden(_left_out):
                    start(module)
                if name == "tensorflow":
                    keep_compiled(module)

            spec.loader.exec_module = start_quietly
        return spec


def keep_compiled(tensorflow):
    """Let XLA keep the functions that it compiles for the CPU, so that another process loads them in a fraction of the time.

    They are kept beside the downloaded texts, for each version of TensorFlow and each kind of CPU apart, and are found
    by what they compute. Where the folder cannot be written to, or `TF_XLA_FLAGS` says where to keep them, nothing is
    done.
    """
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if "persistent_cache" in flags:
        return
    folder = cache_folder().absolute() / "compiled" / f"tensorflow-{tensorflow.__version__}-{_cpu()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _tidy(folder)
    except OSError:
        return
    if os.access(folder, os.W_OK) and '"' not in str(folder):
        kept = f'--tf_xla_persistent_cache_directory="{folder}" --tf_xla_persistent_cache_device_types=CPU'
        os.environ["TF_XLA_FLAGS"] = f"{flags} {kept}".strip()


def _cpu():
    """Name the kind of CPU, in 12 letters: what was compiled for one need not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        known = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    except OSError:
        known = [platform.processor()]
    return hashlib.sha256("\n".join([platform.machine(), *sorted(set(known))]).encode()).hexdigest()[:12]


def _tidy(folder, most=MOST_KEPT):
    """Remove empty files, at which XLA stumbles, and the oldest ones until no more than `most` bytes are left."""
    files = [(entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(folder)]
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if size == 0 or total > most:
            Path(path).unlink(missing_ok=True)  # another process may be faster
            total -= size


@contextlib.contextmanager
def hidden(names):
    """Let imports of some modules fail in the block, as if they were not installed, unless they are there already."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name)


@contextlib.contextmanager
def quiet_stderr():
    """Hold back what native code writes to stderr; show it after all if the block fails."""
    import tempfile

    if _is_verbose() or not _has_stderr():
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _is_verbose():
    return os.environ.get("CHARLM_VERBOSE") == "1"


def _has_stderr():
    """Whether there is a stderr to hold back: a process without a console, as `pythonw` is, has none."""
    try:
        os.fstat(2)
    except OSError:
        return False
    return sys.stderr is not None


@functools.cache
def start_xla():
    """Let XLA say once, where nobody hears it, that it has started on the CPU: TensorFlow 2.18 cannot be asked not to."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        with quiet_stderr():
            tf.function(lambda: tf.constant(0), jit_compile=True)()

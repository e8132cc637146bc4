"""Start TensorFlow and XLA without the messages that they write even where no GPU was expected.

`import charlm` calls `quieten_tensorflow`, so whoever imports TensorFlow or Keras after that, in this package, in a
notebook or in a script, does so in silence. `CHARLM_VERBOSE=1` lets the messages through.
"""

import contextlib
import functools
import importlib.abc
import importlib.util
import os
import sys


def quieten_tensorflow():
    """See to it that TensorFlow starts quietly, when it is imported."""
    if os.environ.get("CHARLM_VERBOSE") != "1" and "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        sys.meta_path.insert(0, _QuietStart())


class _QuietStart(importlib.abc.MetaPathFinder):
    """Finds TensorFlow where it is, once, and holds back what it writes to stderr while it is imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            start = spec.loader.exec_module

            def start_quietly(module):
                with quiet_stderr():
                    start(module)

            spec.loader.exec_module = start_quietly
        return spec


@contextlib.contextmanager
def quiet_stderr():
    """Hold back what native code writes to stderr; show it after all if the block fails."""
    import tempfile

    if os.environ.get("CHARLM_VERBOSE") == "1" or not _has_stderr():
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

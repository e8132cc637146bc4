"""Start TensorFlow and XLA without their messages: import `tf` and `keras` from here, so that they start quietly.

`CHARLM_VERBOSE=1` lets the messages through, for those who look for the reason of a crash.
"""

import contextlib
import functools
import os
import sys
import tempfile


@contextlib.contextmanager
def quiet_stderr():
    """Hold back what native code writes to stderr; show it after all if the block fails."""
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


if "tensorflow" not in sys.modules:
    if os.environ.get("CHARLM_VERBOSE") != "1":
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr():
        import tensorflow  # noqa: F401

import keras
import tensorflow as tf

__all__ = ["keras", "quiet_stderr", "start_xla", "tf"]


@functools.cache
def start_xla():
    """Let XLA say once, where nobody hears it, that it has started on the CPU: TensorFlow 2.18 cannot be asked not to."""
    if not tf.config.list_physical_devices("GPU"):
        with quiet_stderr():
            tf.function(lambda: tf.constant(0), jit_compile=True)()

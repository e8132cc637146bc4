"""Start TensorFlow and XLA without their messages, which they write even where no GPU was expected."""

import contextlib
import functools
import os
import sys
import tempfile
import time

STARTED = time.monotonic()  # when the process began, nearly: TensorFlow takes seconds to start


@contextlib.contextmanager
def quiet_stderr():
    """Hold back what native code writes to stderr; show it after all if the block fails."""
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


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "tensorflow" not in sys.modules:
    with quiet_stderr():
        import tensorflow  # noqa: F401


@functools.cache
def start_xla():
    """Let XLA say once, where nobody hears it, that it has started on the CPU: TensorFlow 2.18 cannot be asked not to."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        with quiet_stderr():
            tf.function(lambda: tf.constant(0), jit_compile=True)()

"""What this machine can do: which profile a notebook should use, and in which precision it multiplies fastest."""

import contextlib
import ctypes
import gc
import os
from pathlib import Path

import tensorflow as tf

PROFILES = ("gpu", "cpu", "fast")
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}  # processors with products of their own in bfloat16


def profile():
    """Name the size of network and length of training that suit this machine.

    Returns:
        `"gpu"` where TensorFlow sees one, else `"cpu"`. The environment variable `CHARLM_PROFILE` overrides
        it; `"fast"` is the one for tests: it shows that everything works, not what a trained network can do.

    Raises:
        ValueError: `CHARLM_PROFILE` is none of the three.
    """
    chosen = os.environ.get("CHARLM_PROFILE") or ("gpu" if has_gpu() else "cpu")
    if chosen not in PROFILES:
        raise ValueError(f"CHARLM_PROFILE is {chosen!r}; set it to one of {', '.join(PROFILES)}, or unset it.")
    return chosen


def has_gpu():
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def best_precision():
    """Name the fastest precision that is safe to train in here, for `build_model(precision="auto")`.

    Returns:
        On GPUs of compute capability 7 `"float16"`; on others `"float32"`, which from 8.0 on TensorFlow multiplies in
        TF32: an H100 trained as fast so, and in bfloat16, which cuDNN's layers have too, some runs there came to NaN.
        On processors with AVX512-BF16 or AMX `"bfloat16"`; elsewhere `"float32"`. With several GPUs the oldest decides.
    """
    if has_gpu():
        devices = tf.config.list_physical_devices("GPU")
        details = map(tf.config.experimental.get_device_details, devices)
        oldest = min(detail.get("compute_capability", (0, 0))[0] for detail in details)
        return "float16" if oldest == 7 else "float32"
    return "bfloat16" if native_bfloat16() else "float32"


def native_bfloat16():
    """Whether the processor multiplies bfloat16 by itself, as Linux tells; elsewhere False."""
    return CPUINFO.exists() and not BFLOAT16_FLAGS.isdisjoint(CPUINFO.read_text().split())


def release_memory():
    """Give memory that nothing needs any more back to the system, where the C library can do so, as Linux' can."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def describe_machine():
    """Say in one line what will do the computing: a GPU's name, or the number of CPU cores."""
    devices = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(device).get("device_name", "GPU") for device in devices]
    computing = ", ".join(names) if names else f"{os.cpu_count()} CPU cores, no GPU"
    return f"TensorFlow {tf.__version__} on {computing}; profile {profile()!r}"

"""What this machine can do: which profile a notebook should use."""

import os

import tensorflow as tf

PROFILES = ("gpu", "cpu", "fast")


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


def describe_machine():
    """Say in one line what will do the computing: a GPU's name, or the number of CPU cores."""
    devices = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(device).get("device_name", "GPU") for device in devices]
    computing = ", ".join(names) if names else f"{os.cpu_count()} CPU cores, no GPU"
    return f"TensorFlow {tf.__version__} on {computing}; profile {profile()!r}"

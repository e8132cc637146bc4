"""Timing that holds on a busy machine: competitors take turns, and medians are compared."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import statistics
import time

SIMD = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")  # what decides the speed of a product


def interleave(competitors, rounds):
    """Run each competitor once, then each once again, so that a slow moment of the machine meets all of them.

    Args:
        competitors: dict of name to function without arguments; warm them up first.
        rounds: runs of each.

    Returns:
        A dict of name to a list of seconds, one a round.
    """
    seconds = {name: [] for name in competitors}
    for _ in range(rounds):
        for name, run in competitors.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def rates(seconds, amounts):
    """Turn the seconds of each round into amounts per second.

    Args:
        seconds: from `interleave`.
        amounts: dict of name to what a run of that competitor gets done, such as characters.
    """
    return {name: [amounts[name] / value for value in values] for name, values in seconds.items()}


def ratio(rates_by_name, name, base):
    """Return how many times as fast `name` is as `base`: the median over the rounds of the ratio in each."""
    pairs = zip(rates_by_name[name], rates_by_name[base], strict=True)
    return statistics.median(mine / theirs for mine, theirs in pairs)


def seconds_of(run):
    """Run once and return the seconds it took."""
    return interleave({"": run}, 1)[""][0]


def table(head, rows):
    """Lay out a Markdown table: names to the left, figures to the right.

    Args:
        head: list of column names.
        rows: list of lists; text in the leading columns, numbers or text (made by `number`) in the others.
    """
    is_figure = [all(str(row[i])[:1].isdigit() or row[i] == "–" for row in rows) for i in range(len(head))]
    rule = ["---:" if figure else "---" for figure in is_figure]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in (head, rule, *rows))


def number(value):
    """Write a figure with three digits that count, a dash where there is none."""
    if value is None:
        return "–"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def describe():
    """Say in two lines what was measured on: processor, cores, instructions; versions and date."""
    model, flags = _processor()
    instructions = " ".join(flag for flag in SIMD if flag in flags) or "SIMD unknown"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {name: _version(name) for name in ("tensorflow", "keras", "numpy", "torch")}
    versions = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    return (
        f"{model}, {cores} cores, {instructions}; {_gpus()}\n"
        f"Python {platform.python_version()}, {versions}; {datetime.date.today()}"
    )


def _gpus():
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    details = map(tf.config.experimental.get_device_details, devices)
    names = [detail.get("device_name", "GPU") for detail in details]
    return ", ".join(names) or "no GPU"


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor():
    """Return the processor's name and its set of flags, as Linux tells them."""
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", fields.get("Features", ""))
    return fields.get("model name", platform.machine()), set(flags.split())

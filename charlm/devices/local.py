"""Several workers on this machine, one for each device: the process that was started is the chief and starts the others."""

import contextlib
import json
import os
import socket
import subprocess
import sys

from charlm.devices.meeting import Place, place_in

LEAVING = 10.0  # seconds that workers have to end by themselves
LEAVING_BEHIND = 2.0  # the same, where the chief failed


@contextlib.contextmanager
def workers_on_this_machine(count, arguments):
    """Start the other workers of this machine, with the same command.

    GPUs are given out one by one; without any, each worker has its share of the processor's cores. What the others
    print is dropped, and their complaints are shown.

    Args:
        count: of workers, this process among them.
        arguments: of the `charlm` command.

    Yields:
        The chief's `Place`, this process's.
    """
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(count))
    threads = str(max(1, (os.cpu_count() or 1) // count))
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", threads)
    others, seconds = [], LEAVING_BEHIND
    try:
        for rank in range(1, count):
            environment = {**os.environ, "TF_CONFIG": _config(addresses, rank)}
            command = [sys.executable, "-m", "charlm", *arguments]
            others.append(
                subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            )
        yield Place(addresses, 0)
        seconds = LEAVING
    finally:
        for process in others:
            _see_off(process, seconds)


def asked_for(config, devices):
    """Say which worker this process is, by TF_CONFIG and `--devices`.

    Returns:
        A `Place`, or None where TF_CONFIG names no others.

    Raises:
        ValueError: TF_CONFIG cannot be read, or names another number of workers.
    """
    place = place_in(config)
    if config and devices and devices != len(place.addresses if place else [0]):
        raise ValueError(
            f"--devices is {devices}, and TF_CONFIG names {len(place.addresses) if place else 1} worker(s): use one of both."
        )
    return place


def free_ports(count):
    """Find ports of this machine that nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _config(addresses, rank):
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}})


def _see_off(process, seconds):
    """Wait until a worker ends, which it does when the chief leaves it; end it where it does not."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

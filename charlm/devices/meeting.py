"""Where the workers of a training meet before TensorFlow starts: who is there, and whether all mean the same training.

TensorFlow's own workers wait for one another without a word and without an end, and do not look at what the others are
about to train. Here every worker first tells the chief what it has, by a line of JSON over TCP, and hears what all
have; so each of them can say by itself what is wrong. The chief listens where TensorFlow will listen later.
"""

import contextlib
import errno
import json
import math
import os
import socket
import sys
import threading
import time
from typing import NamedTuple

WAIT = 120.0  # seconds, where CHARLM_WAIT says nothing else
RETRY = 0.1  # seconds between two attempts to reach the chief
SILENCE = 5.0  # seconds in which who connects has to say something
LONGEST = 1_000_000  # bytes of a line
HELLO = "charlm"  # what a worker begins with


class Place(NamedTuple):
    """Which worker this process is, and of which."""

    addresses: tuple  # "host:port" of each worker, the chief's first
    rank: int

    @property
    def name(self):
        return self.name_of(self.rank)

    def name_of(self, rank):
        """How messages call a worker."""
        return f"{'the chief' if rank == 0 else f'worker {rank}'} ({self.addresses[rank]})"

    @property
    def rank_on_host(self):
        """How many workers before this one are on the same host."""
        hosts = [address.rpartition(":")[0] for address in self.addresses]
        return hosts[: self.rank].count(hosts[self.rank])


def place_in(config):
    """Read from TF_CONFIG which worker this process is.

    Args:
        config: the value of the environment variable: JSON, as TensorFlow documents it; None or "" for none.

    Returns:
        A `Place`, or None where there are no others.

    Raises:
        ValueError: it is no such JSON, or names other kinds of tasks than chief and workers.
    """
    if not config:
        return None
    shape = (
        'TF_CONFIG has to look like {"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", '
        '"index": 0}}, with an index of its own on each machine'
    )
    try:
        settings = json.loads(config)
        cluster, task = settings["cluster"], settings["task"]
        kinds = {kind: [str(address) for address in cluster[kind]] for kind in cluster}
        addresses = (*kinds.pop("chief", []), *kinds.pop("worker", []))
        first = len(addresses) - len(cluster.get("worker", [])) if task["type"] == "worker" else 0
        rank = first + int(task["index"])
        well = not kinds and task["type"] in cluster and first <= rank < first + len(cluster[task["type"]])
        well = well and all(address.rpartition(":")[2].isdigit() for address in addresses)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{shape}; it cannot be read ({error!r}).") from None
    if not well:
        raise ValueError(f"{shape}, and name a chief and workers only; it is {config}")
    return Place(addresses, rank) if len(addresses) > 1 else None


def seconds_to_wait():
    """How long workers wait for one another at the beginning: `CHARLM_WAIT`, or two minutes.

    Raises:
        ValueError: it is no number above 0.
    """
    named = os.environ.get("CHARLM_WAIT") or WAIT
    try:
        seconds = float(named)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"CHARLM_WAIT is {named!r}; it is a number of seconds above 0.")
    return seconds


class Meeting:
    """The workers of a training, connected with their chief; a context, which tells the others if this one gives up."""

    def __init__(self, place, seconds=None):
        """Prepare to meet.

        Args:
            place: a `Place`.
            seconds: that each exchange may wait for the others; None for `seconds_to_wait`.
        """
        self.place, self.seconds = place, seconds or seconds_to_wait()
        self._open = contextlib.ExitStack()
        self._others = None  # rank to connection: on the chief all others, elsewhere the chief alone

    def __enter__(self):
        """Take this worker's port, and see that nobody else has it.

        Raises:
            ValueError: it is in use, or not to be had.
        """
        port = int(self.place.addresses[self.place.rank].rpartition(":")[2])
        self._listener = self._open.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind(("", port))
            self._listener.listen(len(self.place.addresses))
        except OSError as error:
            self._open.close()
            why = "is in use by another process" if error.errno == errno.EADDRINUSE else f"cannot be had ({error})"
            raise ValueError(
                f"Port {port}, which TF_CONFIG gives to {self.place.name}, {why}. Choose another."
            ) from None
        return self

    def __exit__(self, kind, error, trace):
        if error is not None and self._others:
            for line in self._others.values():
                with contextlib.suppress(OSError, ValueError):
                    line.write({"error": str(error) or kind.__name__})
        self._open.close()

    def exchange(self, mine):
        """Tell the others something, and hear what they tell; all have to call this.

        Args:
            mine: a dictionary that JSON can hold.

        Returns:
            A list of the dictionaries of all workers, the chief's first.

        Raises:
            ValueError: a worker did not come or answer in time, or gave up; the message says which.
        """
        until = time.monotonic() + self.seconds
        if self.place.rank:
            return self._ask(mine, until)
        if self._others is None:
            self._others = {}
            self._receive_all(until)
        told = [mine, *(self._read(rank, until) for rank in range(1, len(self.place.addresses)))]
        for line in self._others.values():
            line.write({"told": told})
        return told

    def _ask(self, mine, until):
        """Tell the chief, and hear from it what all have told."""
        if self._others is None:
            line = self._connect(until)
            self._others = {0: line}
            line.write({HELLO: self.place.rank, "of": list(self.place.addresses)})
        self._others[0].write(mine)
        answer = self._read(0, until + SILENCE)  # the chief may wait for a third one until then, and say so
        return answer["told"]

    def _connect(self, until):
        host, _, port = self.place.addresses[0].rpartition(":")
        while True:
            try:
                return _Line(self._open.enter_context(socket.create_connection((host, int(port)), SILENCE)))
            except OSError as error:
                if time.monotonic() > until:
                    raise ValueError(
                        f"{self.place.name}: {self.place.name_of(0)} did not come within {self.seconds:g} s ({error}). "
                        "Start it, and then this one again; CHARLM_WAIT is how many seconds to wait."
                    ) from None
                time.sleep(RETRY)

    def _receive_all(self, until):
        """Let the others connect, whoever they are, until all are there."""
        awaited = set(range(1, len(self.place.addresses)))
        while missing := sorted(awaited - set(self._others)):
            self._listener.settimeout(max(until - time.monotonic(), 0.001))
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                names = ", ".join(map(self.place.name_of, missing))
                raise ValueError(
                    f"{names} did not come within {self.seconds:g} s. Start all workers with the same addresses in "
                    "TF_CONFIG; CHARLM_WAIT is how many seconds to wait."
                ) from None
            line = _Line(self._open.enter_context(connection))
            with contextlib.suppress(OSError, ValueError, TypeError):  # a stranger, who is left alone
                hello = line.read(time.monotonic() + SILENCE)
                if hello.get(HELLO) in awaited and hello["of"] == list(self.place.addresses):
                    self._others[hello[HELLO]] = line
                elif HELLO in hello:
                    line.write({"error": f"TF_CONFIG names other workers there: {', '.join(self.place.addresses)}."})

    def _read(self, rank, until):
        name = self.place.name_of(rank)
        try:
            answer = self._others[rank].read(until)
        except TimeoutError:
            raise ValueError(f"{name} did not answer within {self.seconds:g} s. Start all workers again.") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"{name} is gone ({error}); what it said tells why. Start all workers again.") from None
        if "error" in answer:
            raise ValueError(f"{name} gave up: {answer['error']}")
        return answer


@contextlib.contextmanager
def within(seconds, complaint):
    """End this process with one line, if native code that cannot be interrupted takes longer than some seconds."""

    def give_up():
        print(f"charlm: {complaint} within {seconds:g} s. Start all workers again.", file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Line:
    """A connection on which each line is a dictionary."""

    def __init__(self, connection):
        self._connection, self._held = connection, b""

    def write(self, said):
        self._connection.settimeout(SILENCE)
        self._connection.sendall(json.dumps(said).encode() + b"\n")

    def read(self, until):
        """Read a dictionary.

        Raises:
            TimeoutError: it did not come in time.
            OSError, ValueError: the connection is closed, or what comes is no dictionary.
        """
        while b"\n" not in self._held:
            self._connection.settimeout(max(until - time.monotonic(), 0.001))
            piece = self._connection.recv(1 << 16)
            if not piece:
                raise ConnectionError("it closed the connection")
            self._held += piece
            if len(self._held) > LONGEST:
                raise ValueError(f"a line of more than {LONGEST:,} bytes")
        line, _, self._held = self._held.partition(b"\n")
        said = json.loads(line)
        if not isinstance(said, dict):
            raise ValueError("not charlm's language")
        return said


def check_same(told, place, ways_out):
    """Make sure that all workers told the same.

    Args:
        told: list of dictionaries, one a worker, from `Meeting.exchange`.
        place: a `Place`.
        ways_out: by name, what to do about a difference.

    Raises:
        ValueError: something differs; every worker says the same line.
    """
    for name, way_out in ways_out.items():
        said = [facts.get(name) for facts in told]
        other = next((rank for rank, value in enumerate(said) if value != said[0]), None)
        if other is not None:
            raise ValueError(
                f"{name} is {said[0]} on {place.name_of(0)} and {said[other]} on {place.name_of(other)}. {way_out}"
            )

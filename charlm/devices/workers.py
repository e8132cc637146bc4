"""Data-parallel training: each worker reads its own rows of every batch, and all learn from the sum of their gradients.

Every worker is a process with one device, which trains a whole copy of the network by the ordinary `fit` with the
ordinary callbacks. Only `Replica`'s steps know of the others: they sum up gradients and losses before the optimizer
clips and applies them, so that all copies stay the same, and the same as one device's would be. Rows of streams, and the
states that they carry, stay where they are.

TensorFlow does the work: the strategy for several workers starts its servers and sees when a worker dies, and its
collectives add up, over the network or, between GPUs, by NCCL. Keras' `fit` within that strategy's scope is not used: it
fails there (keras-team/keras#20585, still so in Keras 3.15), and where it works, in `MirroredStrategy`, the gradient is
clipped before it is summed up.
"""

import contextlib
import io
import json
import os

import keras
import numpy as np
import tensorflow as tf

import charlm
from charlm.devices.meeting import Meeting, check_same, place_in, within
from charlm.models import build_arguments, compile_arguments, compile_model, with_batch_size
from charlm.training import ALONE

VOTES = ("signal", "save", "gone", "over")  # what callbacks agree on, see `Workers.agreed`
SAME_VERSIONS = "Install the same version for all workers."
STARTING = 120.0  # seconds in which servers find each other whose workers have met
GROUP = 7_000  # TensorFlow numbers its own groups from 1
PIECE = 1 << 18  # numbers of a large array that are summed up at once
FEW = 8  # numbers of a small one


class LostWorker(Exception):
    """Another worker has died, or cannot be reached any more."""

    def __init__(self):
        super().__init__(
            "lost touch with another worker, so training ends here. The run folder has every finished epoch, and a "
            "snapshot that is not much older than a minute: start all workers again with --resume, as many as you like."
        )


def join_workers():
    """Join the workers of a training that TF_CONFIG names: the first thing that a program does, and all of them do.

    Returns:
        `Workers`; where TF_CONFIG names no others, what stands for this process alone. Either has `divide(model)` and
        `part(dataset)`, which give each worker its share, and `is_chief`.

    Raises:
        ValueError: TF_CONFIG cannot be read, a port is taken, a worker does not come in time, or has other versions.
    """
    place = place_in(os.environ.get("TF_CONFIG"))
    if place is None:
        return ALONE
    with Meeting(place) as meeting:
        check_same(meeting.exchange(versions()), place, dict.fromkeys(versions(), SAME_VERSIONS))
    return Workers(place)


def versions():
    """The versions that all workers have to share, by name."""
    return {"charlm": charlm.__version__, "tensorflow": tf.__version__, "keras": keras.__version__}


class Workers:
    """The workers of a training, as one of them sees them; like `charlm.training.Alone`, but several.

    All of them must call its methods in the same order: each call but `agreed` waits for the others.
    """

    def __init__(self, place):
        """Connect with the other workers: first of all, before TensorFlow computes anything.

        Args:
            place: a `charlm.devices.meeting.Place`, as TF_CONFIG says.
        """
        self.rank, self.size = place.rank, len(place.addresses)
        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            _check_gpus(place, len(gpus))
            tf.config.set_visible_devices(gpus[place.rank_on_host % len(gpus)], "GPU")
        cluster = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(place.addresses)}),
            task_type="worker",
            task_id=place.rank,
            num_accelerators={"GPU": min(len(gpus), 1)},
            rpc_layer="grpc",
        )
        # It starts TensorFlow's server, and heartbeats, which end a collective ten seconds after a worker fell silent.
        try:
            with within(STARTING, "TensorFlow's servers did not find each other"):
                self._strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster)
        except RuntimeError as error:
            raise ValueError(f"Workers have to be joined before TensorFlow computes anything ({error}).") from None
        except tf.errors.OpError as error:
            raise ValueError(f"{place.name}: TensorFlow's server does not start ({error.message}).") from None
        self._keys = {}
        self._votes = tf.Variable(tf.zeros((self.size, len(VOTES))), trainable=False)  # of this worker, in its row
        self._heard = tf.Variable(tf.zeros((self.size, len(VOTES))), trainable=False)  # of all, at the last batch

    @property
    def is_chief(self):
        """Whether this worker writes the run folder, and decides."""
        return self.rank == 0

    def bounds(self, batch_size):
        """Which rows of a batch are this worker's: the first, and the first that is not.

        Raises:
            ValueError: there are fewer rows than workers.
        """
        if batch_size < self.size:
            raise ValueError(
                f"batch_size {batch_size} gives {self.size} workers less than a row each. Raise it, or take fewer."
            )
        return self.rank * batch_size // self.size, (self.rank + 1) * batch_size // self.size

    def own_rows(self, rows):
        """Take this worker's rows of an array (batch, ...)."""
        return rows[slice(*self.bounds(len(rows)))]

    def all_rows(self, rows):
        """Put the rows (batch of a worker, ...) of all workers together: an array (batch, ...)."""
        counts = self._gathered(len(rows)).astype(int)
        whole = np.zeros((counts.sum(), *rows.shape[1:]), np.float32)
        first = counts[: self.rank].sum()
        whole[first : first + len(rows)] = rows
        return self.total(whole).astype(rows.dtype)

    def part(self, dataset):
        """Make a dataset with this worker's rows of every batch of another, in which every batch has as many rows.

        Raises:
            ValueError: the workers' datasets have different numbers of batches: they would wait for one another for ever.
        """
        batches = self._gathered(float(dataset.cardinality()))
        if (batches != batches[0]).any():
            raise ValueError(
                f"The workers have different numbers of batches, {batches.tolist()}: give all the same text."
            )
        begin, end = self.bounds(tf.nest.flatten(dataset.element_spec)[0].shape[0])
        return dataset.map(lambda *batch: tuple(tensor[begin:end] for tensor in batch))

    def divide(self, model):
        """Make a network for this worker's rows that learns from all workers' gradients; it begins as the chief's does.

        Args:
            model: from `build_model` and `compile_model`, for the rows of the whole batch.

        Returns:
            A compiled `Replica`, with the chief's weights and optimizer.

        Raises:
            ValueError: the model was not compiled by `compile_model`, or is another one than the chief's.
        """
        training, network = compile_arguments(model), build_arguments(model)
        if training is None:
            raise ValueError("Only a model that compile_model compiled can be trained by several workers.")
        self._check_same({**network, **training, "learning_rate": None})  # which may have fallen, and is told
        rows = network["batch_size"] and int(np.subtract(*self.bounds(network["batch_size"])[::-1]))
        copy = with_batch_size(model, rows)
        replica = Replica([keras.Input((None,), rows, dtype="int32", name="characters"), *copy.layers], name=copy.name)
        replica.workers, replica.dtype_policy = self, model.dtype_policy  # by which Keras scales a loss, or not
        compile_model(replica, **training)
        own, whole = (m.trainable_variables + m.optimizer.variables for m in (replica, model))
        for variable, first in zip(own, whole, strict=True):
            variable.assign(first)
        self._share(own)
        return replica

    def _check_same(self, arguments):
        """Make sure that all workers build the chief's network."""
        theirs = arguments
        if self.is_chief:
            self.tell(arguments)
        else:
            theirs, _ = self.hear()
        if self.agree(arguments != theirs):
            raise ValueError(
                f"The workers' networks differ: the chief's is {theirs}, this one's {arguments}. Build the same one "
                "everywhere."
            )

    def _share(self, variables):
        """Give variables the chief's values."""
        values = {f"{n}": variable.numpy() for n, variable in enumerate(variables)}
        if self.is_chief:
            self.tell({}, values)
            return
        _, values = self.hear()
        for number, variable in enumerate(variables):
            variable.assign(values[f"{number}"])

    def tell(self, facts, arrays=None):
        """Tell the other workers something, as the chief.

        Args:
            facts: a dictionary that JSON can hold.
            arrays: a dictionary of arrays; None for none.
        """
        packed = _pack(facts, arrays or {})
        numbers = np.frombuffer(packed + b"\0" * (-len(packed) % 4), np.int32)
        self.total(np.array([len(numbers)], np.int32))
        self.total(numbers)

    def hear(self):
        """Wait for what the chief tells: `(facts, arrays)`."""
        size = self.total(np.zeros(1, np.int32))[0]
        return _unpack(self.total(np.zeros(size, np.int32)).tobytes())

    def total(self, array):
        """Sum up an array of float32 or int32 over the workers."""
        flat = np.ravel(array)
        piece = FEW if len(flat) <= FEW else PIECE
        padded = np.pad(flat, (0, -len(flat) % piece))
        with _losses_noticed():
            sums = [self._total(tf.constant(part)).numpy() for part in padded.reshape(-1, piece)]
        return np.concatenate(sums)[: len(flat)].reshape(array.shape) if sums else array

    @tf.function(reduce_retracing=False)
    def _total(self, array):
        return self.all_reduce(array, "total")

    def all_reduce(self, vector, purpose):
        """Add up a vector over the workers, within a `tf.function`.

        Args:
            vector: (numbers,) of float32 or int32, of a known length.
            purpose: what for; each purpose, type and length is a collective of its own.
        """
        named = (purpose, vector.dtype.name, tuple(vector.shape))
        key = self._keys.setdefault(named, GROUP + len(self._keys))  # the same everywhere: all meet them in one order
        return tf.raw_ops.CollectiveReduceV2(
            input=vector, group_size=self.size, group_key=GROUP, instance_key=key, ordering_token=[], merge_op="Add",
            final_op="Id", communication_hint="auto",
        )  # fmt: skip

    def mean(self, values, rows):
        """Average values over the rows of the whole batch, in one all-reduce; votes go with them.

        Args:
            values: list of tensors, each a mean over this worker's rows.
            rows: their number.

        Returns:
            The list of means over all rows, and the number of these.
        """
        rows = tf.cast(rows, tf.float32)
        flat = tf.concat([tf.reshape(value, [-1]) for value in values], 0) * rows
        votes = tf.reshape(self._votes, [-1])
        summed = self.all_reduce(tf.concat([flat, rows[tf.newaxis], votes], 0), "mean")
        sizes = [value.shape.num_elements() for value in values]
        *sums, all_rows, votes = tf.split(summed, [*sizes, 1, self.size * len(VOTES)])
        self._heard.assign(tf.reshape(votes, self._heard.shape))
        return [tf.reshape(s / all_rows, value.shape) for s, value in zip(sums, values, strict=True)], all_rows[0]

    def agreed(self, name, value):
        """Tell the others something with the next batch, and hear the most that anybody told with the last one.

        It costs no message of its own. All workers hear the same.

        Args:
            name: one of `VOTES`.
            value: a number, at least 0.
        """
        column = VOTES.index(name)
        self._votes[self.rank, column].assign(float(value))
        return float(self._heard.numpy()[:, column].max())

    def agree(self, value):
        """Return the most that a worker says, a number of at least 0, at once: for where no batch comes any more."""
        return float(self._gathered(value).max())

    def _gathered(self, value):
        """A number of each worker's, the chief's first."""
        said = np.zeros(self.size, np.float32)
        said[self.rank] = value
        return self.total(said)

    def forget(self):
        """Begin anew with what was told and heard."""
        for votes in (self._votes, self._heard):
            votes.assign(tf.zeros_like(votes))


class Replica(keras.Sequential):
    """A worker's copy of a network; gradients, losses and so the weights are those of the whole batch.

    In a batch each worker counts by its rows, of which some may have one more than others.
    """

    workers = ALONE

    def fit(self, *arguments, **options):
        self.workers.forget()
        with _losses_noticed():
            return super().fit(*arguments, **options)

    def train_step(self, data):
        inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            loss = self.compute_loss(inputs, targets, self(inputs, training=True), weights)
            scaled = self.optimizer.scale_loss(loss)
        gradients = map(tf.convert_to_tensor, tape.gradient(scaled, variables))
        (loss, *gradients), rows = self.workers.mean([loss, *gradients], tf.shape(inputs)[0])
        self.optimizer.apply(gradients, variables)
        return self._measured(loss, rows)

    def test_step(self, data):
        inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
        loss = self.compute_loss(inputs, targets, self(inputs, training=False), weights)
        (loss,), rows = self.workers.mean([loss], tf.shape(inputs)[0])
        return self._measured(loss, rows)

    def _measured(self, loss, rows):
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=rows)
        return self.get_metrics_result()


@contextlib.contextmanager
def _losses_noticed():
    """Raise `LostWorker` where TensorFlow says that a collective was aborted."""
    try:
        yield
    except tf.errors.OpError as error:
        gone = tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError
        if "Collective" not in error.message and not isinstance(error, gone):
            raise
        raise LostWorker from error


def _check_gpus(place, gpus):
    host = place.addresses[place.rank].rpartition(":")[0]
    here = sum(address.rpartition(":")[0] == host for address in place.addresses)
    if here > gpus:
        raise ValueError(f"{here} workers are to run on this machine, which has {gpus} GPU(s). Give each its own.")


def _pack(facts, arrays):
    """Write a dictionary and arrays as bytes, without code in them."""
    file = io.BytesIO()
    np.savez(file, **arrays, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8))
    return file.getvalue()


def _unpack(packed):
    with np.load(io.BytesIO(packed), allow_pickle=False) as held:
        arrays = dict(held)
    return json.loads(arrays.pop("facts").tobytes()), arrays

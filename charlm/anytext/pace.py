"""How long training takes and may take: callbacks that keep it in its time and end it, and measurements of speed."""

import functools
import math
import time

import keras
import tensorflow as tf

from charlm.engine.rnn import cell_step
from charlm.models import FINAL_RATE, build_model, compile_model
from charlm.pipelines import split_input_target
from charlm.support.machine import release_memory
from charlm.training import workers_of

VALIDATION_COST = 0.35  # of a character validated, against one trained on
WARM_BATCHES = 100  # over which the learning rate rises, or a tenth of all
WARM_SHARE = 0.05  # of the time, by which it has risen in any case
NOT_WORTH = 0.02  # of the time, which is too little to begin an epoch with
WARM, TIMED = 3, 10  # batches that measure the speed


class Clock(keras.callbacks.Callback):
    """Fits training to its time: the learning rate falls as time goes by, and training ends when it is over.

    The rate rises from 0 over the first batches and then falls by a cosine to 1 % of itself, which it reaches with the
    end of the time, or with the last batch of all epochs if that comes first.
    """

    def __init__(self, rate, batches, seconds=math.inf, spent=0.0, held_out=0):
        """Plan a training.

        Args:
            rate: the highest learning rate.
            batches: of all epochs.
            seconds: that training may take, the validation at its end included.
            spent: seconds of them that went by before, in earlier processes.
            held_out: batches of a validation, before one has been timed.
        """
        super().__init__()
        self.rate, self.batches, self.seconds, self.spent, self.held_out = rate, batches, seconds, spent, held_out
        self._began, self._validation, self._timed, self._batches_timed = None, None, 0.0, 0

    def on_train_begin(self, logs=None):
        self._began = self._began or time.monotonic() - self.spent
        self._done = int(self.model.optimizer.iterations)

    def on_train_batch_begin(self, batch, logs=None):
        self._batch_began = time.monotonic()
        in_time = min(self._gone() / max(self.seconds - self._last(), 1e-3), 1.0)
        gone = max(self._done / self.batches, workers_of(self.model).agreed("gone", in_time))
        warm = min(1.0, (self._done + 1) / min(WARM_BATCHES, max(1, self.batches // 10)))
        if self.seconds < math.inf:
            warm = max(warm, min(1.0, gone / WARM_SHARE))
        falling = FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * min(gone, 1.0))) / 2
        self.model.optimizer.learning_rate = self.rate * warm * falling

    def on_train_batch_end(self, batch, logs=None):
        self._done += 1
        if batch > 0:  # an epoch's first batch waits for the pipeline, and the very first for XLA
            self._timed += time.monotonic() - self._batch_began
            self._batches_timed += 1
        if workers_of(self.model).agreed("over", self._gone() + self._last() > self.seconds):
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        worth = max(NOT_WORTH * self.seconds, self._last())  # more time for training than for what follows it
        if workers_of(self.model).agree(self._gone() + self._last() + worth > self.seconds):
            self.model.stop_training = True

    def on_test_begin(self, logs=None):
        self._test_began = time.monotonic()

    def on_test_end(self, logs=None):
        self._validation = time.monotonic() - self._test_began

    def _gone(self):
        return time.monotonic() - self._began

    def _last(self):
        """How long the validation at the end will take."""
        if self._validation is not None:
            return self._validation
        return self.held_out * VALIDATION_COST * self._timed / max(self._batches_timed, 1)


class Patience(keras.callbacks.Callback):
    """Ends training after some epochs without a better validation loss; a resumed run remembers those before."""

    def __init__(self, history, epochs, since=0):
        """Begin with what is known.

        Args:
            history: from `Run.history`.
            epochs: without a better validation loss, after which training ends.
            since: the epoch after which they count: where a finished run was asked for more.
        """
        super().__init__()
        self.epochs, self.since = epochs, since
        self._losses = {row["epoch"]: row["val_loss"] for row in history}

    def on_epoch_end(self, epoch, logs=None):
        self._losses[epoch + 1] = logs["val_loss"]
        if self.is_over():
            self.model.stop_training = True

    def is_over(self):
        """Whether the last epochs were no better than the best before them."""
        if not self._losses:
            return False
        best = min(self._losses, key=self._losses.get)
        return max(self._losses) - max(best, self.since) >= self.epochs


class Timer(keras.callbacks.Callback):
    """Times the batches of a training but for the first few; `seconds` is the result."""

    def __init__(self, skipped):
        super().__init__()
        self.skipped, self.seconds = skipped, math.nan

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.skipped:
            self._began = time.perf_counter()
        elif batch + 1 > self.skipped:
            self.seconds = time.perf_counter() - self._began


@functools.lru_cache(maxsize=32)
def products_per_second(precision="float32", rows=64, units=512):
    """Measure how many multiplications and additions a second this machine does in a GRU's steps, gates included.

    An upper bound for training, in which other work is done beside the products: `batch_seconds` times that.

    Args:
        precision: of the products.
        rows, units: of the GRU.

    Returns:
        A float: those of a hundred steps, after as many to warm up.
    """
    kernel = tf.random.normal((units, 3 * units), stddev=0.02, dtype=precision)
    projected = tf.random.normal((rows, 3 * units))

    @tf.function(jit_compile=precision == "float32")  # as `charlm.engine.rnn` does
    def steps(hidden):
        for _ in tf.range(100):
            product = tf.matmul(tf.cast(hidden, precision), kernel)
            _, (hidden,) = cell_step("gru", projected, product, [hidden])
        return hidden

    hidden = steps(tf.zeros((rows, units)))
    began = time.perf_counter()
    steps(hidden).numpy()
    return 100 * 2 * rows * units * 3 * units / (time.perf_counter() - began)


@functools.lru_cache(maxsize=32)
def batch_seconds(network, distinct, rows, length, carried):
    """Measure how long training takes for a batch, with a few batches that teach nothing that is kept.

    Args:
        network: arguments of `build_model`, as a tuple of names and values.
        distinct: size of the vocabulary.
        rows, length: of a batch.
        carried: whether state is carried from batch to batch, as in streams; lines are weighted instead.

    Returns:
        Seconds, the mean of ten batches after three that compile and warm up; the same question is asked once.
    """
    release_memory()  # that reading the text leaves
    model = build_model(distinct, **dict(network), batch_size=rows if carried else None, stateful=carried)
    ids = tf.random.uniform((rows, length + 1), maxval=distinct, dtype=tf.int32)
    batch = split_input_target(ids) + (() if carried else (tf.ones((rows, length)),))
    data = tf.data.Dataset.from_tensors(batch).repeat(WARM + TIMED)
    timer = Timer(WARM)
    callbacks = [timer, Clock(1e-3, WARM + TIMED)]
    compile_model(model, weight_decay=0.05).fit(data, shuffle=False, verbose=0, callbacks=callbacks)
    del model
    release_memory()  # before the network that is kept is built
    return timer.seconds / TIMED

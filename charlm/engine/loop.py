"""The loop that reads and writes characters one by one, compiled as a whole by XLA, with explicit state.

Embedding, cells, logits, temperature, top-k, top-p and the draw are one XLA function that runs up to `CHUNK` steps
a call. Each row of a batch first reads the characters it is given and then writes its own, so a prompt and what is written
after it come from the same function, which is traced once for a number of rows. Where nothing is chosen, as in scoring, or
among all characters, a function that leaves out the rest of the choice is faster, and compiled sooner.
"""

import copy
import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from charlm.engine import rnn

CHUNK = 128  # characters a call at most
FEW_CHARACTERS = 128  # up to which comparing all pairs is a faster ranking than a sort
FEW_ROWS, MANY_WEIGHTS = 32, 3_000_000  # where a product is faster transposed, see `_is_transposed`
CHOICES = NOTHING, AMONG_ALL, AMONG_LIKELIEST = "nothing", "among all", "among likeliest"  # what a function chooses


class NetworkState(NamedTuple):
    """What a network remembers between calls: all that decides how a row goes on, but for its random numbers."""

    states: tuple  # for each layer a tuple of (rows, units): (h,), or (h, c) for an LSTM
    logits: np.ndarray  # (rows, vocabulary): the scores of the next character


class Sampling(NamedTuple):
    """How to choose characters, row by row."""

    temperature: np.ndarray  # (rows,) float32; 0 takes the likeliest character
    top_k: np.ndarray  # (rows,) int32; only the k likeliest characters
    top_p: np.ndarray  # (rows,) float32; only the likeliest characters that together reach probability p


class Loop:
    """A network's weights, copied, with the compiled function that runs them character by character.

    `step` is a step of it, with the name of each layer's cell, and `network` the `NetworkWeights`.
    """

    def __init__(self, model):
        """Copy the weights of a model from `build_model`."""
        self.vocab_size, layers = model.output_shape[-1], rnn.recurrent_layers(model)
        self._widths = [layer.units for layer in layers]
        self.step = NetworkStep(tuple(rnn.cell_name(layer) for layer in layers))
        self._take(rnn.network_weights(model))

    def with_weights(self, network):
        """Return a loop of the same cells and widths that has other weights: `NetworkWeights`."""
        other = copy.copy(self)
        other._take(network)
        return other

    def _take(self, network):
        self.network, self._laid_out = network, {}
        # The first layer sees one of V vectors, so its input products are a table, not work to do at every step.
        self._table = rnn.input_projection(network.embedding, network.layers[0])  # (vocabulary, gates * units)
        # A layer's output is multiplied once a step: for the layer above or the logits, and for its own next step.
        above = [*((layer.kernel, layer.input_bias) for layer in network.layers[1:]), network.logits]
        self._kernels = [tf.concat([k, layer.recurrent_kernel], 1) for (k, _), layer in zip(above, network.layers)]
        self._biases = [tf.zeros(k.shape[1]) if bias is None else bias for k, bias in above]
        self._recurrent_biases = [[b for b in layer[3:] if b is not None] for layer in network.layers]

    def start(self, rows):
        """Return the state of `rows` rows that have read nothing: zero states."""
        zeros = [np.zeros((rows, width), np.float32) for width in self._widths]
        cells = zip(self.step.cells, zeros, strict=True)
        states = tuple((h, h.copy()) if cell == "lstm" else (h,) for cell, h in cells)
        return NetworkState(states, np.zeros((rows, self.vocab_size), np.float32))

    def read(self, state, texts, sampling=None):
        """Let each row read a text.

        Args:
            state: a `NetworkState` of as many rows as there are texts.
            texts: list of (characters,) ids, of any lengths.
            sampling: the `Sampling` that `write` gets next, if it does: the function that writes reads the text too,
                and none is compiled for reading alone.

        Returns:
            `(state, losses)`: the state afterwards, and for each text a (characters,) array of nats: the loss of
            each character given all before it. A row that has read nothing yet predicts its first character
            uniformly: there the loss is ln V.
        """
        rows, longest = len(texts), max(len(text) for text in texts)
        losses = [[] for _ in texts]
        uniforms = np.zeros((rows, CHUNK), np.float32)
        for start in range(0, longest, CHUNK):
            pieces = [text[start : start + CHUNK] for text in texts]
            counts = np.array([len(piece) for piece in pieces], np.int32)
            given = np.zeros((rows, CHUNK), np.int32)
            for row, piece in enumerate(pieces):
                given[row, : len(piece)] = piece
            state, _, nats = self._run(state, given, counts, counts, uniforms, sampling)
            for row, count in enumerate(counts):
                losses[row].append(nats[row, :count])
        return state, [np.concatenate(parts) if parts else np.zeros(0, np.float32) for parts in losses]

    def write(self, state, counts, uniforms, sampling):
        """Let each row write characters.

        Args:
            state: a `NetworkState`.
            counts: (rows,) characters to write, each 0 to `CHUNK`; a row with 0 stays as it is.
            uniforms: (rows, CHUNK) random numbers in [0, 1), one for each character.
            sampling: a `Sampling`.

        Returns:
            `(state, ids)`: the state afterwards, and (rows, CHUNK) ids of which row r has `counts[r]`.
        """
        given = np.zeros((len(counts), CHUNK), np.int32)
        state, ids, _ = self._run(state, given, np.zeros_like(counts), counts, uniforms, sampling)
        return state, ids

    def _run(self, state, given, given_counts, counts, uniforms, sampling):
        states, logits, ids, nats = compiled_step(self.step, len(counts), self._choice(sampling))(
            self.weights(len(counts)), *map(_tensors, (state, given, given_counts, counts, uniforms, sampling or ()))
        )
        return NetworkState(states, logits), ids.numpy(), nats.numpy()

    def _choice(self, sampling):
        """Name what has to be chosen: one of `CHOICES`."""
        if sampling is None:
            return NOTHING
        narrowed = np.any(sampling.top_k < self.vocab_size) or np.any(sampling.top_p < 1)
        return AMONG_LIKELIEST if narrowed else AMONG_ALL

    def weights(self, rows):
        """Return the weights as the products of so many rows want them; each layout is made once."""
        layout = tuple(_is_transposed(rows, kernel) for kernel in self._kernels)
        if layout not in self._laid_out:
            kernels = [_halves(k) if halved else [k] for k, halved in zip(self._kernels, layout)]
            layers = list(zip(kernels, self._biases, self._recurrent_biases))
            self._laid_out[layout] = {"table": self._table, "layers": layers}
        return self._laid_out[layout]


def loop_of(model):
    """Return what reads and writes with a model: its own `loop()`, where it is no network alone, or a `Loop`."""
    return model.loop() if hasattr(model, "loop") else Loop(model)


class NetworkStep(NamedTuple):
    """A step of a network: what `compiled_step` repeats. Networks of equal cells share one compiled function."""

    cells: tuple  # the name of each layer's cell

    def recurrents(self, weights, states):
        """Multiply the first hidden states: h·U of each layer's next step."""
        return tuple(_multiply(h, *layer)[1] for layer, (h, *_) in zip(weights["layers"], states, strict=True))

    def __call__(self, weights, character, states, recurrents):
        """Read one character a row.

        Returns:
            The new states, their products h·U for the step after, and the next character's logits.
        """
        projected, new_states, products = tf.gather(weights["table"], character), [], []
        for cell, layer, state, recurrent in zip(self.cells, weights["layers"], states, recurrents, strict=True):
            output, state = rnn.cell_step(cell, projected, recurrent, list(state), *layer[2])
            projected, recurrent = _multiply(output, *layer)
            new_states.append(tuple(state))
            products.append(recurrent)
        return tuple(new_states), tuple(products), projected


@functools.lru_cache(maxsize=64)
def compiled_step(step, rows, choice):
    """Return the XLA function that takes one step after another; 64 are kept.

    Each number of rows has a function of its own, so that TensorFlow does not warn of retracing.

    Args:
        step: such as a `NetworkStep`.
        rows: of the batch.
        choice: one of `CHOICES`. Where it is `NOTHING`, rows read and do not write.
    """

    def run(weights, state, given, given_counts, counts, uniforms, sampling):
        ids = tf.TensorArray(tf.int32, CHUNK, element_shape=(rows,))
        nats = tf.TensorArray(tf.float32, CHUNK, element_shape=(rows,))

        def body(time, states, recurrents, logits, ids, nats):
            character = given[:, time]  # (rows,)
            if choice != NOTHING:
                chosen = choose(logits, uniforms[:, time], sampling, choice)
                character = tf.where(time < given_counts, character, chosen)
            ids = ids.write(time, character)
            nats = nats.write(time, tf.nn.sparse_softmax_cross_entropy_with_logits(character, logits))
            awake = (time < counts)[:, None]
            next_states, recurrents, next_logits = step(weights, character, states, recurrents)
            keep = functools.partial(tf.where, awake)  # a row that sleeps does not wake before the loop ends
            states, logits = tf.nest.map_structure(keep, next_states, states), keep(next_logits, logits)
            return time + 1, states, recurrents, logits, ids, nats

        steps = tf.reduce_max(counts)
        initial = (tf.constant(0), state.states, step.recurrents(weights, state.states), state.logits, ids, nats)
        _, states, _, logits, ids, nats = tf.while_loop(lambda time, *_: time < steps, body, initial)
        return states, logits, tf.transpose(ids.stack()), tf.transpose(nats.stack())

    return tf.function(run, jit_compile=True, autograph=False)  # nothing for it to convert, and it takes its time


def draw_uniforms(seed, row, start, count):
    """Return random numbers `start` to `start + count` of the endless sequence of a row.

    Philox (Salmon et al. 2011) is keyed by the seed and counts by row, so no two of them share a stretch. Any stretch
    can be drawn alone, so a text does not depend on the pieces in which it was written.

    Returns:
        (count,) float32 in [0, 1).
    """
    first, last = start // CHUNK, (start + count - 1) // CHUNK
    blocks = [
        np.random.Generator(np.random.Philox(key=seed, counter=[0, block, row, 0])).random(CHUNK, np.float32)
        for block in range(int(first), int(last) + 1)
    ]
    return np.concatenate(blocks)[start - first * CHUNK :][:count]


def choose(logits, uniforms, sampling, choice):
    """Choose one character a row: the likeliest at temperature 0, else a draw from softmax(logits / temperature).

    Args:
        logits: (rows, vocabulary).
        uniforms: (rows,) random numbers in [0, 1).
        sampling: a `Sampling` of tensors.
        choice: `AMONG_ALL`, or `AMONG_LIKELIEST` where any row narrows the choice by top_k or top_p.

    Returns:
        (rows,) int32 ids.
    """
    warm = sampling.temperature > 0
    likeliest = tf.reduce_max(logits, axis=-1, keepdims=True)  # taken off first: a tiny temperature must not overflow
    scaled = (logits - likeliest) / tf.where(warm, sampling.temperature, 1.0)[:, None]
    if choice == AMONG_ALL:
        drawn = _draw(tf.nn.softmax(scaled), uniforms)
    else:
        drawn = _draw_among_likeliest(scaled, uniforms, sampling.top_k, sampling.top_p)
    return tf.where(warm, drawn, tf.argmax(logits, axis=-1, output_type=tf.int32))


def _draw(probabilities, uniforms):
    """Invert the cumulative distribution; probabilities need not sum to 1, and one of 0 is never drawn."""
    cumulative = tf.cumsum(probabilities, axis=-1)  # (rows, vocabulary)
    passed = cumulative <= uniforms[:, None] * cumulative[:, -1:]
    possible = tf.reduce_sum(tf.cast(cumulative < cumulative[:, -1:], tf.int32), axis=-1)  # the last that adds anything
    return tf.minimum(tf.reduce_sum(tf.cast(passed, tf.int32), axis=-1), possible)


def _draw_among_likeliest(scaled, uniforms, top_k, top_p):
    """Draw among the k likeliest, cut to the fewest that reach p of what they hold (Holtzman et al. 2020)."""
    ranked = _ranked_by_pairs if scaled.shape[-1] <= FEW_CHARACTERS else _ranked_by_sorting
    ids, probabilities, rank, before = ranked(tf.nn.softmax(scaled))
    among = rank < top_k[:, None]
    reach = top_p[:, None] * tf.reduce_sum(tf.where(among, probabilities, 0.0), axis=-1, keepdims=True)
    # The likeliest is always kept, whatever rounding says.
    kept = among & (probabilities > 0) & ((before < reach) | (rank == 0))
    mass = tf.reduce_sum(tf.where(kept, probabilities, 0.0), axis=-1, keepdims=True)
    passed = kept & (before <= uniforms[:, None] * mass)
    return tf.gather(ids, tf.argmax(tf.where(passed, rank, -1), axis=-1), batch_dims=1)


def _ranked_by_pairs(probabilities):
    """Return ids, their probabilities, ranks and the probability of what is likelier; of equals the first leads.

    All pairs compared are (rows, vocabulary, vocabulary) work, but in vectors: a sort of an alphabet takes longer.
    """
    others, mine, ids = probabilities[:, :, None], probabilities[:, None, :], tf.range(probabilities.shape[-1])
    ahead = (others > mine) | ((others == mine) & (ids[:, None] < ids))
    rank = tf.reduce_sum(tf.cast(ahead, tf.int32), axis=1)
    return tf.broadcast_to(ids, rank.shape), probabilities, rank, tf.reduce_sum(tf.where(ahead, others, 0.0), axis=1)


def _ranked_by_sorting(probabilities):
    """Return what `_ranked_by_pairs` does, the likeliest first."""
    ordered, ids = tf.math.top_k(probabilities, probabilities.shape[-1])
    rank = tf.broadcast_to(tf.range(ids.shape[-1]), ids.shape)
    return ids, ordered, rank, tf.cumsum(ordered, axis=-1, exclusive=True)


def _multiply(output, kernels, bias, _):
    """Multiply a layer's output: what the layer above gets, or the logits, with its bias; and h·U of the next step."""
    halved = len(kernels) > 1
    product = tf.concat([tf.matmul(output, kernel, transpose_b=halved) for kernel in kernels], axis=1)
    (product,) = gen_xla_ops.xla_optimization_barrier(input=[product])  # or it is fused with the sum, on one core
    width = bias.shape[0]
    return product[:, :width] + bias, product[:, width:]


def _is_transposed(rows, kernel):
    """Whether a kernel is multiplied faster in transposed halves: always by one row, by few rows where it is large.

    XLA's product runs on all cores then. Measured in this loop on AVX2; on AVX-512 a transposed kernel won for one row too.
    """
    return rows == 1 or (rows < FEW_ROWS and kernel.shape.num_elements() > MANY_WEIGHTS)


def _halves(kernel):
    """Cut a kernel (units, columns) into halves of its columns, each transposed."""
    return [tf.transpose(half) for half in tf.split(kernel, [kernel.shape[1] // 2, -1], axis=1)]


def _tensors(value):
    return tf.nest.map_structure(tf.convert_to_tensor, value)

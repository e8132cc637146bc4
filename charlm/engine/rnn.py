"""Recurrent layers that are fast on a CPU too: Keras' GRU, LSTM and SimpleRNN with another inner loop.

Same arguments, weights, names and results as Keras' layers; on a GPU, and wherever `covers` says no, they
are Keras' layers. What cuDNN does on a GPU is done here for a CPU, in three moves:

1. x·W + b for all time steps is one matrix product before the loop; each step is left with h·U alone.
2. A hand-written gradient keeps only the gates of the forward pass and walks back with one product a step.
3. dU and its bias gradient are formed for the whole sequence in one product after the backward loop,
   instead of being added up step by step.

Characters allow a fourth: `Embedding` tells the layer after it what was looked up, and x·W is done once for each
character of the vocabulary instead of once for each place in the batch.

XLA compiles both loops in float32, which fuses the gates into single passes over memory. In bfloat16 and
float16 TensorFlow's own products run, since those use the processor's half-precision instructions.

The equations are Keras' (gate order z, r, h and i, f, c, o); `cell_step` is one
step of them on plain tensors, `run_cell` is all steps with their gates, and `network_weights` has what a generator or
a trace needs of a network.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

MOST_PARTS, SHORTEST_PART = 4, 16  # of a sequence, see `_parts`
KERAS_LAYERS = {"rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}


class RecurrentWeights(NamedTuple):
    """What one recurrent layer computes with: x·kernel + input_bias, h·recurrent_kernel + recurrent_bias."""

    kernel: tf.Tensor  # (features, gates * units)
    input_bias: tf.Tensor | None  # (gates * units,)
    recurrent_kernel: tf.Tensor  # (units, gates * units)
    recurrent_bias: tf.Tensor | None  # (gates * units,), of a GRU alone


def recurrent_weights(layer):
    """Return the `RecurrentWeights` of a GRU, LSTM or SimpleRNN layer, Keras' or charlm's.

    Raises:
        ValueError: the layer is a GRU with `reset_after=False`, whose equations `cell_step` does not follow.
    """
    cell = layer.cell
    if not getattr(cell, "reset_after", True):
        raise ValueError(f"layer {layer.name!r} has reset_after=False; charlm's step needs reset_after=True.")
    bias = cell.bias.value if cell.use_bias else None
    input_bias, recurrent_bias = (bias, None) if bias is None or len(bias.shape) == 1 else tf.unstack(bias)
    return RecurrentWeights(cell.kernel.value, input_bias, cell.recurrent_kernel.value, recurrent_bias)


def recurrent_layers(model):
    """List a model's recurrent layers, first to last."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.RNN)]


def cell_name(layer):
    """Name the cell of a recurrent layer, Keras' or charlm's: "gru", "lstm" or "rnn"."""
    return next(name for name, kind in KERAS_LAYERS.items() if isinstance(layer, kind))


class NetworkWeights(NamedTuple):
    """All that a network from `build_model` computes with, in float32."""

    embedding: tf.Tensor  # (vocabulary, features)
    layers: list  # of `RecurrentWeights`
    logits: tuple  # kernel (units, vocabulary) and bias (vocabulary,)


def network_weights(model):
    """Copy a model's weights."""
    dense = model.get_layer("logits")
    layers = [recurrent_weights(layer) for layer in recurrent_layers(model)]
    logits = dense.kernel.value, dense.bias.value
    weights = NetworkWeights(model.get_layer("embedding").embeddings.value, layers, logits)
    copy = lambda weight: weight if weight is None else tf.identity(tf.cast(weight, tf.float32))  # noqa: E731
    return tf.nest.map_structure(copy, weights)


def input_projection(inputs, weights):
    """Multiply inputs (..., features) by the layer's kernel and add its bias: (..., gates * units)."""
    projected = tf.tensordot(inputs, weights.kernel, 1)
    return projected if weights.input_bias is None else tf.nn.bias_add(projected, weights.input_bias)


def _in_state_precision(states, projected, recurrent):
    """Cast x·W + b and h·U: gates are computed in the precision of the states."""
    return (tf.cast(product, states[0].dtype) for product in (projected, recurrent))


def _gru_forward(projected, recurrent, states, recurrent_bias=None):
    """One step: the new states, and what `_gru_backward` needs of it."""
    (hidden,) = states
    units = hidden.shape[-1]
    projected, recurrent = _in_state_precision(states, projected, recurrent)
    parts = [recurrent[:, : 2 * units], recurrent[:, 2 * units :]]
    if recurrent_bias is not None:
        # After the slices: XLA would make a product and its one addition a single-threaded kernel.
        bias = tf.cast(recurrent_bias, hidden.dtype)
        parts = [parts[0] + bias[: 2 * units], parts[1] + bias[2 * units :]]
    gates = tf.sigmoid(projected[:, : 2 * units] + parts[0])
    update, reset = tf.split(gates, 2, axis=-1)
    candidate = tf.tanh(projected[:, 2 * units :] + reset * parts[1])
    hidden = update * hidden + (1 - update) * candidate
    return [hidden], [gates, candidate, parts[1]]


def _gru_backward(d_states, previous_hidden, saved):
    """One step back: the gradients of h·U and of x·W where they differ, and the states' but through h·U."""
    (d_hidden,) = d_states
    gates, candidate, recurrent_candidate = saved
    update, reset = tf.split(gates, 2, axis=-1)
    d_candidate = d_hidden * (1 - update) * (1 - candidate * candidate)
    d_update = d_hidden * (previous_hidden - candidate) * update * (1 - update)
    d_reset = d_candidate * recurrent_candidate * reset * (1 - reset)
    d_recurrent, d_projected = (tf.concat([d_update, d_reset, d], axis=-1) for d in (d_candidate * reset, d_candidate))
    return [d_recurrent, d_projected], [d_hidden * update]


def _lstm_forward(projected, recurrent, states):
    """One step: the new states, and what `_lstm_backward` needs of it."""
    hidden, carry = states
    units = hidden.shape[-1]
    gates = tf.add(*_in_state_precision(states, projected, recurrent))
    input_forget = tf.sigmoid(gates[:, : 2 * units])
    input_gate, forget = tf.split(input_forget, 2, axis=-1)
    candidate = tf.tanh(gates[:, 2 * units : 3 * units])
    output = tf.sigmoid(gates[:, 3 * units :])
    new_carry = forget * carry + input_gate * candidate
    return [output * tf.tanh(new_carry), new_carry], [input_forget, candidate, output, carry]


def _lstm_backward(d_states, _, saved):
    """One step back: the gradient of h·U, which is that of x·W too, and the states' but through h·U."""
    d_hidden, d_carry = d_states
    input_forget, candidate, output, carry = saved
    input_gate, forget = tf.split(input_forget, 2, axis=-1)
    tanh_carry = tf.tanh(forget * carry + input_gate * candidate)
    d_carry += d_hidden * output * (1 - tanh_carry * tanh_carry)
    d_input = d_carry * candidate * input_gate * (1 - input_gate)
    d_forget = d_carry * carry * forget * (1 - forget)
    d_candidate = d_carry * input_gate * (1 - candidate * candidate)
    d_output = d_hidden * tanh_carry * output * (1 - output)
    d_recurrent = tf.concat([d_input, d_forget, d_candidate, d_output], axis=-1)
    return [d_recurrent], [tf.zeros_like(d_hidden), d_carry * forget]


def _rnn_forward(projected, recurrent, states):
    """One step: the new states, and what `_rnn_backward` needs of it."""
    hidden = tf.tanh(tf.add(*_in_state_precision(states, projected, recurrent)))
    return [hidden], [hidden]


def _rnn_backward(d_states, _, saved):
    """One step back: the gradient of h·U, which is that of x·W too, and the state's but through h·U."""
    (d_hidden,), (hidden,) = d_states, saved
    return [d_hidden * (1 - hidden * hidden)], [tf.zeros_like(d_hidden)]


class _Cell(NamedTuple):
    forward: Callable
    backward: Callable
    saved: int  # tensors a step forward saves
    gradients: int = 1  # tensors a step back gives: the gradient of h·U, and that of x·W if it is another


_CELLS = {
    "gru": _Cell(_gru_forward, _gru_backward, saved=3, gradients=2),
    "lstm": _Cell(_lstm_forward, _lstm_backward, saved=4),
    "rnn": _Cell(_rnn_forward, _rnn_backward, saved=1),
}


def _reader(sequence):
    return tf.TensorArray(sequence.dtype, tf.shape(sequence)[0], element_shape=sequence.shape[1:]).unstack(sequence)


def _writers(count, dtype, steps):
    return [tf.TensorArray(dtype, steps) for _ in range(count)]


def _write(arrays, step, values):
    return [array.write(step, tf.cast(value, array.dtype)) for array, value in zip(arrays, values)]


def _stack(arrays):
    return [array.stack() for array in arrays]


def _forward_loop(cell, projected, states, weights):
    """Run a cell over time.

    Args:
        projected: (time, batch, gates * units).
        states: list of (batch, units), float32.
        weights: [recurrent_kernel] or [recurrent_kernel, recurrent_bias].

    Returns:
        The outputs (time, batch, units), the last states, and what all steps saved: a list of
        (time, batch, ...).
    """
    steps, dtype = tf.shape(projected)[0], projected.dtype
    projected_at, (kernel, *bias) = _reader(projected), weights

    def body(step, states, outputs, saved):
        recurrent = tf.matmul(tf.cast(states[0], kernel.dtype), kernel)
        states, values = cell.forward(projected_at.read(step), recurrent, states, *bias)
        return step + 1, states, _write(outputs, step, states[:1]), _write(saved, step, values)

    initial = [0, list(states), _writers(1, dtype, steps), _writers(cell.saved, dtype, steps)]
    _, states, outputs, saved = tf.while_loop(lambda step, *_: step < steps, body, initial, maximum_iterations=steps)
    return outputs[0].stack(), states, _stack(saved)


def cell_step(name, projected, recurrent, states, *recurrent_bias):
    """Advance a cell by one time step.

    The gates have the precision of the states. Sources: GRU, Cho et al. 2014, with the reset gate after the product, as
    in cuDNN; LSTM, Hochreiter and Schmidhuber 1997, with a forget gate.

    Args:
        name: of the cell: "gru", "lstm" or "rnn" (tanh).
        projected: (batch, gates * units), x·W + b of this step, from `input_projection`.
        recurrent: (batch, gates * units), h·U.
        states: list of (batch, units): [h], or [h, c] of an LSTM.
        *recurrent_bias: of a GRU, (gates * units,), where it has one.

    Returns:
        The output (batch, units) and the new states.
    """
    states, _ = _CELLS[name].forward(projected, recurrent, states, *recurrent_bias)
    return states[0], states


def run_cell(name, inputs, states, weights):
    """Run a cell over time and keep its gates; there is no gradient.

    Args:
        name: of the cell: "gru", "lstm" or "rnn".
        inputs: (time, batch, features).
        states: list of (batch, units).
        weights: the layer's `RecurrentWeights`.

    Returns:
        The signals, (time, batch, units) each: "hidden", which is the output, and those of the cell's gates; and the
        last states.
    """
    recurrent = [weight for weight in weights[2:] if weight is not None]
    projected = input_projection(inputs, weights)
    hidden, states, saved = _forward_loop(_CELLS[name], projected, states, recurrent)
    signals = {"hidden": hidden}
    if name == "gru":
        gates, signals["candidate"], _ = saved
        signals["update"], signals["reset"] = tf.split(gates, 2, axis=-1)
    if name == "lstm":
        gates, signals["candidate"], signals["output"], earlier = saved
        signals["input"], signals["forget"] = tf.split(gates, 2, axis=-1)
        signals["cell"] = signals["forget"] * earlier + signals["input"] * signals["candidate"]
    return signals, states


def _backward_loop(cell, d_outputs, d_states, previous, saved, recurrent_kernel, with_xla=False):
    """Run a cell's gradient back over time.

    Args:
        d_outputs, previous: (time, batch, units), the gradient of the outputs and h before each step.
        d_states: list of (batch, units), the gradient of the last states.
        saved: list of (time, batch, ...), from `_forward_loop`.
        with_xla: whether XLA compiles this.

    Returns:
        A list of the gradients of h·U and, where it is another, of x·W, (time, batch, gates * units), and the
        gradients of the initial states.
    """
    steps, dtype = tf.shape(previous)[0], previous.dtype
    arrays = [_reader(sequence) for sequence in (d_outputs, previous, *saved)]
    # XLA multiplies by a transposed kernel faster than by its copy; TensorFlow's own product takes twice as long.
    kernel = recurrent_kernel if with_xla else tf.transpose(recurrent_kernel)

    def body(step, d_states, gradients):
        d_output, hidden, *values = [tf.cast(array.read(step), d_states[0].dtype) for array in arrays]
        d_states = [d_states[0] + d_output, *d_states[1:]]
        d_step, d_states = cell.backward(d_states, hidden, values)
        through_kernel = tf.matmul(tf.cast(d_step[0], dtype), kernel, transpose_b=with_xla)
        d_states[0] += tf.cast(through_kernel, d_states[0].dtype)
        return step - 1, d_states, _write(gradients, step, d_step)

    initial = [steps - 1, list(d_states), _writers(cell.gradients, dtype, steps)]
    _, d_states, gradients = tf.while_loop(lambda step, *_: step >= 0, body, initial, maximum_iterations=steps)
    return _stack(gradients), d_states


_backward_loop_for_xla = functools.partial(_backward_loop, with_xla=True)


def _project(inputs, weights):
    """x·W + b of all steps; ids take their rows of a table in which that product is done for each character."""
    return tf.gather(weights.kernel, inputs) if inputs.dtype.is_integer else input_projection(inputs, weights)


def _weight_gradients(inputs, d_products, biases):
    """The gradients of a kernel and of its bias, where it has one, for all steps and rows in one product."""
    inputs, d_products = (tf.reshape(tensor, [-1, tensor.shape[-1]]) for tensor in (inputs, d_products))
    d_kernel = tf.matmul(inputs, d_products, transpose_a=True)
    # BiasAddGrad adds half-precision numbers up in float32.
    return [d_kernel, *(tf.raw_ops.BiasAddGrad(out_backprop=d_products) for _ in biases)]


def _input_gradients(inputs, d_projected, weights):
    """The gradients of the inputs, None for ids, and those of kernel and bias, or of the table."""
    if inputs.dtype.is_integer:
        inputs = tf.one_hot(inputs, weights.kernel.shape[0], dtype=d_projected.dtype)
        return None, _weight_gradients(inputs, d_projected, [])
    biases = [bias for bias in weights[1:2] if bias is not None]
    return tf.tensordot(d_projected, weights.kernel, [[2], [1]]), _weight_gradients(inputs, d_projected, biases)


@functools.lru_cache(maxsize=256)
def _compiled(loop, jit_compile, shape):
    """A loop as a `tf.function`, one for each shape of inputs: TensorFlow warns of a single one that sees many shapes."""
    return tf.function(functools.partial(loop), jit_compile=jit_compile, autograph=False)


def _parts(steps):
    """Cut a sequence of a known length into equal parts: what one part alone needs is freed when the part is done.

    Equal, because XLA compiles the loops anew for every length; a length without a divisor stays whole.
    """
    if not steps:
        return [(0, None)]
    most = max(1, min(MOST_PARTS, steps // SHORTEST_PART))
    length = steps // next(count for count in range(most, 0, -1) if steps % count == 0)
    return [(begin, begin + length) for begin in range(0, steps, length)]


def _recurrence(cell, inputs, states, weights, with_xla=True):
    """Run a cell over time, differentiably.

    Args:
        inputs: (time, batch, features), or ids (time, batch).
        states: list of (batch, units), float32.
        weights: the layer's `RecurrentWeights`; with ids, its kernel is the table that `_project` reads.
        with_xla: whether XLA compiles the loops, in float32.

    Returns:
        The outputs (time, batch, units) and the last states.
    """
    jit_compile = with_xla and weights.kernel.dtype == tf.float32
    shape = (*inputs.shape, *weights.recurrent_kernel.shape)
    loops = _forward_loop, _backward_loop_for_xla if jit_compile else _backward_loop
    forward, backward = (_compiled(loop, jit_compile, shape) for loop in loops)
    parts = _parts(inputs.shape[0])
    present = [name for name, weight in weights._asdict().items() if weight is not None]

    @tf.custom_gradient
    def run(*arguments):
        # An eager tape must not look into the compiled loops, whose gradient is the one below.
        inputs, initial_states, weights = tf.nest.map_structure(tf.stop_gradient, arguments)
        weights = RecurrentWeights(**{**dict.fromkeys(RecurrentWeights._fields), **dict(zip(present, weights))})
        outputs, states, saved = _read_parts(cell, forward, parts, inputs, initial_states, weights)

        def gradient(d_outputs, *d_states):
            read = _PartsRead(parts, inputs, initial_states[0], outputs, saved)
            d_inputs, d_states, d_weights = _gradient_of_parts(cell, backward, read, weights, d_outputs, d_states)
            return d_inputs, list(d_states), d_weights

        return (outputs, *states), gradient

    outputs, *last_states = run(inputs, states, [tf.convert_to_tensor(w) for w in weights if w is not None])
    return outputs, last_states


class _PartsRead(NamedTuple):
    """What the way back needs of the way forward."""

    parts: list  # of (begin, end)
    inputs: tf.Tensor
    initial_hidden: tf.Tensor
    outputs: tf.Tensor
    saved: list  # for each part, what its steps saved


def _read_parts(cell, forward, parts, inputs, states, weights):
    """Run a cell over a sequence part by part: the outputs, the last states, and what each part saved."""
    recurrent = [weight for weight in weights[2:] if weight is not None]
    outputs, saved = [], []
    for begin, end in parts:
        with tf.control_dependencies(states[:1]):  # not all parts' products at once
            projected = _project(tf.identity(inputs[begin:end]), weights)
        part_outputs, states, part_saved = forward(cell, projected, states, recurrent)
        outputs.append(part_outputs)
        saved.append(part_saved)
    return outputs[0] if len(parts) == 1 else tf.concat(outputs, axis=0), states, saved


def _gradient_of_parts(cell, backward, read, weights, d_outputs, d_states):
    """Run a cell's gradient back part by part: the gradients of inputs, initial states and weights."""
    inputs, outputs = read.inputs, read.outputs
    biases = [bias for bias in weights[3:] if bias is not None]
    d_inputs, d_weights, done = [], [], []
    for (begin, end), saved in reversed(list(zip(read.parts, read.saved))):
        # Outside the compiled loop, which would hold on to all that is no longer needed here.
        previous = outputs[begin - 1 : end - 1] if begin else _shifted(outputs[:end], read.initial_hidden)
        with tf.control_dependencies(done):  # nor all parts' gradients at once
            d_part = tf.identity(d_outputs[begin:end])
        d_products, d_states = backward(cell, d_part, d_states, previous, saved, weights.recurrent_kernel)
        d_input, d_input_weights = _input_gradients(inputs[begin:end], d_products[-1], weights)
        d_inputs.append(d_input)
        d_weights.append(d_input_weights + _weight_gradients(previous, d_products[0], biases))
        done = d_weights[-1]
    d_inputs = None if inputs.dtype.is_integer else tf.concat(d_inputs[::-1], axis=0)
    return d_inputs, d_states, [_sum(of_parts) for of_parts in zip(*d_weights)]


def _shifted(outputs, initial_hidden):
    """h before each step, (time, batch, units)."""
    return tf.concat([tf.cast(initial_hidden, outputs.dtype)[tf.newaxis], outputs[:-1]], axis=0)


def _sum(parts):
    """Add half-precision numbers up in float32."""
    return tf.cast(tf.add_n([tf.cast(part, tf.float32) for part in parts]), parts[0].dtype)


def _gpu_available():
    return bool(tf.config.list_logical_devices("GPU"))


def covers(layer, mask=None):
    """Say whether the fast loop computes what this layer is configured to; if not, Keras' own loop runs."""
    cell = layer.cell
    return (
        not _gpu_available()  # cuDNN is faster there
        and all(m is None for m in keras.tree.flatten(mask))
        and not (layer.go_backwards or layer.unroll or cell.recurrent_dropout)
        and cell.activation is keras.activations.tanh
        and getattr(cell, "recurrent_activation", keras.activations.sigmoid) is keras.activations.sigmoid
        and getattr(cell, "reset_after", True)
        and getattr(cell, "implementation", 2) == 2
        and getattr(layer, "use_cudnn", "auto") is not True  # Keras' error then
        and cell.use_bias
        and cell.compute_dtype in ("float32", "bfloat16", "float16")
    )


def _time_major(sequences):
    return tf.transpose(sequences, [1, 0, *range(2, len(sequences.shape))])


def _through_table(sequences, weights):
    """Put ids for vectors, and a table of x·W + b for W, where a batch has more characters than the vocabulary."""
    ids, vectors = getattr(sequences, "_looked_up", (None, None))
    characters = None if ids is None else ids.shape.num_elements()  # None where the length is not known yet
    if characters is None or characters <= vectors.shape[0]:
        return sequences, weights
    table = input_projection(tf.cast(vectors, sequences.dtype), weights)
    return ids, RecurrentWeights(table, None, *weights[2:])


@keras.saving.register_keras_serializable(package="charlm")
class Embedding(keras.layers.Embedding):
    """`keras.layers.Embedding`, which lets a recurrent layer of this module know what was looked up where.

    There are few characters: the layer multiplies each one's vector by its kernel once, not at every step and row.
    """

    def call(self, inputs):
        outputs = super().call(inputs)
        if not self.mask_zero and isinstance(outputs, tf.Tensor) and len(outputs.shape) == 3:
            # On the tensor itself, as Keras does with masks: whatever comes between makes a tensor without it.
            outputs._looked_up = (tf.cast(inputs, tf.int32), tf.convert_to_tensor(self.embeddings))
        return outputs


class _FastLoop:
    """Replaces the loop over time of a Keras recurrent layer where `covers` holds.

    `weight_dropout` is the one argument that Keras' layers lack: the share of the recurrent kernel that is 0 in a batch of
    training, for all its rows and steps (Wan et al. 2013; Merity et al. 2018).
    """

    _with_xla = True

    def __init__(self, *args, weight_dropout=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.weight_dropout = weight_dropout

    def get_config(self):
        return {**super().get_config(), "weight_dropout": self.weight_dropout}

    def inner_loop(self, sequences, initial_state, mask, training=False):
        kernel = self.cell.recurrent_kernel
        if training and self.weight_dropout:
            kernel = keras.random.dropout(kernel, self.weight_dropout, seed=self.cell.seed_generator)
        if not covers(self, mask):
            with _recurrent_kernel(self.cell, kernel):
                return super().inner_loop(sequences, initial_state, mask, training=training)
        if training and self.dropout:  # one mask for all steps, as in Keras' loop
            sequences *= self.cell.get_dropout_mask(sequences[:, 0, :])[:, tf.newaxis, :]
        weights = recurrent_weights(self)._replace(recurrent_kernel=tf.convert_to_tensor(kernel))
        states = [tf.cast(state, tf.float32) for state in keras.tree.flatten(initial_state)]
        inputs, weights = _through_table(sequences, weights)
        outputs, states = _recurrence(self._fast_cell, _time_major(inputs), states, weights, self._with_xla)
        outputs = tf.ensure_shape(_time_major(outputs), [None, sequences.shape[1], None])  # `_parts` of the next layer
        return states[0], outputs, states


@contextlib.contextmanager
def _recurrent_kernel(cell, kernel):
    """Let a cell of Keras compute with another kernel: past its own bookkeeping, which would take it for a new weight."""
    own = cell.recurrent_kernel
    object.__setattr__(cell, "recurrent_kernel", kernel)
    try:
        yield
    finally:
        object.__setattr__(cell, "recurrent_kernel", own)


@keras.saving.register_keras_serializable(package="charlm")
class GRU(_FastLoop, keras.layers.GRU):
    """`keras.layers.GRU`, faster on a CPU: same arguments, weights and results."""

    _fast_cell = _CELLS["gru"]


@keras.saving.register_keras_serializable(package="charlm")
class LSTM(_FastLoop, keras.layers.LSTM):
    """`keras.layers.LSTM`, faster on a CPU: same arguments, weights and results."""

    _fast_cell = _CELLS["lstm"]


@keras.saving.register_keras_serializable(package="charlm")
class SimpleRNN(_FastLoop, keras.layers.SimpleRNN):
    """`keras.layers.SimpleRNN`, faster on a CPU: same arguments, weights and results."""

    _fast_cell = _CELLS["rnn"]

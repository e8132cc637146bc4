"""Recurrent layers that are fast on a CPU too: Keras' GRU, LSTM and SimpleRNN with another inner loop.

Same arguments, weights, names and results as Keras' layers; on a GPU, and wherever `covers` says no, they
are Keras' layers. What cuDNN does on a GPU is done here for a CPU, in three moves:

1. x·W + b for all time steps is one matrix product before the loop; each step is left with h·U alone.
2. A hand-written gradient keeps only the gates of the forward pass and walks back with one product a step.
3. dU and its bias gradient are formed for the whole sequence in one product after the backward loop,
   instead of being added up step by step.

XLA compiles both loops in float32, which fuses the gates into single passes over memory. In bfloat16 and
float16 TensorFlow's own products run, since those use the processor's half-precision instructions.

The equations are Keras' (gate order z, r, h and i, f, c, o); `gru_step`, `lstm_step` and `rnn_step` are one
step of them on plain tensors, and what a generator needs of a layer is in `recurrent_weights`.
"""

from typing import Callable, NamedTuple

import keras
import tensorflow as tf


class RecurrentWeights(NamedTuple):
    """What one recurrent layer computes with: x·kernel + input_bias, h·recurrent_kernel + recurrent_bias."""

    kernel: tf.Tensor  # (features, gates * units)
    input_bias: tf.Tensor | None  # (gates * units,)
    recurrent_kernel: tf.Tensor  # (units, gates * units)
    recurrent_bias: tf.Tensor | None  # (gates * units,), of a GRU alone


def recurrent_weights(layer):
    """Return the `RecurrentWeights` of a GRU, LSTM or SimpleRNN layer, Keras' or charlm's.

    Raises:
        ValueError: the layer is a GRU with `reset_after=False`, whose equations `gru_step` does not follow.
    """
    cell = layer.cell
    if not getattr(cell, "reset_after", True):
        raise ValueError(f"layer {layer.name!r} has reset_after=False; charlm's step needs reset_after=True.")
    bias = cell.bias.value if cell.use_bias else None
    input_bias, recurrent_bias = (bias, None) if bias is None or len(bias.shape) == 1 else tf.unstack(bias)
    return RecurrentWeights(cell.kernel.value, input_bias, cell.recurrent_kernel.value, recurrent_bias)


def input_projection(inputs, weights):
    """Multiply inputs (..., features) by the layer's kernel and add its bias: (..., gates * units)."""
    projected = tf.tensordot(inputs, weights.kernel, 1)
    return projected if weights.input_bias is None else tf.nn.bias_add(projected, weights.input_bias)


def gru_step(projected, states, recurrent_kernel, recurrent_bias=None):
    """Advance a GRU by one time step (Cho et al. 2014, with the reset gate after the product, as in cuDNN).

    The product h·U has the kernel's precision, the gates that of the state.

    Args:
        projected: (batch, 3 * units), x·W + b of this step, from `input_projection`.
        states: [h], h (batch, units).
        recurrent_kernel: (units, 3 * units).
        recurrent_bias: (3 * units,) or None.

    Returns:
        The output (batch, units) and the new states [h].
    """
    states, _ = _gru_forward(projected, states, recurrent_kernel, recurrent_bias)
    return states[0], states


def lstm_step(projected, states, recurrent_kernel):
    """Advance an LSTM by one time step (Hochreiter and Schmidhuber 1997, with a forget gate).

    The product h·U has the kernel's precision, the gates that of the states.

    Args:
        projected: (batch, 4 * units), x·W + b of this step, from `input_projection`.
        states: [h, c], both (batch, units).
        recurrent_kernel: (units, 4 * units).

    Returns:
        The output (batch, units) and the new states [h, c].
    """
    states, _ = _lstm_forward(projected, states, recurrent_kernel)
    return states[0], states


def rnn_step(projected, states, recurrent_kernel):
    """Advance a SimpleRNN (tanh) by one time step.

    Args:
        projected: (batch, units), x·W + b of this step, from `input_projection`.
        states: [h], h (batch, units).
        recurrent_kernel: (units, units).

    Returns:
        The output (batch, units) and the new states [h].
    """
    states, _ = _rnn_forward(projected, states, recurrent_kernel)
    return states[0], states


def _gates(projected, hidden, recurrent_kernel):
    """x·W + b and h·U in the state's precision."""
    recurrent = tf.matmul(tf.cast(hidden, recurrent_kernel.dtype), recurrent_kernel)
    return tf.cast(projected, hidden.dtype), tf.cast(recurrent, hidden.dtype)


def _gru_forward(projected, states, recurrent_kernel, recurrent_bias=None):
    """One step: the new states, and what `_gru_backward` needs of it."""
    (hidden,) = states
    projected, recurrent = _gates(projected, hidden, recurrent_kernel)
    if recurrent_bias is not None:
        recurrent += tf.cast(recurrent_bias, hidden.dtype)
    projected_z, projected_r, projected_h = tf.split(projected, 3, axis=-1)
    recurrent_z, recurrent_r, recurrent_h = tf.split(recurrent, 3, axis=-1)
    update = tf.sigmoid(projected_z + recurrent_z)
    reset = tf.sigmoid(projected_r + recurrent_r)
    candidate = tf.tanh(projected_h + reset * recurrent_h)
    hidden = update * hidden + (1 - update) * candidate
    return [hidden], [update, reset, candidate, recurrent_h]


def _gru_backward(d_states, previous_states, saved):
    """One step back: the gradients of x·W + b and, apart from what flows through h·U, of the states."""
    (d_hidden,), (hidden,) = d_states, previous_states
    update, reset, candidate, recurrent_h = saved
    d_candidate = d_hidden * (1 - update) * (1 - candidate * candidate)
    d_update = d_hidden * (hidden - candidate) * update * (1 - update)
    d_reset = d_candidate * recurrent_h * reset * (1 - reset)
    return tf.concat([d_update, d_reset, d_candidate], axis=-1), [d_hidden * update]


def _gru_recurrent_gradient(d_projected, saved):
    """The gradient of h·U + b, given that of x·W + b: the reset gate stands between them in one of three."""
    d_update, d_reset, d_candidate = tf.split(d_projected, 3, axis=-1)
    return tf.concat([d_update, d_reset, d_candidate * tf.cast(saved[1], d_candidate.dtype)], axis=-1)


def _lstm_forward(projected, states, recurrent_kernel):
    """One step: the new states, and what `_lstm_backward` needs of it."""
    hidden, carry = states
    projected, recurrent = _gates(projected, hidden, recurrent_kernel)
    input_gate, forget, candidate, output = tf.split(projected + recurrent, 4, axis=-1)
    input_gate, forget, output = tf.sigmoid(input_gate), tf.sigmoid(forget), tf.sigmoid(output)
    candidate = tf.tanh(candidate)
    new_carry = forget * carry + input_gate * candidate
    return [output * tf.tanh(new_carry), new_carry], [input_gate, forget, candidate, output, carry]


def _lstm_backward(d_states, _, saved):
    """One step back: the gradients of x·W + b and, apart from what flows through h·U, of the states."""
    d_hidden, d_carry = d_states
    input_gate, forget, candidate, output, carry = saved
    tanh_carry = tf.tanh(forget * carry + input_gate * candidate)
    d_carry += d_hidden * output * (1 - tanh_carry * tanh_carry)
    d_gates = [
        d_carry * candidate * input_gate * (1 - input_gate),
        d_carry * carry * forget * (1 - forget),
        d_carry * input_gate * (1 - candidate * candidate),
        d_hidden * tanh_carry * output * (1 - output),
    ]
    return tf.concat(d_gates, axis=-1), [tf.zeros_like(d_hidden), d_carry * forget]


def _rnn_forward(projected, states, recurrent_kernel):
    """One step: the new states, and what `_rnn_backward` needs of it."""
    projected, recurrent = _gates(projected, states[0], recurrent_kernel)
    hidden = tf.tanh(projected + recurrent)
    return [hidden], [hidden]


def _rnn_backward(d_states, _, saved):
    """One step back: the gradients of x·W + b and, apart from what flows through h·U, of the state."""
    (d_hidden,), (hidden,) = d_states, saved
    return d_hidden * (1 - hidden * hidden), [tf.zeros_like(d_hidden)]


def _same_gradient(d_projected, _):
    """The gradient of h·U where it is added to x·W + b: the same."""
    return d_projected


class _Cell(NamedTuple):
    forward: Callable
    backward: Callable
    recurrent_gradient: Callable = _same_gradient


_GRU = _Cell(_gru_forward, _gru_backward, _gru_recurrent_gradient)
_LSTM = _Cell(_lstm_forward, _lstm_backward)
_SIMPLE_RNN = _Cell(_rnn_forward, _rnn_backward)


def _reader(sequence):
    return tf.TensorArray(sequence.dtype, tf.shape(sequence)[0], element_shape=sequence.shape[1:]).unstack(sequence)


def _forward_loop(cell, projected, states, weights):
    """Run a cell over time.

    Args:
        projected: (time, batch, gates * units).
        states: list of (batch, units), float32.
        weights: [recurrent_kernel] or [recurrent_kernel, recurrent_bias].

    Returns:
        The outputs (time, batch, units), the last states, and the saved tensors of all steps (time, batch, units).
    """
    steps, dtype = tf.shape(projected)[0], projected.dtype
    projected = _reader(projected)

    def arrays(count):
        return [tf.TensorArray(dtype, steps, element_shape=states[0].shape) for _ in range(count)]

    def write(sequences, step, values):
        return [array.write(step, tf.cast(value, dtype)) for array, value in zip(sequences, values)]

    def body(step, states, outputs, saved):
        states, values = cell.forward(projected.read(step), states, *weights)
        return step + 1, states, write(outputs, step, states[:1]), write(saved, step, values)

    saved_count = {_GRU: 4, _LSTM: 5, _SIMPLE_RNN: 1}[cell]
    _, states, outputs, saved = tf.while_loop(
        lambda step, *_: step < steps,
        body,
        [0, list(states), arrays(1), arrays(saved_count)],
        maximum_iterations=steps,
    )
    return outputs[0].stack(), states, [array.stack() for array in saved]


def _backward_loop(cell, d_outputs, d_states, outputs, states, saved, weights):
    """Run a cell's gradient back over time, then form the weights' gradients in one product.

    Args:
        d_outputs, outputs: (time, batch, units), the gradient of the outputs and the outputs.
        d_states, states: lists of (batch, units), the gradient of the last states and the initial states.
        saved: list of (time, batch, units), from `_forward_loop`.
        weights: [recurrent_kernel] or [recurrent_kernel, recurrent_bias].

    Returns:
        The gradients of `projected`, of the initial states and of the weights.
    """
    steps, dtype, recurrent_kernel = tf.shape(outputs)[0], outputs.dtype, weights[0]
    previous = tf.concat([tf.cast(states[:1], dtype), outputs[:-1]], axis=0)  # (time, batch, units)
    d_outputs_at, previous_at, *saved_at = map(_reader, (d_outputs, previous, *saved))

    def body(step, d_states, d_projected):
        def read(array):
            return tf.cast(array.read(step), d_states[0].dtype)

        values = [read(array) for array in saved_at]
        d_states = [d_states[0] + read(d_outputs_at), *d_states[1:]]
        d_step, d_states = cell.backward(d_states, [read(previous_at)], values)
        d_recurrent = tf.cast(cell.recurrent_gradient(d_step, values), recurrent_kernel.dtype)
        product = tf.matmul(d_recurrent, recurrent_kernel, transpose_b=True)
        d_states[0] += tf.cast(product, d_states[0].dtype)
        return step - 1, d_states, d_projected.write(step, tf.cast(d_step, dtype))

    _, d_states, d_projected = tf.while_loop(
        lambda step, *_: step >= 0,
        body,
        [steps - 1, list(d_states), tf.TensorArray(dtype, steps)],
        maximum_iterations=steps,
    )
    d_projected = d_projected.stack()
    d_recurrent = cell.recurrent_gradient(d_projected, saved)
    return d_projected, d_states, _weight_gradients(previous, d_recurrent, weights)


def _weight_gradients(previous, d_recurrent, weights):
    """dU, and the bias' gradient where the cell has one, for all steps and rows at once."""
    units, width = weights[0].shape
    previous = tf.reshape(previous, [-1, units])  # (time * batch, units)
    d_recurrent = tf.reshape(d_recurrent, [-1, width])  # (time * batch, gates * units)
    d_kernel = tf.matmul(previous, d_recurrent, transpose_a=True)
    # BiasAddGrad adds half-precision numbers up in float32.
    return [d_kernel, *(tf.raw_ops.BiasAddGrad(out_backprop=d_recurrent) for _ in weights[1:])]


_loops = {jit: (tf.function(_forward_loop, jit_compile=jit), tf.function(_backward_loop, jit_compile=jit))
          for jit in (True, False)}


def _recurrence(cell, projected, states, weights):
    """Run a cell over time, differentiably: outputs (time, batch, units) and the last states."""
    forward, backward = _loops[projected.dtype == tf.float32]

    @tf.custom_gradient
    def run(projected, states, weights):
        outputs, last_states, saved = forward(cell, projected, states, weights)

        def gradient(d_outputs, *d_states):
            return backward(cell, d_outputs, list(d_states), outputs, states, saved, weights)

        return (outputs, *last_states), gradient

    outputs, *last_states = run(projected, states, weights)
    return outputs, last_states


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


class _FastLoop:
    """Replaces the loop over time of a Keras recurrent layer where `covers` holds."""

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if not covers(self, mask):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        if training and self.dropout:  # one mask for all steps, as in Keras' loop
            sequences *= self.cell.get_dropout_mask(sequences[:, 0, :])[:, tf.newaxis, :]
        weights = recurrent_weights(self)
        projected = input_projection(tf.transpose(sequences, [1, 0, 2]), weights)
        states = [tf.cast(state, tf.float32) for state in keras.tree.flatten(initial_state)]
        recurrent = [tf.convert_to_tensor(weight) for weight in weights[2:] if weight is not None]
        outputs, states = _recurrence(self._fast_cell, projected, states, recurrent)
        return states[0], tf.transpose(outputs, [1, 0, 2]), states


@keras.saving.register_keras_serializable(package="charlm")
class GRU(_FastLoop, keras.layers.GRU):
    """`keras.layers.GRU`, faster on a CPU: same arguments, weights and results."""

    _fast_cell = _GRU


@keras.saving.register_keras_serializable(package="charlm")
class LSTM(_FastLoop, keras.layers.LSTM):
    """`keras.layers.LSTM`, faster on a CPU: same arguments, weights and results."""

    _fast_cell = _LSTM


@keras.saving.register_keras_serializable(package="charlm")
class SimpleRNN(_FastLoop, keras.layers.SimpleRNN):
    """`keras.layers.SimpleRNN`, faster on a CPU: same arguments, weights and results."""

    _fast_cell = _SIMPLE_RNN

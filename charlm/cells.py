"""The equations of the recurrent cells, once: one step of a vanilla RNN, a GRU and an LSTM, on plain tensors.

Weights and gate order are Keras': z, r, candidate for the GRU (with `reset_after`, as cuDNN has it); i, f,
candidate, o for the LSTM.
"""

from typing import NamedTuple

import keras
import tensorflow as tf


class CellWeights(NamedTuple):
    """The weights of a recurrent layer, the two halves of a step apart."""

    kernel: tf.Tensor  # (inputs, gates * units)
    bias: tf.Tensor  # (gates * units,)
    recurrent_kernel: tf.Tensor  # (units, gates * units)
    recurrent_bias: tf.Tensor  # (gates * units,); zero but for the GRU


def cell_name(layer):
    """Name a Keras layer's cell: "gru", "lstm" or "rnn"."""
    kinds = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM, "rnn": keras.layers.SimpleRNN}
    return next(name for name, kind in kinds.items() if isinstance(layer, kind))


def cell_weights(layer):
    """Read the `CellWeights` of a Keras GRU, LSTM or SimpleRNN layer."""
    cell = layer.cell
    bias, recurrent_bias = tf.unstack(cell.bias) if cell_name(layer) == "gru" else (cell.bias, tf.zeros_like(cell.bias))
    return CellWeights(*map(tf.convert_to_tensor, (cell.kernel, bias, cell.recurrent_kernel, recurrent_bias)))


def cell_step(name, projected, states, weights):
    """Take one step of a cell.

    Args:
        name: "gru", "lstm" or "rnn".
        projected: (batch, gates * units): the inputs times the kernel, plus the bias.
        states: tuple of (batch, units): (h,), or (h, c) for an LSTM.
        weights: a `CellWeights`; kernel and bias are not used here.

    Returns:
        The new states, in the same order; the first is the cell's output.
    """
    recurrent = states[0] @ weights.recurrent_kernel
    if name == "gru":
        return _gru(projected, states[0], recurrent + weights.recurrent_bias)
    if name == "lstm":
        return _lstm(projected + recurrent, states[1])
    return (tf.tanh(projected + recurrent),)


def _gru(projected, h, recurrent):
    """Cho et al. 2014, in the variant of cuDNN: the reset gate acts after the recurrent product."""
    update, reset, candidate = tf.split(projected, 3, axis=-1)
    recurrent_update, recurrent_reset, recurrent_candidate = tf.split(recurrent, 3, axis=-1)
    update = tf.sigmoid(update + recurrent_update)
    candidate = tf.tanh(candidate + tf.sigmoid(reset + recurrent_reset) * recurrent_candidate)
    return (update * h + (1 - update) * candidate,)


def _lstm(gates, c):
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    write, keep, candidate, show = tf.split(gates, 4, axis=-1)
    c = tf.sigmoid(keep) * c + tf.sigmoid(write) * tf.tanh(candidate)
    return tf.sigmoid(show) * tf.tanh(c), c

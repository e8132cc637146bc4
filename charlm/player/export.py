"""A network as numbers that the player reads: weights rounded and packed, and what a visitor should know of them."""

import base64
import itertools
import zlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from charlm.engine import rnn

WEIGHTS = ("int8", "float16")
MOST_LOST = 0.005  # nats a character that rounding to int8 may cost
# Digits of base 85 as Python writes them, without the three that HTML knows.
SAFE = str.maketrans("<>&", ".:,")


class Packed(NamedTuple):
    """The weights of a network as text."""

    weights: str  # "int8" or "float16"
    tensors: list  # of [name, rows, columns], in the order in which they are packed
    bytes: int  # once they are compressed
    data: str  # base 85


def named_tensors(network):
    """List a network's weights with their names, matrices with a row for each output: what the player multiplies.

    Args:
        network: a `charlm.engine.rnn.NetworkWeights`.

    Returns:
        A dictionary of (rows, columns) float32 arrays, vectors with one column.
    """
    found = {"embedding": network.embedding}
    for number, layer in enumerate(network.layers):
        found[f"kernel {number}"], found[f"bias {number}"] = tf.transpose(layer.kernel), layer.input_bias
        found[f"recurrent {number}"] = tf.transpose(layer.recurrent_kernel)
        if layer.recurrent_bias is not None:
            found[f"recurrent bias {number}"] = layer.recurrent_bias
    found["logits"], found["logits bias"] = tf.transpose(network.logits[0]), network.logits[1]
    return {name: np.asarray(tensor).reshape(len(tensor), -1) for name, tensor in found.items()}


def pack(network, weights):
    """Round a network's weights and write them as text.

    Args:
        network: a `charlm.engine.rnn.NetworkWeights`.
        weights: "float16", or "int8": matrices in whole numbers from -127 to 127 with a scale for each row, vectors
            in float32.

    Returns:
        A `Packed`.

    Raises:
        ValueError: another kind of weights.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights={weights!r} is not known; choose one of {', '.join(WEIGHTS)}, or None.")
    tensors = named_tensors(network)
    blob = b"".join(itertools.chain.from_iterable(_parts(tensor, weights) for tensor in tensors.values()))
    compressed = zlib.compress(blob, 9)
    text = base64.b85encode(compressed).decode("ascii").translate(SAFE)
    return Packed(weights, [[name, *tensor.shape] for name, tensor in tensors.items()], len(compressed), text)


def rounded(network):
    """Return the network that a page of int8 weights computes with, in float32."""

    def by_rows(matrix):
        scales, whole = _scaled(np.asarray(matrix))
        return tf.constant(scales * whole)

    def by_columns(matrix):
        return tf.transpose(by_rows(tf.transpose(matrix)))

    layers = [
        layer._replace(kernel=by_columns(layer.kernel), recurrent_kernel=by_columns(layer.recurrent_kernel))
        for layer in network.layers
    ]
    kernel, bias = network.logits
    return rnn.NetworkWeights(by_rows(network.embedding), layers, (by_columns(kernel), bias))


def loss(loop, texts):
    """Return a network's mean loss on texts, in nats a character, each read from zero state.

    Args:
        loop: a `charlm.engine.loop.Loop`.
        texts: list of (characters,) ids, of which the first is not scored.
    """
    return float(np.concatenate([nats[1:] for nats in loop.read(loop.start(len(texts)), texts)[1]]).mean())


def choose_weights(loop, texts):
    """Choose how to round: int8 where that costs at most 0.005 nats a character, else float16.

    Args:
        loop, texts: as for `loss`. On texts that the network wrote itself, at temperature 1, the cost is the divergence
            between the two networks, and cannot be negative but by chance.

    Returns:
        `(weights, cost)`: the choice, and by how many nats int8 raises the loss.
    """
    cost = loss(loop.with_weights(rounded(loop.network)), texts) - loss(loop, texts)
    return ("int8" if cost <= MOST_LOST else "float16"), cost


def _parts(tensor, weights):
    if weights == "float16":
        return [tensor.astype("<f2").tobytes()]
    if tensor.shape[1] == 1:
        return [tensor.astype("<f4").tobytes()]
    scales, whole = _scaled(tensor)
    return [scales.astype("<f4").tobytes(), whole.astype(np.int8).tobytes()]


def _scaled(matrix):
    """Each row as whole numbers from -127 to 127, and what to multiply it by: (rows, 1), (rows, columns) float32."""
    scales = np.abs(matrix).max(axis=1, keepdims=True).astype(np.float32) / np.float32(127)
    scales[scales == 0] = 1
    return scales, np.rint(matrix / scales).astype(np.float32)

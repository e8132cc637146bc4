"""Read a text and keep what every unit of a network did at every character: hidden states, cell states and gates."""

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from charlm.engine.rnn import cell_name, network_weights, recurrent_layers, run_cell

READ_AT_ONCE = 512  # characters a call of the compiled function
SIGNALS = {
    "rnn": ("hidden",),
    "gru": ("hidden", "update", "reset", "candidate"),
    "lstm": ("hidden", "cell", "input", "forget", "output", "candidate"),
}
GATES = ("input", "forget", "output", "update", "reset")


class Unit(NamedTuple):
    """One column of a trace."""

    layer: int  # from 1, as in the names of a network's layers
    signal: str  # "hidden", "cell", or a gate
    number: int  # from 0, as in the layer's weights

    def __str__(self):
        return f"layer {self.layer} {self.signal} {self.number}"


class Trace(NamedTuple):
    """What a network did at each character of a text, once it had read it."""

    text: str
    vocabulary: object  # the `Vocabulary` of the network
    signals: dict  # (layer, name) to (characters, units kept)
    units: np.ndarray  # (units kept,): which units the columns are of
    probabilities: np.ndarray | None  # (characters, vocabulary), of the character that comes next

    def values(self, unit):
        """Return what one unit did: (characters,) float32; of a cell state, its tanh.

        The tanh is all that the network can read of a cell state, which itself may drift without end over a long text.

        Args:
            unit: a `Unit`, or a tuple of layer, signal and number.

        Raises:
            ValueError: the trace does not hold this unit.
        """
        layer, signal, number = unit
        if (layer, signal) not in self.signals:
            kept = ", ".join(f"{name} of layer {place}" for place, name in self.signals)
            raise ValueError(f"The trace does not hold {signal!r} of layer {layer}; it holds {kept}.")
        if number not in self.units:
            shown = ", ".join(map(str, self.units[:10])) + (", …" if len(self.units) > 10 else "")
            raise ValueError(f"The trace does not hold unit {number}; it holds {len(self.units)} units: {shown}.")
        return readable(signal, self.signals[layer, signal][:, list(self.units).index(number)])

    def predictions(self, start=0, length=None, count=5):
        """Return the likeliest next characters, the likeliest first.

        Args:
            start, length: the characters to go through; None for all that are left.
            count: characters for each.

        Returns:
            `(ids, probabilities)`, both (characters, count).

        Raises:
            ValueError: the trace was made without probabilities.
        """
        if self.probabilities is None:
            raise ValueError("This trace has no probabilities; make it with probabilities=True.")
        stretch = self.probabilities[start : None if length is None else start + length]
        ids = np.argsort(-stretch.astype(np.float32), axis=1, kind="stable")[:, :count]
        return ids, np.take_along_axis(stretch, ids, axis=1)

    def __repr__(self):
        held = ", ".join(f"{name} of layer {layer}" for layer, name in self.signals)
        return f"Trace({len(self.text):,} characters, {len(self.units)} units: {held})"


def trace(model, vocabulary, text, layers=None, units=None, signals=None, probabilities=True, dtype="float32"):
    """Read a text in one pass with carried state, from zero, and keep what every unit did at every character.

    A signal of 512 units over a million characters takes 2 GB in float32: choose layers, units and signals, and
    float16, for long texts. The model's own state is not touched; the computation is in float32.

    Args:
        model: from `build_model`, of any batch size.
        vocabulary: the `Vocabulary` it was trained with.
        text: string of at least one character.
        layers: numbers of the recurrent layers to keep, from 1; None for all.
        units: numbers of the units to keep in each, from 0; None for all.
        signals: what to keep; None for all that the cell has. "hidden" is the hidden state; an LSTM also has "cell",
            its cell state, and its gates "input", "forget" and "output"; a GRU its gates "update" and "reset"; both
            have "candidate", what the gates let in.
        probabilities: whether to keep those of the next character.
        dtype: "float32" or "float16", of what is kept.

    Returns:
        A `Trace`.

    Raises:
        ValueError: an empty text, unknown characters, a layer, unit or signal that the model does not have, or a
            vocabulary of another size.
    """
    recurrent = recurrent_layers(model)
    cells = tuple(cell_name(layer) for layer in recurrent)
    ids = _encode(model, vocabulary, text)
    layers = choose("layer", layers, range(1, len(recurrent) + 1))
    signals = choose("signal", signals, SIGNALS[cells[0]])
    units = np.array(choose("unit", units, range(min(layer.units for layer in recurrent))))
    kept = {(layer, name): np.empty((len(ids), len(units)), dtype) for layer in layers for name in signals}
    chances = np.empty((len(ids), len(vocabulary)), dtype) if probabilities else None
    read, weights = _compiled_read(cells), network_weights(model)
    states = [[tf.zeros((1, layer.units))] * (2 if cell == "lstm" else 1) for cell, layer in zip(cells, recurrent)]
    for start in range(0, len(ids), READ_AT_ONCE):
        chunk = ids[start : start + READ_AT_ONCE].astype(np.int32)
        found, likely, states = read(weights, np.pad(chunk, (0, READ_AT_ONCE - len(chunk))), states)
        for (layer, name), array in kept.items():
            array[start : start + READ_AT_ONCE] = found[layer - 1][name].numpy()[: len(chunk), units]
        if probabilities:
            chances[start : start + READ_AT_ONCE] = likely.numpy()[: len(chunk)]
    return Trace(text, vocabulary, kept, units, chances)


@functools.lru_cache(maxsize=8)
def _compiled_read(cells):
    """Return the XLA function that reads `READ_AT_ONCE` characters with these cells, and gives all their signals."""

    def read(weights, ids, states):
        outputs, signals, last = tf.gather(weights.embedding, ids)[:, None], [], []  # (time, 1, features)
        for cell, layer, state in zip(cells, weights.layers, states, strict=True):
            found, state = run_cell(cell, outputs, state, layer)
            outputs = found["hidden"]
            signals.append({name: signal[:, 0] for name, signal in found.items()})
            last.append(state)
        kernel, bias = weights.logits
        return signals, tf.nn.softmax(outputs[:, 0] @ kernel + bias), last

    return tf.function(read, jit_compile=True, autograph=False)


def readable(signal, values):
    """What the rest of the network can read of a signal, in float32."""
    values = values.astype(np.float32)
    return np.tanh(values) if signal == "cell" else values


def _encode(model, vocabulary, text):
    if model.output_shape[-1] != len(vocabulary):
        raise ValueError(
            f"The model knows {model.output_shape[-1]} characters and the vocabulary has {len(vocabulary)}: they do "
            "not belong together. Use the vocabulary from the model's run folder."
        )
    if not text:
        raise ValueError("The text is empty; a trace needs at least one character.")
    return vocabulary.encode(text)


def choose(name, chosen, known):
    """Check a choice of layers, units or signals: a list without repetitions; None for all."""
    chosen = list(dict.fromkeys(known if chosen is None else chosen))
    strange = [value for value in chosen if value not in known]
    if strange or not chosen:
        there = f"{known[0]} to {known[-1]}" if isinstance(known, range) else ", ".join(known)
        problem = f"There is no {name} {strange[0]!r}" if strange else f"No {name} is chosen"
        raise ValueError(f"{problem}; the model has {there}.")
    return chosen

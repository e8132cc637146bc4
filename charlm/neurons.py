"""Inside a network: states and gates at every character of a text, and the units that stand for something.

`trace` reads a text and keeps what every unit did; `find_cells` looks among the units for those that follow a feature
of the text; `gate_statistics` says how much each gate is open or shut; `loss_increases` says what a unit is good for.
"""

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from charlm import rnn
from charlm.metrics import evaluate
from charlm.models import cell_name, recurrent_layers, with_batch_size

CHUNK = 512  # characters a call of the compiled function
STATES = ("hidden", "cell")
GATES = ("input", "forget", "output", "update", "reset")
SIGNALS = {
    "rnn": ("hidden",),
    "gru": ("hidden", "update", "reset", "candidate"),
    "lstm": ("hidden", "cell", "input", "forget", "output", "candidate"),
}
BLOCK = 32  # units that are scored at a time
FEWEST = 10  # characters at which a yes-or-no feature must hold, and at which it must not, in either half of the text


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
        return _readable(signal, self.signals[layer, signal][:, list(self.units).index(number)])

    def guesses(self, start=0, length=None, count=5):
        """Return the likeliest next characters, the likeliest first.

        Args:
            start, length: the characters to go through; None for all that are left.
            count: guesses for each.

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
    layers = _choose("layer", layers, range(1, len(recurrent) + 1))
    signals = _choose("signal", signals, SIGNALS[cells[0]])
    units = np.array(_choose("unit", units, range(min(layer.units for layer in recurrent))))
    kept = {(layer, name): np.empty((len(ids), len(units)), dtype) for layer in layers for name in signals}
    chances = np.empty((len(ids), len(vocabulary)), dtype) if probabilities else None
    read, weights = _compiled_read(cells), _weights(model)
    states = [[tf.zeros((1, layer.units))] * (2 if cell == "lstm" else 1) for cell, layer in zip(cells, recurrent)]
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK].astype(np.int32)
        found, likely, states = read(weights, np.pad(chunk, (0, CHUNK - len(chunk))), states)
        for (layer, name), array in kept.items():
            array[start : start + CHUNK] = found[layer - 1][name].numpy()[: len(chunk), units]
        if probabilities:
            chances[start : start + CHUNK] = likely.numpy()[: len(chunk)]
    return Trace(text, vocabulary, kept, units, chances)


@functools.cache
def _compiled_read(cells):
    """Return the XLA function that reads `CHUNK` characters with these cells, and gives all their signals."""

    def read(weights, ids, states):
        outputs, signals, last = tf.gather(weights["embedding"], ids)[:, None], [], []  # (time, 1, features)
        for cell, layer, state in zip(cells, weights["layers"], states, strict=True):
            found, outputs, state = _read_layer(cell, layer, outputs, state)
            signals.append({name: signal[:, 0] for name, signal in found.items()})
            last.append(state)
        kernel, bias = weights["logits"]
        return signals, tf.nn.softmax(outputs[:, 0] @ kernel + bias), last

    return tf.function(read, jit_compile=True)


def _read_layer(cell, weights, inputs, states):
    """Run one layer over (time, 1, features): its signals by name, its outputs and its last states."""
    projected = rnn.input_projection(inputs, weights)
    recurrent = [weight for weight in weights[2:] if weight is not None]
    kind = {"rnn": rnn._SIMPLE_RNN, "gru": rnn._GRU, "lstm": rnn._LSTM}[cell]
    outputs, states, saved = rnn._forward_loop(kind, projected, states, recurrent)
    signals = {"hidden": outputs}
    if cell == "gru":
        gates, signals["candidate"], _ = saved
        signals["update"], signals["reset"] = tf.split(gates, 2, axis=-1)
    if cell == "lstm":
        gates, signals["candidate"], signals["output"], earlier = saved
        signals["input"], signals["forget"] = tf.split(gates, 2, axis=-1)
        signals["cell"] = signals["forget"] * earlier + signals["input"] * signals["candidate"]
    return signals, outputs, states


def _weights(model):
    dense = model.get_layer("logits")
    weights = {
        "embedding": model.get_layer("embedding").embeddings.value,
        "layers": [rnn.recurrent_weights(layer) for layer in recurrent_layers(model)],
        "logits": (dense.kernel.value, dense.bias.value),
    }
    return tf.nest.map_structure(lambda weight: weight if weight is None else tf.cast(weight, tf.float32), weights)


def _readable(signal, values):
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


def _choose(name, chosen, known):
    """Check a choice of layers, units or signals: a list without repetitions; None for all."""
    chosen = list(dict.fromkeys(known if chosen is None else chosen))
    strange = [value for value in chosen if value not in known]
    if strange or not chosen:
        there = f"{known[0]} to {known[-1]}" if isinstance(known, range) else ", ".join(known)
        problem = f"There is no {name} {strange[0]!r}" if strange else f"No {name} is chosen"
        raise ValueError(f"{problem}; the model has {there}.")
    return chosen


class Cell(NamedTuple):
    """A unit that follows a feature."""

    unit: Unit
    score: float  # AUC or correlation, on the half of the text on which nothing was chosen
    fitted: float  # the same on the half on which the unit and its direction were chosen
    direction: int  # 1 where the unit is high when the feature is, -1 where it is low then
    threshold: float | None  # of a yes-or-no feature: the value that best tells yes from no on the first half

    def __str__(self):
        border = "" if self.threshold is None else f", threshold {self.threshold:.3f}"
        side = "high" if self.direction > 0 else "low"
        return f"{self.unit!s:24} {self.score:.3f} ({self.fitted:.3f} where chosen), {side}{border}"


class Search(NamedTuple):
    """What `find_cells` found, best first by the half on which the units were chosen."""

    measure: str  # "AUC", of 0.5 at chance, or "correlation", of 0 at chance
    cells: tuple
    chance: float  # the best score of the same search over shuffled features
    searched: int  # units

    @property
    def found(self):
        """Whether the best unit's score is nearer to perfect than to chance."""
        return self.cells[0].score > (1 + self.chance) / 2

    def __repr__(self):
        head = f"{self.measure} on held-out text; {self.searched:,} units; the best on shuffled features: {self.chance:.3f}"
        verdict = "" if self.found else "Nothing found: the best is nearer to chance than to 1. "
        return "\n".join([verdict + head, *map(str, self.cells)])


def find_cells(trace, feature, top=5, signals=STATES, shuffles=10, seed=0):
    """Look for units that follow a feature: chosen on the first half of the text, scored on the second.

    A yes-or-no feature is told by one threshold, and a unit's score is its AUC: the chance that the unit is higher at a
    character with the feature than at one without (or lower, whichever the first half says). A number is told by a
    straight line, and the score is the correlation. The same search for shuffled features says what chance can do with
    so many units. To shuffle, each half of the feature is shifted in a circle, so that its runs stay as long as they are.

    Args:
        trace: from `trace`.
        feature: (characters,) booleans or numbers, or a function that makes them of a text, as in `charlm.features`:
            what holds once each character has been read.
        top: units to return.
        signals: those to look among, where the trace has them.
        shuffles: shuffled features.
        seed: whole number that repeats the shuffles.

    Returns:
        A `Search`; `found` says whether there is anything to it.

    Raises:
        ValueError: a feature of another length than the text, with values that are not finite numbers, or (almost)
            the same everywhere in one half; or no signal to look among.
    """
    feature = _check_feature(feature(trace.text) if callable(feature) else feature, len(trace.text))
    searched = {key: array for key, array in trace.signals.items() if key[1] in signals}
    if not searched:
        raise ValueError(f"The trace holds none of {', '.join(signals)}; pass signals that it has, or trace them.")
    middle = len(feature) // 2
    halves = slice(None, middle), slice(middle, None)
    random = np.random.default_rng(seed)
    first, second = (_with_shuffled(feature[half], shuffles, random) for half in halves)
    score = _rank_score if feature.dtype == bool else _linear_score
    units = [Unit(*key, int(number)) for key in searched for number in trace.units]
    blocks = (block for key, array in searched.items() for block in _blocks(key[1], array[halves[0]]))
    fitted = np.concatenate([score(block, first) for block in blocks])
    held_out = functools.cache(lambda place: score(trace.values(units[place])[None, halves[1]], second)[0])
    best = np.argsort(-np.abs(fitted), axis=0, kind="stable")  # (units, 1 + shuffles)
    cells = [_cell(trace, units[p], feature[halves[0]], fitted[p, 0], held_out(p)[0]) for p in best[:top, 0]]
    chances = [held_out(p)[n] * np.sign(fitted[p, n]) for n, p in enumerate(best[0]) if n > 0]
    measure = "AUC" if feature.dtype == bool else "correlation"
    return Search(measure, tuple(cells), _as_measure(max(chances, default=0.0), feature.dtype == bool), len(units))


def _blocks(signal, array):
    """Yield a few units at a time, each unit in one piece: (units, characters) float32."""
    for start in range(0, array.shape[1], BLOCK):
        yield _readable(signal, np.ascontiguousarray(array[:, start : start + BLOCK].T))


def _cell(trace, unit, feature, fitted, held_out):
    direction = 1 if fitted >= 0 else -1
    yes_or_no = feature.dtype == bool
    values = trace.values(unit)[: len(feature)]
    threshold = direction * _threshold(direction * values, feature) if yes_or_no else None
    score, chosen = (_as_measure(direction * value, yes_or_no) for value in (held_out, fitted))
    return Cell(unit, score, chosen, direction, threshold)


def _as_measure(score, yes_or_no):
    """Turn 2 AUC - 1, which like a correlation is 0 at chance, into AUC."""
    return float((1 + score) / 2 if yes_or_no else score)


def _check_feature(feature, characters):
    feature = np.asarray(feature)
    if feature.shape != (characters,):
        raise ValueError(
            f"The feature has shape {feature.shape} and the text {characters:,} characters; give one for each."
        )
    if feature.dtype != bool:
        feature = feature.astype(np.float64)
        if not np.isfinite(feature).all():
            raise ValueError("The feature has values that are not finite numbers; give every character one.")
    for name, half in (("first", feature[: characters // 2]), ("second", feature[characters // 2 :])):
        common = max(np.unique(half, return_counts=True)[1], default=0)
        if len(half) - common < FEWEST or common < (FEWEST if feature.dtype == bool else 0):
            raise ValueError(
                f"The feature is the same at all but {len(half) - common} of the {len(half):,} characters in the {name} "
                f"half of the text; at least {FEWEST} are needed to tell anything. Trace a longer text."
            )
    return feature


def _with_shuffled(feature, shuffles, random):
    """Put a feature beside `shuffles` copies, each shifted in a circle by another distance: (1 + shuffles, characters)."""
    distances = random.integers(len(feature) // 10, len(feature) - len(feature) // 10, shuffles)
    return np.stack([feature, *(np.roll(feature, distance) for distance in distances)]).astype(np.float64)


def _rank_score(values, features):
    """2 AUC - 1 of each unit for each feature, from the sum of ranks (Mann and Whitney 1947): (units, features)."""
    holding, characters = features.sum(axis=1), features.shape[1]
    above = np.stack([_ranks(unit) for unit in values]) @ features.T - holding * (holding + 1) / 2
    return 2 * above / (holding * (characters - holding)) - 1


def _ranks(values):
    """The place of each value in the order of all, from 1; equal values share their mean place."""
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(starts, append=len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(starts + (counts + 1) / 2, counts)
    return ranks


def _linear_score(values, features):
    """The correlation of each unit with each feature, 0 for a unit that never moves: (units, features)."""
    values, features = (x - x.mean(axis=1, keepdims=True, dtype=np.float64) for x in (values, features))
    spread = np.sqrt(np.outer((values**2).sum(axis=1), (features**2).sum(axis=1)))
    return np.divide(values @ features.T, spread, out=np.zeros(spread.shape), where=spread > 0)


def _threshold(values, feature):
    """The border above which a character is called a yes with the fewest mistakes, yes and no weighing the same."""
    order = np.argsort(values)
    ordered, holds = values[order], feature[order]
    gain = np.cumsum(~holds) / (~holds).sum() - np.cumsum(holds) / holds.sum()
    gain[:-1][ordered[1:] == ordered[:-1]] = -1  # a border cannot part equal values
    place = int(np.argmax(gain[:-1]))
    return float((ordered[place] + ordered[place + 1]) / 2)


class Saturation(NamedTuple):
    """How much of the time a gate is shut or open, unit by unit, as shares from 0 to 1."""

    left: np.ndarray  # (units,): below 0.1
    right: np.ndarray  # (units,): above 0.9


def gate_statistics(trace, low=0.1, high=0.9):
    """Say how much of the time each unit's gates are saturated (Karpathy, Johnson and Fei-Fei 2015, figure 3).

    Args:
        trace: from `trace`, with the gates.
        low, high: below and above which a gate counts as shut and as open.

    Returns:
        A dictionary of (layer, gate) to `Saturation`.

    Raises:
        ValueError: the trace holds no gates.
    """
    gates = {key: array for key, array in trace.signals.items() if key[1] in GATES}
    if not gates:
        raise ValueError("The trace holds no gates: trace a GRU or an LSTM, with signals=None.")
    return {key: Saturation((array < low).mean(axis=0), (array > high).mean(axis=0)) for key, array in gates.items()}


def ablate(model, layer, unit, value):
    """Build the network in which one unit's hidden state is held at a value, whatever is read.

    What reads the unit is changed, in its layer and in the next: its rows of the weights become zero, and what they
    made of the value joins the biases. That is the same, and leaves an ordinary model.

    Args:
        model: from `build_model`.
        layer: number of the recurrent layer, from 1.
        unit: number of the unit, from 0.
        value: what to hold it at.

    Returns:
        A new model, for any batch size.

    Raises:
        ValueError: no such layer or unit.
    """
    recurrent = recurrent_layers(model)
    _choose("layer", [layer], range(1, len(recurrent) + 1))
    _choose("unit", [unit], range(recurrent[layer - 1].units))
    ablated = with_batch_size(model, None, stateful=False)
    _hold(ablated, layer, unit, value)
    return ablated


def _hold(model, layer, unit, value):
    cells = [each.cell for each in recurrent_layers(model)]
    own, dense = cells[layer - 1], model.get_layer("logits")
    following = (cells[layer].kernel, cells[layer].bias) if layer < len(cells) else (dense.kernel, dense.bias)
    for (kernel, bias), row in (((own.recurrent_kernel, own.bias), 1), (following, 0)):
        weights, biases = np.array(kernel), np.array(bias)
        read = biases[row] if biases.ndim == 2 else biases  # a GRU has biases for what comes in, and for its own state
        read += value * weights[unit]
        weights[unit] = 0
        kernel.assign(weights)
        bias.assign(biases)


def loss_increases(model, trace, units, rows=16):
    """Measure what is lost when a unit is held at its mean over the text, for one unit after the other.

    An LSTM's cell state counts as its unit: nothing of it is read but through the hidden state.

    Args:
        model: the network that was traced.
        trace: from `trace`, with the hidden states; its text is scored.
        units: list of `Unit`.
        rows: as in `evaluate`: parts of the text read side by side.

    Returns:
        (units, characters - 1) nats: how much the loss of each character after the first is higher than in the whole
        network. Column i belongs to the state after character i, so `[:, feature[:-1]]` are a feature's places.
    """
    ids = trace.vocabulary.encode(trace.text)
    before = evaluate(model, ids, rows).losses
    ablated = with_batch_size(model, None, stateful=False)
    increases = np.empty((len(units), len(before)), np.float32)
    for place, (layer, _, number) in enumerate(units):
        ablated.set_weights(model.get_weights())
        _hold(ablated, layer, number, trace.values((layer, "hidden", number)).mean(dtype=np.float64))
        increases[place] = evaluate(ablated, ids, rows).losses - before
    return increases

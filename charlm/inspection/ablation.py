"""Take a unit out of a network, and measure what that costs: what the unit is good for."""

import numpy as np

from charlm.engine.rnn import recurrent_layers
from charlm.inspection.trace import choose
from charlm.metrics import evaluate
from charlm.models import with_batch_size


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
    choose("layer", [layer], range(1, len(recurrent) + 1))
    choose("unit", [unit], range(recurrent[layer - 1].units))
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

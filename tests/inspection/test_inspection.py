"""Neurons: a trace is what Keras' layers compute, a search finds what is there and nothing else, ablation is exact."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import charlm
from charlm.engine.rnn import cell_step, input_projection, recurrent_layers, recurrent_weights
from charlm.inspection import features, search
from charlm.inspection.ablation import ablate, loss_increases
from charlm.inspection.search import find_cells, gate_statistics
from charlm.inspection.trace import READ_AT_ONCE, Trace, Unit, trace
from charlm.metrics import evaluate
from tests.deep import deep


@pytest.fixture
def text(vocabulary, ids):
    return vocabulary.decode(ids[: READ_AT_ONCE + 30])  # the last chunk is a short one


def made_up_trace(columns, name="hidden"):
    """A trace of one layer whose units did what `columns`, (characters, units), says."""
    columns = np.asarray(columns)
    text = "a" * len(columns)
    return Trace(text, charlm.Vocabulary("a"), {(1, name): columns}, np.arange(columns.shape[1]), None)


@pytest.mark.parametrize("cell", ["gru", "lstm", deep("rnn")])
def test_a_trace_holds_what_the_keras_layers_compute(small_model, vocabulary, text, cell):
    model = small_model(cell, 2, scale=1.0)
    found = trace(model, vocabulary, text)
    outputs = vocabulary.encode(text)[None].astype(np.int32)
    for layer in model.layers:
        outputs = layer(outputs)
        if layer in recurrent_layers(model):
            number = recurrent_layers(model).index(layer) + 1
            np.testing.assert_allclose(found.signals[number, "hidden"], outputs[0], atol=1e-5)
    np.testing.assert_allclose(found.probabilities, tf.nn.softmax(outputs[0]), atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", deep("gru"), deep("rnn")])
def test_states_of_a_trace_are_those_of_a_step_by_step_loop(small_model, vocabulary, text, cell):
    model = small_model(cell, 2, scale=1.0, batch_size=1, stateful=True)
    found = trace(model, vocabulary, text)
    for at, character in enumerate(vocabulary.encode(text[:40])):
        model(np.array([[character]], np.int32))
        for number, layer in enumerate(recurrent_layers(model), 1):
            for name, state in zip(("hidden", "cell"), layer.states):
                np.testing.assert_allclose(found.signals[number, name][at], state[0], atol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_gates_are_those_of_the_equations_and_recombine_to_the_states(small_model, vocabulary, text, cell):
    model = small_model(cell, 2, scale=1.0)
    found = trace(model, vocabulary, text)
    (layer, weights) = recurrent_layers(model)[1], recurrent_weights(recurrent_layers(model)[1])
    signal = {name: array for (number, name), array in found.signals.items() if number == 2}
    earlier = {name: np.roll(signal[name], 1, axis=0) * (np.arange(len(text)) > 0)[:, None] for name in signal}
    from_input = input_projection(found.signals[1, "hidden"], weights).numpy()
    from_state = earlier["hidden"] @ np.array(weights.recurrent_kernel)
    columns = {
        name: slice(place * layer.units, (place + 1) * layer.units)
        for place, name in enumerate({"gru": ("update", "reset", "candidate"), "lstm": ("input", "forget", "candidate", "output")}[cell])
    }  # fmt: skip
    if cell == "gru":
        from_state = from_state + np.array(weights.recurrent_bias)
        hidden = signal["update"] * earlier["hidden"] + (1 - signal["update"]) * signal["candidate"]
        candidate = np.tanh(from_input + np.tile(signal["reset"], 3) * from_state)[:, columns["candidate"]]
    else:
        np.testing.assert_allclose(
            signal["forget"] * earlier["cell"] + signal["input"] * signal["candidate"], signal["cell"], atol=1e-5
        )
        hidden = signal["output"] * np.tanh(signal["cell"])
        candidate = np.tanh(from_input + from_state)[:, columns["candidate"]]
    np.testing.assert_allclose(hidden, signal["hidden"], atol=1e-5)
    np.testing.assert_allclose(candidate, signal["candidate"], atol=1e-5)
    for name in set(columns) - {"candidate"}:
        expected = tf.sigmoid(from_input + from_state).numpy()[:, columns[name]]
        np.testing.assert_allclose(signal[name], expected, atol=1e-5)


def test_chosen_layers_units_and_signals_are_those_of_the_whole_trace(small_model, vocabulary, text):
    model = small_model("lstm", 2)
    whole = trace(model, vocabulary, text)
    chosen = trace(
        model, vocabulary, text, layers=[2], units=[7, 3], signals=["cell"], probabilities=False, dtype="float16"
    )
    assert list(chosen.signals) == [(2, "cell")] and chosen.probabilities is None
    assert chosen.signals[2, "cell"].dtype == np.float16
    np.testing.assert_allclose(chosen.signals[2, "cell"], whole.signals[2, "cell"][:, [7, 3]], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(
        chosen.values((2, "cell", 3)), np.tanh(chosen.signals[2, "cell"][:, 1].astype(np.float32))
    )


def test_a_trace_leaves_the_models_state_alone(small_model, vocabulary, text):
    model = small_model(batch_size=1, stateful=True)
    model(vocabulary.encode(text[:20])[None].astype(np.int32))
    before = recurrent_layers(model)[0].states[0].numpy()
    trace(model, vocabulary, text)
    np.testing.assert_array_equal(recurrent_layers(model)[0].states[0].numpy(), before)


def test_predictions_are_the_likeliest_characters_in_order(small_model, vocabulary, text):
    found = trace(small_model(), vocabulary, text)
    ids, chances = found.predictions(5, 10, 3)
    assert ids.shape == chances.shape == (10, 3)
    for row, (best, given_chances) in enumerate(zip(ids, chances), 5):
        expected = sorted(found.probabilities[row], reverse=True)[:3]
        np.testing.assert_array_equal(given_chances, expected)
        np.testing.assert_array_equal(found.probabilities[row][best], expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ""}, "text is empty"),
        ({"text": "the Ω"}, r"Not in the vocabulary: 'Ω' \(position 4\)"),
        ({"layers": [0]}, "There is no layer 0; the model has 1 to 1"),
        ({"units": [12]}, "There is no unit 12; the model has 0 to 11"),
        ({"units": []}, "No unit is chosen"),
        ({"signals": ["cell"]}, "There is no signal 'cell'; the model has hidden, update, reset, candidate"),
        ({"vocabulary": charlm.Vocabulary("ab")}, "do not belong together"),
    ],
)
def test_what_cannot_be_traced_is_refused(small_model, vocabulary, arguments, message):
    with pytest.raises(ValueError, match=message):
        trace(**{"model": small_model(), "vocabulary": vocabulary, "text": "the dog", **arguments})


@pytest.mark.parametrize("unit", [(1, "cell", 0), (2, "hidden", 0), (1, "hidden", 3)])
def test_a_unit_that_was_not_traced_is_refused(unit):
    with pytest.raises(ValueError, match="The trace does not hold"):
        made_up_trace(np.zeros((5, 3))).values(unit)


@pytest.mark.parametrize(
    ("function", "text", "expected"),
    [
        (features.inside_quotes, 'a "b" c "d', "0011000011"),
        (features.inside_quotes, '"a\n\nb "c"', "111100110"),
        (lambda text: features.inside_quotes(text, "“”"), "“a“b”c", "111100"),
        (features.bracket_depth, "a)(b(c)d)e", "0011221100"),
        (features.inside_brackets, "a(b(c)d)e", "011111100"),
        (features.inside_comment, "a/*b*/*c*/", "0011100000"),
        (features.inside_comment, "/* open", "0000000"),
        (features.inside_link, "a[[b]]c", "0011100"),
        (features.inside_url, "a http://b.c d", "00000000111100"),
        (features.inside_if, "if (a(b)) c(d)", "00011111000000"),
        (features.inside_if, "gif (a) if (b", "0000000000000"),
        (features.position_in_line, "ab\ncd", "12012"),
        (features.distance_to_line_end, "ab\ncd", "10210"),
        (features.indentation, "  a\n\tb\n", "2222888"),
        (features.word_start, "ab, c'd", "1000101"),
        (features.position_in, "a www.", "001230"),
    ],
)
def test_a_feature_gives_each_character_its_number(function, text, expected):
    assert "".join(str(int(number)) for number in function(text)) == expected


@given(st.text(alphabet='ab"()[]/*\n\t ', max_size=60))
def test_every_feature_has_a_number_for_every_character(text):
    names = [name for name in dir(features) if name.startswith(("inside_", "position_", "distance_", "word_"))]
    for name in [*names, "bracket_depth", "indentation"]:
        assert getattr(features, name)(text).shape == (len(text),)


@given(st.text(alphabet="ab()\n", max_size=60))
def test_depth_and_positions_are_those_of_a_loop(text):
    depth = place = 0
    depths, places = [], []
    for character in text:
        depth = max(0, depth + {"(": 1, ")": -1}.get(character, 0))
        place = 0 if character == "\n" else place + 1
        depths.append(depth)
        places.append(place)
    assert features.bracket_depth(text).tolist() == depths
    assert features.position_in_line(text).tolist() == places
    ahead = [len(text[at + 1 :].partition("\n")[0]) for at in range(len(text))]
    assert features.distance_to_line_end(text).tolist() == ahead


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_the_rank_score_is_the_share_of_pairs_in_order(pairs):
    values, holds = (np.array(column) for column in zip(*pairs))
    if holds.all() or not holds.any():
        return
    above = np.sign(values[holds][:, None] - values[~holds][None]).mean()
    found = search._rank_score(values[None].astype(np.float32), holds[None].astype(float))
    np.testing.assert_allclose(found, [[above]], atol=1e-9)


@given(st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=2, max_size=40))
def test_the_threshold_makes_the_fewest_mistakes(pairs):
    values, holds = np.array([v for v, _ in pairs], float), np.array([h for _, h in pairs])
    if holds.all() or not holds.any() or len(set(values)) < 2:
        return

    def rate(border):
        return (values[holds] > border).mean() + (values[~holds] <= border).mean()

    borders = np.unique(values)
    best = max(rate(border) for border in (borders[1:] + borders[:-1]) / 2)
    assert rate(search._threshold(values, holds)) == pytest.approx(best)


def wandering(random, characters, units):
    """Noise that remembers about ten characters, as states do."""
    noise = random.normal(size=(characters, units)).astype(np.float32)
    for step in (1, 2, 4, 8):
        noise[step:] += noise[:-step]
    return noise.astype(np.float16)


def test_a_planted_unit_is_named_with_its_direction_and_held_out_score():
    random = np.random.default_rng(0)
    columns = wandering(random, 6000, 40)
    feature = np.repeat(random.random(600) < 0.3, 10)
    columns[:, 17] = np.where(feature, -2, 1) + random.normal(size=6000)
    found = find_cells(made_up_trace(columns), feature, top=3)
    assert found.found and found.measure == "AUC" and len(found.cells) == 3
    best = found.cells[0]
    assert best.unit == Unit(1, "hidden", 17) and best.direction == -1 and best.score > 0.95
    assert -1.5 < best.threshold < 0.5
    second = columns[3000:, 17].astype(float)
    pairs = np.sign(second[~feature[3000:]][:, None] - second[feature[3000:]][None])
    assert best.score == pytest.approx((1 + pairs.mean()) / 2, abs=1e-6)


def test_a_cell_state_that_drifts_beyond_what_can_be_read_is_not_taken_for_a_find():
    columns = np.stack([np.linspace(50, 100, 2000), np.zeros(2000)], axis=1)
    found = find_cells(made_up_trace(columns, "cell"), np.arange(2000) % 1000 > 400)
    assert not found.found and found.cells[0].score == 0.5


def test_a_count_is_scored_by_its_correlation():
    random = np.random.default_rng(0)
    count = np.abs(wandering(random, 4000, 1)[:, 0]).astype(int)
    columns = wandering(random, 4000, 20)
    columns[:, 3] = 5 - 2 * count + random.normal(size=4000)
    found = find_cells(made_up_trace(columns), count)
    assert found.found and found.measure == "correlation" and found.cells[0].unit.number == 3
    expected = np.corrcoef(columns[2000:, 3].astype(float), count[2000:])[0, 1]
    assert found.cells[0].score == pytest.approx(-expected, abs=1e-6)


def test_among_512_units_and_100000_characters_chance_stays_under_an_auc_of_0_6():
    random = np.random.default_rng(0)
    columns = wandering(random, 100_000, 512)
    found = find_cells(made_up_trace(columns), np.repeat(random.random(5000) < 0.1, 20), shuffles=5)
    assert max(found.chance, *(cell.score for cell in found.cells)) < 0.6
    assert not found.found and repr(found).startswith("Nothing found")


def test_a_search_takes_a_function_and_repeats_itself():
    columns = wandering(np.random.default_rng(0), 2000, 5)
    one, other = (find_cells(made_up_trace(columns), lambda text: np.arange(len(text)) % 7 == 0) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("feature", "arguments", "message"),
    [
        (np.ones(99, bool), {}, r"shape \(99,\) and the text 100 characters"),
        (np.arange(100) > 48, {}, "same at all but 1 of the 50 characters in the first half"),
        (np.full(100, np.nan), {}, "not finite"),
        (np.zeros(100), {}, "same at all but 0 of the 50"),
        (np.arange(100) % 2 == 0, {"signals": ["cell"]}, "holds none of cell"),
    ],
)
def test_what_cannot_be_searched_for_is_refused(feature, arguments, message):
    with pytest.raises(ValueError, match=message):
        find_cells(made_up_trace(np.zeros((100, 2))), feature, **arguments)


def bracketed(characters):
    """Letters by chance, and now and then a bracket: which of the two, only memory can tell."""
    random, inside, written = np.random.default_rng(0), False, []
    for letter, border in zip(random.choice(list("ab"), characters), random.random(characters) < 0.15):
        written.append((")" if inside else "(") if border else letter)
        inside ^= border
    return "".join(written)


def test_the_cell_that_remembers_a_bracket_is_found_in_a_trained_lstm():
    text = bracketed(60_000)
    vocabulary = charlm.Vocabulary.from_text(text)
    tf.keras.utils.set_random_seed(0)
    model = charlm.build_model(4, "lstm", units=8, embedding_dim=4, batch_size=32, stateful=True)
    charlm.compile_model(model, 2e-2)
    model.fit(charlm.streams(vocabulary.encode(text), 40, 32), epochs=3, shuffle=False, verbose=0)
    held_out = bracketed(64_000)[60_000:]
    found = find_cells(trace(model, vocabulary, held_out), features.inside_brackets)
    assert found.found and found.cells[0].score > 0.95
    shuffled = np.random.default_rng(1).permutation(features.inside_brackets(held_out))
    assert find_cells(trace(model, vocabulary, held_out), shuffled).cells[0].score < 0.6


def test_saturation_is_the_share_of_time_below_and_above_the_bounds():
    gate = np.array([[0.05, 0.95], [0.5, 0.95], [0.09, 0.2], [0.95, 0.91]])
    (((key, shares),)) = gate_statistics(made_up_trace(gate, "forget")).items()
    assert key == (1, "forget")
    assert shares.left.tolist() == [0.5, 0.0] and shares.right.tolist() == [0.25, 0.75]
    with pytest.raises(ValueError, match="holds no gates"):
        gate_statistics(made_up_trace(gate))


def losses_with_a_unit_held(model, ids, held, value):
    """The loss of each character, step by step, with one unit's hidden state overwritten after every step."""
    layers = recurrent_layers(model)
    cell = {"SimpleRNN": "rnn", "GRU": "gru", "LSTM": "lstm"}[type(layers[0]).__name__]
    states = [[tf.zeros((1, layer.units))] * (2 if cell == "lstm" else 1) for layer in layers]
    states[held[0] - 1][0] = tf.constant(np.eye(layers[0].units)[None, held[1]] * value, tf.float32)
    losses = []
    for now, following in zip(ids[:-1].astype(int), ids[1:].astype(int)):
        output = model.get_layer("embedding")(np.array([now]))
        for number, layer in enumerate(layers):
            weights = recurrent_weights(layer)
            kernel, *bias = [weight for weight in weights[2:] if weight is not None]
            products = input_projection(output, weights), tf.matmul(states[number][0], kernel)
            output, states[number] = cell_step(cell, *products, states[number], *bias)
            if number == held[0] - 1:
                output = tf.tensor_scatter_nd_update(output, [[0, held[1]]], [np.float32(value)])
                states[number][0] = output
        logits = model.get_layer("logits")(output)
        losses.append(tf.nn.sparse_softmax_cross_entropy_with_logits([following], logits)[0])
    return np.array(losses)


@pytest.mark.parametrize("cell", ["lstm", deep("gru"), deep("rnn")])
@pytest.mark.parametrize("layer", [1, 2])
def test_ablation_is_the_same_as_overwriting_the_unit_at_every_step(small_model, ids, cell, layer):
    model = small_model(cell, 2, scale=1.0)
    found = evaluate(ablate(model, layer, 5, 0.4), ids[:30]).losses
    expected = losses_with_a_unit_held(model, ids[:30], (layer, 5), 0.4)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_unread_unit_costs_nothing_and_ablation_leaves_the_model_alone(small_model, vocabulary, ids):
    model = small_model("gru", 1, scale=1.0)
    layer, dense = recurrent_layers(model)[0], model.get_layer("logits")
    for kernel in (layer.cell.recurrent_kernel, dense.kernel):
        kernel.assign(tf.tensor_scatter_nd_update(kernel.value, [[4]], tf.zeros((1, kernel.shape[1]))))
    before = model.get_weights()
    found = trace(model, vocabulary, vocabulary.decode(ids[:400]))
    increases = loss_increases(model, found, [Unit(1, "hidden", 4), Unit(1, "update", 7)], rows=2)
    assert increases.shape == (2, 399)
    np.testing.assert_allclose(increases[0], 0, atol=1e-5)
    held = ablate(model, 1, 7, found.values((1, "hidden", 7)).mean())
    difference = evaluate(held, ids[:400], 2).losses - evaluate(model, ids[:400], 2).losses
    np.testing.assert_allclose(increases[1], difference, atol=1e-5)
    for kept, weight in zip(before, model.get_weights()):
        np.testing.assert_array_equal(kept, weight)


@pytest.mark.parametrize(("layer", "unit"), [(2, 0), (1, 12), (0, 0), (1, -1)])
def test_a_unit_that_does_not_exist_cannot_be_ablated(small_model, layer, unit):
    with pytest.raises(ValueError, match="There is no"):
        ablate(small_model(), layer, unit, 0.0)

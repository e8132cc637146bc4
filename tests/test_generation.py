"""Generation: the compiled loop does what the Keras model does, and sampling is what it says it is."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from charlm.engine import loop as engine_loop
from charlm.engine.loop import (
    AMONG_ALL,
    AMONG_LIKELIEST,
    CHOICES,
    CHUNK,
    Loop,
    NetworkStep,
    Sampling,
    choose,
    compiled_step,
    draw_uniforms,
)
from charlm.engine.rnn import recurrent_layers
from charlm.generation import Comparison, Generator, generate_text
from charlm.models import with_batch_size
from tests.deep import deep


@pytest.fixture(scope="module")
def model(small_model):
    """Make the network of `generator` once: no test changes it."""
    return small_model()


@pytest.fixture
def generator(model, vocabulary):
    return Generator(model, vocabulary)


@pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("gru", 2), ("lstm", 3), deep("gru", 1), deep("lstm", 1)])
def test_losses_and_states_equal_the_stateful_keras_models(small_model, cell, layers, ids):
    model = small_model(cell, layers, scale=1.0, batch_size=1, stateful=True)  # larger weights amplify rounding
    text = ids[: CHUNK + 40]
    loop = Loop(model)
    state, (losses,) = loop.read(loop.start(1), [text])
    step = tf.function(model)
    logits = np.concatenate([step(tf.constant([[id]], tf.int32))[0] for id in text])
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(text[1:].astype(np.int32), logits[:-1])
    np.testing.assert_allclose(losses[1:], expected, atol=1e-4)
    np.testing.assert_allclose(state.logits[0], logits[-1], atol=1e-4)
    for layer, states in zip([x for x in model.layers if hasattr(x, "states")], state.states, strict=True):
        for ours, theirs in zip(states, tf.nest.flatten(layer.states), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(("cell", "layers"), [("lstm", 2), ("gru", 1), deep("rnn", 2)])
def test_text_from_an_initial_state_is_the_keras_models_from_that_state_step_by_step(
    small_model, cell, layers, vocabulary
):
    model = small_model(cell, layers, scale=1.0)
    count = layers * (2 if cell == "lstm" else 1)
    width = recurrent_layers(model)[0].units
    random = np.random.default_rng(0)
    states = [random.uniform(-1, 1, (2, width)).astype(np.float32) for _ in range(count)]
    generator = Generator(model, vocabulary)
    prompts = ["the ", "a"]
    texts = generator.generate(prompts, 30, temperature=0, initial_state=states if count > 1 else states[0])
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        logits = logits_from(model, vocabulary.encode(text)[None], [state[row : row + 1] for state in states])
        assert vocabulary.decode(np.argmax(logits, axis=-1))[len(prompt) - 1 : -1] == text[len(prompt) :]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            vocabulary.encode(text).astype(np.int32)[1:], logits[:-1]
        )
        score = generator.score(text, initial_state=[state[row : row + 1] for state in states])
        np.testing.assert_allclose(score.losses, losses, atol=1e-5)


def logits_from(model, ids, states):
    """Compute a model's logits (time, vocabulary) from given first states, layer by layer."""
    hidden = model.get_layer("embedding")(ids.astype(np.int32))
    left = iter(states)
    for layer in recurrent_layers(model):
        hidden = layer(hidden, initial_state=[next(left) for _ in tf.nest.flatten(layer.cell.state_size)])
    return model.get_layer("logits")(hidden)[0].numpy()


def test_an_initial_state_that_is_not_the_networks_is_refused_with_its_shape(generator):
    with pytest.raises(ValueError, match=r"has the shapes \[\(1, 3\)\]; the network's states for 1 rows are"):
        generator.generate("the ", 5, initial_state=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="prompt 2, initial_state 3"):
        generator.generate(["a", "b"], 5, initial_state=np.zeros((3, 16)))
    fresh = [h for layer in generator.loop.start(1).states for h in layer]
    with pytest.raises(ValueError, match="not finite"):
        generator.score("the ", initial_state=[h + np.nan for h in fresh])


@pytest.mark.parametrize("cell", ["lstm", deep("gru")])
def test_temperature_0_is_argmax_of_the_keras_model(small_model, cell, vocabulary):
    model = small_model(cell, 2)
    text = Generator(model, vocabulary).generate("the ", 60, temperature=0)
    logits = model(vocabulary.encode(text)[None].astype(np.int32))[0]
    likeliest = vocabulary.decode(np.argmax(logits, axis=-1))
    assert text[4:] == likeliest[3:-1]


def draw(logits, temperature=1.0, top_k=None, top_p=1.0, rows=100_000, seed=0):
    """Draw from one distribution `rows` times."""
    sampling = Sampling(
        tf.fill([rows], float(temperature)), tf.fill([rows], top_k or len(logits)), tf.fill([rows], float(top_p))
    )
    tiled = tf.tile(tf.constant(logits, tf.float32)[None], (rows, 1))
    choice = AMONG_LIKELIEST if top_k is not None or top_p < 1 else AMONG_ALL
    return choose(tiled, tf.constant(draw_uniforms(seed, 0, 0, rows)), sampling, choice).numpy()


def softmax(logits):
    powers = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return powers / powers.sum()


@pytest.mark.parametrize("temperature", [0.3, 1.0, deep(2.0)])
@pytest.mark.parametrize("narrowed", [{}, {"top_k": 30, "top_p": 1.0}])
def test_frequencies_fit_the_softmax(temperature, narrowed):
    logits = np.random.default_rng(0).normal(size=30)
    found = np.bincount(draw(logits, temperature, **narrowed), minlength=30)
    expected = softmax(logits / temperature) * found.sum()
    often = expected >= 5
    observed, hoped = [np.append(x[often], x[~often].sum()) for x in (found, expected)]
    observed, hoped = (observed, hoped) if hoped[-1] else (observed[:-1], hoped[:-1])
    assert stats.chisquare(observed, hoped).pvalue > 0.001


@given(st.integers(0, 50), st.integers(1, 12), st.floats(0.05, 1.0), st.floats(0.3, 2.0))
@settings(max_examples=20, deadline=None)
def test_top_k_and_top_p_draw_exactly_the_allowed_set(seed, top_k, top_p, temperature):
    logits = np.random.default_rng(seed).normal(size=12)
    order = np.argsort(-logits)[:top_k]
    chances = softmax(logits[order] / temperature)
    before = np.cumsum(chances) - chances
    if np.abs(before - top_p).min() < 1e-5:
        return  # on the edge, rounding decides
    allowed = set(order[(before < top_p) | (np.arange(len(order)) == 0)].tolist())
    likely = {i for i, chance in zip(order.tolist(), chances, strict=True) if chance > 1e-3}
    found = set(draw(logits, temperature, top_k, top_p, rows=20_000).tolist())
    assert found <= allowed and allowed & likely <= found


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=40), st.integers(1, 40), st.floats(0.05, 1.0))
@settings(max_examples=30, deadline=None)
def test_ranking_by_pairs_and_by_sorting_draw_alike(logits, top_k, top_p):
    uniforms = tf.linspace(0.0, 0.99, 7)  # equal logits are in the lists: the first of equals is the likelier
    asked = tf.tile(tf.constant([logits], tf.float32), (7, 1)), uniforms, tf.fill([7], top_k), tf.fill([7], top_p)
    found = []
    for limit in (0, len(logits)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine_loop, "FEW_CHARACTERS", limit)
            found.append(engine_loop._draw_among_likeliest(*asked).numpy().tolist())
    assert found[0] == found[1]


def test_characters_that_cannot_occur_are_never_drawn():
    logits = np.array([-np.inf, 0.0, -np.inf, 1.0, -np.inf])
    assert set(draw(logits).tolist()) == {1, 3}
    edge = tf.constant([np.nextafter(np.float32(1), np.float32(0))])
    sampling = Sampling(tf.ones(1), tf.fill([1], 5), tf.ones(1))
    assert choose(tf.constant(logits, tf.float32)[None], edge, sampling, AMONG_ALL).numpy() == [3]


@settings(max_examples=15, deadline=None)
@given(n=st.integers(0, 2 * CHUNK), m=st.integers(0, 2 * CHUNK))
def test_generate_n_then_more_m_equals_generate_n_plus_m(shared_generator, n, m):
    whole = shared_generator.generate("the ", n + m, seed=3)
    assert shared_generator.generate("the ", n, seed=3) + shared_generator.more(m) == whole


@pytest.fixture(scope="module")
def shared_generator(vocabulary):
    import charlm

    model = charlm.build_model(len(vocabulary), units=8, embedding_dim=4)
    return Generator(model, vocabulary)


def test_a_prompts_state_equals_feeding_its_characters_one_by_one(small_model, ids):
    loop = Loop(small_model("lstm", 2))
    state, _ = loop.read(loop.start(1), [ids[:150]])
    stepwise = loop.start(1)
    for at in range(150):
        stepwise, _ = loop.read(stepwise, [ids[at : at + 1]])
    for ours, theirs in zip(tf.nest.flatten(state), tf.nest.flatten(stepwise), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_same_seed_same_text_and_another_seed_another(generator):
    assert generator.generate("the", 80, seed=1) == generator.generate("the", 80, seed=1)
    assert generator.generate("the", 80, seed=1) != generator.generate("the", 80, seed=2)


def test_without_a_seed_calls_differ_and_each_can_be_repeated(generator):
    first, seeds = generator.generate("the", 80), generator.state.keys
    assert generator.generate("the", 80) != first
    assert generator.generate("the", 80, seed=list(seeds)) == [first]


def test_a_batch_of_rows_equals_the_rows_alone(generator):
    prompts = ["the quick", "a", "dog, and the dog only sighs"]
    settings = {"temperature": [0.5, 1.0, 1.5], "top_k": [5, 12, 30], "top_p": [1.0, 0.8, 0.9]}
    together = generator.generate(prompts, 200, seed=[7, 8, 7], **settings)
    for row, (prompt, seed) in enumerate(zip(prompts, (7, 8, 7), strict=True)):
        alone = generator.generate(prompt, 200, seed=seed, **{name: values[row] for name, values in settings.items()})
        assert alone == together[row]


def test_a_row_alone_is_the_row_in_a_batch_of_the_same_seed(generator):
    together = generator.generate(["the"] * 3, 50, seed=4)
    assert together[0] == generator.generate("the", 50, seed=4)
    assert together == [generator.generate("the", 50, seed=[(4, row)])[0] for row in range(3)]


def test_rows_of_neighbouring_seeds_have_nothing_in_common(generator):
    texts = [text for seed in range(4) for text in generator.generate(["the "] * 8, 60, seed=seed)]
    assert len(set(texts)) == 32


@given(st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 10_000)), min_size=2, max_size=6, unique=True))
def test_no_two_pairs_of_seed_and_row_share_a_stretch_of_random_numbers(keys):
    stretches = [draw_uniforms(*key, 0, 2 * CHUNK).reshape(-1, 4) for key in keys]
    seen = {tuple(four) for stretch in stretches for four in stretch.tolist()}
    assert len(seen) == len(keys) * CHUNK // 2


def test_a_number_in_an_array_is_a_number(generator):
    assert generator.generate("the ", 20, temperature=np.array(0.7), seed=1) == generator.generate(
        "the ", 20, temperature=0.7, seed=1
    )


def test_a_call_with_a_prompt_does_not_depend_on_the_call_before(generator):
    first = generator.generate("dog", 50, seed=0)
    generator.generate("something else", 70)
    assert generator.generate("dog", 50, seed=0) == first


def test_stream_yields_in_pieces_what_generate_returns(generator):
    pieces = list(generator.stream("the ", 3 * CHUNK, seed=5, temperature=0.8))
    assert len(pieces) > 3
    assert "".join(pieces) == generator.generate("the ", 3 * CHUNK, seed=5, temperature=0.8)


def test_state_put_back_goes_on_from_there(generator):
    generator.generate("the ", 40, seed=1)
    kept = generator.state
    following = generator.more(60)
    generator.generate("dog", 33)
    generator.state = kept
    assert generator.more(60) == following


@pytest.mark.parametrize("at", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 2])
def test_a_stop_text_ends_the_text_wherever_it_falls(generator, at):
    whole = generator.generate("the ", 3 * CHUNK, seed=2, include_prompt=False)
    stop = whole[at : at + 3]
    end = whole.index(stop) + 3
    assert generator.generate("the ", 3 * CHUNK, seed=2, stop=stop, include_prompt=False) == whole[:end]
    assert generator.more(50) == whole[end : end + 50]


def test_rows_stop_each_at_its_own_place(generator):
    whole = generator.generate(["the ", "dog"], 300, seed=3, include_prompt=False)
    stopped = generator.generate(["the ", "dog"], 300, seed=3, include_prompt=False, stop=["e", "zzzz"])
    assert stopped == [text[: text.index("e") + 1] for text in whole]
    assert generator.more(20) == [text[text.index("e") + 1 :][:20] for text in whole]


def test_a_stop_text_that_begins_before_more_is_found(generator):
    whole = generator.generate("the ", 200, seed=2, include_prompt=False)
    stop = whole[98:102]
    end = whole.index(stop) + 4
    first = generator.generate("the ", 100, seed=2, stop=stop, include_prompt=False)
    assert first + generator.more(100, stop=stop) == whole[:end] or end <= 100


def test_overlapping_stop_texts_end_at_the_first(generator):
    whole = generator.generate("the ", 200, seed=2, include_prompt=False)
    stops = [whole[50:53], whole[51:54], whole[52:53]]
    end = min(whole.index(stop) + len(stop) for stop in stops)
    assert generator.generate("the ", 200, seed=2, include_prompt=False, stop=stops) == whole[:end]


def test_two_streams_and_a_call_between_do_not_mix(generator):
    alone = [generator.generate(prompt, 3 * CHUNK, seed=1) for prompt in ("the ", "dog")]
    texts = ["", ""]
    for pieces in zip(
        generator.stream("the ", 3 * CHUNK, seed=1), generator.stream("dog", 3 * CHUNK, seed=1), strict=True
    ):
        generator.generate("a", 5)
        texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
    assert texts == alone


def test_an_abandoned_stream_goes_on_after_its_last_piece(generator):
    whole = generator.generate("the ", 2 * CHUNK, seed=1, include_prompt=False)
    stream = generator.stream("the ", 9 * CHUNK, seed=1, include_prompt=False)
    assert next(stream) + generator.more(CHUNK) == whole


def test_a_saved_state_goes_on_in_another_generator(small_model, vocabulary, generator):
    import pickle

    generator.generate(["the ", "dog"], 30, seed=1)
    stored = tf.nest.map_structure(np.asarray, generator.state.network)
    other = Generator(small_model(), vocabulary)
    other.state = pickle.loads(pickle.dumps(generator.state._replace(network=stored)))
    assert other.more(40) == generator.more(40)


def test_weights_that_are_not_numbers_are_named(small_model, vocabulary):
    model = small_model()
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    with pytest.raises(ValueError, match="weights are damaged"):
        Generator(model, vocabulary).generate("the", 5)


def test_the_smallest_temperature_is_nearly_argmax(generator):
    assert generator.generate("the ", 50, temperature=1e-38, seed=1) == generator.generate("the ", 50, temperature=0)


def test_arrays_are_lists_too(generator):
    assert generator.generate(
        "the ", 20, temperature=np.array([0.5, 1.0]), seed=np.array([1, 2])
    ) == generator.generate("the ", 20, temperature=[0.5, 1.0], seed=[1, 2])


def test_256_rows_at_once_are_each_what_they_are_alone(generator):
    rows = generator.generate(["the "] * 256, 20, seed=0)
    assert [rows[255]] == generator.generate("the ", 20, seed=[(0, 255)])


def test_one_trace_for_each_choice_serves_twenty_different_calls(small_model, vocabulary):
    generator = Generator(small_model("lstm", 3), vocabulary)
    generator.generate("the", 10)
    generator.generate("the", 10, top_k=2)
    generator.score("the dog")
    steps = [compiled_step(NetworkStep(("lstm", "lstm", "lstm")), 1, choice) for choice in CHOICES]
    before = [step.experimental_get_tracing_count() for step in steps]
    assert all(before)
    for call in range(1, 21):
        narrowed = {"top_k": call, "top_p": 1 / call} if call % 2 else {}
        generator.generate("the dog"[: call % 7 + 1], call * 17, temperature=call / 10, seed=call, **narrowed)
        generator.score("the quick brown fox"[:call] + " dog")
    assert [step.experimental_get_tracing_count() for step in steps] == before


def test_a_text_is_read_alike_alone_and_before_writing(small_model, ids):
    loop = Loop(small_model("lstm", 2, scale=1.0))
    size = loop.vocab_size
    narrowed = [np.array([k], np.int32) for k in (size, 3)]
    samplings = [None, *(Sampling(np.ones(1, np.float32), k, np.ones(1, np.float32)) for k in narrowed)]
    found = [loop.read(loop.start(1), [ids[: CHUNK + 40]], sampling) for sampling in samplings]
    for state, losses in found[1:]:
        np.testing.assert_allclose(losses[0], found[0][1][0], atol=1e-5)
        np.testing.assert_allclose(state.logits, found[0][0].logits, atol=1e-5)


@pytest.mark.parametrize(("cell", "layers"), [("gru", 1), ("lstm", 2), deep("rnn", 1)])
def test_kernels_laid_out_in_either_way_read_the_same(small_model, ids, monkeypatch, cell, layers):
    found = []
    for transposed in (False, True):
        monkeypatch.setattr(engine_loop, "_is_transposed", lambda rows, kernel, answer=transposed: answer)
        loop = Loop(small_model(cell, layers, scale=1.0))  # larger weights amplify rounding
        found.append(loop.read(loop.start(2), [ids[:200], ids[:150]]))
    (whole, losses), (halved, others) = found
    for one, other in zip(losses, others, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    np.testing.assert_allclose(whole.logits, halved.logits, atol=1e-4)


def test_an_empty_prompt_begins_after_a_line_break(generator):
    assert generator.generate("", 50, seed=1) == generator.generate("\n", 50, seed=1)[1:]


def test_an_empty_prompt_needs_a_line_break_in_the_vocabulary(small_model, vocabulary):
    import charlm

    other = charlm.Vocabulary(vocabulary.characters.replace("\n", "#"))
    with pytest.raises(ValueError, match="empty prompt.*give a prompt"):
        Generator(small_model(), other).generate("", 5)


def test_length_0_returns_the_prompt(generator):
    assert generator.generate("the dog", 0) == "the dog"
    assert generator.generate("the dog", 0, include_prompt=False) == ""


def test_unknown_prompt_characters_are_named_dropped_or_replaced(generator):
    with pytest.raises(ValueError, match=r"'X' \(position 2\)"):
        generator.generate("thXe", 5)
    assert generator.generate("thXe", 30, seed=1, unknown="drop")[4:] == generator.generate("the", 30, seed=1)[3:]
    assert generator.generate("thXe", 30, seed=1, unknown="replace")[4:] == generator.generate("th e", 30, seed=1)[4:]


def test_a_score_is_the_loss_of_the_keras_model_and_leaves_the_state(small_model, vocabulary, generator):
    text = "the quick brown fox jumps"
    generator.generate("the ", 20, seed=1)
    following = Generator(small_model(), vocabulary).generate("the ", 40, seed=1)[24:]
    score = generator.score(text)
    ids = vocabulary.encode(text).astype(np.int32)[None]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, 1:], small_model()(ids[:, :-1]))[0]
    np.testing.assert_allclose(score.losses, losses, atol=1e-4)
    assert score.nats == pytest.approx(float(np.mean(losses)), abs=1e-4)
    assert generator.more(20) == following


def test_training_further_does_not_change_a_generator(small_model, vocabulary):
    model = small_model()
    generator = Generator(model, vocabulary)
    before = generator.generate("the", 40, seed=0)
    model.set_weights([w * 0 for w in model.get_weights()])
    assert generator.generate("the", 40, seed=0) == before


def test_mixed_precision_weights_are_read(small_model, vocabulary):
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small_model("lstm", 2)
    finally:
        keras.config.set_dtype_policy("float32")
    text = "the quick brown fox jumps over the lazy dog"
    ids = vocabulary.encode(text).astype(np.int32)[None]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, 1:], tf.cast(model(ids[:, :-1]), tf.float32))[0]
    np.testing.assert_allclose(Generator(model, vocabulary).score(text).losses, losses, atol=0.3, rtol=0.1)


def test_comparison_shows_every_temperature_and_escapes_the_text():
    shown = Comparison((0.5, 1.0), ("<b>&amp;", "two"))
    assert "&lt;b&gt;&amp;amp;" in shown._repr_html_() and "<b>" not in shown._repr_html_()
    assert str(shown) == "--- temperature 0.5 ---\n<b>&amp;\n\n--- temperature 1 ---\ntwo"


def test_compare_writes_each_temperature_with_the_same_numbers(generator):
    comparison = generator.compare("the ", (0.5, 1.0), length=40, seed=9)
    assert comparison.texts == tuple(generator.generate("the ", 40, temperature=t, seed=9) for t in (0.5, 1.0))


def test_low_temperature_repeats_itself(generator):
    from charlm.evaluation.novelty import repeated_share

    cold, warm = (repeated_share(generator.generate("the ", 2000, temperature=t, seed=0)) for t in (0.0, 1.0))
    assert cold > 0.9 and warm < 0.1


def test_verbose_prints_the_speed(generator, capsys):
    generator.generate("the ", 100, verbose=True)
    generator.more(50, verbose=True)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("100 characters in ") and first.endswith(" characters/s")
    assert second.startswith("50 characters in ")


def test_generate_text_is_the_short_way(small_model, vocabulary):
    model = with_batch_size(small_model(), 7)
    assert generate_text(model, vocabulary, "the ", 30, seed=1) == Generator(model, vocabulary).generate(
        "the ", 30, seed=1
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": float("nan")}, "temperature is nan; it must be a finite number, at least 0"),
        ({"temperature": -0.5}, "temperature is -0.5"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"temperature": [1.0, 2.0], "prompt": ["a", "b", "c"]}, "temperature 2"),
        ({"prompt": []}, "prompt 0"),
        ({"top_k": 0}, "top_k is 0; it must be a whole number, at least 1"),
        ({"top_k": -3}, "top_k is -3"),
        ({"top_k": 2.5}, "top_k is 2.5"),
        ({"top_p": 0}, "top_p is 0; it must be above 0 and at most 1"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"top_p": float("nan")}, "top_p is nan"),
        ({"length": -1}, "length is -1"),
        ({"length": 1.5}, "length is 1.5"),
        ({"length": None}, "length is None"),
        ({"stop": ""}, "stop is ''"),
        ({"stop": ["a", ""]}, "stop is"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": [(1, -2)]}, "seed is -2"),
        ({"seed": [(1, 2, 3)]}, "neither a number nor a pair"),
        ({"prompt": 7}, "prompt is 7; give a string"),
    ],
)
def test_bad_arguments_are_refused_by_name(generator, arguments, message):
    with pytest.raises(ValueError, match=message):
        generator.generate(**{"prompt": "the ", "length": 5, **arguments})
    with pytest.raises(ValueError, match=message):
        generator.stream(**{"prompt": "the ", "length": 5, **arguments})


def test_top_k_above_the_vocabulary_is_clamped_and_said(generator):
    with pytest.warns(UserWarning, match="top_k 1000 is above the vocabulary"):
        text = generator.generate("the ", 40, top_k=1000, seed=1)
    assert text == generator.generate("the ", 40, seed=1)


def test_more_needs_a_call_before(generator):
    with pytest.raises(ValueError, match="nothing to go on from"):
        generator.more(5)


def test_a_model_of_another_vocabulary_is_refused(small_model, vocabulary):
    import charlm

    with pytest.raises(ValueError, match=f"writes {len(vocabulary)} characters and the vocabulary has 2"):
        Generator(small_model(), charlm.Vocabulary("ab"))


def test_a_state_of_another_vocabulary_is_refused(generator):
    import charlm

    other = charlm.Vocabulary("ab\n")
    stranger = Generator(charlm.build_model(3, units=4), other)
    stranger.generate("a", 3)
    with pytest.raises(ValueError, match="state is of another network"):
        generator.state = stranger.state


def test_a_score_needs_two_characters(generator):
    with pytest.raises(ValueError, match="at least 2 characters"):
        generator.score("t")


@given(st.integers(0, 2**63), st.integers(0, 99), st.integers(0, 10_000), st.integers(1, 400), st.integers(1, 400))
def test_random_numbers_do_not_depend_on_how_they_are_cut(seed, row, start, first, second):
    whole = draw_uniforms(seed, row, start, first + second)
    parts = [draw_uniforms(seed, row, start, first), draw_uniforms(seed, row, start + first, second)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert whole.dtype == np.float32 and (whole >= 0).all() and (whole < 1).all()

"""The stateful generator: text from a trained network, as fast as the machine allows.

A `Generator` owns explicit states instead of a stateful Keras layer: a call with a prompt starts from zero state,
`more` goes on where the last call stopped, and `state` can be kept and put back.
"""

import html
import itertools
import time
import warnings
from typing import NamedTuple

import numpy as np

from charlm.engine.loop import CHUNK, NetworkState, Sampling, draw_uniforms, loop_of

START = "\n"  # what an empty prompt stands for: the text begins on a new line
KEPT = 256  # characters in which `more` still finds the beginning of a stop text


class State(NamedTuple):
    """Where a generator stands: put it back to go on from there again."""

    network: NetworkState
    keys: tuple  # (seed, row) of each row: what its random numbers are drawn by
    written: np.ndarray  # (rows,) characters drawn since the prompt: the place in each row's random numbers
    tails: tuple  # the last characters of each row, in which a stop text may have begun
    single: bool  # whether the prompt was one string rather than a list


class Score(NamedTuple):
    """A network's loss on a text, in nats."""

    nats: float  # mean per character
    losses: np.ndarray  # (characters - 1,): each character after the first, given all before it


def opening(vocabulary):
    """What to begin a sample after where nobody gave a prompt: a line break, a blank, or whatever there is."""
    return next((character for character in (START, " ") if character in vocabulary), vocabulary.characters[0])


class Generator:
    """Writes text with a network, character by character, and scores text with it."""

    def __init__(self, model, vocabulary):
        """Copy a model's weights; training it further does not change this generator.

        Args:
            model: from `build_model`, of any batch size.
            vocabulary: the `Vocabulary` it was trained with.

        Raises:
            ValueError: the model's output and the vocabulary differ in size.
        """
        if model.output_shape[-1] != len(vocabulary):
            raise ValueError(
                f"The model writes {model.output_shape[-1]} characters and the vocabulary has {len(vocabulary)}: "
                "they do not belong together. Use the vocabulary from the model's run folder."
            )
        self.vocabulary, self.loop, self._state = vocabulary, loop_of(model), None

    def generate(
        self,
        prompt="",
        length=500,
        temperature=1.0,
        top_k=None,
        top_p=None,
        stop=None,
        seed=None,
        include_prompt=True,
        unknown="error",
        replacement=" ",
        verbose=False,
        initial_state=None,
    ):
        """Write text that continues a prompt, from zero state or a given one.

        Args:
            prompt: text to continue, or a list for one row each. Empty: as after a line break.
            length: characters to write, at least 0.
            temperature: 1 draws as the network predicts, below 1 prefers the likely, 0 takes only the likeliest;
                a number, or a list with one for each row.
            top_k: draw only among the k likeliest characters, at least 1; number, list or None for all.
            top_p: draw only among the likeliest that together reach this probability, above 0 to 1; likewise.
            stop: text, or list of texts, after which a row ends.
            seed: whole number at least 0 that repeats the draws: each row has random numbers of its own, which no
                other seed has. Or a list with one for each row: a seed, for what a text alone is drawn by, or a pair
                (seed, row), for what that row of a batch is.
            include_prompt: whether the result begins with the prompt.
            unknown: for prompt characters outside the vocabulary: "error", "drop" or "replace", as in
                `Vocabulary.encode`.
            replacement: what "replace" writes, as in `Vocabulary.encode`.
            verbose: whether to print the characters written per second.
            initial_state: what a network of one GRU or tanh layer begins with instead of zeros, (rows, units); for other
                networks a list of such arrays: the states of all layers in turn, of an LSTM h and then c. It may come
                from another network, which has seen a picture, say: the text is then conditioned on it.

        Returns:
            A string, or a list of them where prompt, temperature, top_k, top_p, seed or initial_state is a list.

        Raises:
            ValueError: an argument outside the limits above, lists of different lengths, or unknown characters.
        """
        settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "stop": stop}
        settings["initial_state"] = initial_state
        pieces = self._begin(prompt, length, seed, include_prompt, (unknown, replacement), **settings)
        return self._join(pieces, verbose)

    def stream(
        self, prompt="", length=500, seed=None, include_prompt=True, unknown="error", replacement=" ", **settings
    ):
        """Write text as `generate` does, and yield it in pieces as it is made.

        The arguments are those of `generate`, but for `verbose`. A row that has stopped yields empty pieces. Each
        stream keeps its own place; `more` goes on after the piece that was made last.
        """
        pieces = self._begin(prompt, length, seed, include_prompt, (unknown, replacement), **settings)
        single = self._state.single
        return (_shape(texts, single) for texts in pieces)

    def more(self, length=500, temperature=1.0, top_k=None, top_p=None, stop=None, verbose=False):
        """Go on where the last call stopped, with its rows and random numbers.

        The arguments are those of `generate`. `generate(n)` and then `more(m)` write what `generate(n + m)` does.

        Raises:
            ValueError: an argument outside its limits, or nothing to go on from.
        """
        if self._state is None:
            raise ValueError("There is nothing to go on from yet: call generate first, or set state.")
        sampling = self._sampling(len(self._state.keys), temperature, top_k, top_p)
        return self._join(self._write(self._state, _length(length), sampling, _stops(stop)), verbose)

    def score(self, text, unknown="error", replacement=" ", initial_state=None):
        """Score a text: the loss of each of its characters, with carried state. The generator's state stays.

        Args:
            text: at least two characters.
            unknown, replacement: as in `generate`.
            initial_state: as in `generate`, of one row.

        Returns:
            A `Score` in nats.

        Raises:
            ValueError: fewer than two characters, or unknown ones.
        """
        ids = self.vocabulary.encode(text, unknown, replacement)
        if len(ids) < 2:
            raise ValueError(f"A score needs at least 2 characters, one to predict from; the text has {len(ids)}.")
        losses = self.loop.read(self._start(1, initial_state), [ids])[1][0][1:]
        return Score(float(losses.mean(dtype=np.float64)), losses)

    def compare(self, prompt="", temperatures=(0.2, 0.5, 0.8, 1.0, 1.2), length=200, seed=0, **settings):
        """Write one sample for each temperature, from the same prompt and random numbers.

        Args:
            prompt: text to continue.
            temperatures: one for each sample.
            length: characters of each sample.
            seed: as in `generate`, the same for every sample.
            **settings: top_k, top_p, stop and unknown, as in `generate`.

        Returns:
            A `Comparison`, which shows as a table in a notebook and as text in a terminal.
        """
        rows = len(temperatures)
        texts = self.generate([prompt] * rows, length, list(temperatures), seed=_keys(seed, 1) * rows, **settings)
        return Comparison(tuple(temperatures), tuple(texts))

    def reset(self):
        """Forget the last call."""
        self._state = None

    @property
    def state(self):
        """Where the generator stands, or None before the first call: keep it, and set it to go on from there."""
        return self._state

    @state.setter
    def state(self, state):
        if state is not None:
            fresh = self.loop.start(len(state.keys))
            shapes = [[tuple(x.shape) for x in (*sum(n.states, ()), n.logits)] for n in (state.network, fresh)]
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"The state is of another network: its arrays are {shapes[0]}, this one's {shapes[1]}. "
                    "Set a state that this generator gave."
                )
        self._state = state

    def _begin(
        self,
        prompt,
        length,
        seed,
        include_prompt,
        unknown,
        temperature=1.0,
        top_k=None,
        top_p=None,
        stop=None,
        initial_state=None,
    ):
        """Check everything at once, read the prompts, and return the iterator of pieces."""
        given = {"prompt": prompt, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        if initial_state is not None:
            given["initial_state"] = _arrays(initial_state)[0]
        rows = _count_rows(given)
        single = not any(map(_is_list, given.values()))
        sampling = self._sampling(rows, temperature, top_k, top_p)
        length, stops, keys = _length(length), _stops(stop), _keys(seed, rows)
        prompts = list(prompt) if _is_list(prompt) else [prompt] * rows
        ids = [self._read_prompt(text, *unknown) for text in prompts]
        network, _ = self.loop.read(self._start(rows, initial_state), ids, sampling)
        if not np.isfinite(network.logits).all():
            raise ValueError(
                "The network's scores are not numbers: its weights are damaged. Use an earlier checkpoint."
            )
        self._state = State(network, keys, np.zeros(rows, np.int64), ("",) * rows, single)
        pieces = self._write(self._state, length, sampling, stops)
        return itertools.chain([prompts], pieces) if include_prompt else pieces

    def _start(self, rows, initial_state):
        """Return the state of rows that have read nothing, with other states than zeros where some are given."""
        start = self.loop.start(rows)
        if initial_state is None:
            return start
        given, are_networks = _arrays(initial_state), lambda h: h.dtype == np.float32  # a mixture's n-grams have others
        shapes, wanted = [h.shape for h in given], [h.shape for layer in start.states for h in layer if are_networks(h)]
        if shapes != wanted:
            raise ValueError(
                f"initial_state has the shapes {shapes}; the network's states for {rows} rows are {wanted}."
            )
        if not all(np.isfinite(h).all() for h in given):
            raise ValueError("initial_state has entries that are not finite numbers; look at what computed it.")
        left = iter(given)
        states = tuple(tuple(next(left) if are_networks(h) else h for h in layer) for layer in start.states)
        return start._replace(states=states)

    def _join(self, chunks, verbose):
        """Join each row's pieces; with `verbose`, say how fast they came."""
        began, written_before = time.perf_counter(), self._state.written.sum()
        texts = [""] * len(self._state.keys)
        for pieces in chunks:
            texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
        if verbose:
            total, seconds = self._state.written.sum() - written_before, time.perf_counter() - began
            print(f"{total:,} characters in {seconds:.2f} s: {total / seconds:,.0f} characters/s")
        return _shape(texts, self._state.single)

    def _read_prompt(self, text, unknown, replacement):
        if not isinstance(text, str):
            raise ValueError(f"The prompt is {text!r}; give a string, or a list of strings.")
        ids = self.vocabulary.encode(text, unknown, replacement)
        if len(ids) == 0 and START not in self.vocabulary:
            raise ValueError("An empty prompt begins after a line break, which this vocabulary lacks; give a prompt.")
        return ids if len(ids) else self.vocabulary.encode(START)

    def _sampling(self, rows, temperature, top_k, top_p):
        """Check the sampling arguments and spread them over the rows."""
        vocab_size = len(self.vocabulary)
        temperatures = _spread("temperature", temperature, rows)
        ks = _spread("top_k", vocab_size if top_k is None else top_k, rows)
        ps = _spread("top_p", 1.0 if top_p is None else top_p, rows)
        _require("temperature", temperatures, lambda t: np.isfinite(t) & (t >= 0), "a finite number, at least 0")
        _require("top_k", ks, lambda k: (k >= 1) & (k == np.floor(k)), "a whole number, at least 1, or None")
        _require("top_p", ps, lambda p: (p > 0) & (p <= 1), "above 0 and at most 1, or None")
        if ks.max() > vocab_size:
            warnings.warn(
                f"top_k {ks.max():g} is above the vocabulary's {vocab_size} characters: all of them count.",
                stacklevel=4,
            )
        ks = np.minimum(ks, vocab_size)
        return Sampling(temperatures.astype(np.float32), ks.astype(np.int32), ps.astype(np.float32))

    def _write(self, state, length, sampling, stops):
        """Yield a list of pieces, one a row, until `length` characters are written or every row has stopped.

        It goes on from its own `state`, whatever other calls do meanwhile, and leaves each new one with the generator.
        """
        going = np.ones(len(state.keys), bool)
        kept = max([KEPT, *map(len, stops)])
        while length > 0 and going.any():
            counts = np.where(going, min(length, CHUNK), 0).astype(np.int32)
            length -= CHUNK
            state, pieces, stopped = self._write_chunk(state, counts, sampling, stops)
            going &= ~stopped
            tails = [tail + piece for tail, piece in zip(state.tails, pieces, strict=True)]
            tails = ("" if stop else tail[-kept:] for tail, stop in zip(tails, stopped, strict=True))
            self._state = state = state._replace(tails=tuple(tails))
            yield pieces

    def _write_chunk(self, state, counts, sampling, stops):
        """Write up to `CHUNK` characters a row; where a stop text ends earlier, only up to there."""
        places = zip(state.keys, state.written, strict=True)
        uniforms = np.stack([draw_uniforms(*key, start, CHUNK) for key, start in places])
        network, ids = self.loop.write(state.network, counts, uniforms, sampling)
        texts = [self.vocabulary.decode(row[:count]) for row, count in zip(ids, counts, strict=True)]
        ends = [_end_of_stop(tail, text, stops) for tail, text in zip(state.tails, texts, strict=True)]
        stopped = np.array([end is not None for end in ends])
        kept = np.array([count if end is None else end for count, end in zip(counts, ends, strict=True)], np.int32)
        if (kept < counts).any():  # the state must be that of the stop's last character: run the chunk again, shorter
            network, _ = self.loop.write(state.network, kept, uniforms, sampling)
        state = state._replace(network=network, written=state.written + kept)
        return state, [text[:count] for text, count in zip(texts, kept, strict=True)], stopped


class Comparison(NamedTuple):
    """Samples side by side, one for each temperature."""

    temperatures: tuple
    texts: tuple

    def __str__(self):
        return "\n\n".join(f"--- temperature {t:g} ---\n{x}" for t, x in zip(*self, strict=True))

    __repr__ = __str__

    def _repr_html_(self):
        cell = '<td style="text-align:left;vertical-align:top"><pre style="white-space:pre-wrap">{}</pre></td>'
        head = "".join(f'<th style="text-align:left">temperature {t:g}</th>' for t in self.temperatures)
        body = "".join(cell.format(html.escape(text)) for text in self.texts)
        return f"<table><tr>{head}</tr><tr>{body}</tr></table>"


def generate_text(model, vocabulary, prompt="", length=500, **settings):
    """Write text in one call; the arguments are those of `Generator.generate`."""
    return Generator(model, vocabulary).generate(prompt, length, **settings)


def _shape(texts, single):
    return texts[0] if single else texts


def _end_of_stop(tail, text, stops):
    """Count the characters of `text` up to the end of the first stop text, which may begin in `tail`; None: no stop."""
    ends = []
    for stop in stops:
        overlap = tail[len(tail) - min(len(tail), len(stop) - 1) :]
        place = (overlap + text).find(stop)
        if place >= 0:
            ends.append(place + len(stop) - len(overlap))
    return min(ends, default=None)


def _is_list(value):
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _arrays(initial_state):
    """Take one array (rows, units) or a list of them as a list of float32 arrays."""
    single = hasattr(initial_state, "ndim")
    return [np.asarray(h, np.float32) for h in ([initial_state] if single else initial_state)]


def _count_rows(given):
    lengths = {name: len(value) for name, value in given.items() if _is_list(value)}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        named = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"Lists must have one entry for each row, at least one, but have: {named}.")
    return next(iter(lengths.values()), 1)


def _spread(name, value, rows):
    values = np.asarray(value, np.float64)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != rows):
        raise ValueError(f"{name} has {values.size} entries for {rows} rows; give one number, or one for each row.")
    return np.broadcast_to(values, (rows,))


def _require(name, values, holds, limits):
    wrong = values[~holds(values)]
    if wrong.size:
        raise ValueError(f"{name} is {wrong[0]:g}; it must be {limits}.")


def _length(length):
    if not isinstance(length, (int, np.integer)) or isinstance(length, bool) or length < 0:
        raise ValueError(f"length is {length}; it must be a whole number of characters, at least 0.")
    return int(length)


def _stops(stop):
    stops = [] if stop is None else [stop] if isinstance(stop, str) else list(stop)
    if not all(isinstance(text, str) and text for text in stops):
        raise ValueError(f"stop is {stop!r}; it must be a text of at least one character, a list of them, or None.")
    return stops


def _keys(seed, rows):
    """Return the (seed, row) by which each row's random numbers are drawn."""
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    if not _is_list(seed):
        seed = [(seed, row) for row in range(rows)]
    keys = [tuple(value) if _is_list(value) else (value, 0) for value in seed]
    for value in itertools.chain(*keys):
        if value != int(value) or value < 0:
            raise ValueError(f"seed is {value}; it must be a whole number, at least 0.")
    if any(len(key) != 2 for key in keys):
        raise ValueError("seed has an entry that is neither a number nor a pair (seed, row); give one of them.")
    return tuple((int(number), int(row)) for number, row in keys)

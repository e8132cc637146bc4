"""A trained network as one page that runs in any browser, and as a panel in a notebook."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import NamedTuple

import keras

from charlm.corpora import registry
from charlm.engine import rnn
from charlm.generation import START, Generator, opening
from charlm.inspection.search import Cell, Search
from charlm.player import export
from charlm.runs import Run
from charlm.support.files import write_text

HERE = Path(__file__).parent
MOST_BYTES = 25_000_000  # of a page: more takes a phone too long
MEASURED = 2_000  # characters on which the rounding of the weights is weighed
SAMPLED = 300  # characters of a sample
SAMPLE_LINES, LONGEST_LINE = 12, 60
TEMPERATURES = (0.5, 0.8, 1.0)
NOTES = "player.json"  # in a run's folder: prompts to try, cells that were found, and how to round the weights
# The frame covers the table; where frames are taken out, as GitHub does, the table stands there.
FRAME = (
    '<div style="position:relative;height:780px;overflow:hidden;border-radius:12px"><table><tr>{}</tr><tr>{}</tr></table>'
    '<iframe sandbox="allow-scripts" allow="clipboard-write" title="{}" srcdoc="{}" '
    'style="position:absolute;top:0;left:0;width:100%;height:100%;border:0"></iframe></div>'
)


class Player(NamedTuple):
    """A page that lets a network write; a notebook shows it, and `save` makes it a file."""

    html: str
    title: str
    samples: tuple  # of (heading, text): what stands where scripts do not run

    def save(self, path, force=False):
        """Write the page to a file, and return its path.

        Args:
            path: of the file.
            force: whether a file that is there may be replaced.

        Raises:
            ValueError: the file is there and `force` is not given.
        """
        path = free_path(path, force)
        write_text(path, self.html)
        return path

    def _repr_html_(self):
        """The page in a frame, and samples for where there are none."""
        heads = "".join(f'<th align="left">{html.escape(heading)}</th>' for heading, _ in self.samples)
        texts = "".join(
            f'<td align="left" valign="top"><pre>{html.escape(text)}</pre></td>' for _, text in self.samples
        )
        return FRAME.format(heads, texts, html.escape(self.title), html.escape(self.html))

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}

    def __repr__(self):
        texts = "\n\n".join(f"--- {heading} ---\n{text}" for heading, text in self.samples)
        return f"{self.title}: a page of {len(self.html) / 1e6:.2f} MB; save('page.html') writes it\n\n{texts}"


def play(source, vocabulary=None, weights=None, prompt=None, cells=None):
    """Make a page that lets a network write in any browser: one file, without Python, and without a server.

    At the end of a notebook's cell it is shown there. What the page can do stands on it.

    Args:
        source: a `Run`, the folder of one, the name of a reference model, a `Generator`, or a model from `build_model`.
        vocabulary: the model's `Vocabulary`, where `source` is a model.
        weights: how to round them: "int8", which makes the smaller page, or "float16"; None measures what int8 costs
            and takes it where that is at most 0.005 nats a character.
        prompt: text to begin with; None for one that fits the model.
        cells: what was found by `find_cells`, to be named on the page: a dictionary of names to what it returned, or to
            units.

    Returns:
        A `Player`.

    Raises:
        FileNotFoundError: no such run, or no epoch of it was finished.
        ValueError: a model that is not from `build_model`, or without its vocabulary; unknown weights; a prompt with
            characters outside the vocabulary; or a page above 25 MB.
    """
    run = source if isinstance(source, Run) else Run.load(source) if isinstance(source, (str, Path)) else None
    generator = run.generator() if run else _generator(source, vocabulary)
    notes = _notes(run)
    given = prompt if prompt is not None else next(iter(notes["prompts"]), "")
    text, lines = (run.to_network(given), run.reads_lines) if run else (given, False)
    chosen, cost = (weights, None) if weights else notes["rounding"] or measure_rounding(generator, text, lines)
    packed = export.pack(generator.loop.network, chosen)
    named = [_named(name, found) for name, found in (cells or {}).items()]
    model = {
        **_facts(generator, run),
        **packed._asdict(),
        "prompt": given,
        "prompts": notes["prompts"],
        "cells": [*named, *notes["cells"]],
        "cost": cost if chosen == "int8" else None,
        "kernel": kernel(),
    }
    page = assemble(model)
    _check_size(page, chosen)
    return Player(page, model["title"], _samples(generator, run, text))


def measure_rounding(generator, prompt="", lines=False):
    """Choose how to round a network's weights, by what it costs on what the network writes.

    Args:
        generator: a `Generator`.
        prompt: text to begin with.
        lines: whether the network writes a list, each line from zero state.

    Returns:
        `[weights, cost]`, as `export.choose_weights` does.
    """
    prompt = prompt or _beginning(generator)
    if lines:
        texts = generator.generate([prompt] * SAMPLE_LINES * len(TEMPERATURES), LONGEST_LINE, stop="\n", seed=0)
    else:
        texts = [generator.generate(prompt, MEASURED, seed=0, include_prompt=False)]
    return list(export.choose_weights(generator.loop, [generator.vocabulary.encode(text) for text in texts]))


def kernel():
    """Return the bytes of kernel.wasm, which kernel.wat builds, in base 64."""
    return base64.b64encode((HERE / "kernel.wasm").read_bytes()).decode("ascii")


def free_path(path, force=False):
    """Return a path to write to.

    Raises:
        ValueError: a file is there and `force` is not given.
    """
    path = Path(path)
    if path.exists() and not force:
        raise ValueError(f"{path} exists. Give force=True (--force) to replace it, or another name.")
    return path


def _generator(source, vocabulary):
    if isinstance(source, Generator):
        return source
    if not isinstance(source, keras.Model):
        raise ValueError(
            f"{source!r} cannot be played. Give a Run, its folder, a Generator, or a model and its vocabulary."
        )
    if vocabulary is None:
        raise ValueError("A model needs its vocabulary beside it: give play(model, vocabulary), or a Run.")
    layers = [
        layer for layer in source.layers if not isinstance(layer, (keras.layers.InputLayer, keras.layers.Dropout))
    ]
    names, recurrent = [layer.name for layer in layers], layers[1:-1]
    known = all(isinstance(layer, tuple(rnn.KERAS_LAYERS.values())) for layer in recurrent)
    alike = known and len({(rnn.cell_name(layer), layer.units) for layer in recurrent}) == 1
    if not alike or (names[0], names[-1]) != ("embedding", "logits"):
        raise ValueError(
            f"The model is not from build_model: its layers are {', '.join(names)}. A page needs an embedding, GRU, LSTM "
            "or tanh layers of one kind and width, and logits. Build the network with charlm.build_model."
        )
    return Generator(source, vocabulary)


def _notes(run):
    """What was noted in a run's folder."""
    file = run.path / NOTES if run else None
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file and file.exists() else {}
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}). Remove it: only prompts and found cells are lost.") from error
    return {"prompts": [], "cells": [], "rounding": None, **found}


def _beginning(generator):
    """What an empty prompt stands for."""
    return "" if START in generator.vocabulary else opening(generator.vocabulary)


def _named(name, found):
    """Describe a found cell for the page: from a `Search`, a `Cell` or a `Unit`."""
    cell = found.cells[0] if isinstance(found, Search) else found
    layer, signal, number = cell.unit if isinstance(cell, Cell) else cell
    facts = {"direction": cell.direction, "score": round(cell.score, 3)} if isinstance(cell, Cell) else {"direction": 1}
    measure = {"measure": found.measure} if isinstance(found, Search) else {}
    return {"name": name, "layer": int(layer), "signal": signal, "unit": int(number), **facts, **measure}


def _facts(generator, run):
    """What the player needs to know of the network, and what a visitor may want to."""
    vocabulary, network, (cell, *_) = generator.vocabulary, generator.loop.network, generator.loop.step.cells
    units, layers = network.layers[0].recurrent_kernel.shape[0], len(network.layers)
    weights = sum(tensor.size for tensor in export.named_tensors(network).values())
    name = (
        f"{'tanh' if cell == 'rnn' else cell.upper()}-{units}, {layers} layer{'s' * (layers > 1)}, {weights:,} weights"
    )
    corpus = (run.settings["corpus"] or {}) if run else {}
    entry = registry().get(corpus.get("name"), {})
    about = {
        "Network": name,
        "Vocabulary": f"{len(vocabulary)} characters",
        "Trained on": corpus and entry.get("title", corpus["name"]) + ", a stand-in" * corpus["standin"],
        "Licence of the text": entry and f"{entry['licence']} ({entry['credit']})",
    }
    return {
        "title": entry["title"] if run and run.is_reference else run.path.resolve().name if run else "A network",
        "cell": cell,
        "units": units,
        "layers": layers,
        "vocabulary": [ord(character) for character in vocabulary.characters],
        "mark": vocabulary.characters.index(vocabulary.mark) if vocabulary.mark else None,
        "opening": vocabulary.characters.index(opening(vocabulary)),
        "lines": bool(run and run.reads_lines),
        "as_bytes": bool(run and run.reads_bytes),
        "nats": run.store.choose("best").val_loss if run else None,
        "about": [[fact, value] for fact, value in about.items() if value],
    }


def _samples(generator, run, prompt):
    """Write a sample for each of three temperatures."""
    prompt = prompt or _beginning(generator)
    rows = SAMPLE_LINES if run and run.reads_lines else 1
    temperatures = [temperature for temperature in TEMPERATURES for _ in range(rows)]
    settings = {"length": LONGEST_LINE, "stop": "\n"} if rows > 1 else {"length": SAMPLED}
    texts = generator.generate([prompt] * len(temperatures), temperature=temperatures, seed=0, **settings)
    joined = ["".join(texts[first : first + rows]) for first in range(0, len(texts), rows)]
    shown = [run.display(text) for text in joined] if run else joined
    sound = (text.encode("utf-8", "replace").decode() for text in shown)  # a notebook's file takes no lone surrogate
    return tuple((f"temperature {t:g}", text) for t, text in zip(TEMPERATURES, sound, strict=True))


def assemble(model):
    """Put a page together; the policy in its head lets nothing run but these scripts, and nothing be fetched.

    Args:
        model: what the player reads: the facts of a network, its vocabulary and its packed weights.
    """
    parts = {
        name: (HERE / name).read_text(encoding="utf-8") for name in ("style.css", "engine.js", "host.js", "view.js")
    }
    engine = parts["engine.js"] + parts["host.js"]
    data = json.dumps(model).translate({ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"})
    values = {
        "title": html.escape(model["title"]),
        "policy": f"default-src 'none'; script-src {_hash(engine)} {_hash(parts['view.js'])} 'wasm-unsafe-eval'; "
        f"style-src {_hash(parts['style.css'])}; worker-src blob:; base-uri 'none'; form-action 'none'",
        "style": parts["style.css"],
        "engine": engine,
        "view": parts["view.js"],
        "model": data,
    }
    template = (HERE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _hash(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _check_size(page, weights):
    if len(page) > MOST_BYTES:
        halved = (
            "weights='int8' (--weights int8) would halve it" if weights == "float16" else "its weights are int8 already"
        )
        raise ValueError(
            f"The page has {len(page) / 1e6:.1f} MB; {MOST_BYTES / 1e6:.0f} are allowed: {halved}. "
            "Fewer units or layers make it smaller."
        )

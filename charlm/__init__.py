"""charlm: character-level recurrent language models on Keras 3 and TensorFlow.

The data flows one way: corpora → vocabulary → pipelines → rnn → models → loop → generation → metrics → training →
snapshots, transfer, settings, pace, anytext → baselines, novelty, structure, report, terminal, cli → features, neurons, plots, pages.
Beside it stand the first and the last lesson: scratch, gates and diagrams, with nothing of TensorFlow's in the first.
"""

from charlm import _quiet  # noqa: F401  (before any other module imports TensorFlow)
from charlm.corpora import Corpus, list_corpora, load_corpus, load_folder, unique_lines
from charlm.generation import Generator, generate_text
from charlm.machine import describe_machine, profile
from charlm.metrics import evaluate, evaluate_lines
from charlm.models import build_model, compile_model, with_batch_size
from charlm.pipelines import lines, split, split_input_target, streams, windows
from charlm.settings import suggest
from charlm.training import Run, checkpoints, resume
from charlm.transfer import extend, extended_vocabulary
from charlm.vocabulary import Vocabulary

__version__ = "0.1.0"

__all__ = [
    "Corpus",
    "Generator",
    "Run",
    "Vocabulary",
    "build_model",
    "checkpoints",
    "compile_model",
    "describe_machine",
    "evaluate",
    "evaluate_lines",
    "extend",
    "extended_vocabulary",
    "generate_text",
    "lines",
    "list_corpora",
    "load_corpus",
    "load_folder",
    "profile",
    "resume",
    "split",
    "split_input_target",
    "streams",
    "suggest",
    "unique_lines",
    "windows",
    "with_batch_size",
]

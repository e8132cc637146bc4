"""charlm: character-level recurrent language models on Keras 3 and TensorFlow.

The small module stands here, in the order in which a text walks through it: corpora, vocabulary, pipelines, models,
training, runs, generation, metrics. Each other concern has a folder of its own: docs/architecture.md shows them.
TensorFlow starts when the first of the names below needs it, and without its messages.
"""

import importlib

from charlm.support.startup import prepare_tensorflow

prepare_tensorflow()

__version__ = "0.1.0"

_HOMES = {
    "anytext.settings": ["suggest"],
    "anytext.together": ["together"],
    "anytext.transfer": ["extend", "extended_vocabulary"],
    "corpora": ["Corpus", "list_corpora", "load_corpus", "load_folder", "unique_lines"],
    "devices.workers": ["join_workers"],
    "evaluation.adaptive": ["evaluate_while_learning"],
    "evaluation.mixture": ["Mixture"],
    "generation": ["Generator", "generate_text"],
    "metrics": ["evaluate", "evaluate_lines"],
    "models": ["build_model", "compile_model", "remember", "with_batch_size"],
    "pipelines": ["lines", "split", "split_input_target", "streams", "windows"],
    "player.page": ["play"],
    "runs": ["Run", "checkpoints", "resume"],
    "support.machine": ["describe_machine", "profile"],
    "vocabulary": ["Vocabulary"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name):
    """Import a public name, or a module of the small ones, when it is first used (PEP 562)."""
    if name in (*_HOMES, "training"):
        return importlib.import_module(f"charlm.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'charlm' has no attribute {name!r}; it has {', '.join(__all__)}.")
    value = globals()[name] = getattr(importlib.import_module(f"charlm.{_HOME_OF[name]}"), name)
    return value


def __dir__():
    return sorted({*globals(), *__all__})

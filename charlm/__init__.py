"""charlm: character-level recurrent language models on Keras 3 and TensorFlow.

The data flows one way: corpora → vocabulary → pipelines → rnn → models → generation → metrics → training.
"""

from charlm import _quiet  # noqa: F401  (before any other module imports TensorFlow)
from charlm.machine import describe_machine, profile
from charlm.pipelines import split, split_input_target, streams, windows
from charlm.vocabulary import Vocabulary

__version__ = "0.1.0"

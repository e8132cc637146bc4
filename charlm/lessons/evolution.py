"""Samples in the course of training, for notebook 06."""

from typing import NamedTuple

import keras

from charlm.generation import Generator


class Sample(NamedTuple):
    """What a network wrote in the middle of its training."""

    step: int  # batches trained on
    loss: float  # nats, the mean over the batches since the sample before
    text: str


class Evolution(keras.callbacks.Callback):
    """Writes a sample after chosen batches, always from the same random numbers; `samples` lists them."""

    def __init__(self, vocabulary, steps=(100, 300, 500, 700, 1200, 2000), prompt="\n", length=300, temperature=1.0):
        super().__init__()
        vocabulary.encode(prompt)  # an unknown character should be known now, not after a hundred batches
        self.vocabulary, self.steps, self.settings = vocabulary, frozenset(steps), (prompt, length, temperature)
        self.samples, self._step, self._losses, self._total = [], 0, [], 0.0

    def on_train_batch_end(self, batch, logs=None):
        total = float(logs["loss"]) * (batch + 1)  # Keras gives the mean over the epoch so far
        self._losses.append(total - (self._total if batch else 0.0))
        self._total, self._step = total, self._step + 1
        if self._step in self.steps:
            generator = Generator(self.model, self.vocabulary)
            text = generator.generate(*self.settings, seed=0, include_prompt=False)
            self.samples.append(Sample(self._step, sum(self._losses) / len(self._losses), text))
            self._losses = []

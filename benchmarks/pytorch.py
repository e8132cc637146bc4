"""What PyTorch takes for a training step and how fast it writes, in functions that the other benchmarks use.

It imports no TensorFlow, and PyTorch only where it is used: on a GPU the two cannot share a process. There
`benchmarks.gpu` calls `python -m benchmarks.pytorch`, which reads a list of jobs as JSON and prints a figure for each.
"""

import importlib.util
import json
import statistics
import sys

import numpy as np

from benchmarks.timing import interleave, seconds_of

HAS_TORCH = importlib.util.find_spec("torch") is not None
# Adam loads Triton, unused on a CPU, whose LLVM and TensorFlow's cannot both be in one process.
sys.modules.setdefault("triton", None)

SECONDS = 0.5  # about what a round of writing takes


def network(cell, inputs, units, layers, vocab_size, device="cpu"):
    """Build embedding, recurrent layers and logits of these sizes: three modules."""
    import torch

    layer = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]
    modules = (
        torch.nn.Embedding(vocab_size, inputs),
        layer(inputs, units, layers, batch_first=True),
        torch.nn.Linear(units, vocab_size),
    )
    return [module.to(device) for module in modules]


def training_step(modules, ids, targets, half=None):
    """Return a function that trains a network on one batch, with products in `half` where it is given."""
    import torch

    embedding, recurrent, dense = modules
    parameters = [weight for module in modules for weight in module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    device = parameters[0].device

    def step():
        x, y = (torch.from_numpy(array.astype(np.int64)).to(device) for array in (ids, targets))
        with torch.autocast(device.type, half, enabled=half is not None):
            logits = dense(recurrent(embedding(x))[0])  # (batch, time, vocabulary)
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.item()

    return step


def writer(modules, rows, threads):
    """Return a function that writes a number of characters in each row, one call and one draw at a time, without gradients.

    More threads than one lose where other programs share the cores, so it is measured both ways.
    """
    import torch

    embedding, recurrent, dense = modules
    device = dense.weight.device

    @torch.inference_mode()
    def write(steps):
        torch.set_num_threads(threads)
        ids, state, written = torch.zeros((rows, 1), dtype=torch.long, device=device), None, []
        for _ in range(steps):
            output, state = recurrent(embedding(ids), state)
            ids = torch.multinomial(torch.softmax(dense(output[:, -1]), dim=-1), num_samples=1)
            written.append(ids.cpu().numpy())
        return written

    return write


def step_seconds(job):
    """Measure a training step on the GPU: the median of the rounds."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = job["precision"] != "float32"
    half = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(job["precision"])
    ids = np.random.default_rng(0).integers(0, job["network"]["vocab_size"], (job["rows"], job["steps"] + 1))
    step = training_step(network(**job["network"], device="cuda"), ids[:, :-1], ids[:, 1:], half)
    for _ in range(3):
        step()
    return statistics.median(interleave({"": step}, job["rounds"])[""])


def characters_a_second(job):
    """Measure how fast all rows together write on the GPU: the median of the rounds."""
    write = writer(network(**job["network"], device="cuda"), job["rows"], threads=1)
    write(64)
    steps = max(64, round(64 * SECONDS / seconds_of(lambda: write(64))))
    return steps * job["rows"] / statistics.median(interleave({"": lambda: write(steps)}, job["rounds"])[""])


def main():
    for job in json.load(sys.stdin):
        print(json.dumps((step_seconds if "precision" in job else characters_a_second)(job)), flush=True)


if __name__ == "__main__":
    main()

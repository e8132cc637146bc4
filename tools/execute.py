"""Run notebooks headless and save them with their outputs: `python -m tools.execute notebooks/*.ipynb`.

What a cell prints is shown as it comes, so that a long training is never silent.
"""

import argparse
import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

ROOT = Path(__file__).parents[1]
PANEL = re.compile(r"<div [^>]*>(<table>(?:(?!<iframe ).)*</table>)<iframe .*</iframe></div>", re.DOTALL)


class EchoingClient(NotebookClient):
    """Runs a notebook and writes each cell's first line, and what the cell prints, to the terminal."""

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] == "stream":
            print(msg["content"]["text"], end="", flush=True)
        return super().process_message(msg, cell, cell_index)

    async def async_execute_cell(self, cell, cell_index, **options):
        if cell.cell_type == "code" and cell.source.strip():
            print(f"\n[{cell_index + 1}/{len(self.nb.cells)}] {cell.source.splitlines()[0]}", flush=True)
        return await super().async_execute_cell(cell, cell_index, **options)


def execute(path, folder):
    """Run a notebook.

    Args:
        path: the notebook's file, which stays as it is.
        folder: the working folder of its kernel.

    Returns:
        The notebook with its outputs; progress bars are reduced to their last state, and panels of `charlm.play`, a
        megabyte each, to the samples that stand behind them.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an error.
    """
    notebook = nbformat.read(path, as_version=4)
    # The kernel finds charlm in this clone.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    client = EchoingClient(notebook, timeout=None, kernel_name="python3", record_timing=False)
    client.extra_arguments = ["--log-level=ERROR"]
    client.resources = {"metadata": {"path": str(folder)}}
    client.execute()
    notebook, _ = CoalesceStreamsPreprocessor().preprocess(notebook, {})
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if "text/html" in output.get("data", {}):
            output.data["text/html"] = PANEL.sub(r"\1", output.data["text/html"])
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path, help="notebooks to run and to save in place")
    for path in parser.parse_args().notebooks:
        print(f"=== {path}", file=sys.stderr)
        nbformat.write(execute(path, path.parent), path)


if __name__ == "__main__":
    main()

"""TensorFlow starts quietly, and only when it is needed; what XLA compiles is kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.support import startup

ROOT = Path(__file__).parents[2]


def python(code, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


def test_a_later_import_of_keras_is_quiet_and_importing_charlm_alone_is_light():
    code = "import sys, charlm; print('tensorflow' in sys.modules); import keras; print(keras.ops.add(1, 1))"
    shown = python(code)
    assert shown.stdout.startswith("False\n") and shown.stderr == ""


@pytest.mark.deep
def test_the_command_starts_tensorflow_without_what_it_does_not_use():
    code = (
        "import sys; from charlm.support.startup import start_light; start_light(); import keras; print(*sys.modules)"
    )
    assert not {"sklearn", "matplotlib"} & {*python(code).stdout.split()}


@pytest.mark.deep
def test_without_a_stderr_charlm_starts_all_the_same():
    python("import os, sys; os.close(2); sys.stderr = None; import charlm; charlm.build_model(4, units=2)")


@pytest.mark.parametrize(("verbose", "kept"), [("0", True), ("1", False)])
def test_messages_are_held_back_unless_verbose(verbose, kept):
    code = (
        "import os, charlm; from charlm.support.startup import quiet_stderr\n"
        "with quiet_stderr(): os.write(2, b'native noise')"
    )
    assert (python(code, CHARLM_VERBOSE=verbose).stderr == "") == kept


def test_what_was_held_back_is_shown_where_the_block_fails():
    code = (
        "import os, charlm; from charlm.support.startup import quiet_stderr\n"
        "try:\n    with quiet_stderr():\n        os.write(2, b'the reason'); raise ValueError\nexcept ValueError: pass"
    )
    assert python(code).stderr == "the reason"


def test_a_module_is_hidden_as_long_as_the_block_runs_unless_it_is_there_already():
    with startup.hidden(["this", "os"]):
        with pytest.raises(ImportError):
            import this  # noqa: F401
        import os as there

        assert there is os
    assert "this" not in sys.modules and "os" in sys.modules


COMPILE = "import tensorflow as tf; print(tf.function(lambda x: x * 2, jit_compile=True)(tf.constant(21)).numpy())"


def test_what_xla_compiles_is_kept_and_found_again_and_what_a_crash_left_empty_compiled_anew(tmp_path):
    cache = tmp_path / "a folder's cache"

    def compiled(first):
        shown = python(f"import {first}; {COMPILE}", CHARLM_CACHE=str(cache), TF_XLA_FLAGS="")
        assert shown.stdout == "42\n" and (shown.stderr == "" or first != "charlm")
        return {file.name: file.read_bytes() for file in cache.rglob("xla_compile_cache*")}

    files = compiled("charlm")
    assert files
    empty = next(cache.rglob("xla_compile_cache*"))
    empty.write_bytes(b"")
    again = compiled("tensorflow, charlm")
    assert again.keys() == files.keys() and all(again.values())


class FakeTensorFlow:
    __version__ = "9.9"


def test_a_folder_is_named_for_version_and_cpu_unless_one_is_named_already(tmp_path, monkeypatch):
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path))
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=1")
    startup.keep_compiled(FakeTensorFlow)
    (folder,) = (tmp_path / "compiled").iterdir()
    assert folder.name.startswith("tensorflow-9.9-")
    flags = os.environ["TF_XLA_FLAGS"]
    assert flags.startswith(f'--tf_xla_auto_jit=1 --tf_xla_persistent_cache_directory="{folder}" ')
    startup.keep_compiled(FakeTensorFlow)
    assert os.environ["TF_XLA_FLAGS"] == flags


def test_without_a_folder_to_keep_them_in_nothing_is_asked_of_xla(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("TF_XLA_FLAGS", "")
    startup.keep_compiled(FakeTensorFlow)
    assert os.environ["TF_XLA_FLAGS"] == ""


def test_the_oldest_are_removed_where_there_are_too_many(tmp_path):
    for age in range(5):
        (tmp_path / str(age)).write_bytes(bytes(10))
        os.utime(tmp_path / str(age), (1_000 - age, 1_000 - age))
    startup._tidy(tmp_path, most=25)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0", "1"]

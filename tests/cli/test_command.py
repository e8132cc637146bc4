"""The `charlm` command, as a user meets it: output, exit codes, bad input, and being stopped."""

import contextlib
import errno
import io
import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import keras
import pytest

import charlm
from charlm import cli
from charlm.anytext.settings import TUNING_RATE
from charlm.anytext.split import cut, encode
from charlm.cli import parser as command_line
from charlm.cli import terminal, verbs
from charlm.corpora import encode_bytes
from charlm.support import files
from charlm.support.files import locked
from tests.deep import deep

ROOT = Path(__file__).parents[2]
SMALL = ["--units", "8", "--embedding-dim", "4", "--batch-size", "4", "--sequence-length", "16"]
TEXT = "The cat sat on the mat, and the dog sat by the door.\nWhere is the cat? Where is the dog?\n" * 40
INTERRUPTIONS = int(os.environ.get("CHARLM_INTERRUPTIONS", "1"))


def charlm_command(*arguments, **options):
    """Run the command as a user does: in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHARLM_OFFLINE": "1"}
    command = [sys.executable, "-m", "charlm", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a text, and a run trained on it by the command: in this process, where others find it traced."""
    folder, shown = tmp_path_factory.mktemp("user"), io.StringIO()
    (folder / "cats.txt").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown):
        patch.chdir(folder)
        assert cli.main(["train", "cats.txt", "--epochs", "2", *SMALL]) == 0
    (folder / "trained.txt").write_text(shown.getvalue())
    return folder


@pytest.fixture
def unreported(monkeypatch):
    """Leave out the report, where a test is about something else."""
    monkeypatch.setattr(verbs, "_report", lambda *_: None)


@pytest.fixture
def untrained(monkeypatch, unreported):
    """Leave out the training, too."""
    monkeypatch.setattr(verbs, "_fit", lambda *_: True)


def test_train_says_what_it_does_and_how_good_it_is(folder):
    shown = (folder / "trained.txt").read_text()
    for part in ("Corpus('cats', ", "units 8", "Run folder: runs/cats", "epoch 2/2: loss", "bpc", "characters/s"):
        assert part in shown
    for part in (
        "nats per character, the Kneser-Ney",
        "both together",
        "this network",
        "Did it memorise its text?",
        "Advice: ",
    ):
        assert part in shown
    assert shown.count("--- temperature") == 3
    run = charlm.Run.load(folder / "runs" / "cats")
    assert [row["epoch"] for row in run.history()] == [1, 2]
    report = json.loads((run.path / "report.json").read_text())
    validation = charlm.split(TEXT)[1]
    ids = run.vocabulary.encode(validation)
    assert charlm.evaluate(run, ids).nats == pytest.approx(report["nats"], abs=1e-3)
    assert charlm.evaluate(charlm.together(run), ids).nats == pytest.approx(report["together"]["nats"], abs=0.1)
    assert report["together"]["nats"] < min(report["nats"], report["ngram"]["nats"]) + 0.005


def test_the_command_writes_and_scores_with_both_together_and_with_the_network_alone(run, folder):
    (folder / "kept.txt").write_text(TEXT[:2000])
    asked = [("sample", "runs/cats", "--seed", 3, "--length", 80), ("score", "runs/cats", "kept.txt", "--json")]
    for arguments in asked:
        both, alone = run(*arguments)[1], run(*arguments, "--network")[1]
        assert both != alone
    assert json.loads(run(*asked[1])[1])["nats"] < json.loads(run(*asked[1], "--network")[1])["nats"]
    opened = charlm.Run.load(folder / "runs" / "cats")
    assert opened.generator().generate("", 80, seed=3, include_prompt=False) in alone_text(run)


def alone_text(run):
    return run("sample", "runs/cats", "--seed", 3, "--length", 80, "--network")[1]


def test_a_damaged_mixture_is_one_clear_line(run, folder, tmp_path):
    shutil.copytree(folder / "runs" / "cats", tmp_path / "cats")
    (tmp_path / "cats" / "mixture.npz").write_bytes(b"PK not a zip")
    code, _, errors = run("sample", tmp_path / "cats")
    assert code == 2 and errors.count("\n") == 1 and "mixture.npz is damaged" in errors and "--network" in errors
    assert run("sample", tmp_path / "cats", "--network", "--length", 10)[0] == 0


def test_sample_writes_text_the_same_for_the_same_seed(run, folder):
    code, shown, errors = run("sample", "runs/cats", "--length", 60, "--seed", 3)
    assert code == 0 and errors == ""
    cats = charlm.Run.load(folder / "runs/cats")
    expected = charlm.Generator(charlm.together(cats), cats.vocabulary).generate(length=60, seed=3)
    assert shown == expected + "\n"


def test_compare_lays_temperatures_side_by_side(run):
    code, shown, _ = run("compare", "runs/cats", "--prompt", "The ", "--temperatures", 0.5, 1, "--length", 80)
    head = shown.splitlines()[0]
    assert code == 0 and head.index("temperature 0.5") < head.index("temperature 1")


def test_score_measures_another_text(run, folder):
    (folder / "other.txt").write_text("The dog is by the door.\n" * 20)
    code, shown, _ = run("score", "runs/cats", "other.txt", "--json")
    found, cats = json.loads(shown), charlm.Run.load(folder / "runs/cats")
    ids = cats.vocabulary.encode("The dog is by the door.\n" * 20)
    both = charlm.together(cats)
    assert code == 0 and found["nats"] == pytest.approx(charlm.evaluate(both, ids, rows=64).nats, rel=1e-5)
    assert found["characters"] == len(ids) - 1


def test_info_shows_the_folder_the_curve_and_how_to_go_on(run):
    code, shown, _ = run("info", "runs/cats")
    assert code == 0
    for part in (
        "LSTM-8",
        "text        cats",
        "best in epoch",
        "Kneser-Ney",
        "charlm train --resume runs/cats --epochs 4",
    ):
        assert part in shown


def test_corpora_lists_names(run):
    code, shown, _ = run("corpora")
    assert code == 0 and "shakespeare" in shown and "baby_names" in shown


@pytest.mark.parametrize("verb", command_line.EXAMPLES)
def test_help_shows_three_examples_that_the_parser_takes(run, verb):
    code, shown, _ = run(verb, "--help")
    assert code == 0
    examples = re.findall(r"^  .*?(charlm .*)$", shown.split("examples:")[1], re.MULTILINE)
    assert len(examples) == 3
    for example in examples:
        words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", example)][1:]
        assert command_line.command_parser().parse_args(words).run


def test_json_is_all_there_is_on_standard_output_and_a_run_never_overwrites_another(run, folder):
    before = sorted((folder / "runs" / "cats").rglob("*"))
    code, shown, _ = run("train", "cats.txt", "--epochs", 1, *SMALL, "--json")
    found = json.loads(shown)
    assert code == 0 and found["run"] == "runs/cats-2" and found["settings"]["units"] == 8
    assert [row["epoch"] for row in found["history"]] == [1]
    assert sorted((folder / "runs" / "cats").rglob("*")) == before
    unknown = ["--unknown", "drop", "--limit", 3000]
    code, shown, errors = run("score", "runs/cats", "shakespeare", *unknown, "--json")
    assert code == 0 and json.loads(shown) and "stand-in" in errors
    for verb in (["corpora"], *([verb, "runs/cats-2"] for verb in ("info", "compare", "sample"))):
        code, shown, _ = run(*verb, "--json")
        assert code == 0 and json.loads(shown)


def test_a_finished_run_goes_on_for_more_epochs(run, folder, unreported):
    shutil.copytree(folder / "runs" / "cats", folder / "longer")
    code, shown, _ = run("train", "--resume", "longer", "--epochs", 3)
    assert code == 0 and "going on after epoch 2 of 3" in shown
    assert [row["epoch"] for row in charlm.Run.load(folder / "longer").history()] == [1, 2, 3]


@pytest.mark.parametrize("name", ["recipes", "~/cats.txt"])
def test_a_run_is_resumed_from_any_folder(run, folder, untrained, monkeypatch, tmp_path, name):
    monkeypatch.setenv("HOME", str(folder))
    (folder / "recipes").write_text(TEXT)
    assert run("train", name, "--epochs", 1, *SMALL, "--out", tmp_path / "run")[0] == 0
    monkeypatch.chdir(tmp_path)
    code, shown, errors = run("train", "--resume", "run", "--epochs", 2)
    assert code == 0 and "going on after epoch 0 of 2" in shown, errors


def test_minutes_choose_the_settings(run, folder, unreported, monkeypatch):
    monkeypatch.setattr(verbs, "_seconds_left", lambda *_: 1.5)  # of the 12 that are asked for
    code, shown, _ = run("train", "cats.txt", "--minutes", 0.2, "--out", "quick")
    assert code == 0 and "epochs fit into 0.2 minutes" in shown
    epochs = len(charlm.Run.load("quick").history())
    assert epochs and "charlm train --resume quick --minutes 0.2" in run("info", "quick")[1]
    code, shown, _ = run("train", "--resume", "quick")
    assert code == 0 and "Its training is over" in shown and len(charlm.Run.load("quick").history()) == epochs
    code, shown, _ = run("train", "--resume", "quick", "--minutes", 0.2)
    quick = charlm.Run.load("quick")
    assert code == 0 and len(quick.history()) > epochs and quick.settings["data"]["minutes"] == pytest.approx(0.4)


def test_the_minutes_of_a_call_begin_with_it(monkeypatch):
    began = []
    monkeypatch.setattr(verbs, "corpora", lambda options: began.append(options.began))
    monkeypatch.setattr(sys, "argv", ["charlm", "corpora"])
    before = time.monotonic()
    cli.main(["corpora"])
    cli.main()
    assert began[0] >= before and began[1] == cli.STARTED


def test_a_folder_of_files_is_one_text(run, folder, untrained):
    (folder / "notes" / "old").mkdir(parents=True, exist_ok=True)
    (folder / "notes" / "b.md").write_text("beta " * 100)
    (folder / "notes" / "old" / "a.md").write_text("alpha " * 100 + "\n")
    (folder / "notes" / ".hidden.md").write_text("secret")
    (folder / "notes" / "c.txt").write_text("not this")
    with contextlib.suppress(OSError):
        (folder / "notes" / "link.md").symlink_to(folder / "cats.txt")
    corpus = charlm.load_folder(folder / "notes", "*.md")
    assert corpus.text == "beta " * 100 + "\n" + "alpha " * 100 + "\n"
    code, shown, _ = run("train", "notes", "--pattern", "*.md", "--epochs", 1, *SMALL, "--out", "notes-run")
    assert code == 0 and "Corpus('notes', 1,102 characters" in shown


def test_a_url_is_fetched(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CHARLM_OFFLINE", "0")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/cats.txt"
    assert cli.main(["score", "runs/cats", url]) == 0
    server.shutdown()
    assert "cats: " in capsys.readouterr().out


def test_another_run_can_be_gone_on_from(run, folder, unreported):
    (folder / "new.txt").write_text("Ünlü cats sat on the mat. " * 60)
    code, shown, _ = run(
        "train", "new.txt", "--init-from", "runs/cats", "--epochs", 1, "--batch-size", 4, "--out", "on"
    )
    assert code == 0
    tuned = charlm.Run.load("on")
    assert "Ü" in tuned.vocabulary and "W" in tuned.vocabulary
    assert tuned.settings["model"]["units"] == 8
    assert tuned.settings["training"]["learning_rate"] == pytest.approx(TUNING_RATE)
    code, _, errors = run("train", "new.txt", "--init-from", "runs/cats", "--units", 9)
    assert code == 2 and "units 9 is not the network's" in errors


def test_a_list_is_fed_line_by_line(run, folder):
    names = [f"{a}{b}{c}" for a in ("An", "Ber", "Car") for b in ("a", "ti", "le") for c in ("", "na", "ra", "s", "do")]
    (folder / "names.txt").write_text("\n".join(names * 3))
    code, shown, _ = run("train", "names.txt", "--epochs", 2, "--units", 8, "--batch-size", 4)
    assert code == 0 and "a list, fed line by line" in shown and "lines at temperature 1" in shown
    code, shown, _ = run("sample", "runs/names", "--count", 5, "--seed", 0)
    assert code == 0 and len(shown.splitlines()) <= 6
    assert run("score", "runs/names", "names.txt")[0] == 0


ODD = {
    "chinese": "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏" * 30,
    "cyrillic": "Все счастливые семьи похожи друг на друга.\r\n" * 30,
    "emoji": "👩‍👩‍👧 saw 🏳️‍🌈 and 👍🏽. " * 50,
    "nul": "a\0b\tc\x1b[31m\n" * 100,
    "bom": "\ufeffone line\r\nanother\rlast\n" * 30,
    "no newline": "never a line break " * 60,
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_alphabets_are_read_as_they_are_meant(folder, kind):
    (folder / "odd.txt").write_text(ODD[kind], encoding="utf-8", newline="")
    text = charlm.load_corpus(folder / "odd.txt").text
    assert "\r" not in text and not text.startswith("\ufeff")
    parts = encode(cut(text, "streams"))
    assert parts.vocabulary.decode(parts.train) + parts.vocabulary.decode(parts.validation) == text


@pytest.mark.parametrize("kind", ["emoji", deep("chinese"), deep("nul")])
def test_odd_alphabets_train_and_write(run, folder, kind):
    (folder / "odd.txt").write_text(ODD[kind], encoding="utf-8", newline="")
    code, _, errors = run("train", "odd.txt", "--epochs", 1, *SMALL, "--out", f"odd-{kind}")
    assert code == 0, errors
    prompt = ODD[kind][0]
    code, shown, errors = run("sample", f"odd-{kind}", "--prompt", prompt, "--length", 20, "--json")
    assert code == 0, errors
    assert len(json.loads(shown)["texts"][0]) == 21
    code, _, errors = run("compare", f"odd-{kind}", "--length", 20)
    assert code == 0, errors


def test_what_is_not_text_is_read_as_bytes(run, folder, unreported):
    (folder / "picture.bin").write_bytes(bytes(range(256)) * 8)
    assert run("train", "picture.bin", *SMALL)[0] == 2
    code, _, errors = run("train", "picture.bin", "--as-bytes", "--epochs", 1, *SMALL, "--out", "bytes")
    assert code == 0, errors
    assert len(charlm.Run.load("bytes").vocabulary) == 256
    assert run("sample", "bytes", "--prompt", "é", "--length", 30)[0] == 0


def test_control_characters_do_not_reach_a_terminal(monkeypatch):
    class Terminal:
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    assert terminal.plain("a\x1b[2J\tb\n\x7f\x9b") == "a␛[2J\tb\n␡\N{REPLACEMENT CHARACTER}"


def bad_inputs():
    """Arguments, and what the one line must name."""
    train, run = ["train", "cats.txt"], "runs/cats"
    settings = {
        "--units": ("0", "-3", "1.5", "many"),
        "--layers": ("0",),
        "--embedding-dim": ("0",),
        "--batch-size": ("0", "-1"),
        "--sequence-length": ("0",),
        "--epochs": ("0", "two"),
        "--minutes": ("-5", "0", "nan", "inf", "soon"),
        "--dropout": ("1", "-0.1"),
        "--validation": ("1", "-1", "0"),
        "--learning-rate": ("0", "-1"),
        "--min-count": ("0",),
        "--limit": ("0",),
        "--seed": ("-1", "x"),
        "--cell": ("transformer",),
        "--precision": ("int8",),
        "--feed": ("words",),
    }
    for name, values in settings.items():
        for value in values:
            yield [*train, name, value], name
    yield [], "VERB"
    yield ["paint"], "paint"
    yield ["train"], "a text to train on"
    yield [*train, "--resume", run], "either a text"
    yield [*train, "--widht", "3"], "--widht"
    yield ["train", "missing.txt"], "no file"
    yield ["train", "shakespear"], "shakespeare"
    yield ["train", "empty.txt"], "empty"
    yield ["train", "blank.txt"], "one distinct character"
    yield ["train", "short.txt"], "too few"
    yield ["train", "binary.bin"], "--as-bytes"
    yield ["train", "latin.txt"], "not UTF-8"
    yield ["train", "many.txt"], "distinct characters"
    yield ["train", "folder"], "no file that fits"
    yield ["train", "folder", "--pattern", ""], "pattern"
    yield ["train", "folder", "--pattern", "/etc/*"], "pattern"
    yield ["train", "nowhere", "--pattern", "*.txt"], "no folder"
    yield ["train", "http://example.com/a.txt"], "CHARLM_OFFLINE"
    yield ["train", "ftp://example.com/a.txt"], "ftp"
    yield ["train", "/dev/null"], "empty"
    yield [*train, "--batch-size", "5000"], "too few"
    yield [*train, "--validation", "0.9999"], "Use a longer text"
    yield [*train, "--min-count", "100000"], "min_count"
    yield [*train, "--out", "cats.txt/run"], "cats.txt"
    yield [*train, "--out", "/proc/none/run"], "/proc"
    yield [*train, "--out", "."], "no name for a new folder"
    yield [*train, "--limit", "99999999999999999999"], "--limit"
    yield [*train, "--init-from", "nothing"], "nothing"
    yield [*train, "--init-from", run, "--units", "3"], "units 3"
    yield [*train, "--init-from", run, "--memory", "9"], "leave one out"
    yield [*train, "--memory", "1"], "at least 2"
    yield ["train", "--resume", run, "--memory", "9"], "--memory cannot change"
    yield ["train", "--resume", "nothing"], "run.json is missing"
    yield ["train", "--resume", "shakespeare"], "text is"
    yield ["train", "--resume", run, "--units", "3"], "--units cannot change"
    yield ["train", "--resume", run, "--epochs", "2"], "has finished 2 epochs"
    yield ["train", "--resume", run, "--seed", "3"], "--seed cannot change"
    yield ["train", "--resume", "damaged"], "damaged"
    yield ["train", "--resume", "moved"], "gone.txt"
    yield ["train", "--resume", "changed"], "has changed"
    yield ["sample", "nothing"], "run.json is missing"
    yield ["sample", "weightless"], "no weights"
    yield ["sample", "torn"], "is damaged"
    yield ["sample", run, "--temperature", "-1"], "temperature is -1"
    yield ["sample", run, "--temperature", "warm"], "--temperature"
    yield ["sample", run, "--top-k", "0"], "top_k is 0"
    yield ["sample", run, "--top-p", "1.5"], "top_p is 1.5"
    yield ["sample", run, "--length", "-1"], "--length"
    yield ["sample", run, "--prompt", "ß"], "'ß'"
    yield ["sample", run, "--stop", ""], "stop"
    yield ["sample", run, "--count", "0"], "--count"
    yield ["train", "--resume", "hurt"], "is damaged"
    yield ["compare", run, "--temperatures"], "--temperatures"
    yield ["compare", run, "--temperatures", "-1"], "-1"
    yield ["score", run, "greek.txt"], "Not in the vocabulary"
    yield ["score", run, "missing.txt"], "no file"
    yield ["score", run, "one.txt"], "at least 2"
    yield ["score", run], "TEXT"
    yield ["info", "cats.txt"], "run.json is missing"


@pytest.fixture(scope="module")
def bad_files(folder):
    (folder / "empty.txt").write_text("")
    (folder / "blank.txt").write_text("\n" * 300)
    (folder / "short.txt").write_text("too short")
    (folder / "one.txt").write_text("T")
    (folder / "binary.bin").write_bytes(bytes(range(256)) * 10)
    (folder / "latin.txt").write_bytes("déjà vu ".encode("latin-1") * 50)
    (folder / "many.txt").write_text("".join(map(chr, range(0x20000, 0x20000 + 50_000))) * 4, encoding="utf-8")
    (folder / "greek.txt").write_text("αβγ " * 50, encoding="utf-8")
    (folder / "folder").mkdir()
    cats = folder / "runs" / "cats"
    for name in ("damaged", "moved", "changed", "weightless", "torn", "hurt"):
        shutil.copytree(cats, folder / name)
    (folder / "damaged" / "run.json").write_text("{")
    for name, source in (("moved", "gone.txt"), ("changed", "greek.txt")):
        run = charlm.Run.load(folder / name)
        run.note(source=str(folder / source))
    shutil.rmtree(folder / "weightless" / "checkpoints")
    (folder / "hurt" / "snapshot").mkdir()  # its arrays were cut off
    shutil.copy(next((cats / "checkpoints").glob("0002*.h5")), folder / "hurt" / "snapshot" / "0002-0000003.weights.h5")
    (folder / "hurt" / "snapshot" / "0002-0000003.npz").write_bytes(b"PK\x03\x04 and no more")
    for file in (folder / "torn" / "checkpoints").glob("*.h5"):
        file.write_bytes(file.read_bytes()[:1000])
    return folder


def test_there_are_sixty_bad_inputs():
    assert len(list(bad_inputs())) >= 60


@pytest.mark.parametrize(
    ("arguments", "named"), list(bad_inputs()), ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_input_is_one_clear_line(bad_files, run, arguments, named):
    code, _, errors = run(*arguments)
    assert code == 2
    assert errors.count("\n") == 1 and errors.startswith("charlm: ") and named in errors
    assert "Traceback" not in errors


def test_a_folder_that_cannot_be_made_is_refused_before_a_network_is_timed(run, folder, monkeypatch):
    def timed(*_, **__):
        raise ValueError("as far as that")

    monkeypatch.setattr("charlm.anytext.settings.suggest", timed)
    code, _, errors = run("train", "cats.txt", "--out", "cats.txt/run")
    assert code == 2 and "cats.txt" in errors and "as far as that" not in errors
    code, _, errors = run("train", "cats.txt", "--out", "one/two/run")
    assert code == 2 and "as far as that" in errors and not (folder / "one").exists()


def test_an_unreadable_file_is_one_clear_line(folder, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text(TEXT)
    secret.chmod(0)
    if os.access(secret, os.R_OK):
        pytest.skip("this user may read everything")
    done = charlm_command("train", secret, cwd=folder)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


@pytest.fixture
def small_files():
    """Let this process write no file of more than 60,000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_no_space_left_is_one_clear_line_and_harms_nothing(run, folder, small_files):
    code, _, errors = run("train", "cats.txt", "--epochs", 1, *SMALL, "--out", "full")
    assert code == 2
    assert errors.count("\n") == 1 and "Traceback" not in errors
    assert charlm.Run.load(folder / "full").checkpoints() == []


def test_a_run_in_use_is_left_alone(run, folder):
    shutil.copytree(folder / "runs" / "cats", folder / "used")
    holder = "import time, pathlib; from charlm.support.files import locked\nwith locked(pathlib.Path('used')): print(1, flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    other = subprocess.Popen([sys.executable, "-c", holder], cwd=folder, env=environment, stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        code, _, errors = run("train", "--resume", "used", "--epochs", 5)
        assert code == 2 and "in use by another process" in errors
    finally:
        other.kill()
        other.wait()
    with locked(folder / "used"):
        pass


def test_a_reference_model_is_not_written_to(run):
    folder = charlm.Run.load("shakespeare").path
    before = sorted(folder.rglob("*"))
    assert run("train", "--resume", "shakespeare", "--epochs", 9)[0] == 2
    assert sorted(folder.rglob("*")) == before


def test_a_network_that_is_lost_after_an_epoch_is_a_failure_too(run, folder, monkeypatch):
    shutil.copytree(folder / "runs" / "cats", folder / "later")

    def spoil(self, gradient, variable, learning_rate):
        variable.assign(variable * float("nan"))

    monkeypatch.setattr(keras.optimizers.Adam, "update_step", spoil)
    code, shown, errors = run("train", "--resume", "later", "--epochs", 3, "--json")
    assert code == 1 and "NaN in epoch 3" in errors and shown == ""
    assert not charlm.Run.load(folder / "later").settings["data"]["ended"]


@pytest.mark.deep
def test_training_ends_where_nobody_reads_on(folder):
    process = start(folder, "cats.txt", "--epochs", 2, *SMALL, "--out", "unread")
    wait_for(process, "Run folder")
    process.stdout.close()
    assert process.wait(120) == 141


def test_a_file_system_without_locks_is_no_hindrance(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with locked(tmp_path):
        pass


def test_the_commands_shown_can_be_pasted(tmp_path, small_model, vocabulary):
    run = charlm.Run.create(tmp_path / "my run", charlm.compile_model(small_model()), vocabulary)
    run.note(source="cats.txt", minutes=5.0, epochs=2, ended=True)
    ways = [shlex.split(way)[1:] for way in terminal.ways_on(run).splitlines()]
    assert [way[0] for way in ways] == ["train", "sample", "compare", "train"]
    for way in ways:
        assert str(run.path) in way and command_line.command_parser().parse_args(way).run


def test_a_text_of_a_corpus_name_is_not_taken_for_bytes(tmp_path, small_model, vocabulary):
    for as_bytes in (False, True):
        corpus = charlm.Corpus("wikipedia", "text", "0" * 64, "here", "mine", False, as_bytes)
        run = charlm.Run.create(tmp_path / "run", charlm.compile_model(small_model()), vocabulary, corpus)
        assert run.reads_bytes == as_bytes
    assert charlm.Run.load("wikipedia").reads_bytes == charlm.load_corpus("wikipedia").as_bytes


def test_a_run_that_reads_bytes_begins_another_on_bytes(run, folder, untrained):
    (folder / "accents.txt").write_text("déjà vu, naïve café. " * 60, encoding="utf-8")
    code, shown, errors = run("train", "accents.txt", "--init-from", "wikipedia", "--epochs", 1, "--out", "bytes-on")
    assert code == 0 and "bytes, sha256" in shown, errors
    begun = charlm.Run.load("bytes-on")
    assert begun.reads_bytes and set(begun.vocabulary.characters) >= set(encode_bytes("déjà"))
    assert begun.display(encode_bytes("déjà")) == "déjà" and begun.to_network("à") == encode_bytes("à")


def test_errors_of_charlm_itself_are_not_taken_for_bad_input(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(verbs, "info", lambda options: {}["gone"])
    with pytest.raises(KeyError):
        cli.main(["info", "runs/cats"])
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert cli.main(["info", "nothing"]) == 2
    monkeypatch.setenv("CHARLM_DEBUG", "1")
    with pytest.raises(FileNotFoundError):
        cli.main(["info", "nothing"])


def test_ctrl_c_at_any_moment_is_one_line(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt  # as while TensorFlow is imported, which a verb does

    monkeypatch.setattr(verbs, "info", interrupted)
    assert cli.main(["info", "shakespeare"]) == 130
    assert capsys.readouterr().err == "charlm: stopped.\n"


def test_a_run_is_read_once_it_is_locked(run, folder, untrained, monkeypatch):
    shutil.copytree(folder / "runs" / "cats", folder / "late")

    @contextlib.contextmanager
    def locked_after_another_process_wrote(path):
        charlm.Run.load(path).note(epochs=7)
        yield

    monkeypatch.setattr(verbs, "locked", locked_after_another_process_wrote)
    code, shown, _ = run("train", "--resume", "late")
    assert code == 0 and "going on after epoch 2 of 7" in shown


LIGHT = """
import sys
from charlm.cli import main
for words in (["corpora"], ["corpora", "--json"], ["info", "shakespeare", "--json"], ["--help"]):
    try:
        main(words)
    except SystemExit:
        pass
print("tensorflow" in sys.modules, "keras" in sys.modules)
"""


def test_help_corpora_and_info_as_json_do_not_start_tensorflow():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shown = subprocess.run([sys.executable, "-c", LIGHT], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.endswith("False False\n")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_where_nothing_may_be_written_the_way_out_is_another_place(run, monkeypatch, number):
    def forbidden(*_, **__):
        raise OSError(number, os.strerror(number), "runs")

    monkeypatch.setattr(Path, "mkdir", forbidden)
    code, _, errors = run("train", "cats.txt", "--epochs", 1, *SMALL, "--out", "elsewhere/new")
    assert code == 2 and errors.startswith(f"charlm: runs cannot be used ({os.strerror(number)})") and "--out" in errors


def test_a_lost_network_is_a_failure(run):
    code, _, errors = run("train", "cats.txt", "--epochs", 1, *SMALL, "--learning-rate", 1e30, "--out", "lost")
    assert code == 1 and "--learning-rate" in errors


def start(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHARLM_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "charlm", "train", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process, part):
    shown = ""
    while part not in shown:
        line = process.stdout.readline()
        assert line or process.poll() is None, shown
        shown += line
    return shown


def test_a_training_stopped_at_random_moments_ends_as_one_that_was_not(run, unreported, tmp_path, monkeypatch):
    """By SIGTERM; CHARLM_INTERRUPTIONS=10 stops it ten times, by SIGKILL and SIGINT too."""
    (tmp_path / "cats.txt").write_text(TEXT * 3)
    settings = ["--epochs", 6, *SMALL, "--dropout", 0.2, "--seed", 5]
    monkeypatch.chdir(tmp_path)
    assert run("train", "cats.txt", *settings, "--out", "whole")[0] == 0

    chance, finished = random.Random(0), False
    for number in range(INTERRUPTIONS):
        resume = ["--resume", "stopped"] if number else ["cats.txt", *settings, "--out", "stopped"]
        process = start(tmp_path, *resume)
        wait_for(process, "Run folder" if not number else "going on after")
        time.sleep(chance.uniform(0, 3))
        asked = [signal.SIGTERM, signal.SIGKILL, signal.SIGINT][number % 3]
        process.send_signal(asked)
        shown, errors = process.communicate(timeout=120)
        finished = process.returncode == 0
        assert errors in ("", "charlm: stopped.\n")  # and no message of TensorFlow's
        if asked != signal.SIGKILL and not finished:
            assert process.returncode in (128 + asked, -asked), shown
            if process.returncode == 128 + asked and "Stopped, and saved" in shown:
                assert "charlm train --resume stopped" in shown
    code, _, errors = run("train", "--resume", "stopped")
    assert code == 0, errors
    curves = [charlm.Run.load(tmp_path / name).history() for name in ("whole", "stopped")]
    assert [row["epoch"] for row in curves[1]] == list(range(1, 7))
    for whole, stopped in zip(*curves, strict=True):
        assert stopped["val_loss"] == pytest.approx(whole["val_loss"], abs=0.01)
        assert stopped["loss"] == pytest.approx(whole["loss"], abs=0.01)

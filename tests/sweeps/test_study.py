"""A sweep's study: every trial is some process' own, or waits, whatever happens to the processes."""

import json
import os
import signal
import threading

import pytest

from charlm.support import files
from charlm.support.files import held
from charlm.sweeps.space import Choices, Range, Space
from tests.sweeps.conftest import SPACE

optuna = pytest.importorskip("optuna", reason="needs Optuna: pip install 'charlm[sweep]'")
from charlm.sweeps import study
from charlm.sweeps.study import JOURNAL, JournalLock, Plan, Sweep, is_sweep, mend


@pytest.fixture
def sweep(tmp_path, make_plan):
    return Sweep.begin(tmp_path / "sweep", make_plan())


def states(sweep):
    return [row["state"] for row in sweep.rows()]


def test_all_trials_wait_from_the_beginning_and_are_taken_in_order(sweep):
    assert states(sweep) == ["waiting"] * 8
    with sweep.claim() as first, sweep.claim() as second:
        assert (first.number, second.number) == (0, 1)
        assert first.user_attrs["settings"] == SPACE.listed(0)
        assert states(sweep) == ["running"] * 2 + ["waiting"] * 6
    assert states(sweep) == ["interrupted"] * 2 + ["waiting"] * 6


def test_an_interrupted_trial_is_taken_up_before_any_that_waits_and_keeps_its_number(sweep):
    with sweep.claim():
        with sweep.claim():
            pass
        again = Sweep.load(sweep.folder)  # as another process
        with again.claim() as trial:
            assert trial.number == 1 and len(trial.user_attrs["processes"]) == 2
            again.study.tell(trial, 1.5)
        with again.claim() as trial:
            assert trial.number == 2
    assert len(sweep.trials()) == 8


def test_a_trial_that_was_left_out_is_not_taken(sweep):
    with sweep.claim():
        pass
    with sweep.claim({0}) as trial:
        assert trial.number == 1


def test_nothing_is_left_when_all_trials_have_ended(sweep):
    for number in range(8):
        with sweep.claim() as trial:
            assert trial.number == number
            sweep.study.tell(trial, 1.0 + number)
    with sweep.claim() as trial:
        assert trial is None
    assert states(sweep) == ["finished"] * 8


def test_processes_that_take_trials_at_once_take_different_ones(tmp_path, make_plan):
    space = Space.of([("units", Choices(tuple(range(4, 24))))], [0])
    folder, taken = tmp_path / "sweep", []
    Sweep.begin(folder, make_plan(space))

    def take():
        sweep = Sweep.load(folder)
        while True:
            with sweep.claim() as trial:
                if trial is None:
                    return
                taken.append(trial.number)
                sweep.study.tell(trial, 1.0)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(20))


def killed_in(act):
    """Do something in a process of its own that is killed there."""
    child = os.fork()
    if not child:
        try:
            act()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def test_a_process_that_is_killed_while_it_takes_a_trial_blocks_nobody(sweep, monkeypatch):
    def take():
        with Sweep.load(sweep.folder).claim():
            pass

    with monkeypatch.context() as patched:  # before the trial's settings are written down
        patched.setattr(Sweep, "_described", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        killed_in(take)
    assert states(sweep)[0] == "interrupted"
    with sweep.claim() as trial:
        assert trial.number == 0 and trial.user_attrs["settings"] == SPACE.listed(0)


def test_a_process_that_is_killed_while_it_lists_the_trials_leaves_the_rest_to_the_next(
    tmp_path, make_plan, monkeypatch
):
    listed = []

    def killed(self, params):
        listed.append(params)
        if len(listed) == 4:
            raise SystemExit
        return enqueue(self, params)

    enqueue = optuna.study.Study.enqueue_trial
    monkeypatch.setattr(optuna.study.Study, "enqueue_trial", killed)
    with pytest.raises(SystemExit):
        Sweep.begin(tmp_path / "sweep", make_plan())
    monkeypatch.undo()
    sweep = Sweep.load(tmp_path / "sweep")
    assert [row["settings"] for row in sweep.rows()] == [SPACE.listed(number) for number in range(8)]


def test_a_folder_is_a_sweeps_or_free_for_one_or_something_elses(sweep, tmp_path):
    assert is_sweep(sweep.folder) and not is_sweep(tmp_path / "new") and not (tmp_path / "new").exists()
    (tmp_path / "begun").mkdir()
    for left in ("lock", "unfinished-sweep.json"):  # by a process that was killed before it had written the plan
        (tmp_path / "begun" / left).write_text("")
        assert not is_sweep(tmp_path / "begun")
    (tmp_path / "begun" / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="something else than a sweep"):
        is_sweep(tmp_path / "begun")


def test_a_line_that_a_killed_process_left_unfinished_is_taken_out(sweep):
    journal = sweep.folder / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":6,"worker')
    with sweep.claim() as trial:
        sweep.study.tell(trial, 1.5)
    assert journal.read_bytes().startswith(whole + b'{"op_code"') and states(Sweep.load(sweep.folder))[0] == "finished"


@pytest.mark.parametrize(("text", "left"), [(b"", b""), (b"a\nb\n", b"a\nb\n"), (b"a\nb", b"a\n"), (b"a", b"")])
def test_a_file_of_lines_is_cut_off_after_its_last_whole_one(tmp_path, text, left):
    (tmp_path / "lines").write_bytes(text)
    mend(tmp_path / "lines")
    assert (tmp_path / "lines").read_bytes() == left


def test_the_journals_lock_dies_with_the_process_that_has_it(tmp_path):
    killed_in(JournalLock(tmp_path / "journal").acquire)
    with held(tmp_path / "journal") as free:
        assert free
    lock = JournalLock(tmp_path / "journal")
    assert lock.acquire()
    with held(tmp_path / "journal") as free:
        assert not free
    lock.release()


def test_a_file_system_without_locks_is_refused(tmp_path, make_plan, monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with pytest.raises(OSError, match="has no locks .* Use a folder on another one"):
        Sweep.begin(tmp_path / "sweep", make_plan())
    monkeypatch.setattr(files, "fcntl", None)
    with pytest.raises(OSError, match="Windows has no such locks"):
        Sweep.begin(tmp_path / "sweep", make_plan())


def test_drawn_settings_are_the_same_for_every_seed_and_in_any_process(tmp_path, make_plan):
    space = Space.of([("learning_rate", Range(0.001, 0.01, True)), ("units", Range(4, 40, True))], [0, 1], 3)
    drawn = []
    for name in ("one", "two"):
        Sweep.begin(tmp_path / name, make_plan(space))
        for _ in range(6):
            sweep = Sweep.load(tmp_path / name)
            with sweep.claim() as trial:
                sweep.study.tell(trial, 1.0 + trial.number)
        drawn.append([row["settings"] for row in sweep.rows()])
    assert drawn[0] == drawn[1] and drawn[0][:3] == drawn[0][3:]
    assert len({settings["learning_rate"] for settings in drawn[0]}) == 3
    assert all(0.001 <= one["learning_rate"] <= 0.01 and 4 <= one["units"] <= 40 for one in drawn[0])


def test_a_plan_comes_back_from_its_file_as_it_was(make_plan):
    plan = make_plan(seconds=60.0)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_the_learning_rate_follows_the_network_unless_it_is_given_or_varies(make_plan):
    plan = make_plan()
    assert plan.of_trial({"units": 500}).learning_rate == 0.005 and plan.of_trial({"units": 50}).learning_rate == 0.01
    assert plan.of_trial({"units": 500, "learning_rate": 0.3}).learning_rate == 0.3
    assert make_plan(learning_rate=0.007).of_trial({"units": 500}).learning_rate == 0.007


def test_batches_that_are_too_large_for_the_text_are_refused_before_anything_is_trained(make_plan):
    space = Space.of([("batch_size", Choices((4, 400)))], [0])
    with pytest.raises(ValueError, match="too few for one batch: batch_size 400"):
        make_plan(space).check(1600)


@pytest.mark.parametrize("text", ["{", "{}", '{"asked": 3}', "[]"])
def test_a_damaged_plan_is_refused(sweep, text):
    (sweep.folder / study.FILE).write_text(text)
    with pytest.raises(ValueError, match=r"sweep.json is damaged"):
        Sweep.load(sweep.folder)


def test_a_damaged_journal_is_refused(sweep):
    lines = (sweep.folder / JOURNAL).read_text().splitlines()
    (sweep.folder / JOURNAL).write_text("\n".join([lines[0], "not a record", *lines[1:]]) + "\n")
    with pytest.raises(ValueError, match=r"journal.log is damaged"):
        Sweep.load(sweep.folder)

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from multiprocessing import active_children
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from toy_learner import ERRORS, Ridge, toy_data, toy_jobs

from unseen.engine.executors import LocalExecutor, default_threads
from unseen.errors import ArgumentError, WorkerError

HERE = Path(__file__).parent


def workers():
    """Child processes but those that joblib keeps for decoding images, which other tests may have left."""
    return [child for child in active_children() if "Loky" not in type(child).__name__]


def silent(*_, **__):
    pass


def run(executor, *, learner=None, data=None, report=silent, **more):
    data = toy_data() if data is None else data
    return executor.run(toy_jobs(data, learner, **more), data=data, report=report)


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_two_workers_give_what_one_process_gives():
    one = {fit.name: result for fit, result in run(LocalExecutor(1, threads=1))}
    data, told, taken = toy_data(), [], []
    two = {}
    executor = LocalExecutor(2, threads=1)
    results = run(executor, data=data, taken=taken, report=lambda k, **f: told.append((k, f)))
    for fit, result in results:
        two[fit.name] = result
        assert len(taken) <= len(two) + 2, "more jobs were taken than there are workers"
    assert sorted(two) == sorted(one) == [f"r0f{j}" for j in range(5)]
    for name, result in one.items():
        np.testing.assert_array_equal(two[name]["logits"], result["logits"])
        np.testing.assert_array_equal(two[name]["rows"], result["rows"])
        assert two[name]["threads"].tolist() == result["threads"].tolist() == [1]
        assert result["pid"] == os.getpid()
    assert len({int(r["pid"]) for r in two.values()} - {os.getpid()}) == 2
    assert data.pickled == 1, "data is pickled once for all workers"
    for name in one:
        mine = [(kind, fields) for kind, fields in told if fields["fit"] == name]
        assert [kind for kind, _ in mine] == ["fit_start", "epoch", "epoch", "fit_end"]
        assert mine[1][1] == {"fit": name, "epoch": 1, "epochs": 2}
        assert mine[3][1]["seconds"] > 0
    assert not workers()


def test_one_process_tells_the_same_and_takes_one_job_at_a_time():
    data, told, taken = toy_data(), [], []
    results = run(LocalExecutor(), data=data, taken=taken, report=lambda k, **f: told.append(k))
    next(results)
    assert taken == ["r0f0"]
    assert told == ["fit_start", "epoch", "epoch", "fit_end"]
    assert data.pickled == 0


def test_no_more_workers_than_jobs():
    data = toy_data()
    results = list(LocalExecutor(4, threads=1).run(list(toy_jobs(data))[:1], data=data, report=silent))
    assert [fit.name for fit, _ in results] == ["r0f0"]
    assert list(LocalExecutor(4, threads=1).run([], data=data, report=silent)) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_error_of_a_learner_keeps_type_and_message_and_names_its_fit(jobs):
    with pytest.raises(ArgumentError, match=r"^lr must be positive, got -1\n") as caught:
        list(run(LocalExecutor(jobs, threads=1), learner=Ridge("error")))
    assert caught.value.__notes__[0] == "in fit r0f1"
    if jobs == 2:
        assert "go_wrong" in caught.value.__notes__[1], "where it happened is said too"
    ERRORS["error"].__dict__.pop("__notes__", None)
    assert not workers()


@pytest.mark.parametrize("mode", ["unknown", "odd", "unicode", "os", "eof"])
def test_errors_of_every_kind_keep_type_and_text(mode):
    # Through the two functions that the pipe connects, since a process for each would take seconds.
    from unseen.engine.executors import pool

    error = pool.rebuild_error(*pickle.loads(pickle.dumps(pool.pack_error(ERRORS[mode]))))
    assert type(error) is type(ERRORS[mode])
    assert str(error) == str(ERRORS[mode])
    if mode == "odd":
        assert error.code == 7


def test_an_error_that_cannot_be_sent_comes_as_text():
    with pytest.raises(WorkerError, match=r"^UnspeakableError: cannot be sent\n") as caught:
        list(run(LocalExecutor(2, threads=1), learner=Ridge("unspeakable")))
    assert caught.value.__notes__[0] == "in fit r0f1"


def test_a_killed_worker_is_named_with_its_fit():
    finished = []
    with pytest.raises(WorkerError, match=r"killed by SIGKILL .*fits under way: .*r0f1.*same --out to go on"):
        finished.extend(run(LocalExecutor(2, threads=1), learner=Ridge("killed")))
    assert not workers()


def test_what_cannot_be_pickled_is_refused_before_any_training():
    class Local(Ridge):
        pass

    with pytest.raises(ArgumentError, match=r"learner, sink and .* of fit r0f[01] must be picklable.*or use jobs=1"):
        list(run(LocalExecutor(2, threads=1), learner=Local()))
    assert not workers()
    assert len(list(run(LocalExecutor(1), learner=Local()))) == 5


def test_leaving_the_loop_ends_the_workers():
    results = run(LocalExecutor(2, threads=1), learner=Ridge("sleep", where="r0f1"))
    next(results)
    children = workers()
    assert children
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 5
    assert not workers()


SCRIPT = """
    import sys
    sys.path.insert(0, {here!r})
    from multiprocessing import active_children
    from toy_learner import Ridge, toy_data, toy_jobs
    from unseen.engine.executors import LocalExecutor

    def main():
        data = toy_data(n={n})
        def report(kind, **fields):
            if kind == "epoch":
                print(fields["fit"], *(p.pid for p in active_children()), flush=True)
        try:
            for _ in LocalExecutor(2, threads=1).run(
                toy_jobs(data, Ridge("sleep", where="r0f0")), data=data, report=report
            ):
                pass
        except KeyboardInterrupt:
            print("interrupted", len(active_children()), flush=True)
            raise

    {guard}
"""


GUARD = 'if __name__ == "__main__": main()'
MANY = 800_000  # rows of 32 bytes: far more than a pipe holds


def script(tmp_path, guard, n=60, *, piped=False):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT.format(here=str(HERE), guard=guard, n=n)))
    with path.open() as source:
        return subprocess.Popen(
            [sys.executable, "-" if piped else str(path)], stdin=source, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip


def workers_at_work(process):
    for line in process.stdout:
        fit, *pids = line.split()
        if fit == "r0f0" and pids:
            return [int(pid) for pid in pids]
    raise AssertionError(process.stderr.read())


def gone(pids, within):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def blocks(pid, number):
    line = next(li for li in Path(f"/proc/{pid}/status").read_text().splitlines() if li.startswith("SigBlk"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def test_ctrl_c_ends_everything_promptly_and_quietly(tmp_path):
    process = script(tmp_path, GUARD)
    pids = workers_at_work(process)
    # The signal goes to the workers too; were it not blocked there, they would sometimes print a traceback of theirs.
    assert all(blocks(pid, signal.SIGINT) for pid in pids)
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 5
    assert "interrupted 0" in out
    assert err.count("KeyboardInterrupt") == 1, err
    assert "unseen-worker" not in err
    assert gone(pids, 0.1)


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    process = script(tmp_path, GUARD)
    pids = workers_at_work(process)
    process.kill()
    process.communicate(timeout=20)
    assert gone(pids, 5)


@pytest.mark.parametrize(
    ("piped", "n"),
    [(False, 60), pytest.param(False, MANY, marks=pytest.mark.slow), pytest.param(True, MANY, marks=pytest.mark.slow)],
)
def test_a_script_that_workers_cannot_import_is_refused_with_the_reason(tmp_path, piped, n):
    process = script(tmp_path, GUARD if piped else "main()", n, piped=piped)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'must be a file and do its work under `if __name__ == "__main__":`; jobs=1 needs no worker process' in err


@pytest.mark.parametrize(
    ("n", "wait"),
    [
        (60, 0.3),
        *(pytest.param(n, wait, marks=pytest.mark.slow) for n, wait in [(60, 0.0), (60, 0.6)]),
        *(pytest.param(MANY, wait, marks=pytest.mark.slow) for wait in (0.0, 0.3, 0.6)),
    ],
)
def test_a_worker_killed_while_it_starts_is_told(n, wait):
    killed = []

    def kill():
        while not (found := workers()):
            time.sleep(0.01)
        time.sleep(wait)
        os.kill(found[0].pid, signal.SIGKILL)
        killed.append(time.monotonic())

    killer = Thread(target=kill)
    killer.start()
    with pytest.raises(WorkerError, match=r"killed by SIGKILL \(often: out of memory.*fits? .*r0f"):
        # All fits sleep, so that the worker killed is never one without a fit.
        list(run(LocalExecutor(2, threads=1), learner=Ridge("sleep", where="all"), data=toy_data(n)))
    assert time.monotonic() - killed[0] < 5
    killer.join()
    assert not workers()


@pytest.mark.slow
def test_ctrl_c_and_a_killed_parent_leave_nothing_while_workers_start(tmp_path):
    for number in (signal.SIGINT, signal.SIGKILL):
        process = script(tmp_path, GUARD, MANY)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while len(pids := [int(pid) for pid in children.read_text().split()]) < 2:  # a tracker, and a worker
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate(timeout=10)
        assert gone(pids, 5)


def test_data_are_shared_once_by_the_runs_of_a_session():
    executor, data, other = LocalExecutor(2, threads=1), toy_data(), toy_data(90)
    alone = {job.name: result["logits"] for job, result in run(LocalExecutor(), data=other)}
    with executor.session():
        first = {int(result["pid"]) for _, result in run(executor, data=data)}
        again = {int(result["pid"]) for _, result in run(executor, data=data)}
        found = {job.name: result for job, result in run(executor, data=other)}
        assert first == again == {int(result["pid"]) for result in found.values()}
        for name, result in found.items():
            np.testing.assert_array_equal(result["logits"], alone[name])
        list(run(executor, data=data))
        assert data.pickled == other.pickled == 1
        idle = workers()
        os.kill(idle[0].pid, signal.SIGKILL)
        idle[0].join()
        assert len(list(run(executor, data=data))) == 5, "one that died without a job costs nothing"
        for _ in run(executor, data=data):
            assert len(list(run(executor, data=data))) == 5, "a run inside the loop over another"
            break
    assert not workers()


def test_shared_arrays_are_private_copies_and_leave_no_file(tmp_path, monkeypatch):
    from unseen.engine.executors.pool import SharedData, open_shared

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fixed = np.arange(5)
    fixed.flags.writeable = False
    arrays = [np.arange(7.0).reshape(1, 7).T, fixed, np.empty((0, 3)), np.array(["a", None], dtype=object)]
    shared = SharedData(arrays)
    assert not list(tmp_path.iterdir())
    for _ in range(2):
        made = open_shared(shared.body, shared.spans, os.dup(shared.file.fileno()))
        for array, original in zip(made, arrays, strict=True):
            np.testing.assert_array_equal(array, original)
        assert [array.flags.writeable for array in made] == [True, False, True, True]
        assert not made[0].ctypes.data % 64
        made[0][:] = -1
    shared.close()
    nothing = SharedData([np.empty((0, 3))])
    assert nothing.file is None
    assert open_shared(nothing.body, nothing.spans, None)[0].shape == (0, 3)


def test_bad_numbers_are_refused():
    with pytest.raises(ArgumentError, match="jobs must be an integer of at least 1, got 0"):
        LocalExecutor(0)
    with pytest.raises(ArgumentError, match=r"jobs must be an integer of at least 1, got 1\.5"):
        LocalExecutor(1.5)
    with pytest.raises(ArgumentError, match="threads must be an integer of at least 1, got 0"):
        LocalExecutor(1, threads=0)


def test_threads_are_shared_out_and_restored(monkeypatch):
    monkeypatch.setattr("unseen.core.machine.count_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [default_threads(jobs) for jobs in (1, 2, 3, 8, 9)] == [8, 4, 2, 1, 1]
    assert LocalExecutor(4).threads == 2
    from threadpoolctl import threadpool_info

    from unseen.core.machine import limited_threads

    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = [pool["num_threads"] for pool in threadpool_info()]
    with limited_threads(1):
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
        assert os.environ["MKL_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"] == "1"
    assert [pool["num_threads"] for pool in threadpool_info()] == before
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert "MKL_NUM_THREADS" not in os.environ

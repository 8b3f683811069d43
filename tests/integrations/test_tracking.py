"""What is logged to each library, read back by what it wrote; the real libraries, without a network."""

import json
import struct
import sys

import numpy as np
import pytest
from sklearn.datasets import load_iris

import unseen
from unseen.errors import ArgumentError, MissingDependencyError, UnknownNameError
from unseen.integrations import tracking
from unseen.integrations.tracking import to_mlflow, to_tensorboard, to_wandb, tracker_of

X, Y = load_iris(return_X_y=True)
QUICK = {"learner": "ridge", "threads": 1}


class Notes(tracking.Tracker):
    """A log that remembers."""

    def __init__(self):
        self.scalars, self.histograms, self.texts, self.files, self.ends = {}, {}, {}, {}, []

    def scalar(self, name, value, step):
        self.scalars.setdefault(name, {})[step] = value

    def histogram(self, name, values):
        self.histograms[name] = values

    def text(self, name, text):
        self.texts[name] = text

    def artifact(self, path):
        self.files[path.name] = path.read_text()

    def flush(self):
        self.ends.append("flush")

    def close(self):
        self.ends.append("close")


def logged(tmp_path, track):
    """A pruning and an evaluation, both logged."""
    pruned = unseen.prune(X, Y, keep=0.5, out=tmp_path / "run", report=track, **QUICK)
    evaluation = unseen.evaluate(
        X, Y, coresets=pruned.coreset, seeds=3, out=tmp_path / "evaluation", report=track, **QUICK
    )
    return pruned, evaluation


def events_of(folder):
    """The values in the event files of a folder, by tag: each record is its length, a checksum, itself, a checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2", reason="pip install 'unseen[tensorboard]'")
    found = {}
    for path in sorted(folder.glob("events.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value
            at += length + 16
    return found


def test_what_is_logged_is_what_was_found(tmp_path):
    with Notes() as notes:
        pruned, evaluation = logged(tmp_path, notes)
    table = pruned.scores
    assert notes.scalars["held_out_accuracy"] == {0: np.mean(table.predictions == table.labels)}
    assert notes.scalars["kept"] == {0: 0.5}
    assert set(notes.histograms) == {f"score/{name}" for name in table.scores}
    np.testing.assert_array_equal(notes.histograms["score/el2n"], table.column("el2n"))
    for arm in evaluation.arms:
        assert list(notes.scalars[f"accuracy/{arm.name}"].values()) == arm.accuracy.tolist()
    assert f"coreset against full: {evaluation.verdict('coreset').text}" in notes.texts["verdict/coreset"]
    assert evaluation.verdict("coreset").text in notes.files["report.html"]
    assert notes.ends == ["flush", "flush", "close"]


def test_losses_by_epoch_and_every_verb(tmp_path):
    notes = track = Notes()
    track("epoch", fit="r0f1", epoch=2, epochs=3, loss=0.25)
    track("epoch", fit="r0f1", epoch=3, epochs=3)  # learners without epochs report no loss
    assert notes.scalars == {"loss/r0f1": {2: 0.25}}
    table = unseen.score(X, Y, plan=unseen.seen(), report=track, **QUICK)
    assert notes.scalars["in_sample_accuracy"] == {0: np.mean(table.predictions == table.labels)}
    assert notes.files == {}  # there is no directory, so there is no page
    grown = unseen.grow(X, Y, keep=0.4, steps=1, report=track, **QUICK)
    assert notes.texts["coreset"] == repr(grown.coreset)
    unseen.prune(X, Y, keep=0.5, rule="auto", candidates=["el2n/top"], confirm=3, report=track, **QUICK)
    assert notes.scalars["kept"][0] == 0.5
    target = unseen.data.from_arrays(X[:, :3], target=X[:, 3])
    unseen.score(target, report=track, **QUICK)
    assert "score/loss" in notes.histograms


def test_scores_that_differ_by_rounding_alone_are_logged_as_one_value():
    notes, values = Notes(), np.resize([0.7071067811865475, 0.7071067811865476], 40)
    notes("result", result=unseen.ScoreTable.of("el2n", values, direction="harder"))
    logged_values = notes.histograms["score/el2n"]
    assert len(logged_values) == 40
    assert np.histogram(logged_values, 64)[0].max() == 40


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX", reason="pip install 'unseen[tensorboard]'")
    with to_tensorboard(tmp_path / "log") as track:
        track("epoch", fit="r0f1", epoch=2, epochs=3, loss=0.25)
        pruned, evaluation = logged(tmp_path, track)
    found = events_of(tmp_path / "log")
    assert found["loss/r0f1"][2].simple_value == 0.25
    table = pruned.scores
    assert found["held_out_accuracy"][0].simple_value == pytest.approx(np.mean(table.predictions == table.labels))
    assert found["score/el2n"][0].histo.num == 150
    assert found["score/el2n"][0].histo.sum == pytest.approx(table.column("el2n").sum())
    assert len(found["accuracy/coreset"]) == 3
    (text,) = found["verdict/coreset/text_summary"][0].tensor.string_val
    assert evaluation.verdict("coreset").text in text.decode()
    assert evaluation.verdict("coreset").text in (tmp_path / "log" / "report.html").read_text()


def test_wandb(tmp_path):
    wandb = pytest.importorskip("wandb", reason="pip install 'unseen[wandb]'")
    settings = wandb.Settings(silent=True, console="off")
    with to_wandb(project="unseen", mode="offline", dir=str(tmp_path), settings=settings) as track:
        track("epoch", fit="r0f1", epoch=2, epochs=3, loss=0.25)
        _, evaluation = logged(tmp_path, track)
        run = wandb.run
        with pytest.raises(ArgumentError, match=r"a run of wandb is active.*leave out project, or call wandb.finish"):
            to_wandb(project="other")
        to_wandb().close()  # logs to the run that is active, and leaves it
        assert wandb.run is run
        assert run.summary["verdict/coreset"].startswith("coreset against full:")
    assert wandb.run is None
    wandb.teardown()  # its service writes the end of the file after finish() has returned
    (written,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = written.read_bytes()
    assert all(name in content for name in (b"loss/r0f1", b"held_out_accuracy", b"score/el2n", b"report.html"))
    assert evaluation.verdict("coreset").text.encode() in content


def test_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="pip install 'unseen[mlflow]'")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the smallest store, which needs no database
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    with to_mlflow(run_name="mine") as track:
        track("epoch", fit="r0f1", epoch=2, epochs=3, loss=0.25)
        pruned, evaluation = logged(tmp_path, track)
        with pytest.raises(ArgumentError, match="a run of mlflow is active"):
            to_mlflow(run_name="other")
        run = mlflow.active_run().info.run_id
    assert mlflow.active_run() is None
    table, metrics = pruned.scores, mlflow.get_run(run).data.metrics
    assert metrics["loss/r0f1"] == 0.25
    assert metrics["held_out_accuracy"] == np.mean(table.predictions == table.labels)
    assert metrics["score/el2n/50_percent"] == np.median(table.column("el2n"))
    (kept,) = (tmp_path / "mlruns").glob(f"*/{run}/artifacts")
    assert evaluation.verdict("coreset").text in (kept / "report.html").read_text()
    assert evaluation.verdict("coreset").text in (kept / "verdict" / "coreset.txt").read_text()
    assert sum(json.loads((kept / "score" / "el2n.json").read_text())["counts"]) == 150


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("tensorbord:log", UnknownNameError, "unknown library to log to 'tensorbord'; did you mean 'tensorboard'"),
        ("tensorboard", ArgumentError, "log must say where, as in 'tensorboard:FOLDER', got 'tensorboard'"),
        ("mlflow:", ArgumentError, "as in 'mlflow:RUN_NAME'"),
    ],
)
def test_what_cannot_be_logged_to_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        tracker_of(text)


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingDependencyError, match=r"logging to wandb needs .*pip install 'unseen\[wandb\]'"):
        to_wandb()

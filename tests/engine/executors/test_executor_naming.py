import pytest

import unseen
from unseen.cli._options import RunOptions
from unseen.engine.executors import LocalExecutor, RayExecutor, ray, ray_tasks, resolve
from unseen.errors import ArgumentError, MissingDependencyError, UnknownNameError


def test_a_name_and_its_options_make_an_executor():
    assert repr(resolve("local")) == repr(LocalExecutor(1))
    assert repr(resolve("ray:address=10.0.0.1:6379,num_gpus=0.5", jobs=3, threads=2)) == (
        "RayExecutor(address='10.0.0.1:6379', jobs=3, threads=2, num_gpus=0.5, workers=1)"
    )
    assert resolve("ray:workers=3,num_gpus=1").workers == 3
    given = LocalExecutor(2, threads=1)
    assert resolve(given) is given


def test_unknown_and_contradictory_options_are_refused():
    with pytest.raises(UnknownNameError, match="unknown executor 'rai'; did you mean 'ray'"):
        resolve("rai")
    with pytest.raises(ArgumentError, match="executor 'local' has no option 'num_gpus'; its options: none"):
        resolve("local:num_gpus=1")
    with pytest.raises(ArgumentError, match="'ray' has no option 'gpus'; its options: address, num_gpus, workers"):
        resolve("ray:gpus=1")
    with pytest.raises(ArgumentError, match="jobs and threads must be given to the executor"):
        resolve(LocalExecutor(2), jobs=2)
    with pytest.raises(ArgumentError, match="jobs must be an integer of at least 1, got 0"):
        RayExecutor(jobs=0)
    with pytest.raises(ArgumentError, match=r"threads must be an integer of at least 1, got 1\.5"):
        RayExecutor(threads=1.5)
    with pytest.raises(ArgumentError, match=r"num_gpus must be a number of at least 0, got -1"):
        RayExecutor(num_gpus=-1)
    with pytest.raises(ArgumentError, match=r"num_gpus must be a number of at least 0, got 'all'"):
        resolve("ray:num_gpus=all")
    with pytest.raises(ArgumentError, match="workers must be an integer of at least 1, got 0"):
        resolve("ray:workers=0")
    with pytest.raises(ArgumentError, match=r"num_gpus must be 0 or 1 for each of several workers, got 0\.5"):
        resolve("ray:workers=2,num_gpus=0.5")
    with pytest.raises(
        ArgumentError, match=r"workers must be 1 for learner 'sklearn:Log.*', which trains a model in one"
    ):
        unseen.score("digits", learner="logistic", executor="ray:workers=2")
    with pytest.raises(ArgumentError, match=r"address must be host:port or 'auto', got 'ray://head:10001'.*job submit"):
        RayExecutor("ray://head:10001")
    with pytest.raises(ArgumentError, match="--address is for --executor ray, got --executor local; leave it out"):
        RunOptions(address="10.0.0.1:6379").arguments(unseen.data.digits(), None)
    given = RunOptions(executor="ray:num_gpus=1", address="10.0.0.1:6379").arguments(unseen.data.digits(), None)
    assert given["executor"] == "ray:num_gpus=1,address=10.0.0.1:6379"


def test_without_ray_the_install_line_is_given(monkeypatch):
    monkeypatch.setattr(ray, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"executor='ray' needs the package 'ray'.*'unseen\[ray\]'"):
        unseen.score("digits", executor="ray")
    assert len(unseen.score("digits", learner="logistic", plan=unseen.halves())) == 1797


def test_what_ray_train_needs_is_asked_for(monkeypatch):
    monkeypatch.setattr(ray, "find_spec", lambda name: None if name == "pandas" else name)
    with pytest.raises(MissingDependencyError, match="a fit by several workers needs the package 'pandas'"):
        resolve("ray:workers=2")


def test_room_on_a_node_is_counted_in_parts_of_a_gpu():
    node = {"CPU": 16.0, "GPU": 1.0}
    assert [ray_tasks._room_on(node, cpus, gpus) for cpus, gpus in ((1, 0), (3, 0), (1, 0.1), (4, 0.1), (1, 2))] == [
        16, 5, 10, 4, 0
    ]  # fmt: skip

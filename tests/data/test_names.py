"""Data sets by name: the libraries that download are replaced where they are called, but for tests of no network."""

import socket
import sys
import time
import warnings
from types import SimpleNamespace
from urllib.error import URLError

import datasets
import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
from huggingface_hub.errors import HfHubHTTPError
from sklearn.datasets._openml import OpenMLError

import unseen
from unseen.data import resolve
from unseen.data.sources import find_format
from unseen.engine.runs.commands import list_external
from unseen.errors import ArgumentError, DataError, MissingDependencyError


def people(n=60):
    rng = np.random.default_rng(0)
    age = rng.integers(18, 80, n)
    job = pd.Categorical(rng.choice(["cook", "smith"], n))
    paid = pd.Categorical(np.where(age + rng.integers(0, 9, n) > 45, ">50K", "<=50K"))
    return pd.DataFrame({"age": age, "job": job, "paid": paid})


def bunch(targets=("paid",)):
    return SimpleNamespace(
        frame=people(), target_names=list(targets), details={"name": "adult", "version": "2", "id": "1590"}
    )


@pytest.fixture(name="asked")
def asked_fixture(monkeypatch):
    """What OpenML and the hub are asked for; both have a small data set under every name."""
    asked = []

    def fetch(name, **options):
        asked.append((name, options["version"]))
        warnings.warn("Multiple active versions of the dataset matching the name adult exist.", stacklevel=2)
        return bunch()

    def load(name, **options):
        asked.append((name, options))
        texts = [f"{word} word{row}" for row, word in enumerate(["good", "bad"] * 20)]
        features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["neg", "pos"]))
        return datasets.Dataset.from_dict({"text": texts, "label": [1, 0] * 20}, features=features)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)
    return asked


def test_openml_gives_a_frame_whose_target_is_the_label(asked):
    data = resolve("openml:adult")
    assert data.feature_names == ("age", "job")
    assert data.class_names == ("<=50K", ">50K")
    assert isinstance(data.frame, pd.DataFrame), "estimators of scikit-learn get the frame itself"
    assert "openml:adult is version 2 of OpenML's adult, id 1590" in data.notes
    resolve("openml:adult@2")
    assert asked == [("adult", "active"), ("adult", 2)]


def test_another_column_may_be_the_label(asked):
    data = resolve("openml:adult", label="job")
    assert data.class_names == ("cook", "smith")
    assert data.feature_names == ("age", "paid")


@pytest.mark.parametrize("targets", [(), ("paid", "job")])
def test_where_there_is_not_one_target_the_label_is_asked_for(monkeypatch, targets):
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *_, **__: bunch(targets))
    with pytest.raises(ArgumentError, match="label= must name the column of labels"):
        resolve("openml:adult")
    assert resolve("openml:adult", label="paid").class_names == ("<=50K", ">50K")


def test_the_hub_gives_one_split(asked):
    data = resolve("hf:user/name:train[:10%]", label="label")
    assert (data.kind, data.class_names) == ("text", ("neg", "pos"))
    assert asked == [("user/name", {"split": "train[:10%]"})]
    assert find_format("hf:name:train").show(np.array([0])) == ["good word0"]


@pytest.mark.parametrize(
    ("name", "learner", "column"), [("openml:adult", "logistic", "age"), ("hf:user/name:train", "tfidf", "text")]
)
def test_a_run_is_opened_again_by_its_name(asked, tmp_path, name, learner, column):
    run = tmp_path / "run"
    _, coreset = unseen.prune(name, keep=0.5, learner=learner, plan=unseen.folds(2), out=run)
    assert len(coreset) == len(resolve(name)) // 2
    asked.clear()
    kept = unseen.export(run, "parquet", tmp_path / "kept.parquet", data=name)
    assert column in pd.read_parquet(kept).columns
    assert unseen.report(run, data=name).exists()
    assert asked


@pytest.mark.parametrize("name", ["openml:", "openml:adult@", "openml:adult@two", "openml:@2"])
def test_malformed_names_of_openml(name):
    with pytest.raises(ArgumentError, match="openml:NAME@VERSION"):
        resolve(name)


@pytest.mark.parametrize("name", ["hf:", "hf:ag_news", "hf:ag_news:", "hf::train", "hf:glue:sst2:train"])
def test_malformed_names_of_the_hub(name):
    with pytest.raises(ArgumentError, match="hf:USER/NAME:SPLIT"):
        resolve(name)


def fails(error):
    def call(*_, **__):
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OpenMLError("No active dataset adlt found."), r"^openml:adlt cannot be read from OpenML: No active dataset"),
        (ValueError("Sparse ARFF datasets\ncannot"), r"OpenML: Sparse ARFF datasets cannot$"),
        (
            URLError(socket.gaierror(-2, "Name or service not known")),
            r"^openml:adlt cannot be downloaded: .*-2.*network",
        ),
        (TimeoutError("timed out"), r"cannot be downloaded: timed out; try again with a network"),
    ],
)
def test_errors_of_openml_are_one_line(monkeypatch, error, message):
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fails(error))
    with pytest.raises(DataError, match=message) as raised:
        resolve("openml:adlt")
    assert "\n" not in str(raised.value)


def test_pandas_is_named_where_openml_needs_it(monkeypatch):
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fails(ImportError("as_frame requires pandas")))
    with pytest.raises(MissingDependencyError, match="pip install pandas"):
        resolve("openml:adult")


def test_the_extra_is_named_where_the_hub_needs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependencyError, match=r"unseen\[huggingface\]"):
        resolve("hf:a/b:train")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist\non the Hub"), "exist on the Hub$"),
        (ValueError('Unknown split "tran". Should be one of ["train"].'), 'from the hub: Unknown split "tran"'),
        (RuntimeError("Dataset scripts are no longer supported"), "from the hub: Dataset scripts are no longer"),
        (ConnectionError("no answer"), "cannot be downloaded: no answer; .*HF_HUB_OFFLINE=1 reads what was"),
    ],
)
def test_errors_of_the_hub_are_one_line(asked, monkeypatch, error, message):
    monkeypatch.setattr(datasets, "load_dataset", fails(error))
    with pytest.raises(DataError, match=message) as raised:
        resolve("hf:a/b:tran")
    assert "\n" not in str(raised.value)


def test_a_hub_that_does_not_answer_is_not_asked_again(asked, monkeypatch):
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", fails(RuntimeError("connect failed")))
    with pytest.raises(DataError, match=r"the hub does not answer \(connect failed\)"):
        resolve("hf:a/b:train")
    assert asked == []
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    assert len(resolve("hf:a/b:train")) == 40, "offline, datasets is asked at once for what it has kept"


def test_what_the_hub_refuses_is_for_datasets_to_explain(asked, monkeypatch):
    refusal = HfHubHTTPError.__new__(HfHubHTTPError)
    refusal.response = object()
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", fails(refusal))
    monkeypatch.setattr(datasets, "load_dataset", fails(datasets.exceptions.DatasetNotFoundError("no such set")))
    with pytest.raises(DataError, match="no such set"):
        resolve("hf:a/b:train")


def test_a_name_from_another_user_is_a_connection():
    assert list_external({"data": "hf:a/b:train", "test": "openml:adult"}) == [
        "connects to data 'hf:a/b:train'",
        "connects to test 'openml:adult'",
    ]


@pytest.fixture(name="silent_server")
def silent_server_fixture(monkeypatch, tmp_path):
    """A proxy that takes connections and never answers, as a firewall does; and empty caches."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
        for module in ("arrays", "datasets"):
            monkeypatch.setattr(f"unseen.data.{module}.PATIENCE", 0.2)
        huggingface_hub.close_session()
        yield
        huggingface_hub.close_session()


@pytest.mark.parametrize("name", ["openml:adult", "hf:ag_news:train"])
def test_a_server_that_never_answers_ends_within_seconds(silent_server, name):
    begun = time.monotonic()
    with pytest.raises(DataError, match=r"cannot be downloaded: .*time.*; try again with a network"):
        resolve(name)
    assert time.monotonic() - begun < 10
    assert socket.getdefaulttimeout() is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "host"), [("openml:iris@1", "www.openml.org"), ("hf:rotten_tomatoes:test", "huggingface.co")]
)
def test_a_real_name(name, host):
    try:
        socket.create_connection((host, 443), timeout=5).close()
    except OSError as error:
        pytest.skip(f"{host} cannot be reached: {error}")
    data = resolve(name)
    assert len(data) == (150 if "iris" in name else 1066)

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch_stand_ins import Arrays, Store, Tape, pictures, quick, same, split, train

from unseen.core.exposure import Fit
from unseen.errors import ArgumentError, CorruptFileError, DataError
from unseen.learners.torch import Recipe, TorchLearner


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


def vectors():
    return Arrays(np.zeros((4, 3), np.float32), [0, 1, 0, 1])


def accuracy(sink, data, fit, epoch):
    np.testing.assert_array_equal(sink.get(f"unseen.{epoch}.rows"), fit.unseen)
    return (sink.get(f"unseen.{epoch}.logits").argmax(1) == data.labels[fit.unseen]).mean()


def test_it_learns_digits_as_vectors(digits):
    x, y = digits
    data = Arrays(x.astype(np.float32), y)
    fit = split(data)
    sink, _, reports = train(data, Recipe.named("mlp", epochs=5, threads=1), fit=fit)
    assert accuracy(sink, data, fit, 5) > 0.95
    assert [fields["epoch"] for _, fields in reports] == [1, 2, 3, 4, 5]
    kind, fields = reports[-1]
    assert kind == "epoch"
    assert fields.keys() == {"epoch", "epochs", "loss", "seconds", "observe_seconds"}
    assert fields["loss"] < reports[0][1]["loss"]


def test_it_learns_digits_as_images(digits):
    x, y = digits
    data = Arrays((x.reshape(-1, 8, 8, 1) * 15).astype(np.uint8), y, kind="image")
    fit = split(data)
    sink, _, _ = train(data, Recipe.named("convnet", epochs=6, batch_size=32, flip=False, crop=1, threads=1), fit=fit)
    assert accuracy(sink, data, fit, 6) > 0.95


@pytest.mark.parametrize(
    ("data", "recipe"),
    [
        (pictures(), quick(flip=True, crop=2, cutout=3, schedule="one_cycle", warmup=0.3)),
        (pictures(), quick("torch_networks:dropping", momentum=0.0, nesterov=False, precision="bf16")),
    ],
    ids=["augmented", "dropout"],
)
def test_a_resumed_training_is_equal_bit_for_bit_after_every_epoch(data, recipe):
    whole, reference, _ = train(data, recipe)
    for epoch in (1, 2, 3):
        store = Store(die_after=epoch)
        with pytest.raises(KeyboardInterrupt):
            train(data, recipe, store=store)
        torch.rand(7)  # the process that goes on has another random state
        sink, store, reports = train(data, recipe, store=store)
        assert [fields["epoch"] for _, fields in reports] == list(range(epoch + 1, 4))
        same(store.saved, reference.saved)
        same(sink.state(), whole.state())
        assert "unseen.1.logits" in sink.restored


def test_each_epoch_is_one_commit_of_model_optimiser_and_sink():
    _, store, _ = train(pictures(), quick())
    assert [int(saved["epoch"]) for saved in store.history] == [1, 2, 3]
    for epoch, saved in enumerate(store.history, 1):
        assert {name.split("/")[0] for name in saved} == {"epoch", "step", "model", "optim", "sink"}
        assert f"sink/unseen.{epoch}.logits" in saved
        assert f"sink/unseen.{epoch + 1}.logits" not in saved
    assert not np.array_equal(store.history[0]["model/head.weight"], store.history[1]["model/head.weight"])


@pytest.mark.parametrize("text_ids", [False, True])
@pytest.mark.parametrize("kind", ["image", "vector"])
def test_shuffled_rows_with_ids_train_the_same_model_bit_for_bit(kind, text_ids):
    images = pictures(97)
    ids = np.random.default_rng(1).permutation(1000)[:97]
    if text_ids:
        ids = np.array([f"sample {i}" for i in ids])
    x = images.x if kind == "image" else images.x.reshape(97, -1).astype(np.float32) / 7
    recipe = quick(flip=True, crop=2, cutout=3) if kind == "image" else quick("mlp")
    shuffle = np.random.default_rng(2).permutation(97)
    place = np.argsort(shuffle)  # where each row went
    fit = split(images)
    moved = Fit(train=np.sort(place[fit.train]), unseen=np.sort(place[fit.unseen]))
    sink, store, _ = train(Arrays(x, images.labels, ids=ids, kind=kind), recipe, fit=fit)
    data = Arrays(x[shuffle], images.labels[shuffle], ids=ids[shuffle], kind=kind)
    sink2, store2, _ = train(data, recipe, fit=moved)
    same(
        {n: a for n, a in store.saved.items() if "sink" not in n},
        {n: a for n, a in store2.saved.items() if "sink" not in n},
    )
    back = np.argsort(shuffle[moved.unseen])
    np.testing.assert_allclose(sink.get("unseen.3.logits"), sink2.get("unseen.3.logits")[back], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["image", "vector"])
def test_unseen_rows_have_no_effect_on_the_weights(kind):
    clean = pictures()
    fit = split(clean)
    x = clean.x if kind == "image" else clean.x.reshape(len(clean), -1).astype(np.float32)
    poisoned = x.copy()
    poisoned[fit.unseen] = 255 if kind == "image" else np.nan
    labels = clean.labels.copy()
    labels[fit.unseen] = 0
    recipe = quick() if kind == "image" else quick("mlp")
    nothing = Tape(wants=())
    _, store, _ = train(Arrays(x, clean.labels, kind=kind), recipe, fit=fit, sink=nothing)
    _, store2, _ = train(Arrays(poisoned, labels, kind=kind, classes=3), recipe, fit=fit, sink=Tape(wants=()))
    same(store.saved, store2.saved)
    poisoned[fit.train[0]] = 254 if kind == "image" else 1e4  # and a row that is trained on has one
    _, store3, _ = train(Arrays(poisoned, labels, kind=kind, classes=3), recipe, fit=fit, sink=Tape(wants=()))
    assert not np.array_equal(store.saved["model/head.weight"], store3.saved["model/head.weight"])


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")  # where there is one processor
@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_data_gives_the_same_numbers_as_data_held_in_memory(workers):
    data = pictures()
    recipe = quick(flip=True, crop=2)
    held, store, _ = train(data, recipe)
    streamed, store2, _ = train(data, recipe, memory_limit=10, data_workers=workers)
    same(store.saved, store2.saved)
    same(held.state(), streamed.state())


def test_the_process_is_left_as_it_was():
    torch.manual_seed(3)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is the point
    other = 1 if threads > 1 else 2
    train(pictures(), quick("torch_networks:dropping", threads=other, deterministic=True, flip=True))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002


def test_seed_repeat_and_fold_each_change_the_model():
    data = pictures()
    fit = split(data)
    fits = [fit, Fit(fit.train, fit.unseen, repeat=1), Fit(fit.train, fit.unseen, fold=1)]
    heads = [train(data, quick(epochs=1), fit=f)[1].saved["model/head.weight"] for f in fits]
    heads.append(train(data, quick(epochs=1), seed=1)[1].saved["model/head.weight"])
    assert len({head.tobytes() for head in heads}) == 4


@pytest.mark.parametrize("n", [17, 33])
def test_a_last_batch_of_one_joins_the_batch_before(n):
    data = pictures(n + 4)
    rows = np.arange(n + 4)
    _, store, _ = train(data, quick("torch_networks:normed", epochs=1), fit=Fit(train=rows[4:], unseen=rows[:4]))
    assert int(store.saved["step"]) == (n - 1) // 16


def test_a_batch_size_of_one_is_refused_with_the_reason():
    with pytest.raises(ArgumentError, match=r"batch_size must be at least 2, .* got batch_size=1"):
        train(pictures(), quick("torch_networks:normed", batch_size=1))
    train(pictures(8), quick("mlp", batch_size=1, epochs=1))  # nothing is normalised over the batch there


def test_divergence_names_epoch_and_remedy():
    with pytest.raises(ArgumentError, match=r"diverged: the mean loss of epoch 1 of fit r0f0 is .*use a lower lr"):
        train(pictures(), quick("mlp", lr=1e20))


def test_infinite_logits_name_the_ids():
    data = pictures(24, ids=[f"s{i}" for i in range(24)])
    with pytest.raises(ArgumentError, match="after epoch 1 are NaN or infinite for ids s0, s4"):
        train(data, quick("torch_networks:overflowing"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_probabilities_in_place_of_logits_are_refused(precision):
    with pytest.raises(
        ArgumentError, match=r"softmaxed' must give logits, .* probabilities: .* leave out its last softmax"
    ):
        train(pictures(), quick("torch_networks:softmaxed", precision=precision))
    train(pictures(), quick("torch_networks:log_softmaxed", precision=precision))  # these are logits


def test_nan_features_name_the_ids():
    data = pictures()
    x = data.x.reshape(len(data), -1).astype(np.float32)
    for row, words in ((1, "samples to train on hold NaN"), (4, "samples hold NaN")):
        bad = x.copy()
        bad[row, 3] = np.nan
        with pytest.raises(DataError, match=f"features must be finite, but {words} or infinity: ids {row}"):
            train(Arrays(bad, data.labels), quick("mlp", epochs=1))


def test_a_checkpoint_of_another_network_is_refused():
    data = pictures()
    store = Store()
    train(data, quick("mlp", epochs=1), store=store)
    with pytest.raises(CorruptFileError, match="the checkpoint must hold the model state of this network"):
        train(data, quick("convnet", epochs=2), store=store)


def test_a_checkpoint_without_momentum_is_refused():
    data, store = pictures(), Store()
    train(data, quick("mlp", epochs=1), store=store)
    store.saved = {name: array for name, array in store.saved.items() if not name.startswith("optim/")}
    with pytest.raises(CorruptFileError, match="the checkpoint must hold the optimiser state of this network"):
        train(data, quick("mlp", epochs=2), store=store)


@pytest.mark.parametrize(
    ("make", "recipe", "error", "words"),
    [
        (
            lambda: pictures(side=4),
            quick(),
            ArgumentError,
            "images of at least 8 x 8 pixels, got 4 x 4",
        ),
        (lambda: pictures(side=16), quick("resnet50"), ArgumentError, "at least 32 x 32 pixels, got 16 x 16"),
        (
            lambda: Arrays(np.zeros((4, 3), "f4"), [0, 1, 0, 1]),
            quick(),
            ArgumentError,
            "needs images, but the data are",
        ),
        (
            lambda: Arrays(np.zeros((4, 3), "f4"), [0, 1, 0, 1]),
            quick("mlp", flip=True),
            ArgumentError,
            "flip of the rec",
        ),
        (lambda: Arrays(np.zeros((4, 3), "f4"), [0, 0, 0, 0]), quick("mlp"), DataError, "at least 2 classes"),
        (lambda: Arrays(np.zeros((4, 3), "f4"), [0, 1, 0, 1], kind="text"), quick(), DataError, "kind 'text'"),
        (pictures, quick(crop=8), ArgumentError, "crop must be below and cutout at most .* 8 pixels, got crop=8"),
        (pictures, quick("torch_networks:wrong"), ArgumentError, r"must give \(m, 3\) logits, got \(2, 2\) for m=2"),
        (pictures, quick("torch_networks:broken"), ArgumentError, r"cannot take inputs of shape \(1, 8, 8\)"),
        (pictures, quick("torch_networks:missing"), ArgumentError, "has no attribute 'missing'"),
        (pictures, quick("torch_networks:number"), ArgumentError, "must be module:function, but it is int"),
        (pictures, quick("torch_networks:vector"), ArgumentError, "called with classes=, channels=, image_size="),
        (pictures, quick("torch_networks:lazy"), ArgumentError, r"lazy layers or other state: 1\.weight, 1\.bias"),
        (pictures, quick("torch_networks:stateful"), ArgumentError, "lazy layers or other state: _extra_state"),
        (pictures, quick("builtins:dict"), ArgumentError, "must make a torch.nn.Module, got dict"),
        (pictures, quick("convnt"), ArgumentError, "unknown network 'convnt'; did you mean 'convnet'"),
        (pictures, quick(precision="fp16"), ArgumentError, "precision='fp16' needs a CUDA device"),
    ],
)
def test_what_cannot_be_learned_is_refused_before_training(make, recipe, error, words):
    with pytest.raises(error, match=words):
        TorchLearner(recipe, device="cpu").check(make())


def test_devices_are_checked():
    with pytest.raises(ArgumentError, match="device must be 'auto', 'cpu', 'cuda' or 'cuda:N', got 'gpu'"):
        TorchLearner("mlp", device="gpu").describe()
    with pytest.raises(ArgumentError, match=r"device 'cuda:99' is not there: torch sees \d+ CUDA devices"):
        TorchLearner("mlp", device="cuda:99").describe()


def test_describe_tells_what_the_numbers_depend_on():
    about = TorchLearner(Recipe.named("mlp", threads=3), device="cpu").describe()
    assert about["threads"] == 3
    assert about["device"] == "cpu"
    assert about["recipe"]["network"] == "mlp"
    assert TorchLearner("mlp", device="cpu").describe()["threads"] >= 1


def test_denormal_numbers_are_flushed_in_a_fit_and_no_longer(digits):
    """They make an epoch on the CPU up to 25 times slower, and nobody else's numbers may change for it."""
    tiny = torch.tensor([1e-310], dtype=torch.float64)
    inside = []

    class Watching(Arrays):
        def take(self, rows):
            inside.append(float(tiny.mul(0.5)))
            return super().take(rows)

    assert float(tiny.mul(0.5)) != 0
    data = Watching(*digits)
    train(data, Recipe(network="mlp", epochs=1, threads=1))
    assert set(inside) == {0.0}
    assert float(tiny.mul(0.5)) != 0


@pytest.mark.parametrize(("spacing", "saves"), [(0.0, 3), (1000.0, 0)])
def test_checkpoints_are_spaced_as_the_store_asks(spacing, saves):
    data, recipe = pictures(n=20), quick("mlp", epochs=3)
    _, reference, _ = train(data, recipe)
    store = Store()
    store.spacing = spacing
    tape, store, _ = train(data, recipe, store=store)
    assert [int(state["epoch"]) for state in store.history] == list(range(1, saves + 1))
    assert "unseen.3.logits" in tape.taken
    assert len(reference.history) == 3


@pytest.mark.parametrize(("units", "precision"), [(True, "bf16"), (False, "fp32")])
def test_precision_is_chosen_by_the_device_once_and_described(monkeypatch, units, precision):
    from unseen.learners.torch import runtime

    monkeypatch.setattr(runtime, "has_bf16_units", lambda device: units)
    learner = TorchLearner("convnet", device="cpu")
    monkeypatch.setattr(runtime, "has_bf16_units", lambda device: not units)  # in a worker, say
    assert learner.describe()["recipe"]["precision"] == precision
    assert learner.with_epochs(2).with_threads(1).recipe.precision == precision
    assert TorchLearner("mlp", device="cpu").recipe.precision == "fp32"

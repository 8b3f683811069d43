"""Networks of the user's own and models in folders: what comes to them, what they may give, what is said of them."""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import unseen
from unseen.data import resolve
from unseen.errors import ArgumentError, DataError, MissingDependencyError

torch = pytest.importorskip("torch", reason="backbones are networks of torch")

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 4, 6, 3), dtype=np.uint8)
Y = np.arange(10) % 2


class Seen(torch.nn.Module):
    """Tells what came to it: the mean of each channel; and whether it learns."""

    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)
        self.register_buffer("scale", torch.ones(1))

    def forward(self, batch):
        assert not torch.is_grad_enabled()
        return self.drop(batch.mean(dim=(2, 3)) if batch.ndim == 4 else batch) * self.scale


def seen():
    return Seen()


def drawn():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(72, 3), torch.nn.BatchNorm1d(3))


def lengths():
    class Lengths(torch.nn.Module):
        def forward(self, texts):
            return torch.tensor([[len(text), text.count("a")] for text in texts])

    return Lengths()


def flat():
    return torch.nn.Flatten(0)


def broken():
    class Broken(torch.nn.Module):
        def forward(self, batch):
            return torch.full((len(batch), 2), float("nan"))

    return Broken()


def no_module():
    return len


HERE = __name__


def made(by, X=IMAGES, **more):
    return unseen.embed(X, Y[: len(X)], by=f"{HERE}:{by}", **more)


def test_images_come_as_channels_of_0_to_1_in_evaluation_mode():
    found = made("seen").take(np.arange(10))
    np.testing.assert_allclose(found, IMAGES.mean(axis=(1, 2)) / 255, rtol=1e-5)


def test_vectors_and_texts_come_as_they_are():
    X = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    np.testing.assert_array_equal(made("seen", X).take(np.arange(10)), X)
    np.testing.assert_array_equal(made("lengths", ["banana", "b"]).take(np.arange(2)), [[6, 3], [1, 0]])


def test_batches_do_not_change_the_result_and_weights_follow_the_seed():
    before = torch.random.get_rng_state()
    one, few, other = made("drawn"), made("drawn", batch_size=3), made("drawn", seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_allclose(one.take(np.arange(10)), few.take(np.arange(10)), atol=1e-6)
    assert one.embedding["weights"] == few.embedding["weights"] != other.embedding["weights"]


def test_other_weights_are_another_embedding(tmp_path, monkeypatch):
    made("seen", out=tmp_path / "e", threads=1)
    made("seen", out=tmp_path / "e", threads=1)
    monkeypatch.setattr(torch.nn.Module, "eval", lambda self: self)  # so the weights are all that differs
    monkeypatch.setattr(Seen, "__init__", _with_another_scale)
    with pytest.raises(unseen.RunMismatchError, match=r"embedding\.weights"):
        made("seen", out=tmp_path / "e", threads=1)


def _with_another_scale(self):
    torch.nn.Module.__init__(self)
    self.drop = torch.nn.Identity()
    self.register_buffer("scale", torch.full((1,), 2.0))


@pytest.mark.parametrize("labels", [None, "unknown", "none", "others"])
def test_what_the_user_says_of_labels_is_kept(tmp_path, labels):
    made("seen", labels=labels, out=tmp_path / "e")
    assert resolve(tmp_path / "e").embedding["labels"] == (labels or "unknown")


def test_a_network_that_was_trained_on_these_labels_is_warned_of():
    with pytest.warns(UserWarning, match="was trained on these labels"):
        data = made("seen", labels="these")
    assert "NOT held out" in data.notes[0]


@pytest.mark.parametrize(
    ("by", "more", "message"),
    [
        ("flat", {}, r"must give a tensor \(m, d\) for 1 samples, got \(72,\)"),
        ("broken", {}, "NaN or infinite values in 10 rows: 0, 1"),
        ("no_module", {}, r"must make a torch\.nn\.Module, got builtin"),
        ("absent", {}, "must be module:function, but it cannot be imported"),
        ("seen", {"labels": "some"}, "labels must be one of 'none', 'unknown', 'these', 'others', got 'some'"),
        ("seen", {"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ("seen", {"device": "nowhere"}, "device 'nowhere' cannot be used"),
        ("seen", {"patches": 3}, "the embedding .* has no option 'patches'"),
    ],
)
def test_refusals(by, more, message):
    with pytest.raises((ArgumentError, DataError), match=message):
        made(by, **more)


def test_tables_are_not_for_networks():
    with pytest.raises(ArgumentError, match="a module takes no tables"):
        made("seen", np.array([["a", 1], ["b", 2]], object))


# ---- models in folders -----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "small-model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    return path


@pytest.fixture
def sentences(folder, monkeypatch):
    """A stand-in for sentence-transformers, that writes down how it was called."""
    calls = []

    class SentenceTransformer:
        def __init__(self, path, **options):
            calls.append((path, options))

        def eval(self):
            return self

        def encode(self, texts, *, batch_size, convert_to_numpy, show_progress_bar):
            return np.array([[len(text), batch_size] for text in texts])

    (folder / "modules.json").write_text("[]")
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=SentenceTransformer))
    return calls


def test_a_sentence_model_is_read_from_disk_alone_and_from_safetensors(folder, sentences):
    data = unseen.embed(["aaa", "b"], [0, 1], by=folder, batch_size=5, labels="others")
    np.testing.assert_array_equal(data.take(np.arange(2)), [[3, 5], [1, 5]])
    assert data.embedding["by"] == "small-model"
    assert sentences == [
        (str(folder), {"device": "cpu", "local_files_only": True, "model_kwargs": {"use_safetensors": True}})
    ]


def test_other_files_are_another_model(folder, sentences):
    first = unseen.embed(["aaa", "b"], [0, 1], by=folder).embedding
    (folder / "config.json").write_text('{"more": 1}')
    assert unseen.embed(["aaa", "b"], [0, 1], by=folder).embedding["files"] != first["files"]


def test_a_sentence_model_takes_no_images(folder, sentences):
    with pytest.raises(ArgumentError, match="it takes text, not images"):
        unseen.embed(IMAGES, Y, by=folder)


def test_a_folder_of_no_model_and_data_of_another_kind_are_refused(folder):
    with pytest.raises(ArgumentError, match="takes text or images, but this is vector data"):
        unseen.embed(np.zeros((4, 2)), [0, 1, 0, 1], by=folder)
    (folder / "config.json").unlink()
    with pytest.raises(ArgumentError, match=r"neither modules\.json .* nor config\.json"):
        unseen.embed(["a", "b"], [0, 1], by=folder)


@pytest.mark.skipif(importlib.util.find_spec("transformers") is not None, reason="transformers is installed")
def test_without_the_libraries_the_message_says_what_to_install(folder):
    with pytest.raises(MissingDependencyError, match=r"pip install 'unseen\[embed\]'"):
        unseen.embed(["a", "b"], [0, 1], by=folder)


@pytest.fixture
def transformers():
    return pytest.importorskip("transformers", reason="models of transformers need it")


def test_a_text_model_is_the_mean_over_the_tokens_that_are_there(transformers, tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film", "a"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **sizes)).eval()
    tokens = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))
    for part in (model, tokens):
        part.save_pretrained(tmp_path / "bert")
    texts = ["a good film", "good", "a a a a film"]
    found = unseen.embed(texts, [0, 1, 0], by=tmp_path / "bert").take(np.arange(3))
    assert len(np.unique(found, axis=0)) == 3
    for text, vector in zip(texts, found, strict=True):
        with torch.no_grad():
            states = model(**tokens([text], return_tensors="pt")).last_hidden_state
        np.testing.assert_allclose(vector, states[0].mean(0).numpy(), atol=1e-5)


def test_an_image_model_gives_its_pooled_output_and_takes_grey_images(transformers, tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    transformers.ViTModel(transformers.ViTConfig(image_size=16, patch_size=4, **sizes)).save_pretrained(tmp_path / "v")
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "v")
    grey = unseen.embed(IMAGES[..., :1], Y, by=tmp_path / "v").take(np.arange(10))
    colours = unseen.embed(np.repeat(IMAGES[..., :1], 3, axis=3), Y, by=tmp_path / "v").take(np.arange(10))
    assert grey.shape == (10, 8)
    np.testing.assert_allclose(grey, colours, atol=1e-6)
    assert len(np.unique(grey, axis=0)) == 10

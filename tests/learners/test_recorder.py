"""Your own loop: the six lines, and everything that a loop can do wrong."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge

import unseen

N, C = 24, 3
LABELS = np.arange(N) % C
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(N, C))
WITH_NAN = LOGITS.copy()
WITH_NAN[4, 1] = np.nan
HISTORY = RNG.normal(size=(7, N, C))


def recorder(scores="el2n", **more):
    return unseen.Recorder(LABELS, **{"plan": unseen.folds(3), "scores": scores, **more})


def record_all(own, logits=LOGITS, **more):
    for fit in own:
        own.record(fit.unseen, logits[fit.unseen], **more)
    return own.table()


def test_the_six_lines_around_a_torch_loop():
    torch = pytest.importorskip("torch")
    x, y = load_digits(return_X_y=True)
    dataset = torch.utils.data.TensorDataset(torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y))

    def train(part):
        torch.manual_seed(0)
        model = torch.nn.Linear(64, 10)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for _ in range(3):
            for inputs, labels in torch.utils.data.DataLoader(part, batch_size=64):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(inputs), labels).backward()
                optimizer.step()
        return model

    own = unseen.Recorder(y, plan=unseen.folds(3), scores=["el2n", "label_issue"])
    for fit in own:
        model = train(torch.utils.data.Subset(dataset, fit.train))
        loader = torch.utils.data.DataLoader(torch.utils.data.Subset(dataset, fit.unseen), batch_size=100)
        for ids, (inputs, _) in zip(torch.from_numpy(fit.unseen).split(100), loader, strict=True):
            own.record(ids, model(inputs))
    table = own.table()
    assert (table.predictions == y).mean() > 0.85
    assert len(unseen.select(table, keep=0.5)) == 899  # half of 1797, rounded up
    # The same model again, judged by the pure function: 1e-6 is what float32 leaves.
    fit = next(iter(unseen.folds(3).fits(np.arange(len(y)), y)))
    logits = train(torch.utils.data.Subset(dataset, fit.train))(dataset.tensors[0][fit.unseen]).detach().numpy()
    np.testing.assert_allclose(
        table.column("el2n")[fit.unseen], unseen.functional.el2n(logits, y[fit.unseen]), atol=1e-6
    )


def test_regression_by_losses_alone():
    x = RNG.normal(size=(60, 2))
    target = x @ [1.0, -2.0] + 0.1 * RNG.normal(size=60)
    target[7] += 10  # an outlier: hard, and learned by nobody who has not seen it
    own = unseen.Recorder(n=60, plan=unseen.folds(5, repeats=2, watch_seen=True), scores=["loss", "holdout_gap"])
    expected = np.zeros((2, 60))
    for fit in own:
        model = Ridge(1e-3).fit(x[fit.train], target[fit.train])
        losses = (model.predict(x) - target) ** 2
        own.record(fit.unseen, loss=losses[fit.unseen])
        own.record(fit.seen, loss=losses[fit.seen])
        expected[fit.repeat, fit.unseen] = losses[fit.unseen]
    table = own.table()
    np.testing.assert_allclose(table.values["loss"], expected, rtol=1e-12)
    assert table.column("loss").argmax() == table.column("holdout_gap").argmax() == 7
    assert table.mean_confidence is None
    assert table.predictions is None
    assert 7 in unseen.select(table, rule="top", keep=3).ids


def test_logits_where_there_are_no_labels():
    own = unseen.Recorder(n=8, plan=unseen.folds(2), scores="loss")
    fit = next(fits := iter(own))
    with pytest.raises(
        unseen.ArgumentError, match=r"got \(4, 3\); where there are no labels, .* record loss= in place"
    ):
        own.record(fit.unseen, LOGITS[fit.unseen])
    del fits


def test_reducible_from_losses():
    own = unseen.Recorder(n=8, plan=unseen.halves(1), scores=["reducible:epoch=1"])
    losses = RNG.exponential(size=(3, 8))
    for fit in own:
        for epoch in (1, 2, 3):
            own.record(np.arange(8), loss=losses[epoch - 1] + 10 * fit.fold, epoch=epoch)
    early, late = losses[0], losses[2]
    # In sample by the model of the other half: fold f judges half f and was trained on the other one.
    fold = own.table().folds[0]
    expected = early + 10 * (1 - fold) - (late + 10 * fold)
    np.testing.assert_allclose(own.table().column("reducible:epoch=1"), expected, rtol=1e-12)


@pytest.mark.parametrize("score", ["el2n", "entropy", "aum", "memorization", "label_issue", "grand"])
def test_scores_of_classes_need_labels(score):
    with pytest.raises(unseen.ArgumentError, match=r"needs classes, but labels= was not given; .* loss, holdout_gap"):
        unseen.Recorder(n=8, plan=unseen.halves(2), scores=[score])


@pytest.mark.parametrize("score", ["el2n", "aum", "self_confidence"])
def test_scores_of_logits_need_logits(score):
    own = recorder(["loss", score])
    fits = iter(own)
    fit = next(fits)
    with pytest.raises(
        unseen.ArgumentError, match=f"score '{score}' needs logits, but epoch 1 of fit r0f0 was observed"
    ):
        own.record(fit.unseen, loss=np.zeros(len(fit.unseen)))


def test_the_wrong_thing_at_the_wrong_time():
    own = recorder()
    with pytest.raises(unseen.ArgumentError, match=r"record\(\) belongs inside `for fit in recorder:`"):
        own.record([0], LOGITS[:1])
    fits = iter(own)
    fit = next(fits)
    m = len(fit.unseen)
    for arguments, message in [
        (([99], LOGITS[:1]), "these are unknown: 99"),
        ((["a"], LOGITS[:1]), "these are unknown: a"),
        ((fit.unseen,), "needs logits=, loss= or grad_norm=, got none"),
        ((fit.unseen, LOGITS), rf"logits must have one entry for each of the {m} ids, got shape \(24, 3\)"),
        ((fit.unseen, np.zeros((m, C + 1))), rf"must have shape \({m}, 3\), got \({m}, 4\)"),
        ((fit.unseen, {"logits": LOGITS}), "for each of the .* ids, got dict; pass its entry 'logits'$"),
        ((fit.unseen, 0.5), r"for each of the .* ids, got shape \(\)$"),
        ((fit.unseen[[0, 0]], LOGITS[:2]), "ids must name each sample once, but "),
        (([fit.unseen], LOGITS[:1]), r"ids must be one-dimensional, \(m,\), got shape \(1, 8\)"),
    ]:
        with pytest.raises(unseen.ArgumentError, match=message):
            own.record(*arguments)
    own.record(fit.unseen[:2], LOGITS[fit.unseen[:2]])
    with pytest.raises(unseen.ArgumentError, match="a sample is recorded once an epoch"):
        own.record(fit.unseen, LOGITS[fit.unseen])
    with pytest.raises(unseen.DataError, match="unseen samples of fit r0f0 were recorded less often"):
        next(fits)
    with pytest.raises(unseen.ArgumentError, match="only 0 of 3 fits are finished; record the others first"):
        own.table()
    with pytest.raises(unseen.ArgumentError, match=r"pass labels=, or n= for a task without classes"):
        unseen.Recorder(scores="loss")


def test_a_loop_broken_off_and_begun_again():
    own = recorder()
    for fit in own:
        if fit.fold == 1:
            break
        own.record(fit.unseen, LOGITS[fit.unseen])
    with pytest.raises(unseen.ArgumentError, match="belongs inside"):
        own.record(fit.unseen, LOGITS[fit.unseen])
    names = []
    for fit in own:
        names.append(fit.name)
        own.record(fit.unseen, LOGITS[fit.unseen])
        if fit.fold == 1:
            break
    assert names == ["r0f1"]
    with pytest.raises(unseen.ArgumentError, match="only 1 of 3 fits are finished"):
        own.table()  # the loop was left before fold 1 was closed
    table = record_all(own)
    np.testing.assert_array_equal(table.values["el2n"], record_all(recorder()).values["el2n"])
    np.testing.assert_array_equal(table.values["el2n"], own.table().values["el2n"])


def test_ids_as_text_in_any_order_and_batch():
    ids = np.array([f"img/{(i * 7) % N}.png" for i in range(N)])
    own = recorder(ids=ids)
    for fit in own:
        for at in np.array_split(RNG.permutation(fit.unseen), 3):
            own.record(list(ids[at]), LOGITS[at])
    table = own.table()
    np.testing.assert_array_equal(table.ids, ids)
    np.testing.assert_allclose(table.column("el2n"), unseen.functional.el2n(LOGITS, LABELS), rtol=1e-12)


def test_rows_in_place_of_ids_are_refused_where_the_ids_are_rows_in_another_order():
    ids = np.random.default_rng(5).permutation(N)
    own = recorder(ids=ids, plan=unseen.halves(), scores=["el2n", "memorization"])
    for fit in own:
        with pytest.raises(unseen.errors.ArgumentError, match=r"the ids of other samples; record by recorder\.ids"):
            own.record(fit.unseen, LOGITS[fit.unseen])
        for rows in (fit.unseen, fit.seen):
            own.record(own.ids[rows], LOGITS[rows])
    np.testing.assert_allclose(own.table().column("el2n"), unseen.functional.el2n(LOGITS, LABELS), rtol=1e-12)
    own = recorder(ids=ids, plan=unseen.halves(), scores=["el2n", "memorization"])
    for _ in own:
        own.record(ids, LOGITS)  # both sides in one call


def test_outputs_of_other_samples_are_doubted_where_a_coreset_is_chosen():
    good = 5.0 * np.eye(C)[LABELS]
    with pytest.warns(UserWarning, match=r"not better than predicting .* for other samples, or in another order of"):
        unseen.select(record_all(recorder(), np.roll(good, 1, axis=0)), keep=0.5)
    unseen.select(record_all(recorder(), good), keep=0.5)


def test_labels_of_any_kind_and_classes_that_are_missing():
    names = np.array(["ant", "bee", "cat"])[LABELS]
    table = record_all(unseen.Recorder(names, plan=unseen.folds(3)))
    assert table.class_names == ("ant", "bee", "cat") == unseen.Recorder(names).class_names
    np.testing.assert_array_equal(table.labels, LABELS)
    wide = np.concatenate([LOGITS, np.full((N, 1), -1.0)], axis=1)
    table = record_all(unseen.Recorder(LABELS, plan=unseen.folds(3), classes=4), wide)
    np.testing.assert_allclose(table.column("el2n"), unseen.functional.el2n(wide, LABELS), rtol=1e-12)


def test_groups_stay_together():
    own = recorder(groups=np.arange(N) // 4)
    for fit in own:
        assert not set(fit.train // 4) & set(fit.unseen // 4)
        own.record(fit.unseen, LOGITS[fit.unseen])


def test_both_sides_in_one_batch():
    own = recorder(["holdout_gap"], plan=unseen.folds(3, watch_seen=True))
    for fit in own:
        own.record(np.arange(N), LOGITS + fit.fold * np.eye(C)[LABELS])
    table = own.table()
    losses = [unseen.functional.loss(LOGITS + f * np.eye(C)[LABELS], LABELS) for f in range(3)]
    fold = table.folds[0]
    expected = [losses[fold[i]][i] - np.mean([losses[f][i] for f in range(3) if f != fold[i]]) for i in range(N)]
    np.testing.assert_allclose(table.column("holdout_gap"), expected, rtol=1e-10, atol=1e-12)


def test_features_and_gradient_norms():
    features, norms = RNG.normal(size=(N, 5)), RNG.exponential(size=N)
    own = recorder(["grand_last_layer", "grand"])
    for fit in own:
        rows = fit.unseen
        own.record(rows, LOGITS[rows], features=features[rows], grad_norm=norms[rows])
    pure = unseen.functional.grand_last_layer(LOGITS, features, LABELS)
    np.testing.assert_allclose(own.table().column("grand_last_layer"), pure, rtol=1e-12)
    np.testing.assert_array_equal(own.table().column("grand"), norms)


def test_a_score_whose_needs_were_never_recorded():
    own = recorder(["grand_last_layer"])
    fits = iter(own)
    fit = next(fits)
    own.record(fit.unseen, LOGITS[fit.unseen])
    with pytest.raises(
        unseen.DataError, match="'grand_last_layer' needs 1 observation of each sample, holding features"
    ):
        next(fits)


# A run that is kept


def resumed(tmp_path, **more):
    return recorder(["el2n", "loss"], out=tmp_path / "run", **more)


def own_fits(own):
    """The names of the fits that a recorder hands out."""
    names = []
    for fit in own:
        names.append(fit.name)
        own.record(fit.unseen, LOGITS[fit.unseen])
    return names


def test_finished_fits_are_not_asked_for_again(tmp_path):
    own = resumed(tmp_path)
    for fit in own:
        if fit.fold == 2:
            break
        own.record(fit.unseen, LOGITS[fit.unseen])
    with pytest.raises(
        unseen.RunLockedError, match=r"in use by process .*, which is this one; .* delete that by `del`,"
    ):
        resumed(tmp_path)
    del own
    own = resumed(tmp_path)
    with pytest.warns(UserWarning, match=rf"^2 of 3 fits are taken from {tmp_path}.* until 20.* UTC, and not") as said:
        (fit,) = own_fits(own)
    assert fit == "r0f2"
    assert [one.filename for one in said] == [__file__], "once"
    assert "pass another out=; with a name for your training" in str(said[0].message)
    table = own.table()
    whole = record_all(recorder(["el2n", "loss"]))
    for name in ("el2n", "loss"):
        np.testing.assert_array_equal(table.values[name], whole.values[name])
    np.testing.assert_array_equal(unseen.load(tmp_path / "run").scores.values["el2n"], table.values["el2n"])


def test_a_loop_with_a_name_takes_its_fits_without_a_word_and_those_of_another_name_not_at_all(tmp_path):
    named = {"name": "resnet18, 30 epochs"}
    table = record_all(resumed(tmp_path, **named))
    own = resumed(tmp_path, **named)
    assert list(own) == []
    np.testing.assert_array_equal(own.table().values["el2n"], table.values["el2n"])
    with pytest.raises(unseen.RunMismatchError, match=r"another out=:\n.*'resnet18, 30 epochs' \(run\) != 'resnet50'"):
        resumed(tmp_path, name="resnet50")


def test_that_every_fit_was_taken_is_told_too_but_not_of_fits_recorded_by_this_recorder(tmp_path):
    own = resumed(tmp_path)
    for _ in range(2):
        for fit in own:
            own.record(fit.unseen, LOGITS[fit.unseen])
    own.table()
    own = resumed(tmp_path)
    with pytest.warns(UserWarning, match="^3 of 3 fits are taken from"):
        assert list(own) == []
    assert list(own) == []  # said once


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"seed": 1}, "seed"), ({"plan": unseen.folds(4)}, "plan"), ({"name": "other loop"}, "learner")],
)
def test_another_run_is_refused(tmp_path, changed, named):
    record_all(resumed(tmp_path))  # whose lock is let go of with its table
    with pytest.raises(unseen.RunMismatchError, match=named):
        resumed(tmp_path, **changed)


# Predictions that are there already


def test_predictions_of_one_epoch_equal_the_pure_functions():
    names = ["el2n", "loss", "entropy", "margin", "label_margin", "least_confidence", "self_confidence"]
    table = unseen.Recorder.from_predictions(LOGITS, LABELS, scores=names)
    for name in names[:-1]:
        pure = getattr(unseen.functional, name)
        expected = pure(LOGITS) if name in ("entropy", "margin", "least_confidence") else pure(LOGITS, LABELS)
        np.testing.assert_allclose(table.column(name), expected, rtol=1e-10, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(table.column("self_confidence"), table.mean_confidence, rtol=1e-12)
    assert table.provenance["plan"]["exposure"] == "stated by the user, not checked"


def test_predictions_of_many_epochs_equal_the_pure_functions():
    pure = {name: getattr(unseen.functional, name) for name in ("aum", "forgetting", "correctness", "variability")}
    table = unseen.Recorder.from_predictions(HISTORY, LABELS, scores=[*pure, "dual:window=3", "tdds:window=3", "el2n"])
    for name, function in pure.items():
        np.testing.assert_allclose(table.column(name), function(HISTORY, LABELS), rtol=1e-10, atol=1e-12, err_msg=name)
    expected = unseen.functional.dual(HISTORY, LABELS, window=3)
    np.testing.assert_allclose(table.column("dual:window=3"), expected, rtol=1e-10, atol=1e-14)
    expected = unseen.functional.tdds(HISTORY, window=3)
    np.testing.assert_allclose(table.column("tdds:window=3"), expected, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(table.column("el2n"), unseen.functional.el2n(HISTORY[-1], LABELS), rtol=1e-12)


def test_predictions_with_folds_and_ids():
    folds = np.arange(N) // 8 * 10
    ids = [f"s{i}" for i in range(N)]
    table = unseen.Recorder.from_predictions(LOGITS, LABELS, folds=folds, ids=ids)
    np.testing.assert_array_equal(table.folds[0], folds // 10)
    np.testing.assert_array_equal(table.ids, ids)
    np.testing.assert_allclose(table.column("el2n"), unseen.functional.el2n(LOGITS, LABELS), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LOGITS[0], LABELS), r"shape \(n, C\) or \(T, n, C\), got \(3,\)"),
        ((LOGITS[:-1], LABELS), "must agree, got 23, 24 and 23 samples"),
        (
            (LOGITS, np.arange(N) % 4 + 5),
            r"labels must be in 0\.\.2, or 3 different ones, .* but there are 4: 5, 6, 7, 8",
        ),
        (
            (WITH_NAN, LABELS),
            "must be finite, but it is NaN or infinite for rows 4",
        ),
    ],
)
def test_predictions_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        unseen.Recorder.from_predictions(*arguments)


def test_a_perfect_model_scores_zero_where_its_probabilities_are_called_so():
    perfect = np.eye(C)[LABELS]
    with pytest.warns(UserWarning, match=r"look like probabilities .* pass probabilities=True, or their logarithm"):
        table = unseen.Recorder.from_predictions(perfect, LABELS)
    np.testing.assert_allclose(table.column("el2n"), 0.519, atol=5e-4)  # of logits 1, 0, 0
    table = unseen.Recorder.from_predictions(perfect, LABELS, probabilities=True)
    np.testing.assert_allclose(table.column("el2n"), 0, atol=1e-12)
    np.testing.assert_allclose(table.mean_confidence, 1, atol=1e-12)


def test_probabilities_batch_by_batch():
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    with pytest.warns(UserWarning, match="look like probabilities") as said:
        record_all(recorder(), p)
    assert len(said) == 1, "once a recorder"
    assert said[0].filename == __file__
    table = record_all(recorder(), p, probabilities=True)
    np.testing.assert_allclose(table.column("el2n"), unseen.functional.el2n(LOGITS, LABELS), rtol=1e-10)
    own = recorder()
    fits = iter(own)
    fit = next(fits)
    with pytest.raises(unseen.ArgumentError, match=r"needs rows that lie in \[0, 1\] and sum to 1, but these do not"):
        own.record(fit.unseen, LOGITS[fit.unseen], probabilities=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def test_outputs_of_a_sigmoid_are_told_once_a_recorder():
    with pytest.warns(UserWarning, match=r"all lie in \[0, 1\], like the outputs of a sigmoid: .* torch.logit") as said:
        record_all(recorder(), sigmoid(LOGITS))
    assert [one.filename for one in said] == [__file__]
    with pytest.warns(UserWarning, match="like the outputs of a sigmoid") as said:
        unseen.Recorder.from_predictions(sigmoid(HISTORY), LABELS, scores="aum")
    assert [one.filename for one in said] == [__file__]
    with pytest.warns(UserWarning, match="like the outputs of a sigmoid"):  # of fits that have a sample each
        record_all(recorder(plan=unseen.leave_one_out()), sigmoid(LOGITS))


@pytest.mark.parametrize(
    "logits",
    [
        LOGITS,
        np.zeros((N, C)),  # of a last layer that begins at zero
        0.2 + 0.1 * sigmoid(LOGITS),  # of a model that has hardly learned
        np.where(np.arange(N)[:, None] == 23, 5.0, sigmoid(LOGITS)),  # nearly all
        np.log(sigmoid(LOGITS)),
    ],
)  # fmt: skip
def test_logits_that_are_no_outputs_of_a_sigmoid(logits):
    record_all(recorder(), logits)
    unseen.Recorder.from_predictions(logits, LABELS)


def test_probabilities_of_half_precision_are_told_too():
    torch = pytest.importorskip("torch")
    for kind in (torch.float16, torch.bfloat16):
        p = torch.tensor(np.tile(LOGITS, 40)).softmax(1).to(kind)  # of 120 classes
        with pytest.warns(UserWarning, match="look like probabilities"):
            record_all(recorder(classes=120), p)


@pytest.mark.parametrize(
    ("labels", "logits", "hint"),
    [
        (LABELS % 2, LOGITS[:, 0], r"got \(8,\); a single output z stands for the logits 0 and z: torch.stack"),
        (LABELS % 2, LOGITS[:, :1], r"got \(8, 1\); a single output z stands for"),
        (LABELS, LOGITS.argmax(1), r"got \(8,\); they have a column for each class, and are not the predicted class"),
        (np.where(LABELS == 2, 255, LABELS), LOGITS[:, :2], r"got \(8, 2\); the labels hold the classes 0, 1, 255"),
        (LABELS % 2, LOGITS, r"got \(8, 3\); if the data lacks some classes of the model, pass classes="),
    ],
)  # fmt: skip
def test_logits_of_another_shape_are_told_what_to_change(labels, logits, hint):
    own = unseen.Recorder(labels, plan=unseen.folds(3))
    fits = iter(own)
    fit = next(fits)
    with pytest.raises(unseen.ArgumentError, match=hint):
        own.record(fit.unseen, logits[fit.unseen])
    with pytest.raises(unseen.DataError, match=r"fit r0f0 ended, but nothing was recorded: .* a callback records when"):
        next(fits)


# Epochs


def record_epochs(own, epochs_of):
    for fit in own:
        for epoch in epochs_of(fit):
            own.record(fit.unseen, HISTORY[epoch - 1][fit.unseen], epoch=epoch)
    return own.table()


@pytest.mark.parametrize("score", ["aum", "correctness", "confidence", "forgetting", "variability"])
def test_one_epoch_is_no_course_of_training(score):
    with pytest.raises(unseen.DataError, match=f"score '{score}' needs 2 observations .* some sample has 1"):
        record_all(recorder(score))
    with pytest.raises(unseen.DataError, match="needs 2 observations"):
        unseen.Recorder.from_predictions(LOGITS, LABELS, scores=score)
    with pytest.raises(unseen.ArgumentError, match=f"score '{score}' needs 2 epochs, but the learner .* has only 1"):
        recorder(score).check(provides=["logits"], epochs=1)


def test_one_epoch_that_is_asked_for_by_name():
    table = record_all(recorder("aum:epochs=1"))
    np.testing.assert_allclose(table.column("aum:epochs=1"), unseen.functional.aum(LOGITS[None], LABELS), rtol=1e-12)


@pytest.mark.parametrize(
    ("score", "epochs", "message"),
    [
        ("aum", [4, 5, 6], "epoch 4 of fit r0f0 comes before epoch 1 was recorded, which the scores read; .* begins"),
        ("aum", [1, 3, 5], "epoch 3 of fit r0f0 comes before epoch 2"),
        ("el2n:epochs=2", [1, 3], "epoch 3 of fit r0f0 comes before epoch 2"),
        ("aum:epochs=3", [1, 2, 4], "epoch 4 of fit r0f0 comes before epoch 3"),
    ],
)
def test_epochs_that_are_left_out_though_a_score_reads_them(score, epochs, message):
    with pytest.raises(unseen.ArgumentError, match=message):
        record_epochs(recorder(score), lambda fit: epochs)


@pytest.mark.parametrize(
    ("score", "epochs"),
    [("el2n", [7]), ("el2n", [2, 5]), ("el2n:epochs=2", [2, 7]), ("aum:epochs=3", [1, 2, 3, 7])],
)
def test_epochs_that_are_left_out_and_that_no_score_reads(score, epochs):
    record_epochs(recorder(score), lambda fit: epochs)


def test_fits_of_different_numbers_of_epochs(tmp_path):
    def trained(fit):
        return range(1, 3 + fit.fold)

    told = r"^fits were recorded over 2 to 4 epochs, and aum read all, .* read the first 2 \(epochs=2\)"
    with pytest.warns(UserWarning, match=told) as said:
        record_epochs(recorder(["aum", "el2n", "correctness:epochs=2"]), trained)
    assert [one.filename for one in said] == [__file__]
    record_epochs(recorder(["el2n", "aum:epochs=2"]), trained)
    own = recorder("aum", out=tmp_path / "run", name="mlp")
    for fit in own:  # another number of epochs after a kill
        if fit.fold == 2:
            break
        own.record(fit.unseen, LOGITS[fit.unseen])
        own.record(fit.unseen, LOGITS[fit.unseen], epoch=2)
    del own
    with pytest.warns(UserWarning, match="^fits were recorded over 2 to 4 epochs"):
        record_epochs(recorder("aum", out=tmp_path / "run", name="mlp"), trained)


def test_few_rows_and_log_probabilities_are_no_reason_to_warn():
    own = recorder()
    for fit in own:
        own.record(fit.unseen[:1], [[1.0, 0.0, 0.0]])  # by chance
        own.record(fit.unseen[1:], LOGITS[fit.unseen[1:]])
    log_p = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
    unseen.Recorder.from_predictions(log_p, LABELS)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array(["ant", "bee", "cat"])[LABELS], ("ant", "bee", "cat")),
        (LABELS + 1, ("1", "2", "3")),
        (LABELS - 1, ("-1", "0", "1")),
        (LABELS % 2, ("0", "1", "2")),
    ],
)
def test_predictions_have_a_column_for_each_label_in_sorted_order(labels, names):
    table = unseen.Recorder.from_predictions(LOGITS, labels)
    assert table.class_names == names
    codes = np.array([names.index(str(label)) for label in labels])
    np.testing.assert_allclose(table.column("el2n"), unseen.functional.el2n(LOGITS, codes), rtol=1e-10)


def test_predictions_whose_folds_are_missing_are_refused_at_once():
    folds = np.where(np.arange(N) == 3, np.nan, 0)
    with pytest.raises(unseen.DataError, match="folds must be given for every sample, but it is missing in row 3"):
        unseen.Recorder.from_predictions(LOGITS, LABELS, folds=folds)


def test_tensors_of_half_precision_in_a_gradient_tape_and_as_epochs():
    torch = pytest.importorskip("torch")
    expected = unseen.functional.el2n(LOGITS, LABELS)
    for logits in (torch.tensor(LOGITS, requires_grad=True), torch.tensor(LOGITS, dtype=torch.bfloat16)):
        table = unseen.Recorder.from_predictions(logits, LABELS)
        np.testing.assert_allclose(table.column("el2n"), expected, atol=0.02 if logits.element_size() < 4 else 1e-12)
    table = record_all(recorder(), epoch=torch.tensor(1))
    np.testing.assert_allclose(table.column("el2n"), expected, rtol=1e-10)


def test_predictions_on_one_side_have_no_gap():
    with pytest.raises(unseen.ArgumentError, match=r"use halves\(\) or folds\(k, watch_seen=True\)"):
        unseen.Recorder.from_predictions(LOGITS, LABELS, scores="memorization")


def test_a_data_set_in_place_of_labels_is_told_how_to_give_them():
    torch = pytest.importorskip("torch")
    frame = pd.DataFrame({"a": LOGITS[:, 0], "label": LABELS})
    pairs = torch.utils.data.TensorDataset(torch.tensor(LOGITS), torch.tensor(LABELS))
    for source, kind, fix in [
        (pairs, "TensorDataset", "[y for _, y in dataset]"),
        (list(zip(LOGITS, LABELS, strict=True)), "list", "[y for _, y in dataset]"),
        (torch.utils.data.DataLoader(pairs), "DataLoader", "[y for _, y in dataset]"),
        (unseen.data.from_arrays(LOGITS, LABELS), "ArrayData", "data.labels"),
        ((LOGITS, LABELS), "tuple", "y of (X, y)"),
        (frame, "DataFrame", "frame['label']"),
        (pa.table({"label": LABELS}), "Table", "frame['label']"),
        ("digits", "str", "unseen.data.resolve('digits').labels"),
    ]:
        with pytest.raises(unseen.ArgumentError) as error:
            unseen.Recorder(source)
        assert str(error.value) == (
            f"labels must be the (n,) labels of the samples, got a data set ({kind}); pass its labels in order, as in "
            f"{fix}"
        )
    with pytest.raises(unseen.ArgumentError, match=r"got the number 24; pass n=24 for a task without classes"):
        unseen.Recorder(N)
    with pytest.raises(unseen.ArgumentError, match="n=20 was given beside 24 labels; leave it out"):
        unseen.Recorder(LABELS, n=20)
    for labels in (frame["label"], LABELS.tolist(), tuple(LABELS), pairs.tensors[1], pa.array(LABELS), range(C)):
        assert unseen.Recorder(labels, plan=unseen.seen()).classes == C


def test_a_data_set_of_hugging_face_is_told_so_too():
    datasets = pytest.importorskip("datasets")
    source = datasets.Dataset.from_dict({"a": LOGITS[:, 0], "label": LABELS})
    with pytest.raises(unseen.ArgumentError, match=r"got a data set \(Dataset\); pass .* as in dataset\['label'\]"):
        unseen.Recorder(source)
    assert unseen.Recorder(source["label"]).classes == C


def test_frames_that_are_paired_by_position_have_one_order():
    frame, names = pd.DataFrame(LOGITS, columns=["cat", "dog", "elk"]), pd.Series(["cat", "dog", "elk"] * (N // C))
    whole = unseen.Recorder.from_predictions(frame, names, scores="el2n")
    np.testing.assert_array_equal(
        whole.column("el2n"), unseen.Recorder.from_predictions(LOGITS, LABELS, scores="el2n").column("el2n")
    )
    turned = names[::-1]
    with pytest.raises(unseen.DataError, match="labels has the index of predictions in another order"):
        unseen.Recorder.from_predictions(frame, turned)
    with pytest.raises(unseen.DataError, match=r"^groups has the index of labels .*; pass groups.loc\[labels.index\]"):
        unseen.Recorder(names, groups=turned)
    columns = (
        r"^the columns of these outputs are the classes in another order, elk, cat, dog, than class_names, cat, dog"
    )
    swapped = frame[["elk", "cat", "dog"]]
    with pytest.raises(unseen.ArgumentError, match=columns):
        unseen.Recorder.from_predictions(swapped, names)
    with pytest.raises(unseen.ArgumentError, match=columns):
        unseen.Recorder.from_predictions(pa.Table.from_pandas(swapped), names)
    own = unseen.Recorder(names, plan=unseen.folds(3), scores="el2n")
    for fit in own:
        with pytest.raises(unseen.ArgumentError, match=columns):
            own.record(fit.unseen, swapped.iloc[fit.unseen])
        own.record(fit.unseen, frame.iloc[fit.unseen])

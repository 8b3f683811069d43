"""The loop of `train_plain.py`, trained on the part of the data that `unseen` chose with that very loop."""

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Subset, TensorDataset

import unseen

x, y = load_digits(return_X_y=True)
dataset = TensorDataset(torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y))


def train(dataset):
    model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(20):
        for inputs, labels in DataLoader(dataset, batch_size=64, shuffle=True):
            loss = torch.nn.functional.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


torch.manual_seed(0)
recorder = unseen.Recorder(y, plan=unseen.folds(5))
for fit in recorder:
    model = train(Subset(dataset, fit.train))
    with torch.no_grad():
        recorder.record(fit.unseen, model(dataset[fit.unseen][0]))
coreset = unseen.select(recorder.table(), keep=0.7)
model = train(Subset(dataset, coreset.indices))

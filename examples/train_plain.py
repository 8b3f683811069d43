"""An ordinary PyTorch training loop; `train_unseen.py` beside it is the same loop with a coreset chosen by `unseen`."""

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

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
model = train(dataset)

"""Two moons apart: a small network, trained with the learning rate of the command line."""

import argparse
import csv
import json

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--lr", type=float, default=0.1)
options = parser.parse_args()

torch.manual_seed(1008)
angle = torch.rand(400) * torch.pi
upper = torch.stack([angle.cos(), angle.sin()], dim=1)
lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], dim=1)
x = torch.cat([upper, lower]) + 0.15 * torch.randn(800, 2)
y = torch.cat([torch.zeros(400), torch.ones(400)]).long()

model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=options.lr, momentum=0.9)
rows = []
for step in range(options.steps):
    logits = model(x)
    loss = nn.functional.cross_entropy(logits, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 5 == 0:
        accuracy = (logits.argmax(dim=1) == y).float().mean()
        rows.append({"step": step, "loss": round(loss.item(), 4), "accuracy": round(accuracy.item(), 4)})
        print(json.dumps(rows[-1]), flush=True)

with open("curve.csv", "w", newline="") as file:
    writer = csv.DictWriter(file, fieldnames=["step", "loss", "accuracy"])
    writer.writeheader()
    writer.writerows(rows)
torch.save(model.state_dict(), "moons.pt")
print(f"{options.steps} steps at {options.lr:g}: accuracy {rows[-1]['accuracy']:.3f}")

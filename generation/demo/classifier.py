"""A judge that has seen only real art: which subject does a picture show?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from generation.demo import dataset
from generation.demo.subjects import SUBJECTS
from generation.demo.train_vae import to_tensor

WEIGHTS = Path(__file__).parent / "classifier.safetensors"
BATCH = 64


def build() -> nn.Sequential:
    """64x64 RGB in -1..1 -> one logit a subject; 0.3 million weights."""

    def block(inside: int, outside: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(),
        ]

    return nn.Sequential(
        *block(3, 32), *block(32, 64), *block(64, 96), *block(96, 128),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(128 * 16, len(SUBJECTS)),
    )  # fmt: skip


def fit(data: Path, target: Path = WEIGHTS, *, epochs: int = 4, device: str = "cpu") -> float:
    """Train on the composed real art of `data`, save half-precision weights, return the held-out accuracy.

    One picture in twelve is held out. Pictures are blurred and shifted at random, since the judged ones come out of an
    autoencoder.
    """
    torch.manual_seed(0)
    pictures, rows = dataset.load(data)
    names = list(SUBJECTS)
    labels = torch.tensor([names.index(scene.subject) for scene, _, _ in rows])
    order = np.random.default_rng(0).permutation(len(rows))
    held, used = order[: len(order) // 12], order[len(order) // 12 :]
    model = build().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    total = epochs * (len(used) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=total)
    for epoch in range(epochs):
        shuffled = np.random.default_rng(epoch + 1).permutation(used)
        for n in range(0, len(shuffled) - BATCH + 1, BATCH):
            choice = np.sort(shuffled[n : n + BATCH])
            x = to_tensor(pictures[choice]).to(device)
            if n // BATCH % 2:
                x = nn.functional.interpolate(nn.functional.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
            x = x.roll((int(choice[0]) % 5 - 2, int(choice[1]) % 5 - 2), (2, 3))
            loss = nn.functional.cross_entropy(model(x), labels[choice].to(device), label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        print(f"classifier epoch {epoch + 1}/{epochs} loss {loss.item():.3f}", flush=True)
    model.eval()
    right = 0
    with torch.no_grad():
        for n in range(0, len(held), 256):
            choice = np.sort(held[n : n + 256])
            right += int((model(to_tensor(pictures[choice]).to(device)).argmax(1).cpu() == labels[choice]).sum())
    accuracy = right / len(held)
    state = {k: v.half() if v.is_floating_point() else v for k, v in model.cpu().state_dict().items()}
    save_file(state, str(target), metadata={"accuracy": f"{accuracy:.4f}"})
    return accuracy


def load(path: Path = WEIGHTS) -> nn.Sequential:
    """The judge, in evaluation mode."""
    model = build()
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(str(path)).items()})
    return model.eval()


@torch.no_grad()
def name_subjects(model: nn.Module, pictures: np.ndarray) -> list[str]:
    """The most likely subject of each of [n, 64, 64, 3] uint8."""
    names = list(SUBJECTS)
    return [names[int(i)] for i in model(to_tensor(pictures)).argmax(1)]

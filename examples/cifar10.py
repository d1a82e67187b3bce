"""CIFAR-10 with a small ResNet: uncertainty sampling and the learned policy, step by step.

    python examples/cifar10.py --root DIR [--download] [--policy shipped] [--learner lightning]

The files are those of torchvision (`DIR/cifar-10-batches-py`). The 50,000 training images are split 80/20 with seed 42:
the pool comes from the 80 %, the test images from the 20 %. Every round the policy picks a strategy (adapt), the
strategy picks images (select), their labels are revealed (label), and the network is trained on all labels (update).
One core takes a minute or more a policy for the default sizes; `--device cuda` trains on a GPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import random_split

import al_gym
from al_gym.campaign import Campaign
from al_gym.learners import Learner
from al_gym.policies.base import Policy, decide, look
from al_gym.tasks import Dataset, load_vision
from al_gym.tasks.dataset import HOLDOUT_ONLY, POOL_ONLY
from al_gym.tasks.task import Task, make_task

SEED = 42
SHAPE = (32, 32, 3)  # rows, columns, colours: the order in which torchvision keeps the pixels


class Block(nn.Module):
    """Two convolutions and a shortcut (He et al. 2016); group norm, as early rounds have few labels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.GroupNorm(4, outputs), nn.GroupNorm(4, outputs)])
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.norms[1](self.second(inner)) + self.shortcut(x))


class SmallResNet(nn.Module):
    """Three blocks of 16, 32 and 64 channels; takes pixels 0..255 as (n, 32, 32, 3)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(Block(3, 16, 1), Block(16, 32, 2), Block(32, 64, 2), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body((x.movedim(3, 1) - 127.5) / 64).flatten(1))


def make_lightning_resnet(features: int, classes: int) -> nn.Module:
    """The same network as a LightningModule with its own optimiser."""
    import lightning

    class LightningResNet(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = SmallResNet(features, classes)

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x)

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=0.003)

    return LightningResNet()


def make_learner(kind: str, epochs: int, device: str) -> Learner:
    """`torch` or `lightning`, with the network above."""
    if kind == "lightning":
        from al_gym.learners.lightning_module import LightningLearner

        return LightningLearner(module=make_lightning_resnet, input_shape=SHAPE, epochs=epochs, device=device)
    from al_gym.learners.torch_module import TorchLearner

    return TorchLearner(module=SmallResNet, input_shape=SHAPE, epochs=epochs, device=device)


def cifar10(root: Path, *, download: bool = False) -> Dataset:
    """The training images, 80 % of which may be pool and 20 % test."""
    images = load_vision("cifar10", root=root, download=download, part="train")
    pool, test = random_split(range(images.n_items), [0.8, 0.2], generator=torch.Generator().manual_seed(SEED))
    sides = np.empty(images.n_items, np.int8)
    sides[list(pool)], sides[list(test)] = POOL_ONLY, HOLDOUT_ONLY
    return Dataset("cifar10", images.X, images.y, images.class_names, "image-raw", source=images.source, sides=sides)


def run(policy: Policy, task: Task, learner: Learner, budget: int, batch: int) -> list[dict[str, Any]]:
    """One campaign; a record for the seed set and one for each round."""
    campaign, slot = Campaign(1, learner=learner), np.array([0])
    campaign.load(slot, [task], [budget])
    policy.begin(1, batch)
    last = np.array([-1])
    history = [{"labels": int(campaign.n_labelled(slot)[0]), "strategy": "", "accuracy": campaign.accuracy(slot)[0]}]
    while campaign.remaining(slot)[0] > 0:
        choice = decide(policy, look(policy, campaign, slot, last, batch))  # adapt: which strategy, how many labels
        if choice.stop[0]:
            break
        queries = campaign.select(slot, policy.strategies, choice.strategy, choice.batch)  # select
        campaign.reveal(slot, queries)  # label the images, and update the network
        last = choice.strategy
        policy.observe(look(policy, campaign, slot, last, batch, observe=False), queries)
        strategy = policy.labels[int(last[0])]
        history.append(
            {
                "labels": int(campaign.n_labelled(slot)[0]),
                "strategy": strategy,
                "accuracy": campaign.accuracy(slot)[0],
            }
        )
        print(f"  {history[-1]['labels']:5} labels  {strategy:16} accuracy {history[-1]['accuracy']:.3f}", flush=True)
    return history


def main(arguments: Sequence[str] | None = None) -> dict[str, list[dict[str, Any]]]:
    """Run each policy on the same images, from the same seed set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds cifar-10-batches-py")
    parser.add_argument("--download", action="store_true", help="fetch the files if they are not there")
    parser.add_argument("--policy", action="append", help="repeatable (least-confidence and shipped)")
    parser.add_argument("--learner", choices=["torch", "lightning"], default="torch")
    parser.add_argument("--pool-size", type=int, default=2000)
    parser.add_argument("--test-size", type=int, default=1000)
    parser.add_argument("--budget", type=int, default=500, help="labels to buy (500)")
    parser.add_argument("--batch", type=int, default=50, help="labels a round (50)")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the labels a round (30)")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    data = cifar10(options.root, download=options.download)
    task = make_task(data, SEED, pool_size=options.pool_size, test_size=options.test_size, initial=20, scaling="none")
    histories = {}
    for name in options.policy or ["least-confidence", "shipped"]:
        print(name)
        learner = make_learner(options.learner, options.epochs, options.device)
        histories[name] = run(al_gym.load_policy(name), task, learner, options.budget, options.batch)
    return histories


if __name__ == "__main__":
    main()

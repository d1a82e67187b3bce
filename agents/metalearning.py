"""MAML, FOMAML and Reptile: a loss whose gradient moves the first weights, and the resumable loop that follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from al_gym.errors import ResumeError, UnknownNameError
from al_gym.learners.adaptation import adapt

METHODS = ("maml", "fomaml", "reptile")
Loss = Callable[[Sequence[Tensor], Tensor, Tensor], Tensor]


def meta_loss(
    method: str,
    start: Sequence[Tensor],
    rates: Tensor,
    loss: Loss,
    support: tuple[Tensor, Tensor],
    query: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """What to differentiate, and the loss on the query items after adaptation (tasks,).

    `maml` differentiates the adapted loss through the gradient steps; `fomaml` takes the steps as constants (Finn et
    al. 2017, section 5.2); `reptile` moves the start towards the adapted weights (Nichol, Achiam & Schulman
    2018), by a surrogate whose gradient is the start minus them.

    Args:
        method: one of `METHODS`.
        start: the first weights of each task, (tasks, ...) each, connected to the parameters.
        rates: (steps, tensors) step sizes.
        loss: (weights, X, y) to (tasks,) losses.
        support: X and y to adapt on. query: X and y to judge on; `reptile` never differentiates them.
    """
    if method not in METHODS:
        raise UnknownNameError("meta-learning method", method, METHODS)
    if method == "reptile":
        begin = [value.detach().requires_grad_() for value in start]
        adapted = adapt(begin, lambda w: loss(w, *support).sum(), rates.detach())
        pairs = zip(start, adapted, strict=True)
        surrogate = sum(((s * (s - a).detach()).flatten(1).sum(dim=1) for s, a in pairs), torch.zeros(len(start[0])))
        return surrogate.mean(), loss([value.detach() for value in adapted], *query)
    adapted = adapt(start, lambda w: loss(w, *support).sum(), rates, second_order=method == "maml")
    judged = loss(adapted, *query)
    return judged.mean(), judged.detach()


def learn(
    parameters: Mapping[str, Tensor],
    step: Callable[[int], Tensor],
    *,
    iterations: int,
    learning_rate: float,
    clip: float = 10.0,
    checkpoint: Path | None = None,
    every: int = 500,
    report: Callable[[int], None] = lambda _: None,
) -> None:
    """Adam on `step(iteration)`, the rate falling to zero along a cosine; changes `parameters` in place.

    Args:
        parameters: leaves that require a gradient.
        step: the loss of one iteration. It must depend on the parameters and the iteration's number alone: then a run
            that goes on from a checkpoint ends as an uninterrupted one, bit for bit.
        iterations: steps in all. learning_rate: at the start. clip: largest norm of the gradient.
        checkpoint: a file to go on from where it exists, written every `every` iterations; None for none.
        report: called with the number of iterations done, every `every` iterations.

    Raises:
        ResumeError: the checkpoint belongs to other parameters, or to another number of iterations.
    """
    leaves = list(parameters.values())
    optimizer = torch.optim.Adam(leaves, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    done = 0
    if checkpoint is not None and checkpoint.exists():
        done = _restore(checkpoint, parameters, iterations, optimizer, schedule)
    for iteration in range(done, iterations):
        optimizer.zero_grad()
        step(iteration).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(leaves, clip)
        optimizer.step()
        schedule.step()
        if (iteration + 1) % every == 0 or iteration + 1 == iterations:
            report(iteration + 1)
            if checkpoint is not None:
                _save(checkpoint, parameters, iteration + 1, iterations, optimizer, schedule)


def _save(
    path: Path,
    parameters: Mapping[str, Tensor],
    done: int,
    iterations: int,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    state = {
        "parameters": {name: value.detach() for name, value in parameters.items()},
        "done": done,
        "iterations": iterations,
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
    }
    torch.save(state, partial)
    partial.replace(path)  # a kill while writing leaves the last checkpoint whole


def _restore(
    path: Path,
    parameters: Mapping[str, Tensor],
    iterations: int,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> int:
    state = torch.load(path, weights_only=True)
    shapes = {name: tuple(value.shape) for name, value in state["parameters"].items()}
    if shapes != {name: tuple(value.shape) for name, value in parameters.items()} or state["iterations"] != iterations:
        raise ResumeError(f"{path} is of a run with other sizes or {state['iterations']} iterations; remove it.")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(state["parameters"][name])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return int(state["done"])

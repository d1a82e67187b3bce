"""Text and pictures of one campaign: the learning curve so far, and the pool with its queried items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from al_gym.envs.engine import Engine

_BARS = 40


def render_ansi(engine: Engine, slot: int) -> str:
    """One line a round: labels, strategy, batch, validation accuracy and a bar."""
    task = engine.campaign.tasks[slot]
    if task is None:
        return "no campaign; call reset() first\n"
    labels = _labels(engine, slot)
    lines = [
        f"{task.dataset.name}: pool {len(task.pool)}, {task.dataset.n_classes} classes, budget {engine.settings.budget}"
    ]
    lines.append(f"{'round':>5} {'labels':>6}  {'strategy':<18} {'batch':>5} {'accuracy':>8}")
    for round_, (record, count) in enumerate(zip(engine.history[slot], labels, strict=True)):
        name = _name(engine, record, round_)
        bar = "#" * round(_BARS * record["accuracy"])
        lines.append(f"{round_:>5} {count:>6}  {name:<18} {record['batch']:>5} {record['accuracy']:>8.3f} {bar}")
    return "\n".join(lines) + "\n"


def render_rgb(engine: Engine, slot: int) -> NDArray[np.uint8]:
    """(400, 900, 3) uint8: the learning curve with the chosen strategies, and the pool's first two components."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    if engine.campaign.tasks[slot] is not None:
        _draw_curve(left, engine, slot)
        _draw_pool(right, engine, slot)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def _labels(engine: Engine, slot: int) -> list[int]:
    batches = [record["batch"] for record in engine.history[slot]]
    seeds = int(engine.campaign.n_labelled(np.array([slot]))[0]) - sum(batches)
    return (seeds + np.cumsum(batches)).tolist()


def _name(engine: Engine, record: dict[str, Any], round_: int) -> str:
    if round_ == 0:
        return "(seed set)"
    return engine.strategies[record["strategy"]].name if record["strategy"] >= 0 else "(stop)"


def _draw_curve(axes: Any, engine: Engine, slot: int) -> None:
    labels = _labels(engine, slot)
    accuracy = [record["accuracy"] for record in engine.history[slot]]
    axes.plot(labels, accuracy, color="0.7", zorder=1)
    names = [_name(engine, record, i) for i, record in enumerate(engine.history[slot])]
    for i, name in enumerate(dict.fromkeys(names)):
        at = [j for j, other in enumerate(names) if other == name]
        color = "0.3" if name == "(seed set)" else f"C{i % 10}"
        axes.scatter([labels[j] for j in at], [accuracy[j] for j in at], color=color, label=name, s=22, zorder=2)
    axes.set_xlim(labels[0] - 1, labels[0] + engine.settings.budget + 1)
    axes.set(xlabel="labels", ylabel="validation accuracy", title="learning curve")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="lower right")


def _draw_pool(axes: Any, engine: Engine, slot: int) -> None:
    ((_, view),) = engine.campaign.views(np.array([slot]))
    n, d = int(view.n_items[0]), int(view.n_features[0])
    X = view.X[0, :n, :d].cpu().numpy().astype(np.float64)
    X = X - X.mean(axis=0)
    plane = X @ np.linalg.svd(X, full_matrices=False)[2][:2].T
    plane = np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
    y = view.y[0, :n].cpu().numpy()
    axes.scatter(*plane.T, color="0.85", s=8, label="unlabelled")
    asked = y >= 0
    axes.scatter(*plane[asked].T, c=y[asked], cmap="tab20", s=26, edgecolors="k", linewidths=0.5)
    last = view.order[0, int(view.n_labelled[0] - view.last_batch[0]) : int(view.n_labelled[0])].cpu().numpy()
    axes.scatter(*plane[last].T, facecolors="none", edgecolors="r", s=70, label="last batch")
    axes.set(xticks=[], yticks=[], title="pool, first two principal components")
    axes.legend(fontsize=7, loc="lower right")

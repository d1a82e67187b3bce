"""Short refits of a softmax regression, many at once: with one more label, or with other weights on the labels.

Each refit starts from the optimum without the change. A new label's first step is exact in the new item's loss and
quadratic in the others'; steps of preconditioned gradient descent with a line search follow, in which the curvature of
the other losses takes part. Every matrix product serves all refits of a task. `al_gym.kernels.lookahead` has the same
for the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from al_gym.strategies.base import compiled
from al_gym.strategies.surrogate import Surrogate

START_STEPS = 4
LINE_STEPS = 2
_TINY = 1e-30


@dataclass(frozen=True)
class Added:
    """One more labelled item for each of P refits.

    Attributes:
        x: (P, d) float32 coordinates.
        z: (classes, P) float32 logits at the start. target: (classes, P) float32, one-hot.
        Vx: (classes, P, d) float32, covariance times x. s: (classes, P) float32, x' covariance x.
    """

    x: Tensor
    z: Tensor
    target: Tensor
    Vx: Tensor
    s: Tensor


def refit_with_label(model: Surrogate, items: Tensor, outcomes: Tensor, steps: int) -> Tensor:
    """Change of the weights by one more label: several outcomes of every item.

    Args:
        model: the fit before the change.
        items: (m,) int64 positions.
        outcomes: (m, T) int64, the labels tried, as class numbers of the model.
        steps: descent steps after the first, at least 0.

    Returns:
        (classes, m * T, d) float32, outcome by outcome, item after item.
    """
    x, z = model.coordinates(items), model.log_proba(items)
    Vx = x @ model.covariance
    s = (Vx * x).sum(2)
    fast = compiled(x.device, "lookahead")
    if fast is not None:
        start = model.log_proba(model.labelled)
        before = (model.design, start, model.covariance, model.ridge)
        theta: Tensor = fast.refit_with_label(*before, x, Vx, s, z, outcomes, steps)
        return theta
    which = torch.arange(len(items), device=x.device).repeat_interleave(outcomes.shape[1])
    target = (torch.arange(model.n_classes, device=x.device)[:, None] == outcomes.reshape(1, -1)).float()
    new = Added(x[which], z[:, which], target, Vx[:, which], s[:, which])
    return _Descent(model, _start(new), new, None).run(steps)


def refit_with_weights(model: Surrogate, weights: Tensor, steps: int) -> Tensor:
    """Change of the weights when the labels weigh `weights` (P, n) instead of 1: (classes, P, d) float32."""
    theta = weights.new_zeros(model.n_classes, len(weights), model.design.shape[1])
    return _Descent(model, theta, None, weights).run(steps)


class _Descent:
    """Preconditioned gradient descent of P refits side by side, from the changes `theta` (classes, P, d)."""

    def __init__(self, model: Surrogate, theta: Tensor, new: Added | None, weights: Tensor | None) -> None:
        self.model, self.new, self.weights, self.theta = model, new, weights, theta
        target = model.target[:, None, :]
        self.fixed = model.proba[:, None, model.labelled]
        if weights is not None:
            self.fixed = self.fixed - target + weights * target
        self.Z = model.log_proba(model.labelled)[:, None, :] + theta @ model.design.T
        self.z = None if new is None else new.z + (theta * new.x).sum(2)

    def run(self, steps: int) -> Tensor:
        """The changes after `steps` steps."""
        for _ in range(steps):
            self._step()
        return self.theta

    def _residual(self, Z: Tensor) -> Tensor:
        """(classes, P, n): derivatives by the logits of the labelled items, those at the start left out."""
        P = torch.softmax(Z, 0)
        return (P if self.weights is None else P.mul_(self.weights)).sub_(self.fixed)

    def _step(self) -> None:
        X, ridge = self.model.design, self.model.ridge
        g = self._residual(self.Z) @ X + ridge * self.theta
        d = -(g @ self.model.covariance)
        if self.new is not None and self.z is not None:
            g, d = _with_new(g, d, self.z, self.new)
        d = d - d.mean(0)
        Q = d @ X.T
        q = None if self.new is None else (d * self.new.x).sum(2)
        lean, bend = (ridge * self.theta * d).sum((0, 2)), (ridge * d * d).sum((0, 2))
        t = _line_search((g * d).sum((0, 2)), lambda t: lean + t * bend + self._slope(t, Q, q))
        self.theta = self.theta + t[:, None] * d
        self.Z = self.Z + t[:, None] * Q
        if self.z is not None and q is not None:
            self.z = self.z + t * q

    def _slope(self, t: Tensor, Q: Tensor, q: Tensor | None) -> Tensor:
        """(P,): slope of the losses after `t` (P,) of the step that moves logits by Q and the new item's by q."""
        slope = (self._residual(self.Z + t[:, None] * Q) * Q).sum((0, 2))
        if self.new is None or self.z is None or q is None:
            return slope
        return slope + ((torch.softmax(self.z + t * q, 0) - self.new.target) * q).sum(0)


def _start(new: Added) -> Tensor:
    """The minimum of the new item's loss plus the quadratic model of the others', (classes, P, d).

    It is -r V x with r = softmax(z - s r) - target, found by Newton steps, shortened where they go too far.
    """
    r = torch.zeros_like(new.z)
    for _ in range(START_STEPS):
        q = torch.softmax(new.z - new.s * r, 0)
        gap = r - (q - new.target)
        step = -_solve(q, new.s, gap)
        full = r + step - (torch.softmax(new.z - new.s * (r + step), 0) - new.target)
        t = _zero(torch.zeros(()), (new.s * gap * step).sum(0), torch.ones(()), (new.s * full * step).sum(0))
        r = r + t * step
    theta = -r[:, :, None] * new.Vx
    return theta - theta.mean(0)


def _with_new(g: Tensor, d: Tensor, z: Tensor, new: Added) -> tuple[Tensor, Tensor]:
    """Gradient and direction with the new item's loss, whose curvature is added to the model's (Woodbury)."""
    p = torch.softmax(z, 0)
    gap = p - new.target
    u = (d * new.x).sum(2) - gap * new.s
    share = gap + _solve(p, new.s, p * (u - (p * u).sum(0)))
    return g + gap[:, :, None] * new.x, d - share[:, :, None] * new.Vx


def _solve(p: Tensor, s: Tensor, b: Tensor) -> Tensor:
    """(I + (diag p - p p') diag s)^-1 b over the classes (Sherman-Morrison); all (classes, P)."""
    inverse = 1 / (1 + p * s)
    share = p * s * inverse
    scale = (share * b).sum(0) / (1 - (share * p).sum(0)).clamp(min=1e-12)
    return inverse * (b + p * scale)


def _zero(low: Tensor, low_slope: Tensor, high: Tensor, high_slope: Tensor) -> Tensor:
    """Where a slope that is linear from `low` to `high` vanishes, at most `high`."""
    return low + (high - low) * (low_slope / (low_slope - high_slope).clamp(max=-_TINY)).clamp(0, 1)


def _line_search(slope: Tensor, slope_at: Callable[[Tensor], Tensor]) -> Tensor:
    """(P,) steps in [0, 1] near the minimum along a direction of descent, by the secant rule; 0 if there is none."""
    low, low_slope = torch.zeros_like(slope), slope
    high = t = torch.ones_like(slope)
    high_slope = here = slope_at(t)
    for step in range(LINE_STEPS):
        t = _zero(low, low_slope, high, high_slope)
        if step + 1 < LINE_STEPS:
            here = slope_at(t)
            beyond = here > 0
            low, low_slope = torch.where(beyond, low, t), torch.where(beyond, low_slope, here)
            high, high_slope = torch.where(beyond, t, high), torch.where(beyond, here, high_slope)
    return torch.where(slope < 0, t, 0.0)

"""The trace of a pool's Fisher information times the inverse of that of the labelled items, kept up to date.

For softmax regression the information of an item is L x phi phi' (Kronecker) with L = diag(p) - p p'. Adding an item
changes the inverse M by a matrix of rank classes, and what the trace needs of every other item are two matrices of
classes x classes: G = (I x phi)' M (I x phi) and H = (I x phi)' M F M (I x phi), F the pool's information.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


class FisherTrace:
    """tr(M F) with M = (ridge I + sum of the information of labelled and added items)^-1.

    Args:
        phi: (n, width) representation.
        p: (n, classes) probabilities.
        labelled: (n,) bool; F is the information of the others.
        candidates: (m,) rows that may be added; numbers below refer to them.
        ridge: above 0.
    """

    def __init__(self, phi: Doubles, p: Doubles, labelled: NDArray[np.bool_], candidates: Ints, ridge: float) -> None:
        classes, width = p.shape[1], phi.shape[1]
        self.shape = (classes, width)
        self.F = information(phi[~labelled], p[~labelled])
        known = information(phi[labelled], p[labelled])
        known[np.diag_indices(len(known))] += ridge
        self.M: NDArray[Any] = np.linalg.inv(known)
        self.phi, chosen = phi[candidates], p[candidates]
        self.L = np.eye(classes) * chosen[:, :, None] - chosen[:, :, None] * chosen[:, None, :]
        self.G = self._forms(self.M)
        self.H = self._forms(self.M @ self.F @ self.M)

    @property
    def value(self) -> float:
        """The trace."""
        return float(np.einsum("ij,ji->", self.M, self.F))

    def gain_of_adding(self) -> Doubles:
        """(m,) by how much each candidate would lower the trace."""
        inner = np.linalg.solve(np.eye(self.shape[0]) + self.L @ self.G, self.L)
        return np.einsum("nij,nji->n", self.H, inner)

    def loss_of_removing(self, added: Ints) -> Doubles:
        """(len(added),) by how much the trace would grow without each of these added candidates."""
        L, G = self.L[added], self.G[added]
        inner = np.linalg.solve(np.eye(self.shape[0]) - L @ G, L)
        return np.einsum("nij,nji->n", self.H[added], inner)

    def add(self, candidate: int) -> None:
        """Count the information of a candidate."""
        self._change(candidate, 1.0)

    def remove(self, candidate: int) -> None:
        """Discount the information of an added candidate."""
        self._change(candidate, -1.0)

    def _change(self, candidate: int, sign: float) -> None:
        """M becomes M - P B P' with P = M (I x phi) (Woodbury), and G and H follow."""
        classes, width = self.shape
        L = sign * self.L[candidate]
        B = np.linalg.solve(np.eye(classes) + L @ self.G[candidate], L)
        P = self.M.reshape(-1, classes, width) @ self.phi[candidate]
        FP = self.F @ P
        T, S = self._products(P), self._products(self.M @ FP)
        TB = T @ B
        cross = TB @ S.transpose(0, 2, 1)
        self.H += TB @ (P.T @ FP) @ TB.transpose(0, 2, 1) - cross - cross.transpose(0, 2, 1)
        self.G -= TB @ T.transpose(0, 2, 1)
        self.M -= P @ B @ P.T

    def _products(self, P: Doubles) -> Doubles:
        """(m, classes, classes): (I x phi)' P of every candidate, P (classes * width, classes)."""
        classes, width = self.shape
        columns = P.reshape(classes, width, classes).transpose(1, 0, 2).reshape(width, -1)
        return (self.phi @ columns).reshape(-1, classes, classes)

    def _forms(self, A: NDArray[Any]) -> Doubles:
        """(m, classes, classes): (I x phi)' A (I x phi) of every candidate, A symmetric."""
        classes, width = self.shape
        out = np.empty((len(self.phi), classes, classes))
        for c in range(classes):
            half = (self.phi @ A[c * width : (c + 1) * width, c * width :]).reshape(len(out), -1, width)
            out[:, c, c:] = out[:, c:, c] = (half @ self.phi[:, :, None])[:, :, 0]
        return out


def information(phi: Doubles, p: Doubles) -> Doubles:
    """Sum over items of (diag(p) - p p') x phi phi', (classes * width)^2; phi is (n, width), p (n, classes)."""
    classes, width = p.shape[1], phi.shape[1]
    weighted = (p[:, :, None] * phi[:, None, :]).reshape(len(phi), classes * width)
    total: Doubles = -(weighted.T @ weighted)
    for c in range(classes):
        own = slice(c * width, (c + 1) * width)
        total[own, own] += weighted[:, own].T @ phi
    return total


def leading_components(X: Doubles, most: int) -> Doubles:
    """(n, at most `most`) the centred rows of X (n, width) in the directions of the largest variance."""
    centred = X - X.mean(axis=0)
    if len(X) < X.shape[1]:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        return (vectors * np.sqrt(values.clip(min=0)))[:, ::-1][:, :most]
    return centred @ np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :most]

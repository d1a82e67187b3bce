"""The small network of a learned policy: optional LSTM layers, then a multi-layer perceptron. Inference only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from al_gym.errors import PolicyError, UnknownNameError

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "elu": torch.nn.functional.elu, "silu": torch.nn.functional.silu}
_GATES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Network:
    """Weights of a policy network.

    A row's result does not depend on the other rows (promise P5): each is a matrix product of its own.

    Args:
        tensors: `mlp.I.weight` (out, in) and `mlp.I.bias` (out,) for layers I = 0, 1, ...; before them, where there
            are any, `lstm.I.weight_ih`, `weight_hh`, `bias_ih` and `bias_hh`, shaped as in `torch.nn.LSTM`.
        activation: between the layers of the perceptron, one of `ACTIVATIONS`.

    Raises:
        PolicyError: tensors are missing, too many, not finite or do not fit each other.
    """

    def __init__(self, tensors: Mapping[str, Tensor], activation: str = "tanh") -> None:
        if activation not in ACTIVATIONS:
            raise UnknownNameError("activation", activation, ACTIVATIONS)
        self.activation = activation
        self.tensors = {key: value.detach().to("cpu", torch.float32).contiguous() for key, value in tensors.items()}
        self._mlp = [tuple(layer) for layer in self._layers("mlp", ("weight", "bias"))]
        self._lstm = [tuple(layer) for layer in self._layers("lstm", _GATES)]
        self._check()

    def _layers(self, kind: str, parts: Sequence[str]) -> list[list[Tensor]]:
        count = len({key.split(".")[1] for key in self.tensors if key.startswith(f"{kind}.")})
        try:
            return [[self.tensors[f"{kind}.{i}.{part}"] for part in parts] for i in range(count)]
        except KeyError as error:
            raise PolicyError(f"the policy network lacks the tensor {error.args[0]!r}.") from None

    def _check(self) -> None:
        used = len(self._mlp) * 2 + len(self._lstm) * len(_GATES)
        if not self._mlp or used != len(self.tensors):
            raise PolicyError(f"{sorted(self.tensors)} is no policy network; see al_gym.policies.network.")
        bad = [key for key, value in self.tensors.items() if not bool(torch.isfinite(value).all())]
        if bad:
            raise PolicyError(f"the policy network holds values that are not finite in {bad[0]}.")
        width = self.inputs
        for w_ih, w_hh, b_ih, b_hh in self._lstm:
            hidden = w_hh.shape[1]
            if w_ih.shape != (4 * hidden, width) or w_hh.shape[0] != 4 * hidden or b_ih.shape != b_hh.shape:
                raise PolicyError(f"an LSTM layer of shape {tuple(w_ih.shape)} does not take {width} inputs.")
            width = hidden
        for weight, bias in self._mlp:
            if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
                raise PolicyError(f"a layer of shape {tuple(weight.shape)} does not take {width} inputs.")
            width = weight.shape[0]

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return int((self._lstm or self._mlp)[0][0].shape[1])

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return int(self._mlp[-1][0].shape[0])

    def start(self, rows: int) -> Tensor:
        """(rows, state) float32: the recurrent state before the first round; no columns without LSTM layers."""
        return torch.zeros(rows, 2 * sum(layer[1].shape[1] for layer in self._lstm))

    def __call__(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and the next state.

        Args:
            x: (n, inputs) float32. state: (n, state) float32.

        Returns:
            (n, outputs) float32, (n, state) float32.
        """
        states, column = [], 0
        for w_ih, w_hh, b_ih, b_hh in self._lstm:
            hidden = w_hh.shape[1]
            h, c = state[:, column : column + hidden], state[:, column + hidden : column + 2 * hidden]
            column += 2 * hidden
            i, f, g, o = (_affine(x, w_ih, b_ih) + _affine(h, w_hh, b_hh)).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            x = o.sigmoid() * c.tanh()
            states += [x, c]
        for weight, bias in self._mlp[:-1]:
            x = ACTIVATIONS[self.activation](_affine(x, weight, bias))
        return _affine(x, *self._mlp[-1]), torch.cat(states, dim=1) if states else state

    def digest(self) -> str:
        """SHA-256 of the weights, hexadecimal."""
        return hashlib.sha256(self.bytes() + self.activation.encode()).hexdigest()

    def bytes(self) -> bytes:
        """The weights as a safetensors file."""
        return save(dict(sorted(self.tensors.items())))

    @classmethod
    def read(cls, path: Path, activation: str) -> Network:
        """Weights from a safetensors file; reading it runs no code (promise P9)."""
        try:
            return cls(load_file(path), activation)
        except (OSError, SafetensorError) as error:
            raise PolicyError(f"cannot read the weights {path}: {error}.") from error


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(n, out): one small product a row, because the bits of one big product depend on n."""
    return torch.bmm(x[:, None, :], weight.T.expand(len(x), -1, -1))[:, 0] + bias

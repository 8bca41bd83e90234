"""Recurrent layers of generated PyTorch files, for what nn.LSTM and its kin do not do."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def one_bias(module: nn.Module) -> nn.Module:
    """A recurrent layer with one bias, as in Keras: PyTorch's second is 0 and stays so."""
    for name, parameter in module.named_parameters():
        if name.startswith("bias_hh"):
            nn.init.zeros_(parameter).requires_grad_(False)
    return module


def recurrent_outputs(result: Any, sequences: bool, merge: str = "concat") -> tuple[Tensor, ...]:
    """(output, *states of each direction) from the (outputs, state) of nn.LSTM and its kin.

    The output is that of all steps, (N, T, units), or the last one of each direction; merge says
    how two directions become one.
    """
    outputs, state = result
    states = state if isinstance(state, tuple) else (state,)
    ways = len(states[0])
    if not sequences:
        outputs = outputs[:, -1] if ways == 1 else torch.cat(tuple(states[0]), -1)
    if merge != "concat":
        both = outputs.unflatten(-1, (2, -1))
        outputs = both.sum(-2) if merge == "sum" else both.mean(-2)
    return outputs, *(each[way] for way in range(ways) for each in states)


def masked_rnn(
    module: nn.Module, x: Tensor, mask: Tensor, state: Any = None, with_state: bool = False
) -> tuple[Tensor, Any]:
    """What nn.LSTM or its kin returns for the steps of x (N, T, D) where mask (N, T) is True.

    The valid steps, wherever they are, move to the front; their outputs move back. At other steps
    the output repeats the last one, and is 0 before the first; in a bidirectional layer it is 0.
    The state, if asked for, is that after the last valid step.
    """
    order = mask.logical_not().byte().argsort(dim=1, stable=True)
    steps = x.gather(1, order.unsqueeze(-1).expand_as(x))
    count = mask.cumsum(1)
    if with_state or module.bidirectional:
        outputs, last = packed_rnn(module, steps, count[:, -1], state)
    else:  # what comes after the valid steps does not change their outputs
        outputs, last = module(steps, state)[0], None
    index = (count - 1).clamp(min=0).unsqueeze(-1).expand(-1, -1, outputs.shape[-1])
    shown = mask if module.bidirectional else count > 0
    return outputs.gather(1, index) * shown.unsqueeze(-1), last


def packed_rnn(module: nn.Module, steps: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
    """``module`` on sequences (N, T, D) of these lengths; an empty one keeps its initial state."""
    packed = pack_padded_sequence(
        steps, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
    )
    outputs, last = module(packed, state)
    outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=steps.shape[1])
    empty = (lengths == 0).unsqueeze(-1)
    if isinstance(last, tuple):
        first = state or (torch.zeros_like(last[0]),) * 2
        return outputs, tuple(torch.where(empty, a, b) for a, b in zip(first, last, strict=True))
    first = torch.zeros_like(last) if state is None else state
    return outputs, torch.where(empty, first, last)


class ResetBeforeGRU(nn.Module):
    """A GRU whose reset gate acts on the state before the recurrent product (Cho et al., 2014).

    nn.GRU applies it after. The gates are z, r, h; kernels are (in, 3 units), the bias (3 units,).
    """

    def __init__(
        self, features: int, units: int, bias: bool = True, bidirectional: bool = False
    ) -> None:
        super().__init__()
        self.units = units
        self.ways = ("", "backward_") if bidirectional else ("",)
        for way in self.ways:
            for name, shape in (
                ("kernel", (features, 3 * units)),
                ("recurrent_kernel", (units, 3 * units)),
                ("bias", (3 * units,)),
            ):
                value = nn.Parameter(torch.zeros(shape)) if bias or name != "bias" else None
                self.register_parameter(way + name, value)

    def forward(
        self, x: Tensor, state: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Outputs (N, T, ways * units) and the last state (ways, N, units), as nn.GRU."""
        if state is None:
            state = x.new_zeros(len(self.ways), len(x), self.units)
        found = [self.read(way, x, state[i], mask) for i, way in enumerate(self.ways)]
        outputs = torch.cat([outputs for outputs, _ in found], -1)
        if mask is not None and len(self.ways) == 2:
            outputs = outputs * mask.unsqueeze(-1)
        return outputs, torch.stack([last for _, last in found])

    def read(self, way: str, x: Tensor, h: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Outputs and the last state of one direction."""
        kernel, recurrent, bias = (
            getattr(self, way + name) for name in ("kernel", "recurrent_kernel", "bias")
        )
        gates, candidate = recurrent.split((2 * self.units, self.units), -1)
        inputs = x @ kernel if bias is None else x @ kernel + bias
        shown, outputs = torch.zeros_like(h), []
        times = range(x.shape[1])
        for t in reversed(times) if way else times:
            to_gates, to_candidate = inputs[:, t].split((2 * self.units, self.units), -1)
            update, reset = torch.sigmoid(to_gates + h @ gates).chunk(2, -1)
            new = torch.tanh(to_candidate + (reset * h) @ candidate)
            new = update * h + (1 - update) * new
            if mask is not None:
                valid = mask[:, t, None]
                shown = torch.where(valid, new, shown)
                new = torch.where(valid, new, h)
            h = new
            outputs.append(new if mask is None else shown)
        return torch.stack(outputs[::-1] if way else outputs, 1), h

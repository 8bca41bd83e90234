"""The LSTM in reused memory, features first: what a gate does to a step is one run of numbers."""

import numpy as np

from specc.backends.numpy.prelude_fast.memory import empty
from specc.backends.numpy.prelude_fast.threads import map_parts, sample_parts


def step_major(x: np.ndarray, reverse: bool = False) -> np.ndarray:
    """x (N, T, D) as (T, D, N), the steps in the order in which they are processed."""
    steps = x.transpose(1, 2, 0)
    if reverse:
        steps = steps[::-1]
    if steps.flags.c_contiguous:  # such as what another of these layers gives
        return steps
    y = empty(steps.shape, x.dtype)
    y[...] = steps
    return y


def sample_major(steps: np.ndarray, reverse: bool = False) -> np.ndarray:
    """The inverse of step_major, as a view: steps (T, D, N) as (N, T, D)."""
    if reverse:
        steps = steps[::-1]
    return steps.transpose(2, 0, 1)


def states_before(length: int, like: np.ndarray, initial: np.ndarray | None = None) -> np.ndarray:
    """Room for a state before and after each of `length` steps, (length + 1, H, N) as `like`.

    The first is 0, or the initial state (N, H).
    """
    states = empty((length + 1, *like.shape), like.dtype)
    states[0] = 0 if initial is None else initial.T
    return states


def lstm_steps(
    gates: np.ndarray,
    from_hidden: np.ndarray,
    hidden: np.ndarray,
    cell: np.ndarray,
    squashed: np.ndarray,
    valid: np.ndarray | None,
) -> None:
    """Step after step of lstm: fills the states h and c from their first, and tanh(c).

    gates (T, 4H, N) are what the inputs give to them, and become the gates.
    """
    units = cell.shape[1]
    product, added = (empty(each.shape[1:], each.dtype) for each in (gates, cell))
    for t in range(len(gates)):
        gate = gates[t]
        np.matmul(from_hidden, hidden[t], out=product)
        gate += product
        np.tanh(gate, out=gate)
        for sigmoids in (gate[: 2 * units], gate[3 * units :]):
            sigmoids *= 0.5
            sigmoids += 0.5
        into, keep, candidate, out = gate.reshape(4, units, -1)
        np.multiply(keep, cell[t], out=cell[t + 1])
        np.multiply(into, candidate, out=added)
        cell[t + 1] += added
        np.tanh(cell[t + 1], out=squashed[t])
        np.multiply(out, squashed[t], out=hidden[t + 1])
        if valid is not None:
            cell[t + 1] = np.where(valid[t], cell[t + 1], cell[t])
            hidden[t + 1] = np.where(valid[t], hidden[t + 1], hidden[t])


def lstm(
    x: np.ndarray,
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    bias: np.ndarray | None = None,
    recurrent_bias: np.ndarray | None = None,
    h0: np.ndarray | None = None,
    c0: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    reverse: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Long short-term memory over x (N, T, D): outputs (N, T, H), last h and c (N, H), saved.

    kernel (D, 4H), recurrent_kernel (H, 4H) and the biases (4H,) hold the input, forget, cell and
    output gates in this order. saved is what lstm_gradient reads. mask is (N, T).
    """
    steps = step_major(x, reverse)
    valid = None if mask is None else step_major(mask[..., None], reverse)
    length, _, batch = steps.shape
    units = len(recurrent_kernel)
    # One tanh serves all gates, since sigmoid(z) = tanh(z / 2) / 2 + 1 / 2: the kernels of the
    # sigmoids are halved beforehand, which is exact.
    scale = np.full(4 * units, 0.5, x.dtype)
    scale[2 * units : 3 * units] = 1
    from_input = np.ascontiguousarray((kernel * scale).T)
    from_hidden = np.ascontiguousarray((recurrent_kernel * scale).T)
    gates = empty((length, 4 * units, batch), x.dtype)

    def project(part: slice) -> None:
        np.matmul(from_input, steps[part], out=gates[part])
        if bias is not None:
            gates[part] += (bias * scale)[:, None]
        if recurrent_bias is not None:
            gates[part] += (recurrent_bias * scale)[:, None]

    map_parts(project, sample_parts(gates))
    squashed = empty((length, units, batch), x.dtype)
    hidden, cell = states_before(length, squashed[0], h0), states_before(length, squashed[0], c0)
    lstm_steps(gates, from_hidden, hidden, cell, squashed, valid)
    outputs = hidden[1:]
    if valid is not None:  # 0 before the first valid step
        outputs = outputs * np.logical_or.accumulate(valid, axis=0)
    saved = steps, gates, hidden, cell, squashed
    return sample_major(outputs, reverse), hidden[-1].T, cell[-1].T, saved


def lstm_slopes(
    parts: np.ndarray, cell: np.ndarray, squashed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How the gates' inputs act on c (the first three) and on h (the last), and how c acts on h.

    parts are the gates (T, 4, H, N), squashed is tanh of c.
    """
    slopes, cell_slope = empty(parts.shape, parts.dtype), empty(squashed.shape, parts.dtype)

    def slopes_of(part: slice) -> None:
        slope, (into, _, candidate, out) = slopes[part], parts[part].swapaxes(0, 1)
        np.subtract(1, parts[part], out=slope)
        slope *= parts[part]
        slope[:, 0] *= candidate
        slope[:, 1] *= cell[:-1][part]
        np.multiply(candidate, candidate, out=slope[:, 2])
        np.subtract(1, slope[:, 2], out=slope[:, 2])
        slope[:, 2] *= into
        slope[:, 3] *= squashed[part]
        np.multiply(squashed[part], squashed[part], out=cell_slope[part])
        np.subtract(1, cell_slope[part], out=cell_slope[part])
        cell_slope[part] *= out

    map_parts(slopes_of, sample_parts(parts))
    return slopes, cell_slope


def lstm_gradient(
    d_outputs: np.ndarray | None,
    d_h: np.ndarray | None,
    d_c: np.ndarray | None,
    saved: tuple[np.ndarray, ...],
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    mask: np.ndarray | None,
    reverse: bool = False,
) -> tuple[np.ndarray, ...]:
    """Gradients of lstm: dx, dkernel, drecurrent_kernel, dbias, dh0, dc0.

    d_outputs (N, T, H), d_h and d_c (N, H) belong to the results of lstm; None is 0. A recurrent
    bias has the same gradient as the bias.
    """
    steps, gates, hidden, cell, squashed = saved
    length, units, batch = squashed.shape
    valid = None if mask is None else step_major(mask[..., None], reverse)
    parts = gates.reshape(length, 4, units, batch)
    slopes, cell_slope = lstm_slopes(parts, cell, squashed)
    keep = parts[:, 1]
    if valid is not None:
        slopes *= valid[:, None]
        cell_slope *= valid
        keep = np.where(valid, keep, 1)
    d_hidden, d_cell = (empty(cell.shape[1:], cell.dtype) for _ in range(2))
    d_hidden[...] = 0 if d_h is None else d_h.T
    d_cell[...] = 0 if d_c is None else d_c.T
    if d_outputs is not None:
        d_outputs = step_major(d_outputs, reverse)
        if valid is not None:
            d_outputs = d_outputs * np.logical_or.accumulate(valid, axis=0)
    added = empty(d_cell.shape, d_cell.dtype)
    for t in reversed(range(length)):
        if d_outputs is not None:
            d_hidden += d_outputs[t]
        np.multiply(d_hidden, cell_slope[t], out=added)
        d_cell += added
        slopes[t, :3] *= d_cell  # from here on these are the gradients of the gates' inputs
        slopes[t, 3] *= d_hidden
        d_cell *= keep[t]
        if valid is not None:
            np.multiply(d_hidden, ~valid[t], out=added)
        np.matmul(recurrent_kernel, slopes[t].reshape(4 * units, batch), out=d_hidden)
        if valid is not None:
            d_hidden += added
    d_gates = slopes.reshape(length, 4 * units, batch)
    dx = empty(steps.shape, steps.dtype)

    def of_parameters(part: slice) -> list[np.ndarray]:
        np.matmul(kernel, d_gates[part], out=dx[part])
        back = d_gates[part].swapaxes(1, 2)
        read = steps[part], hidden[:-1][part], np.ones((1, batch), dx.dtype)
        return [np.matmul(each, back).sum(axis=0) for each in read]

    parts_of_gradients = map_parts(of_parameters, sample_parts(d_gates))
    dkernel, drecurrent_kernel, dbias = (
        sum(each) for each in zip(*parts_of_gradients, strict=True)
    )
    return sample_major(dx, reverse), dkernel, drecurrent_kernel, dbias[0], d_hidden.T, d_cell.T

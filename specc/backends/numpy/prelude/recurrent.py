"""Recurrent layers over (batch, time, feature) arrays, each with its gradient.

Inside a layer time comes first, in the order in which the steps are processed: the inputs of all
steps meet the kernel in one matrix product, and so do the gradients. At a masked step (mask False)
the state is carried over and the output repeats the last one, or is 0 before the first valid step,
as in Keras. reverse=True processes from the last step to the first; outputs stay at the time of
their inputs.
"""

import numpy as np


def time_major(x: np.ndarray, reverse: bool = False) -> np.ndarray:
    """x (N, T, ...) as (T, N, ...), the steps in the order in which they are processed."""
    steps = x.swapaxes(0, 1)
    return (steps[::-1] if reverse else steps).copy()


def batch_major(steps: np.ndarray, reverse: bool = False) -> np.ndarray:
    """The inverse of time_major: steps (T, N, ...) as (N, T, ...)."""
    return (steps[::-1] if reverse else steps).swapaxes(0, 1).copy()


def project_steps(
    steps: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None
) -> np.ndarray:
    """steps (T, N, D) @ kernel (D, K) + bias (K,), if any, in one product: (T, N, K)."""
    product: np.ndarray = steps.reshape(-1, len(kernel)) @ kernel
    if bias is not None:
        product += bias
    return product.reshape(*steps.shape[:2], -1)


def step_kernel_gradient(steps: np.ndarray, d_product: np.ndarray) -> np.ndarray:
    """Gradient of the kernel in project_steps: steps (T, N, D), d_product (T, N, K) to (D, K)."""
    rows = steps.reshape(-1, steps.shape[-1])
    return rows.T @ d_product.reshape(len(rows), -1)


def state_history(length: int, like: np.ndarray, initial: np.ndarray | None) -> np.ndarray:
    """Room for a state before and after each of `length` steps, (length + 1, N, H) as `like`.

    The first is the initial state (N, H), or 0.
    """
    states = np.empty((length + 1, *like.shape), like.dtype)
    states[0] = 0 if initial is None else initial
    return states


def after_first_valid(hidden: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """hidden (T, N, H), but 0 before the first valid step (T, N, 1): also its own gradient."""
    return hidden * np.logical_or.accumulate(valid, axis=0)


def logistic(x: np.ndarray) -> np.ndarray:
    """The sigmoid of the gates, by way of tanh, which cannot overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


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
    output gates in this order. mask is (N, T) or None. saved is what lstm_gradient reads.
    """
    steps = time_major(x, reverse)
    valid = None if mask is None else time_major(mask[..., None], reverse)
    length, batch, _ = steps.shape
    units = len(recurrent_kernel)
    gates = project_steps(steps, kernel, bias)
    if recurrent_bias is not None:
        gates += recurrent_bias
    squashed = np.empty((length, batch, units), x.dtype)
    hidden, cell = state_history(length, squashed[0], h0), state_history(length, squashed[0], c0)
    # One tanh serves all gates, since sigmoid(z) = tanh(z / 2) / 2 + 1 / 2.
    scale = np.full(4 * units, 0.5, x.dtype)
    scale[2 * units : 3 * units] = 1
    shift = 1 - scale
    for t in range(length):
        gate = gates[t]
        gate += hidden[t] @ recurrent_kernel
        gate *= scale
        np.tanh(gate, out=gate)
        gate *= scale
        gate += shift
        into, keep, candidate, out = gate.reshape(batch, 4, units).swapaxes(0, 1)
        cell[t + 1] = keep * cell[t] + into * candidate
        squashed[t] = np.tanh(cell[t + 1])
        hidden[t + 1] = out * squashed[t]
        if valid is not None:
            cell[t + 1] = np.where(valid[t], cell[t + 1], cell[t])
            hidden[t + 1] = np.where(valid[t], hidden[t + 1], hidden[t])
    outputs = hidden[1:] if valid is None else after_first_valid(hidden[1:], valid)
    outputs = batch_major(outputs, reverse)
    return outputs, hidden[-1].copy(), cell[-1].copy(), (steps, gates, hidden, cell, squashed)


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
    length, batch, units = squashed.shape
    valid = None if mask is None else time_major(mask[..., None], reverse)
    into, keep, candidate, out = np.moveaxis(gates.reshape(length, batch, 4, units), 2, 0)
    # How the gates' inputs act on c (the first three) and on h (the last), and how c acts on h.
    slopes = gates * (1 - gates)
    by_gate = slopes.reshape(length, batch, 4, units)
    by_gate[:, :, 0] *= candidate
    by_gate[:, :, 1] *= cell[:-1]
    by_gate[:, :, 2] = into * (1 - candidate * candidate)
    by_gate[:, :, 3] *= squashed
    cell_slope = out * (1 - squashed * squashed)
    if valid is not None:
        slopes *= valid
        cell_slope *= valid
        keep = np.where(valid, keep, 1)
    d_hidden = np.zeros_like(hidden[0]) if d_h is None else d_h
    d_cell = np.zeros_like(hidden[0]) if d_c is None else d_c
    if d_outputs is not None:
        d_outputs = time_major(d_outputs, reverse)
        if valid is not None:
            d_outputs = after_first_valid(d_outputs, valid)
    d_gates = np.empty_like(slopes)
    to_hidden = recurrent_kernel.T.copy()
    for t in reversed(range(length)):
        if d_outputs is not None:
            d_hidden = d_hidden + d_outputs[t]
        d_cell = d_cell + d_hidden * cell_slope[t]
        np.concatenate([d_cell, d_cell, d_cell, d_hidden], axis=1, out=d_gates[t])
        d_gates[t] *= slopes[t]
        d_cell = d_cell * keep[t]
        d_before = d_gates[t] @ to_hidden
        d_hidden = d_before if valid is None else d_before + d_hidden * ~valid[t]
    dx = batch_major(project_steps(d_gates, kernel.T), reverse)
    dkernel = step_kernel_gradient(steps, d_gates)
    drecurrent_kernel = step_kernel_gradient(hidden[:-1], d_gates)
    return dx, dkernel, drecurrent_kernel, d_gates.sum(axis=1).sum(axis=0), d_hidden, d_cell


def gru(
    x: np.ndarray,
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    bias: np.ndarray | None = None,
    h0: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    reverse: bool = False,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Gated recurrent unit over x (N, T, D): outputs (N, T, H), last h (N, H), saved.

    kernel (D, 3H), recurrent_kernel (H, 3H) and bias (2, 3H), for the input and for the state,
    hold the update, reset and candidate gates in this order. The reset gate acts after the
    recurrent product. mask is (N, T) or None. saved is what gru_gradient reads.
    """
    steps = time_major(x, reverse)
    valid = None if mask is None else time_major(mask[..., None], reverse)
    length, batch, _ = steps.shape
    units = len(recurrent_kernel)
    gates = project_steps(steps, kernel, None if bias is None else bias[0])
    recalled = np.empty((length, batch, units), x.dtype)
    hidden = state_history(length, recalled[0], h0)
    for t in range(length):
        recurrent = hidden[t] @ recurrent_kernel
        if bias is not None:
            recurrent += bias[1]
        recalled[t] = recurrent[:, 2 * units :]
        gate = gates[t]
        gate[:, : 2 * units] = logistic(gate[:, : 2 * units] + recurrent[:, : 2 * units])
        update, reset, candidate = gate.reshape(batch, 3, units).swapaxes(0, 1)
        candidate[:] = np.tanh(candidate + reset * recalled[t])
        hidden[t + 1] = update * hidden[t] + (1 - update) * candidate
        if valid is not None:
            hidden[t + 1] = np.where(valid[t], hidden[t + 1], hidden[t])
    outputs = hidden[1:] if valid is None else after_first_valid(hidden[1:], valid)
    outputs = batch_major(outputs, reverse)
    return outputs, hidden[-1].copy(), (steps, gates, hidden, recalled)


def gru_gradient(
    d_outputs: np.ndarray | None,
    d_h: np.ndarray | None,
    saved: tuple[np.ndarray, ...],
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    mask: np.ndarray | None,
    reverse: bool = False,
) -> tuple[np.ndarray, ...]:
    """Gradients of gru: dx, dkernel, drecurrent_kernel, dbias (2, 3H), dh0.

    d_outputs (N, T, H) and d_h (N, H) belong to the results of gru; None is 0.
    """
    steps, gates, hidden, recalled = saved
    length, batch, units = recalled.shape
    valid = None if mask is None else time_major(mask[..., None], reverse)
    update, reset, candidate = np.moveaxis(gates.reshape(length, batch, 3, units), 2, 0)
    # How the gates' inputs act on h, and how the recurrent product acts on the candidate.
    candidate_slope = (1 - update) * (1 - candidate * candidate)
    reset_slope = candidate_slope * recalled * reset * (1 - reset)
    update_slope = (hidden[:-1] - candidate) * update * (1 - update)
    slopes = np.stack([update_slope, reset_slope, candidate_slope * reset], axis=2)
    if valid is not None:
        slopes *= valid[:, :, None]
        candidate_slope *= valid
        update = np.where(valid, update, 1)
    d_hidden = np.zeros_like(hidden[0]) if d_h is None else d_h
    if d_outputs is not None:
        d_outputs = time_major(d_outputs, reverse)
        if valid is not None:
            d_outputs = after_first_valid(d_outputs, valid)
    d_recurrent = np.empty_like(slopes)
    d_candidate = np.empty_like(recalled)
    to_hidden = recurrent_kernel.T.copy()
    for t in reversed(range(length)):
        if d_outputs is not None:
            d_hidden = d_hidden + d_outputs[t]
        np.multiply(d_hidden[:, None], slopes[t], out=d_recurrent[t])
        np.multiply(d_hidden, candidate_slope[t], out=d_candidate[t])
        d_before = d_recurrent[t].reshape(batch, -1) @ to_hidden
        d_hidden = d_before + d_hidden * update[t]
    d_inputs = d_recurrent.copy()
    d_inputs[:, :, 2] = d_candidate
    d_inputs = d_inputs.reshape(length, batch, 3 * units)
    d_recurrent = d_recurrent.reshape(length, batch, 3 * units)
    dx = batch_major(project_steps(d_inputs, kernel.T), reverse)
    dkernel = step_kernel_gradient(steps, d_inputs)
    drecurrent_kernel = step_kernel_gradient(hidden[:-1], d_recurrent)
    dbias = np.stack([d.sum(axis=1).sum(axis=0) for d in (d_inputs, d_recurrent)])
    return dx, dkernel, drecurrent_kernel, dbias, d_hidden


def gru_reset_before(
    x: np.ndarray,
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    bias: np.ndarray | None = None,
    h0: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    reverse: bool = False,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """gru whose reset gate acts on the state before the recurrent product; bias is (3H,)."""
    steps = time_major(x, reverse)
    valid = None if mask is None else time_major(mask[..., None], reverse)
    length, batch, _ = steps.shape
    units = len(recurrent_kernel)
    gates = project_steps(steps, kernel, bias)
    hidden = state_history(length, gates[0, :, :units], h0)
    for t in range(length):
        gate = gates[t]
        recurrent = hidden[t] @ recurrent_kernel[:, : 2 * units]
        gate[:, : 2 * units] = logistic(gate[:, : 2 * units] + recurrent)
        update, reset, candidate = gate.reshape(batch, 3, units).swapaxes(0, 1)
        recalled = (reset * hidden[t]) @ recurrent_kernel[:, 2 * units :]
        candidate[:] = np.tanh(candidate + recalled)
        hidden[t + 1] = update * hidden[t] + (1 - update) * candidate
        if valid is not None:
            hidden[t + 1] = np.where(valid[t], hidden[t + 1], hidden[t])
    outputs = hidden[1:] if valid is None else after_first_valid(hidden[1:], valid)
    outputs = batch_major(outputs, reverse)
    return outputs, hidden[-1].copy(), (steps, gates, hidden)


def gru_reset_before_gradient(
    d_outputs: np.ndarray | None,
    d_h: np.ndarray | None,
    saved: tuple[np.ndarray, ...],
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    mask: np.ndarray | None,
    reverse: bool = False,
) -> tuple[np.ndarray, ...]:
    """Gradients of gru_reset_before: dx, dkernel, drecurrent_kernel, dbias (3H,), dh0."""
    steps, gates, hidden = saved
    length, batch, units = hidden[1:].shape
    valid = None if mask is None else time_major(mask[..., None], reverse)
    update, reset, candidate = np.moveaxis(gates.reshape(length, batch, 3, units), 2, 0)
    update_slope = (hidden[:-1] - candidate) * update * (1 - update)
    reset_slope = hidden[:-1] * reset * (1 - reset)
    candidate_slope = (1 - update) * (1 - candidate * candidate)
    if valid is not None:
        update_slope *= valid
        candidate_slope *= valid
        update = np.where(valid, update, 1)
    d_hidden = np.zeros_like(hidden[0]) if d_h is None else d_h
    if d_outputs is not None:
        d_outputs = time_major(d_outputs, reverse)
        if valid is not None:
            d_outputs = after_first_valid(d_outputs, valid)
    d_gates = np.empty((length, batch, 3 * units), hidden.dtype)
    to_hidden = recurrent_kernel.T.copy()
    for t in reversed(range(length)):
        if d_outputs is not None:
            d_hidden = d_hidden + d_outputs[t]
        d_update, d_reset, d_candidate = d_gates[t].reshape(batch, 3, units).swapaxes(0, 1)
        d_update[:] = d_hidden * update_slope[t]
        d_candidate[:] = d_hidden * candidate_slope[t]
        d_recalled = d_candidate @ to_hidden[2 * units :]
        d_reset[:] = d_recalled * reset_slope[t]
        d_before = d_gates[t, :, : 2 * units] @ to_hidden[: 2 * units]
        d_hidden = d_before + d_hidden * update[t] + d_recalled * reset[t]
    dx = batch_major(project_steps(d_gates, kernel.T), reverse)
    dkernel = step_kernel_gradient(steps, d_gates)
    by_state = step_kernel_gradient(hidden[:-1], d_gates[:, :, : 2 * units])
    by_reset_state = step_kernel_gradient(reset * hidden[:-1], d_gates[:, :, 2 * units :])
    drecurrent_kernel = np.concatenate([by_state, by_reset_state], axis=1)
    return dx, dkernel, drecurrent_kernel, d_gates.sum(axis=1).sum(axis=0), d_hidden


def simple_rnn(
    x: np.ndarray,
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    bias: np.ndarray | None = None,
    recurrent_bias: np.ndarray | None = None,
    h0: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    activation: str = "tanh",
    reverse: bool = False,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """h = activation(x @ kernel + h @ recurrent_kernel + biases) over x (N, T, D).

    kernel is (D, H), recurrent_kernel (H, H), each bias (H,) or None, activation "tanh" or "relu",
    mask (N, T) or None. Returns outputs (N, T, H), the last h (N, H) and what the gradient reads.
    """
    steps = time_major(x, reverse)
    valid = None if mask is None else time_major(mask[..., None], reverse)
    inputs = project_steps(steps, kernel, bias)
    if recurrent_bias is not None:
        inputs += recurrent_bias
    hidden = state_history(len(steps), inputs[0], h0)
    for t in range(len(steps)):
        total = inputs[t] + hidden[t] @ recurrent_kernel
        hidden[t + 1] = np.tanh(total) if activation == "tanh" else np.maximum(total, 0)
        if valid is not None:
            hidden[t + 1] = np.where(valid[t], hidden[t + 1], hidden[t])
    outputs = hidden[1:] if valid is None else after_first_valid(hidden[1:], valid)
    outputs = batch_major(outputs, reverse)
    return outputs, hidden[-1].copy(), (steps, hidden)


def simple_rnn_gradient(
    d_outputs: np.ndarray | None,
    d_h: np.ndarray | None,
    saved: tuple[np.ndarray, ...],
    kernel: np.ndarray,
    recurrent_kernel: np.ndarray,
    mask: np.ndarray | None,
    activation: str,
    reverse: bool = False,
) -> tuple[np.ndarray, ...]:
    """Gradients of simple_rnn: dx, dkernel, drecurrent_kernel, dbias, dh0.

    d_outputs (N, T, H) and d_h (N, H) belong to the results of simple_rnn; None is 0. A recurrent
    bias has the same gradient as the bias.
    """
    steps, hidden = saved
    valid = None if mask is None else time_major(mask[..., None], reverse)
    if activation == "tanh":
        slopes = 1 - hidden[1:] * hidden[1:]
    else:
        slopes = (hidden[1:] > 0).astype(hidden.dtype)
    if valid is not None:
        slopes *= valid
    d_hidden = np.zeros_like(hidden[0]) if d_h is None else d_h
    if d_outputs is not None:
        d_outputs = time_major(d_outputs, reverse)
        if valid is not None:
            d_outputs = after_first_valid(d_outputs, valid)
    d_total = np.empty_like(slopes)
    to_hidden = recurrent_kernel.T.copy()
    for t in reversed(range(len(steps))):
        if d_outputs is not None:
            d_hidden = d_hidden + d_outputs[t]
        d_total[t] = d_hidden * slopes[t]
        d_before = d_total[t] @ to_hidden
        d_hidden = d_before if valid is None else d_before + d_hidden * ~valid[t]
    dx = batch_major(project_steps(d_total, kernel.T), reverse)
    dkernel = step_kernel_gradient(steps, d_total)
    drecurrent_kernel = step_kernel_gradient(hidden[:-1], d_total)
    return dx, dkernel, drecurrent_kernel, d_total.sum(axis=1).sum(axis=0), d_hidden

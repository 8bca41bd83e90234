"""Activation functions and their gradients, from dy and either the input x or the result y.

Cases are put together by arithmetic: np.where on unpredictable conditions takes many times as long.
"""

import numpy as np


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0), element by element."""
    return np.maximum(x, 0)


def relu_gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradient of relu from its result y; at 0 it is 0."""
    return dy * (y > 0)


def leaky_relu(x: np.ndarray, negative_slope: float) -> np.ndarray:
    """x where positive, else negative_slope * x."""
    return np.maximum(x, 0) + negative_slope * np.minimum(x, 0)


def leaky_relu_gradient(dy: np.ndarray, x: np.ndarray, negative_slope: float) -> np.ndarray:
    """Gradient of leaky_relu from its input x; at 0 it is negative_slope."""
    positive = x > 0
    return dy * positive + negative_slope * dy * ~positive


def elu(x: np.ndarray, alpha: float) -> np.ndarray:
    """x where positive, else alpha * (exp(x) - 1)."""
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0))


def elu_gradient(dy: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    """Gradient of elu from its result y: alpha * exp(x) is y + alpha."""
    positive = y > 0
    return dy * (positive + (y + alpha) * ~positive)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)); from x = -80 down it stays at 2e-35, for exp must not overflow."""
    return 1 / (1 + np.exp(np.minimum(-x, 80)))


def sigmoid_gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradient of sigmoid from its result y."""
    return dy * y * (1 - y)


def silu(x: np.ndarray) -> np.ndarray:
    """x * sigmoid(x), also called swish."""
    return x * sigmoid(x)


def silu_gradient(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gradient of silu from its input x."""
    gate = sigmoid(x)
    return dy * gate * (1 + x * (1 - gate))


def tanh(x: np.ndarray) -> np.ndarray:
    """Hyperbolic tangent, element by element."""
    return np.tanh(x)


def tanh_gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradient of tanh from its result y."""
    return dy * (1 - y * y)


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x)), written so that exp never overflows."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softplus_gradient(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gradient of softplus from its input x."""
    return dy * sigmoid(x)


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """exp(x) divided by its sum along axis; the largest is taken off first against overflow."""
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def softmax_gradient(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """Gradient of softmax from its result y."""
    return y * (dy - (dy * y).sum(axis=axis, keepdims=True))


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """Logarithm of softmax, accurate where softmax underflows to 0."""
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def log_softmax_gradient(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """Gradient of log_softmax from its result y."""
    return dy - np.exp(y) * dy.sum(axis=axis, keepdims=True)


def polynomial(x: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """A polynomial in x by Horner's rule, the coefficient of the highest power first."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value *= x
        value += coefficient
    return value


# W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of
# Computation 23 (1969): erf near 0 as a function of x * x, and erfc further out as one of |x|.
ERF_NUMERATOR = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
ERF_DENOMINATOR = (
    1.0,
    2.36012909523441209e1,
    2.44024637934444173e2,
    1.28261652607737228e3,
    2.84423683343917062e3,
)
ERFC_NUMERATOR = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
ERFC_DENOMINATOR = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)


def erf_block(x: np.ndarray) -> np.ndarray:
    """erf of a flat array."""
    size = np.minimum(np.abs(x), 6.0)  # erf(6) is 1 to double precision
    decay = np.exp(-size * size)
    complement = polynomial(size, ERFC_NUMERATOR) / polynomial(size, ERFC_DENOMINATOR)
    y = np.copysign(1 - decay * complement, x)
    small = np.flatnonzero(size < 0.46875)
    near = x[small]
    square = near * near
    ratio = polynomial(square, ERF_NUMERATOR) / polynomial(square, ERF_DENOMINATOR)
    y[small] = near * ratio
    return y


def erf(x: np.ndarray) -> np.ndarray:
    """The error function, to 1e-15 of its value in float64 (Cody's rational approximations).

    The many steps of the polynomials are taken over blocks that stay in the processor's cache.
    """
    values = x.reshape(-1)
    y = np.empty_like(values)
    for start in range(0, len(values), 16384):
        block = slice(start, start + 16384)
        y[block] = erf_block(values[block])
    return y.reshape(x.shape)


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the standard normal distribution function of x."""
    return 0.5 * x * (1 + erf(x * 0.7071067811865476))


def gelu_gradient(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gradient of gelu from its input x: the distribution plus x times the density."""
    distribution = 0.5 * (1 + erf(x * 0.7071067811865476))
    density = 0.3989422804014327 * np.exp(-0.5 * x * x)
    return dy * (distribution + x * density)


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """The approximation of gelu by tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))."""
    return 0.5 * x * (1 + np.tanh(0.7978845608028654 * x * (1 + 0.044715 * x * x)))


def gelu_tanh_gradient(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Gradient of gelu_tanh from its input x."""
    bend = np.tanh(0.7978845608028654 * x * (1 + 0.044715 * x * x))
    slope = 0.7978845608028654 * (1 + 0.134145 * x * x)
    return dy * 0.5 * (1 + bend + x * (1 - bend * bend) * slope)

"""Work that is shared out to threads: the same numbers, however many there are."""

import multiprocessing
import os
import sys
import threading
import time

import numpy as np
import pytest

from specc.backends.numpy.prelude_fast import threads
from specc.backends.numpy.prelude_fast.activations import by_parts, gelu_tanh_gradient
from specc.backends.numpy.prelude_fast.attention import (
    scaled_dot_product_attention,
    scaled_dot_product_attention_gradient,
)
from specc.backends.numpy.prelude_fast.convolution import (
    conv2d,
    conv2d_input_gradient,
    conv2d_kernel_gradient,
)
from specc.backends.numpy.prelude_fast.losses import (
    sparse_categorical_crossentropy_from_logits_gradient,
)
from specc.backends.numpy.prelude_fast.normalization import (
    channel_norm,
    channel_norm_gradient,
    last_axis_norm_gradient,
)
from specc.backends.numpy.prelude_fast.pooling import max_pool2d, max_pool2d_gradient
from specc.backends.numpy.prelude_fast.products import affine, affine_kernel_gradient
from specc.backends.numpy.prelude_fast.recurrent import lstm, lstm_gradient
from specc.backends.numpy.prelude_fast.threads import map_on_threads, sample_parts


def draw(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def convolution():
    x, kernel = draw(9, 30, 30, 8), draw(3, 3, 8, 16)
    y = conv2d(x, kernel, bias=draw(16), relu=True)
    strided = conv2d_input_gradient(y[:, :15, :15], kernel, x.shape, (2, 2), ((0, 1), (0, 1)))
    gradient = conv2d_input_gradient(y, kernel, x.shape)
    pooled = max_pool2d(y, (2, 2))
    below = max_pool2d_gradient(y, pooled, pooled, (2, 2))
    return y, strided, gradient, conv2d_kernel_gradient(x, y, kernel.shape), pooled, below


def normalization():
    x, dy = draw(40, 20, 20, 16), draw(40, 20, 20, 16)[::-1]
    found = channel_norm(x, draw(16), draw(16), 1e-3)
    slopes = channel_norm_gradient(dy, found[1], draw(16), found[4])
    deviation = np.ones((*x.shape[:-1], 1), x.dtype)
    return *found, *slopes, *last_axis_norm_gradient(dy, x, draw(16), deviation)


def attention():
    query, key, value = draw(8, 2, 40, 16), draw(8, 2, 50, 16), draw(8, 2, 50, 12)
    y, weights = scaled_dot_product_attention(query, key, value, causal=True)
    return y, weights, *scaled_dot_product_attention_gradient(y, weights, query, key, value)


def products():
    x, kernel = draw(900, 300), draw(300, 200)
    y = affine(x, kernel, bias=draw(200), relu=True)
    logits, labels = draw(500, 300), np.arange(500) % 300
    slope = sparse_categorical_crossentropy_from_logits_gradient(
        logits, labels, weights=np.ones(500, np.float32)
    )
    parts = by_parts(np.exp, x), gelu_tanh_gradient(x, x[::-1])
    return y, affine_kernel_gradient(x, y), slope, *parts


def recurrence():
    x, kernel, recurrent = draw(16, 60, 20), draw(20, 128), draw(32, 128) / 9
    y, h, c, saved = lstm(x, kernel, recurrent, draw(128))
    return y, h, c, *lstm_gradient(y, h, c, saved, kernel, recurrent, None)


@pytest.mark.parametrize("kernels", [convolution, normalization, attention, products, recurrence])
def test_results_are_those_of_one_thread_bit_for_bit(kernels, monkeypatch):
    monkeypatch.setattr(threads, "THREADS", 1)
    alone = [np.array(each) for each in kernels()]
    for count in (2, 3):
        monkeypatch.setattr(threads, "THREADS", count)
        threads.helpers.cache_clear()
        for one, other in zip(alone, kernels(), strict=True):
            assert one.tobytes() == np.array(other).tobytes()
    threads.helpers.cache_clear()


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr(threads, "THREADS", 2)
    threads.helpers.cache_clear()
    yield
    threads.helpers.cache_clear()


@pytest.mark.usefixtures("two_threads")
def test_results_come_in_the_order_of_the_parts():
    def late(part):
        time.sleep(0.001 * (5 - part))
        return part

    assert map_on_threads(late, list(range(5))) == [0, 1, 2, 3, 4]
    assert map_on_threads(late, []) == []


@pytest.mark.usefixtures("two_threads")
def test_parts_may_have_parts():
    def outer(part):
        return sum(map_on_threads(lambda inner: part * inner, list(range(4))))

    assert map_on_threads(outer, list(range(6))) == [6 * part for part in range(6)]


@pytest.mark.usefixtures("two_threads")
def test_an_error_in_any_thread_is_the_caller_s():
    def fail(part):
        time.sleep(0.002)
        raise ZeroDivisionError(part)

    with pytest.raises(ZeroDivisionError):
        map_on_threads(fail, list(range(8)))


@pytest.mark.usefixtures("two_threads")
def test_a_job_that_waits_for_a_busy_thread_keeps_no_array():
    busy, array = threading.Event(), np.zeros(8)
    threads.helpers(os.getpid()).submit(busy.wait)
    before = sys.getrefcount(array)
    map_on_threads(lambda part: array[part], [0, 1])
    assert sys.getrefcount(array) == before
    busy.set()


def forked(queue):
    queue.put(map_on_threads(lambda part: 2 * part, list(range(8))))


@pytest.mark.usefixtures("two_threads")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    map_on_threads(abs, list(range(8)))
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=forked, args=(queue,))
    process.start()
    assert queue.get() == [0, 2, 4, 6, 8, 10, 12, 14]
    process.join()


def test_parts_of_a_batch_cover_it_once():
    for shape in ((7, 5), (3, 2**15), (1, 2**18), (0, 4), (5, 0)):
        x = np.zeros(shape)
        for part in sample_parts(x):
            x[part] += 1
        assert (x == 1).all()


def test_products_are_computed_by_the_thread_that_asks(monkeypatch):
    calls = []
    monkeypatch.setattr(threads, "SET_PRODUCT_THREADS", calls.append)
    monkeypatch.setattr(threads, "PRODUCT_THREADS", 2)

    @threads.on_own_threads
    def step(number):
        calls.append("step")
        return 1 / number

    assert step(4) == 0.25
    with pytest.raises(ZeroDivisionError):
        step(0)
    assert calls == [1, "step", 2] * 2

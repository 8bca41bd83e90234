"""Options that a program does not use leave the functions that its file copies."""

from textwrap import dedent

from specc.backends.specialize import specialize

SCALE = dedent('''\
    def scale(x, factor=1, offset=None, *, clip=False):
        """x times factor.

        offset is added. The result is new, and clip keeps it within 1.
        """
        # Why this is here.
        y = x * factor
        limits = None if not clip else (-1, 1)
        if offset is not None:
            y = y + offset  # after the product
        if limits is not None and clip:
            y = y.clip(*limits)
        return y, offset
    ''')


def specialized(*callers: str) -> tuple[str, list[str]]:
    texts, others = specialize({"scale": SCALE}, callers)
    return texts["scale"], others


def test_an_option_that_nobody_gives_is_gone_with_all_that_depends_on_it():
    text, (caller,) = specialized("z = scale(a)  # (batch, 3)")
    assert text == dedent('''\
        def scale(x):
            """x times factor."""
            # Why this is here.
            y = x
            return y, None''')
    assert caller == "z = scale(a)  # (batch, 3)"


def test_an_option_that_all_give_as_nothing_is_gone_from_the_calls():
    text, callers = specialized("scale(a, 2, None)", "scale(scale(b, 3), 4, offset=None)")
    assert "offset" not in text.replace("offset is added", "")
    assert callers == ["scale(a, 2)", "scale(scale(b, 3), 4)"]


def test_an_option_that_one_call_uses_stays():
    text, callers = specialized("scale(a, 2, k)", "scale(b)")
    assert "y = y + offset  # after the product" in text
    assert "clip" not in text
    assert callers == ["scale(a, 2, k)", "scale(b)"]


def test_a_function_that_is_passed_on_keeps_its_options():
    text, callers = specialized("map(scale, a)", "scale(b)")
    assert text == SCALE
    assert callers == ["map(scale, a)", "scale(b)"]


def test_padding_and_strides_leave_index_arithmetic():
    kernel = dedent('''\
        def slide(x, strides=(1, 1), padding=((0, 0), (0, 0))):
            """Windows of x."""
            (top, _), (left, _) = padding
            if strides != (1, 1) or np.any(padding):
                x = np.pad(x, padding)
            return x[top * 2 : top + len(x) : strides[0], left:]
        ''')
    texts, _ = specialize({"slide": kernel}, ["slide(x)"])
    assert "return x[:len(x), :]" in texts["slide"]
    assert "pad" not in texts["slide"]

"""A spec with many mistakes gives each of them in one run: all, in their order, once, and nothing
that only follows from another one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from specc.compiler import load_program
from specc.diagnostics import SpecError

YAML = """specc: 1
name: digits
conventions: keras
seed: 7
parameters: {classes: 10, width: 8, depth: 2}
inputs:
  image: {shape: [12, 12, 1]}
  age: {shape: [1]}
targets:
  label: {shape: [], dtype: int}
  price: {shape: [1]}
blocks:
  cell:
    parameters: {filters: ~, stride: 1}
    inputs: [x]
    layers:
      - {name: c, conv2d: {filters: $filters, kernel_size: 3, strides: $stride, padding: same}}
      - elu
      - {name: z, relu: {}}
    outputs: [z]
layers:
  - {name: first, use: cell, with: {filters: $width}, from: image}
  - name: stage
    repeat:
      times: $depth
      index: i
      layers:
        - {use: cell, with: {filters: "${width * 2 ** (i + 1)}", stride: 2}}
  - {name: pooled, global_average_pool2d: {}}
  - {name: both, concatenate: {}, from: [pooled, age]}
  - {name: hidden, dense: {units: 32, activation: relu}}
  - {name: dropped, dropout: {rate: 0.5}}
  - {name: probabilities, dense: {units: $classes, activation: softmax}}
  - {name: worth, dense: {units: 1}, from: hidden}
outputs: [probabilities, worth]
training:
  loss:
    - sparse_categorical_crossentropy: {prediction: probabilities, target: label}
    - mean_squared_error: {prediction: worth, target: price, weight: 0.1}
  optimizer: {adam: {learning_rate: 1e-3}}
  clip: {global_norm: 1.0}
  metrics: [accuracy]
  epochs: 3
  batch_size: 32
data: {source: npz, path: d.npz, inputs: {image: x, age: a}, targets: {label: y, price: p}}
"""
# (what is written, what stands there instead, the code): each by itself is one mistake on one line.
MISTAKES = [
    ("conventions: keras", "conventions: kears", "E0503"),
    ("seed: 7", "seed: -7", "E0503"),
    ("age: {shape: [1]}", "age: {shape: [0]}", "E0428"),
    ("price: {shape: [1]}", "price: {shape: 1}", "E0427"),
    ("kernel_size: 3", "kernel_sizes: 3", "E0501"),
    ("with: {filters: $width}", "with: {filter: $width, filters: 2}", "E0416"),
    ("times: $depth", "times: $deepness", "E0302"),
    ("global_average_pool2d", "global_average_pool_2d", "E0412"),
    ("from: [pooled, age]", "from: [poled, age]", "E0407"),
    ("activation: relu}", "activation: rellu}", "E0505"),
    ("rate: 0.5", "rate: 50", "E0503"),
    ("units: $classes", "units: $klasses", "E0302"),
    ("target: label}", "target: lable}", "E0407"),
    ("weight: 0.1", "wieght: 0.1", "E0501"),
    ("{adam: {learning_rate", "{adm: {learning_rate", "E0505"),
    ("global_norm: 1.0", "global_norm: -1.0", "E0503"),
    ("metrics: [accuracy]", "metrics: [acuracy]", "E0505"),
    ("epochs: 3", "epochs: 0", "E0503"),
    ("batch_size: 32", "batchsize: 32", "E0701"),
    ("source: npz", "source: npy", "E0801"),
]
LANGUAGE = """spec 1 digits
conventions keras
parameter classes = 10
parameter width = 8
input image: float[12, 12, 1]
input age: float[1]
target label: int[]
target price: float[1]
block cell(filters, stride = 1) {
  input x
  z = x
    | conv2d(filters, 3, strides=stride, padding="same", use_bias=false)
    | batch_norm
    | relu
  output z
}
first = image | cell(width)
pooled = first
  | repeat(2, i) {
      input x
      x | cell(width * 2 ** (i + 1), stride=2)
    } as stage
  | global_average_pool2d
both = (pooled, age) | concatenate
hidden = both | dense(32, activation=relu)
probabilities = hidden | dropout(0.5) | dense(classes, activation=softmax)
worth = hidden | dense(1)
output probabilities, worth
training {
  loss sparse_categorical_crossentropy(probabilities, label)
  loss mean_squared_error(worth, price, weight=0.1)
  optimizer adam(learning_rate=0.001)
  metrics accuracy
  epochs 3
}
"""
LANGUAGE_MISTAKES = [
    ("conventions keras", "conventions kears", "E0503"),
    ("input age: float[1]", "input age: floot[1]", "E0503"),
    ("strides=stride", "stride=stride", "E0501"),
    ("image | cell(width)", "imgae | cell(width)", "E0407"),
    ("| global_average_pool2d", "| global_average_pool_2d", "E0412"),
    ("(pooled, age)", "(pooled, agee)", "E0407"),
    ("activation=relu", "activation=rellu", "E0505"),
    ("dropout(0.5)", "dropout(5)", "E0503"),
    ("dense(classes,", "dense(classses,", "E0302"),
    ("(probabilities, label)", "(probabilities, lable)", "E0407"),
    ("weight=0.1", "weight=-0.1", "E0503"),
    ("optimizer adam(", "optimizer adamm(", "E0505"),
    ("metrics accuracy", "metrics acuracy", "E0505"),
    ("epochs 3", "epoch 3", "E0701"),
]
SYNTAX_MISTAKES = [
    ("parameter width = 8", "parameter width == 8", "E0201"),
    ("input age: float[1]", "input age float[1]", "E0201"),
    ("    | batch_norm\n", "    | batch norm\n", "E0201"),
    ("first = image", "first := image", "E0201"),
    ("(pooled, age)", "(pooled age)", "E0201"),
    ("  epochs 3\n", "  epochs =\n", "E0201"),
    ("conventions keras\n", "conventions keras;\n", "E0203"),
    ("dropout(0.5)", "dropout('0.5')", "E0203"),
]
FORMS = {
    "yaml": (YAML, MISTAKES),
    "specc": (LANGUAGE, LANGUAGE_MISTAKES),
    "syntax.specc": (LANGUAGE, SYNTAX_MISTAKES),
}


def found(text: str, path: Path) -> list[tuple[str, int]]:
    """(code, line) of what is said about a spec, in the order in which it is said."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as error:
        load_program(path)
    diagnostics = error.value.diagnostics
    assert len({str(each) for each in diagnostics}) == len(diagnostics)
    spans = [each.span for each in diagnostics if each.span]
    assert [span.start for span in spans] == sorted(span.start for span in spans)
    return [
        (each.code, each.span.source.position(each.span.start)[0])
        for each in diagnostics
        if each.span
    ]


def with_mistakes(
    text: str, mistakes: list[tuple[str, str, str]]
) -> tuple[str, list[tuple[str, int]]]:
    """The text with the mistakes made, and the code and the line of each."""
    expected = []
    for written, instead, code in mistakes:
        assert text.count(written) == 1, written
        expected.append((code, text[: text.index(written)].count("\n") + 1))
        text = text.replace(written, instead)
    return text, sorted(expected, key=lambda each: each[1])


@pytest.mark.parametrize("form", FORMS)
def test_without_mistakes(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"net.{form}"
    path.write_text(FORMS[form][0], encoding="utf-8")
    assert load_program(path)[1] == ()


@pytest.mark.parametrize(
    ("form", "mistake"),
    [(form, mistake) for form, (_, mistakes) in FORMS.items() for mistake in mistakes],
    ids=lambda part: part if isinstance(part, str) else part[1],
)
def test_one_mistake_is_one_diagnostic(
    form: str, mistake: tuple[str, str, str], tmp_path: Path
) -> None:
    text, expected = with_mistakes(FORMS[form][0], [mistake])
    assert found(text, tmp_path / f"net.{form}") == expected


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("form", FORMS)
def test_many_mistakes_are_as_many_diagnostics(form: str, seed: int, tmp_path: Path) -> None:
    base, mistakes = FORMS[form]
    source = random.Random(seed)
    chosen = source.sample(mistakes, source.randint(2, len(mistakes)))
    text, expected = with_mistakes(base, chosen)
    assert sorted(found(text, tmp_path / f"net.{form}")) == sorted(expected)


@pytest.mark.parametrize("form", FORMS)
def test_all_of_them_at_once(form: str, tmp_path: Path) -> None:
    text, expected = with_mistakes(*FORMS[form])
    assert sorted(found(text, tmp_path / f"net.{form}")) == sorted(expected)

"""One mistake gives one message: what depends on it is not reported again."""

from pathlib import Path

import pytest

from specc.compiler import load_program
from specc.diagnostics import SpecError

EXAMPLES = Path(__file__).parents[2] / "examples"
# A spec of the examples, a text in it, what is written instead, the code and the place of the one
# message.
MISTAKES = """
breast_cancer.yaml   | specc: 1        | spec: 1          | E0424 | spec
breast_cancer.yaml   | inputs:         | iputs:           | E0424 | iputs
breast_cancer.yaml   | layers:         | lyers:           | E0424 | lyers
text_lstm.yaml       | parameters:     | paramters:       | E0424 | paramters
text_lstm.yaml       | path:           | pat:             | E0801 | pat
mnist_cnn.yaml       | targets:        | target:          | E0424 | target
image_classification.yaml | blocks:    | blocs:           | E0424 | blocs
image_classification.yaml | prediction: p | predicion: p  | E0703 | predicion
image_classification.yaml | target: l  | traget: l        | E0703 | traget
motion.yaml          | outputs: [logits] | outputs: [logis] | E0407 | logis
market_volatility.yaml | volatility: {shape | volatility: {sape | E0501 | sape
two_inputs.yaml      | left_flat, flatten | left_flat, flatte | E0412 | flatte
two_inputs.yaml      | name: left_flat | name: left       | E0404 | left
two_inputs.yaml      | inputs:         | inpts:           | E0424 | inpts
two_inputs.specc     | left: float     | left: flat       | E0503 | flat
two_inputs.specc     | digit: int      | digit: one       | E0503 | one
two_inputs.specc     | dense(1,        | dense(2,         | E0603 | binary_crossentropy
"""
ROWS = [tuple(map(str.strip, line.split("|"))) for line in MISTAKES.strip().splitlines()]


@pytest.mark.parametrize(("name", "right", "wrong", "code", "word"), ROWS)
def test_one_message(
    tmp_path: Path, name: str, right: str, wrong: str, code: str, word: str
) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert right in text
    spec = tmp_path / name
    spec.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_program(spec)
    (found,) = caught.value.diagnostics
    assert found.code == code, found
    assert found.span and found.span.text == word, found

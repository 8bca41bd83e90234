"""A spec may call its things as it likes: Python's words and builtins, what the frameworks' modules
have, what a generated file defines. Each word stands for an input, a target, a layer, a block, its
parameter, input and layer, and for the spec itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from specc.compiler import compile_program, load_program
from specc.frontend.expressions import RESERVED
from specc.testing import assert_equivalent

WORDS = """
class None self True False torch np tf keras nn F model inputs targets raw step loss training call
forward record p x y z name path main Model Module Layer Mapping Callable Any Tensor Path
lambda if not and or in is pass def return yield async await del global import match case type
print list dict str int float len range super object id open build load save predict trace fit
evaluate Trainer Optimizer parameters get_parameters initial_parameters learning_rate
clip_gradients layer_key dropout_mask stream_key weighted_mean SEED DTYPE BACKEND LAYOUTS apply
to_outputs total_loss weights layers losses metrics variables trainable dtype input output modules
children buffers state_dict register_buffer half cuda to eval train zero_grad seed device optimizer
built mask math json os annotations numpy block gradients gradient g d_x saved values kernel bias
logits preactivation key rate state slots result outputs sample_weights _x x_ x_1 class_ self_ A1 N
batch specc data locals images T_destination add_weight supports_masking quantize
""".split()

# As many of the words as one spec takes, the worst in each place.
COMPARED = """
class training targets raw model inputs loss forward _x seed weights SEED Tensor None nn self
lambda step mask x_ record kernel call trainable np True in is
""".split()

BACKENDS = ("numpy", "torch", "tensorflow")
INPUTS, TARGETS, BLOCKS = 4, 2, 3


def written(words: list[str]) -> str:
    """A spec that takes its names from ``words``: four branches, three of them with a block that is
    used twice, and two outputs with a loss each."""
    rest = iter(words)

    def some(count: int) -> list[str]:
        return [f'"{next(rest)}"' for _ in range(count)]

    (network,) = some(1)
    inputs, targets, outputs = some(INPUTS), some(TARGETS), some(TARGETS)
    layers, blocks = some(INPUTS), some(BLOCKS)
    inside = list(zip(blocks, some(BLOCKS), some(BLOCKS), some(BLOCKS), strict=True))
    size = next(word for word in words if word not in RESERVED)
    lines = [f"specc: 1\nname: {network}\nparameters: {{{size}: 3}}\nblocks:"]
    for block, parameter, port, layer in inside:
        width = parameter.strip('"')
        if width in RESERVED:
            parameter = width = f"{width}_1"
        made = f"{{name: {layer}, dense: {{units: ${width}, activation: tanh}}}}".replace(
            f"${width}", f'"${width}"'
        )
        lines += [
            f"  {block}:",
            f"    parameters: {{{parameter}: 4}}",
            f"    inputs: [{port}]",
            f"    layers: [{made}, {{dropout: 0.2}}, batch_norm, {{dense: 3}}]",
        ]
    lines += ["inputs:", *(f"  {each}: {{shape: [3]}}" for each in inputs)]
    lines += ["targets:", *(f"  {each}: {{shape: [2]}}" for each in targets), "layers:"]
    joined = []
    for index, (port, layer) in enumerate(zip(inputs, layers, strict=True)):
        lines.append(f'  - {{name: {layer}, dense: {{units: "${size}"}}, from: {port}}}')
        joined.append(layer)
        if index < BLOCKS:
            block, parameter, *_ = inside[index]
            key = parameter if parameter.strip('"') not in RESERVED else parameter[1:-1] + "_1"
            lines.append(f"  - {{use: {block}, with: {{{key}: 5}}, from: {layer}}}")
            lines.append(f"  - {{name: used{index}, use: {block}}}")
            joined.append(f"used{index}")
    lines.append(f"  - {{name: joined, concatenate: {{}}, from: [{', '.join(joined)}]}}")
    first, second = outputs
    lines.append(f"  - {{name: {first}, dense: 2, from: joined}}")
    softmax = "dense: {units: 2, activation: softmax}"
    lines.append(f"  - {{name: {second}, {softmax}, from: joined}}")
    return "\n".join(
        [
            *lines,
            f"outputs: [{first}, {second}]",
            "training:",
            "  loss:",
            f"    - mean_squared_error: {{prediction: {first}, target: {targets[0]}}}",
            f"    - categorical_crossentropy: {{prediction: {second}, target: {targets[1]}}}",
            f"  metrics: [{{mae: {{prediction: {first}, target: {targets[0]}}}}}]",
            "  batch_size: 4",
            "data:",
            "  source: npz",
            "  path: rows.npz",
            f"  inputs: {{{', '.join(f'{each}: three' for each in inputs)}}}",
            f"  targets: {{{', '.join(f'{each}: two' for each in targets)}}}",
            "",
        ]
    )


def test_no_name_hides_one_of_the_file(tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    for turn in range(0, len(WORDS), 3):
        spec.write_text(written(WORDS[turn:] + WORDS[:turn]), encoding="utf-8")
        program, _ = load_program(spec)
        for backend in BACKENDS:
            text = compile_program(program, backend)
            (tmp_path / f"n{turn}_{backend}.py").write_text(text, encoding="utf-8")
    # Undefined, redefined and unused names; arguments and classes with the names of builtins.
    command = ["check", "--isolated", "--no-cache", "--select=E9,F,A001,A002,B", "--quiet"]
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", *command, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_they_train_identically(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    three, two = random.normal(size=(10, 3)), random.random(size=(10, 2))
    np.savez(tmp_path / "rows.npz", three=three, two=two)
    spec = tmp_path / "net.yaml"
    spec.write_text(written(COMPARED), encoding="utf-8")
    assert_equivalent(spec, steps=3)


@pytest.mark.parametrize(
    ("backend", "statement", "listing"),
    [
        ("torch", "from torch import nn", "dir(nn.Module())"),
        ("tensorflow", "import keras", "{*dir(keras.Model), *dir(keras.Layer)}"),
    ],
)
def test_every_attribute_of_a_module_is_reserved(
    backend: str, statement: str, listing: str
) -> None:
    """Layers become attributes: none may take the place of one that the framework's class has."""
    from specc.backends.tensorflow.backend import TensorflowModules
    from specc.backends.torch.backend import TorchModules

    modules = TorchModules if backend == "torch" else TensorflowModules
    code = f"{statement}; print(*(name for name in {listing} if name[0] != '_'))"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert set(printed.split()) <= modules.reserved_attributes

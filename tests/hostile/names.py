"""Names and strings that a spec may carry, and a spec with a slot for each."""

from __future__ import annotations

import builtins
import keyword
from functools import cache

from specc.backends.numpy.backend import NAMES as NUMPY
from specc.backends.numpy.program import RESERVED
from specc.backends.tensorflow.backend import NAMES as TENSORFLOW
from specc.backends.tensorflow.backend import TensorflowModules
from specc.backends.torch.backend import NAMES as TORCH
from specc.backends.torch.backend import TorchModules

SLOTS = tuple(
    """
    network parameter sequence vector target dim block size port inner shared first second state
    used stage index body norm drop output
    """.split()
)
"""Every kind of thing that a spec gives a name, whose place in SPEC is ``<slot>``."""

SPEC = """\
specc: 1
name: <network>
parameters: {<parameter>: 4}
inputs:
  <sequence>: {shape: [<dim>, 3]}
  <vector>: {shape: [4]}
targets: {<target>: {shape: [2]}}
blocks:
  <block>:
    parameters: {<size>: 4}
    inputs: [<port>]
    layers:
      - {name: <inner>, dense: {units: $<size>, activation: relu}, from: <port>}
      - dense: 4
shared: {<shared>: {dense: 4}}
layers:
  - {lstm: {units: 4, return_state: true}, from: <sequence>, outputs: [<first>, <second>, <state>]}
  - {layer: <shared>, from: <first>}
  - {layer: <shared>, from: <vector>}
  - {add: {}, from: [<second>, <state>]}
  - {name: <used>, use: <block>, with: {<size>: $<parameter>}}
  - {use: <block>, with: {<size>: 6}}
  - name: <stage>
    repeat: {times: 2, index: <index>, layers: [{name: <body>, dense: "${4 + 0 * <index>}"}]}
  - {name: <norm>, batch_norm: {}}
  - {name: <drop>, dropout: 0.25}
  - {name: <output>, dense: 2}
outputs: [<output>]
training:
  loss: {mean_squared_error: {prediction: <output>, target: <target>}}
  metrics: [mean_absolute_error]
allow: [unused]
"""

_YAML_WORDS = ("true", "null", "True", "False")
_ODD = """
_ x _x x_ _x_ __x __init__ __class__ __dict__ __doc__ __name__ __main__ __file__ __import__ _1 x1
I O l a b c d e f g h i j k m n o p q r s t u v w y z np torch nn F tf keras os sys
math json random hashlib null
self cls model step training inputs targets record loss raw weights targets sample_weights path
forward backward call parameters state eval exec compile locals globals vars dir type object super
values value mask block d_x grad gradient batch name names shape dtype device seed main build load
save predict trace Trainer Model Module Layer Tensor array float32 float64 int64 bool_ nan inf
match case async await print print_function __future__ annotations numpy tensorflow safetensors
argparse zq ZQ zq_2 dense_2 relu_2 lstm_2 repeat_2 add_2 logits preactivation kernel bias gamma beta
moving_mean moving_variance recurrent_kernel index stage shared units filters layer layers true
""".split()  # fmt: skip

UNUSUAL = (
    "", " ", "a b", "a-b", "a.b", "a/b", "../a", "/etc/passwd", "a\nb", "a\r\nb", "a\tb", "a;b",
    "a#b", "'", '"', "'''", '"""', "\\", "\\n", "a\\", "\\'", "{", "}", "{x}", "{{x}}",
    "{0.__class__}", "%s", "%(x)s", "%", "$x", "${x}", "*/", "/*", "//", "--", "<!--", "-->",
    "</script>", "&lt;", "a,b", "(a)", "[a]", "a=b", "a:b", "lambda: 0", "import os",
    "__import__('os').system('true')", "\n    import os\n", '"; import os; "',
    "'); import os; ('", '"""\nimport os\n"""', "# noqa", "a\0b", "\x1b[2J", "\x7f", "a\u0085b",
    "a\u2028b", "a\u2029b", "a\u202eb", "a\u2066b", "\u200b", "\ufeff", "\u00e9", "e\u0301",
    "\uff4e\uff50", "\u0435val", "\u212a", "\u017f", "\u00aa", "\ufb01", "\U0001d41a", "\u0661",
    "1", "1a", "-1", "1e3", "a" * 101, "a" * 5000, "~",
)  # fmt: skip
"""Strings that are no names: the spec is refused, or what is written does not depend on them."""


@cache
def identifiers() -> tuple[str, ...]:
    """Names that Python, a framework or the generated file itself may want for something else."""
    import torch

    found = {*_ODD, *keyword.kwlist, *keyword.softkwlist, *dir(builtins)}
    found |= NUMPY | TORCH | TENSORFLOW | RESERVED
    found |= TorchModules.reserved_attributes | TensorflowModules.reserved_attributes
    found |= set(dir(torch.nn.Module))
    found |= {"a" * 100, "a" * 40 + "_"}
    return tuple(sorted(name for name in found if name.isidentifier()))


def filled(names: dict[str, str]) -> str:
    """The spec with a name in every slot."""
    text = SPEC
    for slot in SLOTS:
        name = names[slot]
        # What YAML takes for a value is quoted.
        if name in _YAML_WORDS:
            name = f'"{name}"'
        text = text.replace(f"<{slot}>", name)
    return text


def plain() -> dict[str, str]:
    """Names that clash with nothing."""
    return {slot: f"zq_{slot}" for slot in SLOTS}


def rotated(turn: int, names: tuple[str, ...]) -> dict[str, str]:
    """Another name for every slot: over all turns, every name in every slot. Slots whose name is
    the plain one, or that would have the same one as another slot, keep theirs."""
    chosen = plain()
    for position, slot in enumerate(SLOTS):
        # A step that divides no number of names far from it keeps neighbours apart.
        name = names[(turn + 37 * position) % len(names)]
        computed = slot in ("parameter", "size", "index")  # they stand within expressions
        if name not in chosen.values() and not (computed and name in _YAML_WORDS):
            chosen[slot] = name
    return chosen

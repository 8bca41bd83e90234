"""How each operation is written in JAX: the table of the backend.

JAX speaks NumPy: where an operation's NumPy form, differentiated automatically, has the
operation's own gradient, that form is JAX's too. The functions that it calls are in the prelude
under the same names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from specc.ir.graph import Node
from specc.ops.base import Form
from specc.ops.options import listed
from specc.ops.registry import OPS
from specc.ops.windows import node_pads

Lowering = Callable[[Node], Form | None]

AS_NUMPY = (
    *("dense", "flatten", "reshape", "permute", "transpose", "concatenate"),
    *("add", "subtract", "multiply", "average", "layer_norm", "group_norm"),
    *("any_mask", "all_steps", "fill_masked", "not_padding"),
    *("max_pool1d", "max_pool2d", "average_pool1d", "average_pool2d"),
    *("global_average_pool1d", "global_average_pool2d", "global_max_pool1d", "global_max_pool2d"),
    *("mean_squared_error", "mean_absolute_error", "huber"),
    *("categorical_crossentropy", "sparse_categorical_crossentropy"),
)
EXPRESSIONS = {
    "relu": "jax.nn.relu({input})",
    "sigmoid": "jax.nn.sigmoid({input})",
    "tanh": "jnp.tanh({input})",
    "softplus": "jax.nn.softplus({input})",
}


def as_numpy(node: Node) -> Form | None:
    """The op's NumPy form over jax.numpy."""
    lowering = OPS[node.op].lowering("numpy")
    form = lowering(node) if lowering is not None else None
    if form is None:
        return None
    return Form(re.sub(r"\bnp\.", "jnp.", form.expression), form.values)


def convolution(node: Node) -> Form:
    """Options at their defaults are not written."""
    rank = len(node["kernel_size"])
    reach = tuple(
        (size - 1) * step + 1
        for size, step in zip(node["kernel_size"], node["dilation"], strict=True)
    )
    options = listed(
        strides=(tuple(node["strides"]), (1,) * rank),
        padding=(node_pads(node, reach), ((0, 0),) * rank),
        dilation=(tuple(node["dilation"]), (1,) * rank),
    )
    options += listed(groups=(node.attributes.get("groups", 1), 1))
    function = "depthwise_convolution" if node.op == "depthwise_conv2d" else "convolution"
    bias = " + {bias}" if node["use_bias"] else ""
    return Form(f"{function}({{input}}, {{kernel}}{options}){bias}")


def softmax(node: Node) -> Form:
    last = node["axis"] in (-1, node.outputs[0].type.rank - 1)
    return Form("jax.nn.softmax({input}" + ("" if last else f", axis={node['axis']}") + ")")


def leaky_relu(node: Node) -> Form:
    return Form("leaky_relu({input}, {slope})", {"slope": node["negative_slope"]})


def elu(node: Node) -> Form:
    return Form("jax.nn.elu({input}, {alpha})", {"alpha": node["alpha"]})


def gelu(node: Node) -> Form:
    return Form("jax.nn.gelu({input}, approximate={tanh})", {"tanh": node["approximate"]})


def dropout(node: Node) -> Form:
    """The keys of the masks are made on the host, when the step is traced."""
    if node["rate"] == 0:
        return Form("{input}")
    key = "layer_key({seed}, {path}" + (", {call})" if "@" in node.path else ")")
    return Form(
        f"dropout({{input}}, {{rate}}, {key}, {{step}}) if {{training}} else {{input}}",
        {"rate": node["rate"]},
    )


def embedding(node: Node) -> Form:
    padding = node["padding_idx"]
    if padding is None:
        return Form("jnp.take({embeddings}, {input}, axis=0)")
    return Form("padded_embedding({embeddings}, {input}, {padding})", {"padding": padding})


def batch_norm(node: Node) -> Form | None:
    """Not for masked sequences. What it saves are the running statistics after the batch."""
    if node.inputs[1] is not None:
        return None
    if not node["trainable"] and node["freeze_statistics"]:
        return as_numpy(node)
    rank = node.outputs[0].type.rank
    feature = node["axis"] % rank
    momentum = node["momentum"]
    values = {
        "axes": tuple(axis for axis in range(rank) if axis != feature),
        "epsilon": node["epsilon"],
        "keep": momentum if node["momentum_weighs"] == "old" else round(1 - momentum, 15),
    }
    arguments = ", ".join(
        f"{{{name}}}" if name.startswith("moving") or node.parameter(name) else "None"
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    unbiased = ", unbiased=True" if node["unbiased_variance"] else ""
    return Form(
        f"batch_norm({{input}}, {arguments}, {{axes}}, {{epsilon}}, {{keep}}, "
        f"{{training}}{unbiased})",
        values,
        saved=("moving_mean", "moving_variance"),
    )


def binary_crossentropy(node: Node) -> Form | None:
    """Not with PyTorch's limits of the logarithm, whose gradient is not that of the formula."""
    return as_numpy(node) if node["from_logits"] or node["epsilon"] else None


TABLE: Mapping[str, Lowering] = {
    **dict.fromkeys(AS_NUMPY, as_numpy),
    **{kind: lambda node, text=text: Form(text) for kind, text in EXPRESSIONS.items()},
    **dict.fromkeys(("conv1d", "conv2d", "depthwise_conv2d"), convolution),
    **{
        each.__name__: each
        for each in (
            batch_norm,
            binary_crossentropy,
            dropout,
            elu,
            embedding,
            gelu,
            leaky_relu,
            softmax,
        )
    },
}

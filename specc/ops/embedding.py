"""Tables of vectors, looked up by integers."""

from __future__ import annotations

from dataclasses import replace

from specc.ir.dims import BATCH, Dim
from specc.ir.graph import Node, Parameter, Value
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute, Boolean, Integer, Optional
from specc.ops.base import (
    BadSample,
    Form,
    Module,
    Op,
    OpProblem,
    Port,
    Sample,
    Site,
    Weight,
    weight_parameter,
)
from specc.ops.gradients import GradientBuilder
from specc.ops.joining import mask_value
from specc.ops.options import INITIALIZER, regularizer

_IDS = TensorType("int", (BATCH, 6))


class Embedding(Op):
    """Row ``ids`` of a trained table: ``output = embeddings[ids]``.

    ids: int (batch, ...), each from 0 to ``input_dim - 1``; output: (batch, ..., output_dim);
    embeddings: (input_dim, output_dim). An id that is too large is an error where the framework
    checks it: NumPy, PyTorch, and TensorFlow on a CPU. Negative ids are not defined.
    """

    kind = "embedding"
    family = "embedding"
    ports = (Port("input", dtype="int", doc="ids (batch, ...)"),)
    mask = "stop"
    attributes = (
        Attribute("input_dim", Integer(1), doc="How many ids there are: the rows of the table."),
        Attribute("output_dim", Integer(1), doc="Size of the vector of each id."),
        Attribute(
            "embeddings_initializer",
            INITIALIZER,
            keras={"uniform": {"low": -0.05, "high": 0.05}},
            pytorch={"normal": {"mean": 0.0, "stddev": 1.0}},
            doc="Initial values of the table.",
        ),
        regularizer("embeddings"),
        Attribute(
            "mask_zero",
            Boolean(),
            False,
            "Whether id 0 is padding, which later layers and the loss skip (keras convention).",
        ),
        Attribute(
            "padding_idx",
            Optional(Integer(0)),
            None,
            "The id whose row starts at 0 and gets no gradient (PyTorch).",
        ),
    )
    refused = {
        "num_embeddings": "write input_dim",
        "embedding_dim": "write output_dim",
        "input_length": "the length comes from the input; remove it",
        "max_norm": "specc does not change the table while it is read; remove it",
        "sparse": "gradients are dense; remove it",
    }
    samples = (
        Sample((_IDS,), {"input_dim": 5, "output_dim": 3}),
        Sample(
            (TensorType("int", (BATCH,)),), {"input_dim": 5, "output_dim": 3, "mask_zero": True}
        ),
        Sample((_IDS,), {"input_dim": 5, "output_dim": 3, "padding_idx": 2}, "pytorch"),
    )
    bad = (
        BadSample(
            (_IDS,), {"input_dim": 5, "output_dim": 3, "padding_idx": 5}, "ids go from 0 to 4"
        ),
        BadSample(
            (_IDS,), {"input_dim": 5, "output_dim": 3, "mask_zero": True}, "keras", "pytorch"
        ),
        BadSample(
            (TensorType("float", (BATCH, 6)),),
            {"input_dim": 5, "output_dim": 3},
            "takes int values",
        ),
    )

    def infer(self, site: Site) -> TensorType:
        padding = site["padding_idx"]
        if padding is not None and padding >= site["input_dim"]:
            raise OpProblem(
                f"padding_idx {padding} has no row: ids go from 0 to {site['input_dim'] - 1}",
                attribute="padding_idx",
            )
        if site["mask_zero"] and not site.keras:
            raise OpProblem(
                "mask_zero makes a mask that later layers take by themselves: only the keras "
                "convention has that",
                help="write padding_idx: 0, or conventions: keras",
                attribute="mask_zero",
            )
        return TensorType("float", (*site.input.shape, site["output_dim"]))

    def size_from(self, site: Site, axis: int) -> str | tuple[int, int]:
        return "output_dim" if axis == site.input.rank else (0, axis)

    def parameters(self, site: Site) -> tuple[Parameter, ...]:
        rows, size = site["input_dim"], site["output_dim"]
        table = weight_parameter(site, "embeddings", (rows, size), fan_in=rows, fan_out=size)
        return (replace(table, zero_row=site["padding_idx"]),)

    def make_mask(self, site: Site, path: str, inputs: tuple[Value | None, ...]) -> Node | None:
        ids = inputs[0]
        if not site["mask_zero"] or ids is None:
            return None
        mask = mask_value(f"{path}.mask", ids.type.shape)
        return Node(NotPadding.kind, mask.name, (ids,), (mask,))

    def flops(self, node: Node) -> Dim:
        return 0

    def numpy(self, node: Node) -> Form:
        return Form("{embeddings}[{input}]")

    def torch(self, node: Node) -> Form:
        padding = {} if node["padding_idx"] is None else {"padding_idx": node["padding_idx"]}
        return Form(
            "{self}({input})",
            module=Module(
                "nn.Embedding",
                (node["input_dim"], node["output_dim"]),
                padding,
                (Weight("embeddings", ("weight",)),),
            ),
        )

    def tensorflow(self, node: Node) -> Form:
        kind, padding = "keras.layers.Embedding", {}
        if node["padding_idx"] is not None:
            kind, padding = "PaddedEmbedding", {"padding_idx": node["padding_idx"]}
        return Form(
            "{self}({input})",
            module=Module(
                kind,
                (node["input_dim"], node["output_dim"]),
                padding,
                (Weight("embeddings", ("embeddings",)),),
            ),
        )

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        (ids,), (y,) = node.inputs, node.outputs
        dy = g.of(y)
        assert ids is not None and dy is not None
        table = g.parameter(node, "embeddings")
        arguments = [ids, dy, node["input_dim"]]
        if node["padding_idx"] is not None:
            arguments.append(node["padding_idx"])
        name = f"d_{table.name}"
        g.add(table, g.call("embedding_gradient", arguments, (table.type,), name)[0])


class NotPadding(Op):
    """True where an id is not 0; the compiler's own."""

    kind = "not_padding"
    family = "embedding"
    internal = True
    ports = (Port("input", dtype="int"),)

    def numpy(self, node: Node) -> Form:
        return Form("{input} != 0")

    torch = tensorflow = numpy


OPS = (Embedding, NotPadding)

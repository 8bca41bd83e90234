"""Attention."""

from __future__ import annotations

from specc.ir.dims import BATCH, Dim, product
from specc.ir.graph import Node, Parameter, Value
from specc.ir.types import TensorType
from specc.ops.advice import count, divisors_near, sequence_advice
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
from specc.ops.options import USE_BIAS, given, initializer, regularizer

_PARTS = ("query", "key", "value", "output")
_X = TensorType("float", (BATCH, 5, 6))
_MEMORY = TensorType("float", (BATCH, 4, 3))


class MultiHeadAttention(Op):
    """Multi-head scaled dot-product attention (Vaswani et al., 2017).

    query: (batch, T, features); value and key: (batch, S, ...), by default the query (so that it
    attends to itself) and the value; output: (batch, T, features). Each head takes the mean of the
    projected values, weighted by softmax(q @ k.T / sqrt(key_dim)); a last projection joins them.
    query.kernel, key.kernel: (features, heads, key_dim); value.kernel: (features, heads,
    value_dim); output.kernel: (heads, value_dim, features), as Keras keeps them.

    mask: (batch, S), or (batch, T, S) for each query: True where a key may be attended to. Under
    the keras convention that of the value comes in by itself; padded queries attend as others do
    (Keras gives them the mean of all values), and the output keeps their mask. Where a query has no
    key at all the heads are 0.
    """

    kind = "multi_head_attention"
    aliases = ("multihead_attention",)
    family = "attention"
    ports = (
        Port("query", rank=3, doc="(batch, T, features)"),
        Port("value", rank=3, optional=True, doc="(batch, S, value features); the query"),
        Port("key", rank=3, optional=True, doc="(batch, S, key features); the value"),
        Port("mask", "bool", (2, 3), optional=True, doc="(batch, S) or (batch, T, S)"),
    )
    mask_of = 0
    attributes = (
        Attribute("num_heads", Integer(1), doc="Number of heads."),
        Attribute(
            "key_dim",
            Optional(Integer(1)),
            None,
            "Size of a head's queries and keys; the query's features / num_heads when not given.",
        ),
        Attribute(
            "value_dim",
            Optional(Integer(1)),
            None,
            "Size of a head's values; key_dim when not given.",
        ),
        Attribute("causal", Boolean(), False, "Query t sees the keys 0 to t only."),
        USE_BIAS,
        initializer("kernel", "glorot_uniform", "xavier_uniform"),
        initializer("output", "glorot_uniform", "fan_in_uniform"),
        initializer("bias", "zeros", "zeros"),
        Attribute(
            "packed_fans",
            Boolean(),
            keras=False,
            pytorch=True,
            doc="Whether query, key and value kernels begin as parts of one matrix, three times as "
            "wide, if they are of one size: PyTorch's in_proj_weight.",
        ),
        regularizer("kernel"),
        regularizer("bias"),
    )
    refused = {
        "embed_dim": "specc infers the number of features; remove it",
        "kdim": "specc infers the number of features; remove it",
        "vdim": "specc infers the number of features; remove it",
        "batch_first": "sequences are always (batch, time, feature); remove it",
        "output_shape": "the output has the query's size; put a dense layer after it",
        "use_causal_mask": "write causal",
        "dropout": "the weights of the heads are not dropped here; put a dropout layer after it",
    }
    samples = (
        Sample((_X, None, None, None), {"num_heads": 2}),
        Sample((_X, None, None, TensorType("bool", (BATCH, 5))), {"num_heads": 2, "causal": True}),
        Sample(
            (_X, _MEMORY, None, TensorType("bool", (BATCH, 4))),
            {"num_heads": 2, "key_dim": 4, "value_dim": 3, "use_bias": False},
        ),
        Sample(
            (_X, _MEMORY, TensorType("float", (BATCH, 4, 2)), TensorType("bool", (BATCH, 5, 4))),
            {"num_heads": 1, "key_dim": 3},
        ),
        Sample((_X, None, None, None), {"num_heads": 3, "causal": True}, "pytorch"),
    )
    bad = (
        BadSample((_X, None, None, None), {"num_heads": 4}, "do not divide into 4 heads"),
        BadSample(
            (TensorType("float", (BATCH, 6)), None, None, None), {"num_heads": 2}, "needs 2 axes"
        ),
        BadSample(
            (_X, _MEMORY, TensorType("float", (BATCH, 3, 2)), None),
            {"num_heads": 2},
            "as many keys as values",
        ),
        BadSample(
            (_X, None, None, TensorType("bool", (BATCH, 4))),
            {"num_heads": 2},
            "needs bool[5] or bool[5, 5]",
        ),
    )

    def infer(self, site: Site) -> TensorType:
        for port, found in zip(self.ports[:3], site.inputs[:3], strict=True):
            if found is not None and found.rank != 3:
                raise OpProblem(
                    f"{self.kind} needs 2 axes beside the batch, time and features, at its input "
                    f"'{port.name}'; this is {found}",
                    help=sequence_advice(found),
                    port=port.name,
                    about="rank",
                )
        query, key, value = self._sources(site)
        if key.shape[:2] != value.shape[:2]:
            raise OpProblem(
                f"{self.kind} needs as many keys as values: the key is {key}, the value {value}",
                help="keys and values come from one sequence, or from two of one length",
                port="key",
                axes=((2 if site.inputs[2] else 0, 1), (1 if site.inputs[1] else 0, 1)),
            )
        mask = site.inputs[3]
        short, full = value.shape[:2], (*query.shape[:2], value.shape[1])
        if mask is not None and mask.shape not in (short, full):
            wanted = " or ".join(str(TensorType("bool", shape)) for shape in (short, full))
            raise OpProblem(
                f"{self.kind} needs {wanted} at its input 'mask', not {mask}", port="mask"
            )
        self._head_sizes(site)
        return query

    def masked_port(self, site: Site) -> int:
        return 1 if site.inputs[1] is not None else 0

    def _sources(self, site: Site) -> tuple[TensorType, TensorType, TensorType]:
        """Types of query, key and value."""
        query, value, key, _ = site.inputs
        assert query is not None
        value = value or query
        return query, key or value, value

    def _head_sizes(self, site: Site) -> tuple[int, int]:
        """Sizes of a head's keys and values."""
        key_dim, heads = site["key_dim"], site["num_heads"]
        if key_dim is None:
            features = site.static(-1, "the number of features")
            if features % heads:
                raise OpProblem(
                    f"the {count(features, 'feature')} of the query do not divide into "
                    f"{count(heads, 'head')}",
                    help=f"write {count(divisors_near(features, heads), 'head')}, or give key_dim",
                    attribute="num_heads",
                    axes=((0, 2),),
                )
            key_dim = features // heads
        return key_dim, site["value_dim"] or key_dim

    def parameters(self, site: Site) -> tuple[Parameter, ...]:
        heads, (key_dim, value_dim) = site["num_heads"], self._head_sizes(site)
        sizes = [self._features(kind) for kind in self._sources(site)]
        features = sizes[0]
        shapes = (
            (features, heads, key_dim),
            (sizes[1], heads, key_dim),
            (sizes[2], heads, value_dim),
            (heads, value_dim, features),
        )
        packed = site["packed_fans"] and len(set(sizes)) == 1 and key_dim == value_dim
        found = []
        for part, shape in zip(_PARTS, shapes, strict=True):
            output = part == "output"
            fan_in = shape[0] * shape[1] if output else shape[0]
            fan_out = shape[2] if output else shape[1] * shape[2] * (3 if packed else 1)
            chosen: list[tuple[str, tuple[int, ...], str, str]] = [
                (f"{part}.kernel", shape, "output" if output else "kernel", "kernel")
            ]
            if site["use_bias"]:
                chosen.append((f"{part}.bias", shape[2:] if output else shape[1:], "bias", "bias"))
            for name, size, initial, penalty in chosen:
                found.append(
                    weight_parameter(
                        site,
                        name,
                        size,
                        fan_in=fan_in,
                        fan_out=fan_out,
                        initializer=f"{initial}_initializer",
                        regularizer=f"{penalty}_regularizer",
                    )
                )
        return tuple(found)

    def _features(self, kind: TensorType) -> int:
        size = kind.shape[-1]
        if not isinstance(size, int):
            raise OpProblem(
                f"the number of features must be a known size, but that of {kind} is '{size}'",
                help="give this axis a number where the input is declared",
            )
        return size

    def flops(self, node: Node) -> Dim:
        query, key, value = self._values(node)
        total: Dim = 0
        for part, steps in zip(_PARTS, (query, key, value, query), strict=True):
            kernel = node.parameter(f"{part}.kernel")
            assert kernel is not None
            total = total + product((*steps.type.shape[:2], *kernel.shape)) * 2
            if part in ("key", "value"):  # scores, and the mean of the values
                pairs = product((*query.type.shape[:2], value.type.shape[1]))
                total = total + pairs * (2 * kernel.shape[1] * kernel.shape[2])
        return total

    def _values(self, node: Node) -> tuple[Value, Value, Value]:
        """What query, key and value are."""
        query, value, key, _ = node.inputs
        assert query is not None
        value = value or query
        return query, key or value, value

    # Forms ------------------------------------------------------------------------------------

    def _names(self, node: Node) -> list[str]:
        ends = ("kernel", "bias") if node["use_bias"] else ("kernel",)
        return [f"{part}.{end}" for part in _PARTS for end in ends]

    def _module(self, node: Node) -> Module:
        query, key, value = (node.parameter(f"{part}.kernel") for part in _PARTS[:3])
        assert query is not None and key is not None and value is not None
        return Module(
            "MultiHeadAttention",
            query.shape,
            given(
                value_dim=(value.shape[2], query.shape[2]),
                key_features=(key.shape[0], query.shape[0]),
                value_features=(value.shape[0], query.shape[0]),
                bias=(node["use_bias"], True),
                causal=(node["causal"], False),
            ),
            tuple(Weight(name, (name.replace(".", "_"),)) for name in self._names(node)),
        )

    def torch(self, node: Node) -> Form:
        ports = zip(self.ports[1:], node.inputs[1:], strict=True)
        wired = [f"{port.name}={{{port.name}}}" for port, value in ports if value is not None]
        return Form(f"{{self}}({', '.join(['{query}', *wired])})", module=self._module(node))

    def tensorflow(self, node: Node) -> Form:
        # Keras fills in an argument called mask by itself.
        form = self.torch(node)
        return Form(form.expression.replace("mask={mask}", "allowed={mask}"), module=form.module)

    def saved(self, node: Node) -> tuple[tuple[str, TensorType], ...]:
        query, _, value = self._values(node)
        (batch, steps), places = query.type.shape[:2], value.type.shape[1]
        kernels = [node.parameter(f"{part}.kernel") for part in _PARTS[:3]]
        heads, key_dim, value_dim = 1, 1, 1
        if kernels[0] is not None and kernels[2] is not None:
            (_, heads, key_dim), value_dim = kernels[0].shape, kernels[2].shape[2]
        sizes = {
            "queries": (steps, key_dim),
            "keys": (places, key_dim),
            "values": (places, value_dim),
            "weights": (steps, places),
            "means": (steps, value_dim),
        }
        return tuple(
            (name, TensorType("float", (batch, heads, *size))) for name, size in sizes.items()
        )

    def numpy(self, node: Node) -> Form:
        query, key, value = node.inputs[0], node.inputs[2], node.inputs[1]
        sources = ["{query}", "{value}" if value else "{query}"]
        sources.insert(1, "{key}" if key else sources[-1])
        assert query is not None
        bias = ", {{{0}_bias}}" if node["use_bias"] else ","
        pairs = [f"({{{part}_kernel}}{bias.format(part)})" for part in _PARTS]
        options = []
        mask = node.inputs[3]
        if mask is not None:
            options.append(
                f"mask={{mask}}{'[:, None, None]' if mask.type.rank == 2 else '[:, None]'}"
            )
        if node["causal"]:
            options.append("causal=True")
        call = f"multi_head_attention({', '.join([*sources, *pairs, *options])})"
        names = tuple(name for name, _ in self.saved(node))
        return Form(call, saved=names, inference=f"{call}[0]")

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        dy = g.of(node.outputs[0])
        assert dy is not None
        kept = {name: g.saved(node, name) for name, _ in self.saved(node)}
        heads = [kept[name] for name in ("queries", "keys", "values")]
        d_means = self._projected(node, g, "join_heads_gradient", "output", dy, kept["means"])
        d_heads = g.call(
            "scaled_dot_product_attention_gradient",
            (d_means, kept["weights"], *heads),
            [each.type for each in heads],
            [f"d_{each.name}" for each in heads],
        )
        for part, d_head, source in zip(_PARTS[:3], d_heads, self._values(node), strict=True):
            g.add(source, self._projected(node, g, "split_heads_gradient", part, d_head, source))

    def _projected(
        self, node: Node, g: GradientBuilder, function: str, part: str, dy: Value, source: Value
    ) -> Value:
        """Adds the gradients of a projection's parameters; gives that of its input."""
        kernel = g.parameter(node, f"{part}.kernel")
        bias = g.parameter(node, f"{part}.bias") if node["use_bias"] else None
        dx, d_kernel, d_bias = g.call(
            function,
            (dy, source, kernel),
            (source.type, kernel.type, bias.type if bias is not None else None),
            [f"d_{value.name}" if value else "_" for value in (source, kernel, bias)],
        )
        g.add(kernel, d_kernel)
        g.add(bias, d_bias)
        return dx


OPS = (MultiHeadAttention,)

"""What an operation is: one class that holds everything the compiler knows about it.

The checker, the emitters, the documentation page, the JSON schema, the per-op tests and the random
specs all read
these classes. An op that is written here needs no other place to be changed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

from specc.ir.dims import Dim
from specc.ir.graph import Initializer, Node, Parameter, Value
from specc.ir.types import TensorType
from specc.ops.attributes import Attribute
from specc.records import dataclass

if TYPE_CHECKING:
    from specc.ops.gradients import GradientBuilder


@dataclass(frozen=True)
class Port:
    """A place where a value is wired in. ``rank`` counts the batch; ``many`` takes any number of
    values.
    """

    name: str
    dtype: str = "float"
    rank: int | tuple[int, ...] | None = None
    optional: bool = False
    many: bool = False
    doc: str = ""
    # A name under which several ports are wired as a list: initial_state: [h, c].
    group: str = ""


class OpProblem(Exception):  # noqa: N818  (it becomes a diagnostic at the layer's place)
    """The layer cannot work on these inputs with these attributes.

    ``attribute`` or ``port`` say what to underline; the caller adds where the inputs came from.
    ``beside`` is a second attribute that the first does not go with.
    ``about`` says what kind of problem it is, where the layers above may explain it: "window" (it
    does not fit into its image), "rank" or "sizes". ``axes`` are the (input, axis) whose sizes do
    not fit together.
    """

    def __init__(
        self,
        message: str,
        *,
        help: str = "",
        attribute: str = "",
        port: str = "",
        code: str = "E0601",
        beside: str = "",
        about: str = "",
        axes: tuple[tuple[int, int], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message, self.help = message, help
        self.attribute, self.port, self.code = attribute, port, code
        self.beside, self.about, self.axes = beside, about, axes


@dataclass(frozen=True)
class Site:
    """One use of an op while it is checked: the types that come in, and its attributes, all filled
    in. ``names`` are those of the values that come in, for messages.
    """

    inputs: tuple[TensorType | None, ...]
    attributes: Mapping[str, Any]
    conventions: str = "keras"
    names: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.attributes[name]

    @property
    def input(self) -> TensorType:
        first = self.inputs[0]
        assert first is not None
        return first

    @property
    def keras(self) -> bool:
        return self.conventions == "keras"

    def name(self, index: int) -> str:
        """An input as a message calls it: by its name, or ``input 2``."""
        return f"'{self.names[index]}'" if self.names else f"input {index + 1}"

    def static(self, axis: int, what: str, help: str = "") -> int:
        """The size of an axis of the first input, which must be known when compiling."""
        axis %= self.input.rank
        size = self.input.shape[axis]
        if not isinstance(size, int):
            raise OpProblem(
                f"{what} must be a known size, but axis {axis} of the input is '{size}'",
                help=help or "give this axis a number where the input is declared",
                axes=((0, axis),),
            )
        return size


class Source(str):
    """An argument that is written as it stands, such as the layer inside another layer."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Default:
    """A keyword's value beside the framework's own default, at which it is not written."""

    value: Any
    default: Any


@dataclass(frozen=True)
class Weight:
    """Where a framework's module keeps a parameter of the spec, as data that can be read both ways.

    ``axes`` permutes the framework's array to the neutral layout; ``gates`` reorders equal blocks
    of the last
    neutral axis; several ``attributes`` are stacked along a new first axis.
    """

    parameter: str
    attributes: tuple[str, ...]
    axes: tuple[int, ...] | None = None
    gates: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Module:
    """A framework's layer object, made in the constructor."""

    type: str
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[Weight, ...] = ()
    # "one_bias({module})": wraps the construction.
    wrap: str = "{module}"


@dataclass(frozen=True)
class Form:
    """How a node is written in a backend's source.

    ``expression`` is a template over the node's own names: ports, parameters, ``self`` (its
    module) and
    ``values`` (Python literals). ``needs`` are names of the surrounding function it uses:
    training, step.
    ``saved`` names what the expression returns after its outputs, for the gradient; ``effects``
    are statements
    that update running statistics.
    """

    expression: str
    values: Mapping[str, Any] = field(default_factory=dict)
    module: Module | None = None
    needs: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    # The same node in inference, where its form is another one.
    inference: str = ""


@dataclass(frozen=True)
class Sample:
    """A valid use, for tests and documentation: input types by port, attributes, and what comes
    out.
    """

    inputs: tuple[TensorType | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    conventions: str = "keras"


@dataclass(frozen=True)
class BadSample:
    """An invalid use and a part of the message that it must give."""

    inputs: tuple[TensorType | None, ...]
    attributes: Mapping[str, Any]
    message: str
    conventions: str = "keras"


class Op:
    """Base of all operations. Subclasses are registered by their family file's list."""

    kind: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str] = ""
    ports: ClassVar[tuple[Port, ...]] = (Port("input"),)
    outputs: ClassVar[tuple[str, ...]] = ("output",)
    attributes: ClassVar[tuple[Attribute, ...]] = ()
    # Attributes of other frameworks' layers that have no place here: name -> what to do instead.
    refused: ClassVar[Mapping[str, str]] = {}
    # "any": works element by element in whatever layout; "spec": needs the spec's layout;
    # "image": needs the
    # backend's own image layout (channels_first or channels_last) and has an attribute ``layout``.
    layout: ClassVar[str] = "spec"
    # What becomes of the mask of padded steps: "pass" it on to the output, or "stop" it. An op
    # with a port named
    # ``mask`` takes it there.
    mask: ClassVar[str] = "pass"
    # The port whose own mask is passed on; None: what is wired as mask, or the first mask there is.
    mask_of: ClassVar[int | None] = None
    internal: ClassVar[bool] = False
    random: ClassVar[bool] = False
    samples: ClassVar[tuple[Sample, ...]] = ()
    bad: ClassVar[tuple[BadSample, ...]] = ()

    @property
    def doc(self) -> str:
        return inspect.cleandoc(type(self).__doc__ or "")

    def attribute(self, name: str) -> Attribute | None:
        return next((a for a in self.attributes if a.name == name), None)

    def complete(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Fills in defaults that depend on other attributes."""
        return attributes

    def infer(self, site: Site) -> TensorType | tuple[TensorType, ...]:
        """The output types. The default is for element-wise ops: that of the first input."""
        return site.input

    def size_from(self, site: Site, axis: int) -> str | tuple[int, int] | None:
        """What the size of an axis of the first output is: the value of an attribute, given by its
        name, the size of (input, axis), or None where it is computed. For messages."""
        return (0, axis) if self.infer(site) == site.input else None

    def output_names(self, site: Site) -> tuple[str, ...]:
        """Names of the outputs of this use."""
        return self.outputs

    def parameters(self, site: Site) -> tuple[Parameter, ...]:
        """Trained arrays and running statistics."""
        return ()

    def make_mask(self, site: Site, path: str, inputs: tuple[Value | None, ...]) -> Node | None:
        """A node that computes the mask of this op's output, for ops that begin or change masks."""
        return None

    def join_masks(
        self, site: Site, path: str, inputs: tuple[Value, ...], masks: tuple[Value | None, ...]
    ) -> tuple[Node, ...]:
        """For ops with any number of inputs, some of them masked: the nodes that compute the mask
        of the output, which is the last one's result; none if the output has no mask."""
        return ()

    def fill_masked(self, node: Node, masks: tuple[Value | None, ...]) -> tuple[Node, ...]:
        """The nodes that stand for ``node`` when some inputs are masked: more than itself for ops
        that put neutral values in the place of masked steps."""
        return (node,)

    def masked_port(self, site: Site) -> int:
        """The port whose mask goes into the port ``mask`` where none is wired there."""
        return 0

    def passes_mask(self, site: Site) -> bool:
        """Whether the mask of the input is also that of the output."""
        return self.mask == "pass"

    def flops(self, node: Node) -> Dim:
        """Floating-point operations of the forward pass (a multiply-add counts as two)."""
        return 0

    def gradient(self, node: Node, g: GradientBuilder) -> None:
        """Adds the gradients of inputs and parameters to ``g``. The default: there is none."""

    def saved(self, node: Node) -> tuple[tuple[str, TensorType], ...]:
        """Further results that the gradient needs, by name, computed in training only."""
        return ()

    def lowering(self, backend: str) -> Callable[[Node], Form | None] | None:
        """This op's form for a backend: the method named after it."""
        found: Callable[[Node], Form | None] | None = getattr(self, backend, None)
        return found


def weight_parameter(
    site: Site,
    name: str,
    shape: Sequence[Dim],
    *,
    fan_in: int,
    fan_out: int,
    initializer: str | None = None,
    regularizer: str | None = None,
) -> Parameter:
    """A trained parameter whose initializer and penalty are the attributes ``{name}_initializer``
    and so on.
    """
    chosen: Initializer = site[initializer or f"{name}_initializer"]
    penalty = site.attributes.get(regularizer or f"{name}_regularizer")
    return Parameter(
        name,
        tuple(int(size) for size in shape),  # type: ignore[arg-type]
        chosen,
        fan_in,
        fan_out,
        l1=penalty["l1"] if penalty else 0.0,
        l2=penalty["l2"] if penalty else 0.0,
    )


def input_values(node: Node) -> tuple[Value, ...]:
    """The inputs that are wired."""
    return tuple(value for value in node.inputs if value is not None)

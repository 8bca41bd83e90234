"""Masks of padded steps, which the keras convention hands on from layer to layer."""

from __future__ import annotations

from specc.frontend.wiring import Wires
from specc.ir.graph import Node, Value
from specc.ops.base import Op, Site


class Masks:
    """The mask of each value that has one. Under the pytorch convention none is passed on."""

    def __init__(self, conventions: str) -> None:
        self._keras = conventions == "keras"
        # By id; the values themselves are kept beside so that no other one gets their ids.
        self._masks: dict[int, tuple[Value, Value]] = {}

    def of(self, value: Value | None) -> Value | None:
        """The mask of a value, or None."""
        found = self._masks.get(id(value))
        return found[1] if found else None

    def set(self, value: Value, mask: Value) -> None:
        self._masks[id(value)] = value, mask

    def wire(self, op: Op, wires: Wires, site: Site) -> None:
        """The mask of a layer's input goes into its port ``mask``, unless one is wired."""
        index = next((i for i, port in enumerate(op.ports) if port.name == "mask"), None)
        if self._keras and index is not None and wires[index] is None:
            wires[index] = self.of(wires[op.masked_port(site)])

    def filled(self, op: Op, node: Node) -> tuple[Node, ...]:
        """The nodes that stand for ``node`` where some of its inputs are masked."""
        masks = tuple(map(self.of, node.inputs))
        return op.fill_masked(node, masks) if self._keras and any(masks) else (node,)

    def pass_on(
        self, op: Op, site: Site, path: str, wires: Wires, output: Value
    ) -> tuple[Node, ...]:
        """Gives the output of a layer its mask; the nodes that compute it, if any."""
        if not self._keras:
            return ()
        made = op.make_mask(site, path, tuple(wires))
        if made is not None:
            self.set(output, made.outputs[0])
            return (made,)
        known = [mask for wire in wires if (mask := self.of(wire))]
        if op.ports and op.ports[0].many:
            inputs = tuple(wire for wire in wires if wire is not None)
            joined = op.join_masks(site, path, inputs, tuple(map(self.of, inputs))) if known else ()
            if joined:
                self.set(output, joined[-1].outputs[0])
            return joined
        explicit = next(
            (w for p, w in zip(op.ports, wires, strict=False) if p.name == "mask" and w), None
        )
        mask = explicit or (known[0] if known else None)
        if op.mask_of is not None:
            mask = self.of(wires[op.mask_of])
        if mask is not None and op.passes_mask(site):
            self.set(output, mask)
        return ()

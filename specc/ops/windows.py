"""Geometry of sliding windows, shared by convolutions and pools."""

from __future__ import annotations

from typing import Any

from specc.ir.dims import BATCH, Dim
from specc.ir.graph import Node
from specc.ir.types import TensorType
from specc.ops.advice import count
from specc.ops.base import OpProblem, Site

Pads = tuple[tuple[int, int], ...]


def spatial_axes(rank: int, layout: str) -> tuple[int, ...]:
    return tuple(range(1, rank - 1)) if layout == "channels_last" else tuple(range(2, rank))


def channel_axis(rank: int, layout: str) -> int:
    return rank - 1 if layout == "channels_last" else 1


def image_type(sizes: tuple[Dim, ...], channels: Dim, layout: str) -> TensorType:
    inner = (*sizes, channels) if layout == "channels_last" else (channels, *sizes)
    return TensorType("float", (BATCH, *inner))


def window_pads(
    sizes: tuple[Dim, ...], windows: tuple[int, ...], strides: tuple[int, ...], padding: str | Pads
) -> Pads:
    """(before, after) per axis. ``same`` gives ceil(size / stride) outputs, the odd element at the
    end.

    Source: the definition of SAME in TensorFlow's documentation of tf.nn.convolution.
    """
    if padding == "valid":
        return ((0, 0),) * len(sizes)
    if not isinstance(padding, str):
        return padding
    pads = []
    for size, window, stride in zip(sizes, windows, strides, strict=True):
        if stride == 1:
            total = window - 1
        elif isinstance(size, int):
            total = max((-(-size // stride) - 1) * stride + window - size, 0)
        else:
            raise OpProblem(
                f"padding 'same' with stride {stride} depends on the axis' size, here '{size}'",
                help="give the axis a number, or write the padding as numbers",
                attribute="padding",
            )
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


def window_sizes(site: Site, window: str, reach: tuple[int, ...]) -> tuple[Dim, ...]:
    """Output sizes of a window that spans ``reach`` elements; refuses one larger than its padded
    input.
    """
    layout = site["layout"]
    sizes = tuple(site.input.shape[axis] for axis in spatial_axes(site.input.rank, layout))
    pads = window_pads(sizes, reach, site["strides"], site["padding"])
    result: list[Dim] = []
    for axis, (size, span, stride, pad) in enumerate(
        zip(sizes, reach, site["strides"], pads, strict=True)
    ):
        padded = size + sum(pad)
        if isinstance(padded, int) and padded < span:
            where = spatial_axes(site.input.rank, layout)[axis]
            has = count(padded, "element") + (" with its padding" if any(pad) else "")
            raise OpProblem(
                f"a {window} of {' x '.join(map(str, reach))} does not fit into the input of "
                f"{' x '.join(map(str, sizes))} (axis {where} has {has}, {span} are needed)",
                help=f"use a smaller {window}, padding: same, or fewer pools before this layer",
                attribute="kernel_size" if window == "kernel" else "pool_size",
                about="window",
                axes=((0, where),),
            )
        result.append((padded - span) // stride + 1)
    return tuple(result)


def check_rank(site: Site, rank: int, kind: str) -> None:
    """Refuses an input of another rank and says which axes are expected."""
    if site.input.rank == rank:
        return
    axes = ("length",) if rank == 3 else ("height", "width")
    named = (*axes, "channels") if site["layout"] == "channels_last" else ("channels", *axes)
    raise OpProblem(
        f"{kind} needs {rank - 1} axes besides the batch ({', '.join(named)}), "
        f"but its input {site.input} has {site.input.rank - 1}",
        help=_image_advice(site, rank, kind),
        port="input",
        about="rank",
    )


def _image_advice(site: Site, rank: int, kind: str) -> str:
    """How a value of another rank becomes an image, or a sequence for windows in one direction."""
    sizes = list(site.input.shape[1:])
    last = site["layout"] == "channels_last"
    if len(sizes) == rank:
        without = ", ".join(map(str, sizes[1:]))
        return f"the batch is no part of a shape: without it this is [{without}]"
    if len(sizes) != rank - 2:
        axes = ("height", "width") if rank == 4 else ("length",)
        named = (*axes, "channels") if last else ("channels", *axes)
        return f"reshape it to [{', '.join(named)}]"
    channels = sizes[-1] if last else sizes[0]
    if rank == 4 and channels in (2, 3, 4) and len(sizes) == 2:
        return f"for a sequence of {channels} channels write {kind.replace('2d', '1d')}"
    whole = ", ".join(map(str, [*sizes, 1] if last else [1, *sizes]))
    return f"add the axis of the channels, by a reshape or where the input is declared: [{whole}]"


def other_layout(site: Site) -> str:
    """The help where the axis of the channels has no size yet, and that of the other layout has."""
    other = "channels_first" if site["layout"] == "channels_last" else "channels_last"
    opposite = channel_axis(site.input.rank, other)
    if isinstance(site.input.shape[opposite], int):
        return f"set layout to {other}, or give the axis of the channels a number"
    return ""


def transposed_layout(found: TensorType, layout: str) -> tuple[Dim, ...] | None:
    """The shape of an image in its layout, if it looks as if it were given in the other one."""
    if found.rank != 4 or not all(isinstance(size, int) for size in found.shape[1:]):
        return None
    first, middle, last = (int(str(size)) for size in found.shape[1:])
    if layout == "channels_last":
        few = first <= 4 or middle == last
        return (middle, last, first) if few and first < min(middle, last) else None
    few = last <= 4 or first == middle
    return (last, first, middle) if few and last < min(first, middle) else None


def node_pads(node: Node, windows: tuple[int, ...]) -> Pads:
    x = node.inputs[0]
    assert x is not None
    sizes = tuple(x.type.shape[axis] for axis in spatial_axes(x.type.rank, node["layout"]))
    return window_pads(sizes, windows, node["strides"], node["padding"])


def symmetric(pads: Pads) -> bool:
    return all(before == after for before, after in pads)


def torch_pad(pads: Pads) -> tuple[int, ...]:
    """The argument of F.pad, which starts at the last axis."""
    return tuple(size for pair in reversed(pads) for size in pair)


def full_pads(pads: Pads, layout: str) -> list[list[int]]:
    """Pads of all axes of an image, for tf.pad and np.pad."""
    inner: list[Any] = [list(pair) for pair in pads]
    return [[0, 0], *inner, [0, 0]] if layout == "channels_last" else [[0, 0], [0, 0], *inner]

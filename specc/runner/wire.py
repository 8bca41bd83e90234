"""Messages between specc and a worker process: JSON with NumPy arrays in it, in frames of known
length.

A frame is two little-endian 64-bit lengths, the JSON text, and the raw bytes of all its arrays. An
array stands in the JSON as ``{"$array": [offset, dtype, shape]}``. Floats survive exactly (JSON
writes the shortest text that reads back), and nothing is ever unpickled. This file is loaded by
path inside the worker and imports only NumPy.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

import numpy as np

_LENGTHS = struct.Struct("<QQ")


def send(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Writes one message; raises TypeError for a value that is neither JSON nor a numeric array."""
    buffers: list[memoryview] = []
    offset = 0

    def encode(value: Any) -> Any:
        nonlocal offset
        if isinstance(value, np.generic):
            return value.item()
        if not isinstance(value, np.ndarray) or value.dtype.hasobject:
            raise TypeError(f"cannot send a {type(value).__name__} between processes")
        array = np.ascontiguousarray(value).reshape(value.shape)
        placed = [offset, array.dtype.str, list(array.shape)]
        offset += array.nbytes
        # A view of bytes cannot be cast from an empty array, and there is nothing to write for one.
        if array.nbytes:
            buffers.append(array.reshape(-1).view(np.uint8).data)
        return {"$array": placed}

    text = json.dumps(message, default=encode).encode()
    stream.write(_LENGTHS.pack(len(text), offset))
    stream.write(text)
    for buffer in buffers:
        stream.write(buffer)
    stream.flush()


def receive(stream: BinaryIO) -> dict[str, Any] | None:
    """Reads one message; None when the other side has closed the stream."""
    head = stream.read(_LENGTHS.size)
    if len(head) < _LENGTHS.size:
        return None
    text_length, data_length = _LENGTHS.unpack(head)
    text = stream.read(text_length)
    data = bytearray(data_length)
    view, filled = memoryview(data), 0
    while filled < data_length:
        count = _read_into(stream, view[filled:])
        if not count:
            return None
        filled += count

    def decode(value: dict[str, Any]) -> Any:
        if value.keys() != {"$array"}:
            return value
        offset, dtype, shape = value["$array"]
        size = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(data, dtype, size, offset if size else 0).reshape(shape)

    message: dict[str, Any] = json.loads(text, object_hook=decode)
    return message


def _read_into(stream: BinaryIO, view: memoryview) -> int:
    # typing.BinaryIO does not declare readinto, which every binary stream of the io module has.
    return int(stream.readinto(view) or 0)  # type: ignore[attr-defined]

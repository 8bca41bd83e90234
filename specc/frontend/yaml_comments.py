"""Which comment of a YAML text belongs to which node: YAML's parsers drop them, so the text is
scanned for them."""

from __future__ import annotations

import bisect
from typing import Any

from specc.diagnostics import Source
from specc.frontend.tree import Comments

END = -1
"""In place of an offset: what follows the last key."""


def comments_by_position(source: Source, events: list[Any]) -> dict[int, Comments]:
    """Comments by the offset of the key or list item that they belong to.

    A comment at the end of a line belongs to the first key or item of that line, one with a line of
    its own to the next key or item; what follows the last one stands as ``end`` at END.
    """
    owners = _owners(events)
    before: dict[int, list[str]] = {}
    after: dict[int, str] = {}
    end: list[str] = []
    for start in comment_starts(source, events):
        text = _text(source, start)
        line_start = source.text.rfind("\n", 0, start) + 1
        at = bisect.bisect_left(owners, line_start)
        if at < len(owners) and owners[at] < start and owners[at] not in after:
            after[owners[at]] = text
            continue
        at = bisect.bisect_left(owners, start)
        if at < len(owners):
            before.setdefault(owners[at], []).append(text)
        else:
            end.append(text)
    result = {
        position: Comments(tuple(before.get(position, ())), after.get(position, ""))
        for position in before.keys() | after.keys()
    }
    if end:
        result[END] = Comments(end=tuple(end))
    return result


def start_of(event: Any) -> int:
    """The offset at which an event of PyYAML starts."""
    start: int = event.start_mark.index
    return start


def end_of(event: Any) -> int:
    """The offset at which an event of PyYAML ends."""
    end: int = event.end_mark.index
    return end


def _owners(events: list[Any]) -> list[int]:
    """The offsets of all keys of mappings and items of lists, in order."""
    from yaml import CollectionEndEvent, MappingStartEvent, NodeEvent, SequenceStartEvent

    owners: list[int] = []
    # For each open collection: whether the next node in it is a key or item (rather than a value).
    stack: list[tuple[bool, bool]] = []
    for event in events:
        if isinstance(event, CollectionEndEvent):
            stack.pop()
        elif isinstance(event, NodeEvent):
            if stack:
                is_mapping, is_owner = stack[-1]
                stack[-1] = (is_mapping, not is_owner if is_mapping else True)
                if is_owner:
                    owners.append(start_of(event))
            if isinstance(event, MappingStartEvent | SequenceStartEvent):
                stack.append((isinstance(event, MappingStartEvent), True))
    return sorted(set(owners))


def _text(source: Source, start: int) -> str:
    """The comment whose '#' stands at that offset, without it."""
    stop = source.text.find("\n", start)
    line = source.text[start + 1 : len(source.text) if stop < 0 else stop]
    return line.removeprefix(" ").rstrip()


def comment_starts(source: Source, events: list[Any]) -> list[int]:
    """The offset of each comment, in order: a '#' after white space that no scalar covers."""
    from yaml import ScalarEvent

    scalars = [(start_of(e), end_of(e)) for e in events if isinstance(e, ScalarEvent)]
    starts = [start for start, _ in scalars]
    found: list[int] = []
    text = source.text
    position = text.find("#")
    while position >= 0:
        covering = bisect.bisect_right(starts, position) - 1
        if covering >= 0 and position < scalars[covering][1]:
            position = text.find("#", scalars[covering][1])
            continue
        stop = text.find("\n", position)
        stop = len(text) if stop < 0 else stop
        if position == 0 or text[position - 1].isspace():
            found.append(position)
        position = text.find("#", stop)
    return found

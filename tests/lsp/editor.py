"""An editor for tests: it opens texts in the real server and asks about marked places."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pytest_lsp import LanguageClient

MARK = "▮"
"""Where the cursor stands in a text."""
TIMEOUT = 30


def units(text: str) -> int:
    """The length in UTF-16 code units, by which the protocol counts columns."""
    return len(text.encode("utf-16-le")) // 2


def position(text: str, offset: int) -> lsp.Position:
    start = text.rfind("\n", 0, offset) + 1
    return lsp.Position(text.count("\n", 0, offset), units(text[start:offset]))


class Document:
    """A text that is open in the editor."""

    def __init__(self, client: LanguageClient, path: Path, text: str) -> None:
        self.client, self.path, self.uri = client, path, path.as_uri()
        self.offset = max(text.find(MARK), 0)
        self.text = text.replace(MARK, "")
        self.version = 0
        item = lsp.TextDocumentItem(self.uri, "specc", 0, self.text)
        client.diagnostics.pop(self.uri, None)
        client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))

    @property
    def identifier(self) -> lsp.TextDocumentIdentifier:
        return lsp.TextDocumentIdentifier(self.uri)

    def place(self, word: str = "", occurrence: int = 0) -> dict[str, Any]:
        """The parameters of a request about a word, or about the mark."""
        offset = self.offset
        if word:
            offset = -1
            for _ in range(occurrence + 1):
                offset = self.text.index(word, offset + 1)
        where = position(self.text, offset)
        return {"text_document": self.identifier, "position": where}

    def change(self, text: str) -> None:
        """Replaces the whole text."""
        self.offset = max(text.find(MARK), 0)
        self.text = text.replace(MARK, "")
        self.version += 1
        self.client.diagnostics.pop(self.uri, None)
        self.client.text_document_did_change(
            lsp.DidChangeTextDocumentParams(
                lsp.VersionedTextDocumentIdentifier(self.version, self.uri),
                [lsp.TextDocumentContentChangeWholeDocument(self.text)],
            )
        )

    async def diagnostics(self) -> list[lsp.Diagnostic]:
        """What the server says of the last text."""
        async with asyncio.timeout(TIMEOUT):
            while self.uri not in self.client.diagnostics:
                await asyncio.sleep(0.005)
        return list(self.client.diagnostics[self.uri])

    async def completions(self) -> dict[str, lsp.CompletionItem]:
        found = await self.client.text_document_completion_async(
            lsp.CompletionParams(**self.place())
        )
        return {item.label: item for item in found.items}

    async def hover(self, word: str = "", occurrence: int = 0) -> str:
        params = lsp.HoverParams(**self.place(word, occurrence))
        found = await self.client.text_document_hover_async(params)
        return found.contents.value if found is not None else ""

    def applied(self, edits: list[lsp.TextEdit]) -> str:
        """The text with edits made."""
        lines = self.text.split("\n")
        text = self.text

        def offset(at: lsp.Position) -> int:
            start = sum(len(line) + 1 for line in lines[: at.line])
            line = lines[at.line] if at.line < len(lines) else ""
            columns = itertools.accumulate(map(units, line), initial=0)
            return start + next((i for i, n in enumerate(columns) if n >= at.character), len(line))

        spans = [(offset(e.range.start), offset(e.range.end), e.new_text) for e in edits]
        for start, end, new in sorted(spans, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def text_of(self, where: lsp.Range) -> str:
        """The characters of a range."""
        marked = self.applied([lsp.TextEdit(where, MARK)])
        return self.text[marked.index(MARK) : len(self.text) - len(marked.partition(MARK)[2])]

"""The server: which request is answered by which feature, and when a document is checked."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path
from pygls.workspace import TextDocument

from specc import __version__
from specc.diagnostics import Source, SpecError
from specc.frontend.sources import SUFFIXES
from specc.lsp.analysis import Analysis, analyse
from specc.lsp.completion import complete
from specc.lsp.hints import hints
from specc.lsp.hover import hover
from specc.lsp.navigation import RenameProblem, definition, references, renamable, rename
from specc.lsp.outline import outline
from specc.lsp.problems import actions, problems

DELAY = 0.15
"""Seconds without a change after which a document is checked."""

_LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class Server(LanguageServer):
    """A language server with the analyses of the documents that are open."""

    def __init__(self) -> None:
        super().__init__("specc", __version__)
        # Of each open document what was found last, and after how many edits. Those of any document
        # count, since documents include each other.
        self._analyses: dict[str, tuple[int, Analysis]] = {}
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._edits = 0

    # Documents

    def path(self, document: TextDocument) -> Path:
        """The file of a document; one that has none yet is named after its language."""
        if urlsplit(document.uri).scheme == "file":
            return Path(to_fs_path(document.uri) or "")
        language = document.language_id
        suffix = SUFFIXES[-1] if language == "specc" else SUFFIXES[0]
        return Path.cwd() / f"untitled{suffix}"

    def buffer(self, path: Path) -> str | None:
        """The text of a file that is open. Editors write one path as URIs of several forms."""
        for document in self.workspace.text_documents.values():
            if self.path(document).resolve() == path:
                text: str = document.source
                return text
        return None

    def analysis(self, uri: str) -> Analysis:
        """What is known of the current text of a document."""
        known = self._analyses.get(uri)
        if known is None or known[0] != self._edits:
            document = self.workspace.get_text_document(uri)
            encoding = lsp.PositionEncodingKind(self.workspace.position_encoding or "utf-16")
            found = analyse(self.path(document), document.source, self.buffer, encoding, uri)
            known = self._analyses[uri] = (self._edits, found)
        return known[1]

    def changed(self, uri: str) -> None:
        """Checks a document, and those that include it, once nothing was typed for a while."""
        self._edits += 1
        for each in self._dependents(uri):
            if each in self._waiting:
                self._waiting[each].cancel()
            self._waiting[each] = asyncio.ensure_future(self._check_later(each))

    def closed(self, uri: str) -> None:
        """Forgets a document, and takes back what was said of it."""
        self.changed(uri)  # for those that include it: its text is that of the file again
        self._analyses.pop(uri, None)
        if uri in self._waiting:
            self._waiting.pop(uri).cancel()
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, []))

    def _dependents(self, uri: str) -> list[str]:
        path = self.path(self.workspace.get_text_document(uri)).resolve()
        including = [each for each, (_, known) in self._analyses.items() if path in known.files]
        return list(dict.fromkeys([uri, *including]))

    async def _check_later(self, uri: str) -> None:
        await asyncio.sleep(DELAY)
        self._waiting.pop(uri, None)
        self.check(uri)

    def check(self, uri: str) -> None:
        """Publishes what is wrong with a document; a mistake of specc's own is logged."""
        document = self.workspace.text_documents.get(uri)
        if document is None:
            return
        try:
            found = problems(self.analysis(uri))
        except Exception as error:
            self.failed("checking", error)
            return
        self.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri, found, document.version)
        )

    def failed(self, what: str, error: Exception) -> None:
        """Logs a mistake of specc's own, here and in the editor."""
        _LOG.exception("%s failed", what)
        message = f"specc lsp: {what} failed: {type(error).__name__}: {error}"
        self.window_log_message(lsp.LogMessageParams(lsp.MessageType.Error, message))

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Messages that the protocol does not allow are logged; refusals were answered already."""
        if not isinstance(error, JsonRpcException):
            self.failed("a message", error)


def _guarded(feature: Callable[[Server, Any], _Answer]) -> Callable[[Server, Any], _Answer | None]:
    """The feature; what goes wrong in it is logged, and the answer is nothing."""

    @functools.wraps(feature)
    def guarded(ls: Server, params: Any) -> _Answer | None:
        try:
            return feature(ls, params)
        except RenameProblem as problem:
            raise JsonRpcInvalidParams(str(problem)) from None
        except Exception as error:
            ls.failed(feature.__name__.strip("_").replace("_", " "), error)
            return None

    return guarded


def _at(ls: Server, params: Any) -> tuple[Analysis, int]:
    """The document and the offset that a request is about."""
    analysis = ls.analysis(params.text_document.uri)
    return analysis, analysis.positions.offset(params.position)


def _open(ls: Server, params: lsp.DidOpenTextDocumentParams) -> None:
    ls.changed(params.text_document.uri)


def _change(ls: Server, params: lsp.DidChangeTextDocumentParams) -> None:
    ls.changed(params.text_document.uri)


def _save(ls: Server, params: lsp.DidSaveTextDocumentParams) -> None:
    ls.changed(params.text_document.uri)


def _close(ls: Server, params: lsp.DidCloseTextDocumentParams) -> None:
    ls.closed(params.text_document.uri)


def _completion(ls: Server, params: lsp.CompletionParams) -> lsp.CompletionList:
    return complete(*_at(ls, params))


def _hover(ls: Server, params: lsp.HoverParams) -> lsp.Hover | None:
    return hover(*_at(ls, params))


def _definition(ls: Server, params: lsp.DefinitionParams) -> list[lsp.Location]:
    return definition(*_at(ls, params))


def _references(ls: Server, params: lsp.ReferenceParams) -> list[lsp.Location]:
    return references(*_at(ls, params), params.context.include_declaration)


def _prepare_rename(ls: Server, params: lsp.PrepareRenameParams) -> lsp.Range:
    return renamable(*_at(ls, params))


def _rename(ls: Server, params: lsp.RenameParams) -> lsp.WorkspaceEdit:
    return rename(*_at(ls, params), params.new_name, ls.buffer)


def _symbols(ls: Server, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
    return outline(ls.analysis(params.text_document.uri))


def _inlay_hints(ls: Server, params: lsp.InlayHintParams) -> list[lsp.InlayHint]:
    return hints(ls.analysis(params.text_document.uri), params.range)


def _formatting(ls: Server, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit] | None:
    """The whole text in style; nothing while it does not parse."""
    from specc.frontend.formatter import format_text

    analysis = ls.analysis(params.text_document.uri)
    if not analysis.is_spec:
        return None
    try:
        text = format_text(Source(analysis.source.name, analysis.text))
    except SpecError:  # the diagnostics say why
        return None
    whole = analysis.positions.range(0, len(analysis.text))
    return [lsp.TextEdit(whole, text)] if text != analysis.text else []


def _code_actions(ls: Server, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
    return actions(ls.analysis(params.text_document.uri), params.range)


def create_server() -> Server:
    """A server with all features, not started yet."""
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # it would log each refusal as a failure
    server = Server()
    triggers = lsp.CompletionOptions(trigger_characters=[*' {[(,|=:-"/$'])
    renaming = lsp.RenameOptions(prepare_provider=True)
    fixes = lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix])
    features: list[tuple[str, Callable[[Server, Any], Any], Any]] = [
        (lsp.TEXT_DOCUMENT_DID_OPEN, _open, None),
        (lsp.TEXT_DOCUMENT_DID_CHANGE, _change, None),
        (lsp.TEXT_DOCUMENT_DID_SAVE, _save, None),
        (lsp.TEXT_DOCUMENT_DID_CLOSE, _close, None),
        (lsp.TEXT_DOCUMENT_COMPLETION, _completion, triggers),
        (lsp.TEXT_DOCUMENT_HOVER, _hover, None),
        (lsp.TEXT_DOCUMENT_DEFINITION, _definition, None),
        (lsp.TEXT_DOCUMENT_REFERENCES, _references, None),
        (lsp.TEXT_DOCUMENT_PREPARE_RENAME, _prepare_rename, None),
        (lsp.TEXT_DOCUMENT_RENAME, _rename, renaming),
        (lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL, _symbols, None),
        (lsp.TEXT_DOCUMENT_INLAY_HINT, _inlay_hints, None),
        (lsp.TEXT_DOCUMENT_FORMATTING, _formatting, None),
        (lsp.TEXT_DOCUMENT_CODE_ACTION, _code_actions, fixes),
    ]
    for method, feature, options in features:
        server.feature(method, options)(_guarded(feature))
    return server

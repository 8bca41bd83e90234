"""The server itself: positions in every encoding, documents without a file, mistakes of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types as lsp
from pytest_lsp import LanguageClient, client_capabilities, make_test_lsp_client

from specc.lsp.positions import Positions
from tests.lsp.editor import Document
from tests.lsp.test_features import LANGUAGE, YAML

ENCODINGS = st.sampled_from(list(lsp.PositionEncodingKind))
TEXTS = st.text(st.sampled_from("ab \n🙂漢é\u0301𝄞"), max_size=30)


@given(TEXTS, ENCODINGS, st.data())
def test_positions_and_offsets_are_each_other_s_reverse(
    text: str, encoding: lsp.PositionEncodingKind, data: st.DataObject
) -> None:
    positions = Positions(text, encoding)
    offset = data.draw(st.integers(0, len(text)))
    where = positions.position(offset)
    assert positions.offset(where) == offset
    codec = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}[encoding.value]
    size = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding.value]
    before = text[:offset].rpartition("\n")[2]
    assert where.character == len(before.encode(codec)) // size
    assert where.line == text[:offset].count("\n")


@given(TEXTS, ENCODINGS, st.integers(0, 99), st.integers(0, 99))
def test_every_position_has_an_offset(
    text: str, encoding: lsp.PositionEncodingKind, line: int, character: int
) -> None:
    offset = Positions(text, encoding).offset(lsp.Position(line, character))
    assert 0 <= offset <= len(text)


BROKEN = """
import specc.lsp.server as server

def broken(*anything):
    raise ZeroDivisionError("on purpose")

server.hover = server.problems = broken
server.create_server().start_io()
"""


async def started(*command: str, encoding: str = "utf-16") -> LanguageClient:
    """A client of a server of its own, with the capabilities of Neovim."""
    client = make_test_lsp_client()
    await client.start_io(sys.executable, *command)
    capabilities = client_capabilities("neovim")
    kinds = [lsp.PositionEncodingKind(encoding)]
    capabilities.general = lsp.GeneralClientCapabilities(position_encodings=kinds)
    await client.initialize_session(lsp.InitializeParams(capabilities=capabilities))
    return client


@pytest.mark.asyncio
async def test_a_mistake_in_a_feature_is_logged_and_survived(tmp_path: Path) -> None:
    client = await started("-c", BROKEN)
    document = Document(client, tmp_path / "net.yaml", YAML)
    assert await document.hover("conv2d") == ""
    document.change(YAML + "▮")
    assert "allow" in await document.completions()
    async with asyncio.timeout(30):
        while len(logged := {message.message for message in client.log_messages}) < 2:
            await asyncio.sleep(0.01)
    assert logged == {
        "specc lsp: hover failed: ZeroDivisionError: on purpose",
        "specc lsp: checking failed: ZeroDivisionError: on purpose",
    }
    await client.shutdown_session()
    await client.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize("encoding, column", [("utf-8", 23), ("utf-16", 21), ("utf-32", 20)])
async def test_the_client_chooses_the_encoding(tmp_path: Path, encoding: str, column: int) -> None:
    client = await started("-m", "specc.cli", "lsp", encoding=encoding)
    text = 'specc: 1\nname: net\ninputs: {x: {shape: [1]}}\nlayers: [{"🙂": 1}, {dens: 1}]\n'
    found = await Document(client, tmp_path / "net.yaml", text).diagnostics()
    assert found[-1].range.start == lsp.Position(3, column)
    await client.shutdown_session()
    await client.stop()


@pytest.mark.asyncio
async def test_a_document_without_a_file() -> None:
    client = await started("-m", "specc.cli", "lsp", "--stdio")
    uri = "untitled:Untitled-1"
    item = lsp.TextDocumentItem(uri, "specc", 0, LANGUAGE.replace("flatten", "flaten"))
    client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
    await client.wait_for_notification(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    assert [each.code for each in client.diagnostics[uri]] == ["E0412"]
    place = {"text_document": lsp.TextDocumentIdentifier(uri), "position": lsp.Position(1, 12)}
    (found,) = await client.text_document_definition_async(lsp.DefinitionParams(**place))
    assert found.uri == uri
    client.text_document_did_close(lsp.DidCloseTextDocumentParams(place["text_document"]))
    await client.wait_for_notification(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    assert list(client.diagnostics[uri]) == []
    await client.shutdown_session()
    await client.stop()

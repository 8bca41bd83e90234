"""The real server in its own process, driven over standard input and output by a real client."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_lsp
from lsprotocol import types as lsp
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

from tests.lsp.editor import Document

Open = Callable[[str, str], Document]


@pytest_lsp.fixture(
    config=ClientServerConfig(server_command=[sys.executable, "-m", "specc.cli", "lsp"]),
    scope="session",
)
async def client(lsp_client: LanguageClient) -> AsyncIterator[None]:
    capabilities = client_capabilities("visual-studio-code")
    await lsp_client.initialize_session(lsp.InitializeParams(capabilities=capabilities))
    yield
    await lsp_client.shutdown_session()


@pytest.fixture
def open_text(client: LanguageClient, tmp_path: Path) -> Open:
    """Opens a text under a name in a folder of its own."""

    def opened(name: str, text: str) -> Document:
        return Document(client, tmp_path / name, text)

    return opened

"""A spec while it is typed: completion in broken texts, and a server that survives any of them."""

from __future__ import annotations

import random

import pytest
from lsprotocol import types as lsp
from pytest_lsp import LanguageClient

from tests.lsp.conftest import Open
from tests.lsp.editor import MARK
from tests.lsp.test_features import FORMS, LANGUAGE, WHOLE, YAML

pytestmark = pytest.mark.asyncio(loop_scope="session")

YAML_HEAD = YAML.partition("outputs:")[0]
LANGUAGE_HEAD = LANGUAGE.partition("output probabilities")[0]

# What is typed behind the head, some of what is offered there, and something that is not.
YAML_CASES = [
    ("", ["outputs", "training"], "layers"),
    ("  - ▮", ["relu", "dense", "repeat", "use"], "units"),
    ("  - conv▮", ["conv2d"], "units"),
    ("  - {▮", ["name", "from", "dense"], "units"),
    ("  - {dense: {un▮", ["units", "activation"], "filters"),
    ("  - {dense: {units: 3, ▮", ["activation"], "units"),
    ("  - {dense: {units: ▮", ["width", "classes"], "units"),
    ("  - {dense: {units: 3, activation: ▮}}", ["relu", "softmax", "null"], "adam"),
    ("  - {dense: {units: 3, use_bias: ▮", ["true", "false"], "relu"),
    ("  - conv2d:\n      padding: ▮", ["same", "valid"], "relu"),
    ("  - conv2d:\n      filters: 3\n      ▮", ["kernel_size"], "filters"),
    ("  - dense: {kernel_initializer: ▮", ["he_normal", "zeros"], "relu"),
    ("  - dense: {kernel_regularizer: {▮", ["l2"], "relu"),
    ("  - {use: ▮", ["cell"], "relu"),
    ("  - {use: cell, with: {▮", ["filters", "stride"], "units"),
    ("  - {use: cell, with: {filters: 3, ▮", ["stride"], "filters"),
    ("  - {relu: {}, from: ▮", ["image", "first", "probabilities"], "label"),
    ("  - {add: {}, from: [first, ▮", ["image"], "label"),
    ("  - {layer: ▮", ["first"], "image"),
    ("  - repeat:\n      ▮", ["times", "layers"], "units"),
    (
        "  - repeat:\n      index: i\n      layers:\n        - {dense: {units: ▮",
        ["i", "width"],
        "x",
    ),
    ("outputs: [▮", ["probabilities", "first"], "label"),
    ("training:\n  ▮", ["loss", "epochs"], "source"),
    ("training:\n  loss: {▮", ["huber"], "adam"),
    ("training:\n  loss: {huber: {prediction: ▮", ["probabilities"], "label"),
    ("training:\n  loss: {huber: {prediction: probabilities, target: ▮", ["label"], "image"),
    ("training:\n  optimizer: ▮", ["adam", "sgd"], "huber"),
    ("training:\n  optimizer: {adam: {▮", ["learning_rate"], "units"),
    ("training:\n  optimizer: {adam: {learning_rate: {▮", ["cosine"], "adam"),
    (
        "training:\n  optimizer:\n    adam:\n      learning_rate:\n        cosine:\n          ▮",
        ["decay_steps"],
        "adam",
    ),
    ("training:\n  metrics: [▮", ["accuracy"], "adam"),
    ("training:\n  clip: {▮", ["global_norm"], "adam"),
    ("data: {source: ▮", ["npz", "csv", "sklearn"], "width"),
    ("data:\n  source: npz\n  ▮", ["path", "inputs", "prepare"], "date_format"),
    ("data:\n  source: npz\n  inputs: {▮", ["image"], "label"),
    ("data:\n  prepare:\n    image: [▮", ["rescale", "standardize"], "relu"),
    ("data:\n  prepare:\n    image:\n      - rescale: 2\n      - ▮", ["standardize"], "relu"),
    ("data: {split: {▮", ["validation", "test"], "source"),
    ("conventions: ▮", ["keras", "pytorch"], "width"),
    ("allow: [▮", ["unused"], "width"),
    ("# ▮", [], "layers"),
]  # fmt: skip
LANGUAGE_CASES = [
    ("▮", ["output", "training", "image", "first"], "units"),
    ("y = ▮", ["image", "probabilities"], "label"),
    ("y = image | ▮", ["dense", "cell", "repeat"], "units"),
    ("y = image | conv▮", ["conv2d"], "units"),
    ("y = image\n  | relu\n  | ▮", ["dense"], "units"),
    ("y = image | dense(▮", ["units", "width"], "filters"),
    ("y = image | dense(3, ▮", ["activation"], "filters"),
    ("y = image | dense(3, activation=▮", ["relu"], "adam"),
    ("y = image | dense(3, use_bias=▮", ["true"], "adam"),
    ('y = image | conv2d(3, 3, padding="▮', ["same", "valid"], "relu"),
    ("y = image | dense(3, kernel_initializer=▮", ["he_normal"], "relu"),
    ("y = image | dense(3, kernel_regularizer=l2(▮", ["l2"], "relu"),
    ("y = image | cell(▮", ["filters", "stride", "width"], "units"),
    ("y = image | cell(3, stride=▮", ["width"], "units"),
    ("y = (image, ▮", ["first"], "label"),
    ("y = (input=▮", ["first"], "label"),
    ("layer shared = ▮", ["dense"], "image"),
    ("layer shared = dense(▮", ["units"], "image"),
    ("y = image | repeat(2, i) {\n  input x\n  x | dense(▮", ["i", "width", "units"], "first"),
    ("y = image | repeat(2, i) {\n  input x\n  z = ▮", ["x"], "first"),
    ("block other(size) {\n  input a\n  ▮", ["a", "output"], "training"),
    ("block other(size) {\n  input a\n  a | dense(▮", ["size"], "width"),
    ("output ▮", ["probabilities"], "label"),
    ("input other: ▮", ["float", "int", "bool"], "width"),
    ("conventions ▮", ["keras", "pytorch"], "width"),
    ("training {\n  ▮", ["loss", "epochs"], "source"),
    ("training {\n  loss ▮", ["huber"], "adam"),
    ("training {\n  loss huber(▮", ["probabilities"], "label"),
    ("training {\n  loss huber(probabilities, ▮", ["label"], "image"),
    ("training {\n  loss huber(prediction=▮", ["probabilities"], "label"),
    ("training {\n  optimizer ▮", ["adam"], "huber"),
    ("training {\n  optimizer adam(▮", ["learning_rate"], "units"),
    ("training {\n  optimizer adam(learning_rate=cosine(▮", ["decay_steps"], "units"),
    ("training {\n  metrics accuracy, ▮", ["top_k_accuracy"], "adam"),
    ("data ▮", ["npz", "csv", "sklearn"], "width"),
    ("data npz {\n  ▮", ["path", "inputs"], "date_format"),
    ("data npz {\n  inputs ▮", ["image"], "label"),
    ("data npz {\n  prepare image=[▮", ["rescale"], "relu"),
    ("# ▮", [], "spec"),
    ("y = image | dense(3) as ▮", [], "relu"),
]  # fmt: skip


@pytest.mark.parametrize("typed, wanted, unwanted", YAML_CASES, ids=[c[0] for c in YAML_CASES])
async def test_completion_in_yaml(
    open_text: Open, typed: str, wanted: list[str], unwanted: str
) -> None:
    typed = typed if MARK in typed else typed + MARK
    await offered(open_text("net.yaml", YAML_HEAD + typed).completions(), wanted, unwanted)


@pytest.mark.parametrize(
    "typed, wanted, unwanted", LANGUAGE_CASES, ids=[c[0] for c in LANGUAGE_CASES]
)
async def test_completion_in_the_language(
    open_text: Open, typed: str, wanted: list[str], unwanted: str
) -> None:
    await offered(open_text("net.specc", LANGUAGE_HEAD + typed).completions(), wanted, unwanted)


async def offered(completions: object, wanted: list[str], unwanted: str) -> None:
    found = await completions  # type: ignore[misc]
    assert [word for word in wanted if word not in found] == []
    assert unwanted not in found
    assert wanted or not found


async def test_completion_writes_what_reads(open_text: Open) -> None:
    document = open_text("net.yaml", YAML_HEAD + "  - de▮")
    edit = (await document.completions())["dense"].text_edit
    assert document.applied([edit]).endswith("  - dense: ")
    document.change(YAML_HEAD + "  - fl▮")
    assert document.applied([(await document.completions())["flatten"].text_edit]).endswith(
        "  - flatten"
    )
    document.change(YAML_HEAD + "  - dense: {units: ▮")
    assert document.applied([(await document.completions())["width"].text_edit]).endswith(
        "units: $width"
    )
    document = open_text("net.specc", LANGUAGE_HEAD + "y = image | de▮")
    assert document.applied([(await document.completions())["dense"].text_edit]).endswith(
        "| dense("
    )
    document.change(LANGUAGE_HEAD + "y = image | dense(un▮")
    assert document.applied([(await document.completions())["units"].text_edit]).endswith("(units=")


async def test_completion_of_the_input_that_a_block_has_unsaid(open_text: Open) -> None:
    text = "specc: 1\nblocks:\n  other:\n    layers:\n      - relu\n      - {relu: {}, from: ▮"
    await offered(open_text("net.yaml", text).completions(), ["x"], "image")


async def test_completion_of_files(open_text: Open, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "inner").mkdir()
    for name in ("rows.npz", "inner/other.csv", "parts.yaml", "parts.specc", "notes.txt"):
        (tmp_path / name).touch()
    document = open_text("net.yaml", YAML_HEAD + "data: {source: npz, path: ▮")
    assert set(await document.completions()) == {"rows.npz", "inner/other.csv"}
    document.change(YAML_HEAD + "includes: [▮")
    assert set(await document.completions()) == {"parts.yaml", "parts.specc"}
    document = open_text("net.specc", 'spec 1 net\ninclude "▮')
    assert set(await document.completions()) == {"parts.yaml", "parts.specc"}
    document.change('spec 1 net\ndata npz {\n  path "ro▮')
    items = await document.completions()
    assert document.applied([items["rows.npz"].text_edit]).endswith('path "rows.npz')


@FORMS
async def test_hints_and_hover_stay_while_a_line_is_broken(
    client: LanguageClient, open_text: Open, name: str, text: str
) -> None:
    broken = text.replace("outputs: [probabilities]", "outputs: [probabilities")
    document = open_text(name, broken.replace("output probabilities", "output probabilities |"))
    assert [found.code[:3] for found in await document.diagnostics()] in (["E01"], ["E02"])
    assert "80 parameters" in await document.hover("first")
    params = lsp.InlayHintParams(document.identifier, WHOLE)
    hints = await client.text_document_inlay_hint_async(params)
    assert "(batch, 6, 6, 8)" in {hint.label for hint in hints}


# Survival


async def ask_everything(client: LanguageClient, document, offset: int) -> None:  # type: ignore[no-untyped-def]
    """Every request at one offset; an answer that is an error fails the test."""
    document.offset = offset
    place = document.place()
    identifier = document.identifier
    options = lsp.FormattingOptions(2, True)
    await client.text_document_completion_async(lsp.CompletionParams(**place))
    await client.text_document_hover_async(lsp.HoverParams(**place))
    await client.text_document_definition_async(lsp.DefinitionParams(**place))
    context = lsp.ReferenceContext(True)
    await client.text_document_references_async(lsp.ReferenceParams(context, **place))
    await client.text_document_document_symbol_async(lsp.DocumentSymbolParams(identifier))
    await client.text_document_inlay_hint_async(lsp.InlayHintParams(identifier, WHOLE))
    await client.text_document_formatting_async(lsp.DocumentFormattingParams(identifier, options))
    actions = lsp.CodeActionParams(identifier, WHOLE, lsp.CodeActionContext([]))
    await client.text_document_code_action_async(actions)


@FORMS
async def test_every_prefix_is_answered(
    client: LanguageClient, open_text: Open, name: str, text: str
) -> None:
    """A spec typed from its beginning, a few characters at a time."""
    document = open_text(name, "")
    known = len(client.log_messages)
    for end in range(0, len(text), 13):
        document.change(text[:end])
        await ask_everything(client, document, end)
    assert [m.message for m in client.log_messages[known:] if m.type == lsp.MessageType.Error] == []


GARBAGE = [
    "\x00", "\ufeff", "\r", "\t", "\u2028", "🙂", "{" * 70, "[" * 110, "&a [*a, *a]",
    "!!python/object:x",
    "<<: *x", "? [a]: b", "- - - -", ": :", "${" * 9, "$", '"', "'", "#", "|\n",
    ">2\n", "%YAML 1.1\n",
    "---\n", "1e999", "9" * 50, "block b(b) {", "repeat(9999999, i) {",
    "include \"../x.specc\"",
    "includes: [../../etc/passwd, net.yaml]",
    "input x: float[" + "1, " * 99, "\ud7ff", "layers: 3",
    "layers: [[]]", '"#x": 1\n"#": {#',
    "parameters: {a: ${a}}", "blocks: {b: {layers: [{use: b}]}}", "training: [x]",
    "inputs: []", "outputs: {a: b}", "data: x", "name: [", "specc: {}",
]  # fmt: skip


@FORMS
async def test_garbage_is_survived(
    client: LanguageClient, open_text: Open, name: str, text: str
) -> None:
    """Pieces that make no sense at random places: no request fails, and the server lives."""
    draw = random.Random(name)
    document = open_text(name, text)
    known = len(client.log_messages)
    for number, piece in enumerate(GARBAGE * 2):
        at = (
            draw.randrange(len(text))
            if number % 2
            else text.find("\n", draw.randrange(len(text) - 2)) + 1
        )
        cut = at + draw.choice([0, 0, 1, 20])
        document.change(text[:at] + piece + text[cut:])
        await ask_everything(client, document, min(at + len(piece), len(document.text)))
        await document.diagnostics()
    assert [m.message for m in client.log_messages[known:] if m.type == lsp.MessageType.Error] == []
    document.change(text)
    assert await document.diagnostics() == []


async def test_edits_past_the_end_are_survived(client: LanguageClient, open_text: Open) -> None:
    document = open_text("net.yaml", YAML)
    nowhere = lsp.Range(lsp.Position(500, 7), lsp.Position(900, 1))
    edit = lsp.TextDocumentContentChangePartial(range=nowhere, text="layers: {")
    identifier = lsp.VersionedTextDocumentIdentifier(1, document.uri)
    client.text_document_did_change(lsp.DidChangeTextDocumentParams(identifier, [edit]))
    place = {"text_document": document.identifier, "position": lsp.Position(4000, 4000)}
    await client.text_document_hover_async(lsp.HoverParams(**place))
    await client.text_document_completion_async(lsp.CompletionParams(**place))
    document.version = 1
    document.change(YAML)
    assert await document.diagnostics() == []

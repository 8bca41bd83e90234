"""Every feature of the server on a YAML document and on one in the language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lsprotocol import types as lsp
from pytest_lsp import LanguageClient

from tests.lsp.conftest import Open
from tests.lsp.editor import Document

pytestmark = pytest.mark.asyncio(loop_scope="session")

YAML = """\
specc: 1
name: net
parameters: {width: 8, classes: 3}
inputs: {image: {shape: [8, 8, 1]}}
targets: {label: {shape: [], dtype: int}}
blocks:
  cell:
    parameters: {filters: ~, stride: 1}
    layers:
      - {name: z, conv2d: {filters: $filters, kernel_size: 3, strides: $stride, padding: same}}
      - relu
layers:
  - {name: first, conv2d: {filters: $width, kernel_size: 3, activation: relu}}
  - {use: cell, with: {filters: "${width * 2}"}}
  - flatten
  - {name: probabilities, dense: {units: $classes, activation: softmax}}
outputs: [probabilities]
training:
  loss: {sparse_categorical_crossentropy: {prediction: probabilities, target: label}}
  optimizer: {adam: {learning_rate: 1e-3}}
data: {source: npz, path: rows.npz, inputs: {image: x}, targets: {label: y}}
"""
LANGUAGE = """\
spec 1 net
parameter width = 8
parameter classes = 3
input image: float[8, 8, 1]
target label: int[]
block cell(filters, stride=1) {
  input x
  x | conv2d(filters, 3, strides=stride, padding="same") as z | relu
}
probabilities = image
  | conv2d(width, 3, activation=relu) as first
  | cell(width * 2)
  | flatten
  | dense(classes, activation=softmax)
output probabilities
training {
  loss sparse_categorical_crossentropy(probabilities, label)
  optimizer adam(learning_rate=1e-3)
}
data npz {
  path "rows.npz"
  inputs image="x"
  targets label="y"
}
"""
FORMS = pytest.mark.parametrize(
    "name, text", [("net.yaml", YAML), ("net.specc", LANGUAGE)], ids=["yaml", "language"]
)
WHOLE = lsp.Range(lsp.Position(0, 0), lsp.Position(999, 0))


# Diagnostics


@FORMS
async def test_a_right_spec_has_no_diagnostics(open_text: Open, name: str, text: str) -> None:
    assert await open_text(name, text).diagnostics() == []


@FORMS
async def test_diagnostics_follow_the_text(open_text: Open, name: str, text: str) -> None:
    document = open_text(name, text)
    document.change(text.replace("flatten", "flaten"))
    (found,) = await document.diagnostics()
    assert (found.code, found.severity, found.source) == (
        "E0412",
        lsp.DiagnosticSeverity.Error,
        "specc",
    )
    assert document.text_of(found.range) == "flaten"
    assert "did you mean 'flatten'?" in found.message
    document.change(text)
    assert await document.diagnostics() == []


@FORMS
async def test_notes_are_related_places(open_text: Open, name: str, text: str) -> None:
    document = open_text(name, text.replace("flatten", "global_average_pool1d"))
    found = (await document.diagnostics())[0]
    assert found.code == "E0601"
    (related,) = found.related_information or ()
    assert related.location.uri == document.uri
    assert related.message == "'cell' is float[6, 6, 16]"


@FORMS
async def test_warnings_are_told_apart(open_text: Open, name: str, text: str) -> None:
    text = text.replace("parameter classes = 3", "parameter classes = 3\nparameter odd = 1")
    document = open_text(name, text.replace("classes: 3}", "classes: 3, odd: 1}"))
    (found,) = await document.diagnostics()
    assert (found.code, found.severity) == ("W1001", lsp.DiagnosticSeverity.Warning)
    assert document.text_of(found.range) == "odd"
    assert list(found.tags or ()) == [lsp.DiagnosticTag.Unnecessary]


async def test_other_yaml_is_left_alone(open_text: Open) -> None:
    document = open_text("compose.yaml", "services:\n  web: {image: x}\n  ▮")
    assert await document.diagnostics() == []
    assert await document.completions() == {}


async def test_a_text_that_is_too_large_is_not_read(open_text: Open) -> None:
    document = open_text("net.yaml", YAML + "#" * 1_000_001)
    (found,) = await document.diagnostics()
    assert found.code == "E0002"
    assert await document.hover("conv2d") == ""


# Hover


@FORMS
async def test_hover_of_a_layer(open_text: Open, name: str, text: str) -> None:
    shown = await open_text(name, text).hover("conv2d", 1)
    assert "`(batch, 8, 8, 1)` → `(batch, 6, 6, 8)`" in shown
    assert "80 parameters" in shown and "`first.kernel` (3, 3, 1, 8)" in shown
    assert "A 2-D convolution" in shown


@FORMS
async def test_hover_of_an_attribute_and_a_choice(open_text: Open, name: str, text: str) -> None:
    document = open_text(name, text)
    assert "What is applied to the result." in await document.hover("activation")
    assert "default 0.001" in await document.hover("learning_rate")
    assert "Adam" in await document.hover("adam")
    assert "max(0, x)" in await document.hover("relu", 0) or "relu" in await document.hover("relu")
    assert "softmax" in await document.hover("softmax")


@FORMS
async def test_hover_of_names(open_text: Open, name: str, text: str) -> None:
    document = open_text(name, text)
    assert "`(batch, 3)`" in await document.hover("probabilities")
    assert "`(batch, 8, 8, 1)`" in await document.hover("image")
    assert "target" in await document.hover("label")
    assert "parameter = 8" in await document.hover("width")
    assert "block cell(filters, stride=1)" in await document.hover("cell", 1)
    assert "= 1" in await document.hover("stride")
    assert "`(batch, 6, 6, 16)`" in await document.hover("z")


async def test_hover_of_a_block_that_is_used_twice(open_text: Open) -> None:
    text = LANGUAGE.replace("  | cell(width * 2)\n", "  | cell(width * 2)\n  | cell(4, stride=2)\n")
    document = open_text("net.specc", text)
    for shown in (await document.hover("conv2d"), await document.hover("z")):
        assert "1,168 parameters in the first use" in shown
    assert "`(batch, 6, 6, 16)` → `(batch, 3, 3, 4)`" in await document.hover("conv2d")
    assert "`(batch, 6, 6, 16)`, `(batch, 3, 3, 4)`" in await document.hover("z")


@FORMS
async def test_hover_of_a_section(open_text: Open, name: str, text: str) -> None:
    assert "optimizer" in await open_text(name, text).hover("training")


# Navigation


async def defined(
    client: LanguageClient, document: Document, word: str, occurrence: int
) -> list[str]:
    params = lsp.DefinitionParams(**document.place(word, occurrence))
    found = await client.text_document_definition_async(params)
    return [f"{place.range.start.line}:{document.text_of(place.range)}" for place in found]


@FORMS
async def test_definitions(client: LanguageClient, open_text: Open, name: str, text: str) -> None:
    document = open_text(name, text)

    def line(start: str) -> int:
        return text[: text.index(start)].count("\n")

    last = text.count("probabilities") - 1
    bound = "{name: probabilities" if name.endswith("yaml") else "probabilities ="
    bound_at = [f"{line(bound)}:probabilities"]
    assert await defined(client, document, "probabilities", last) == bound_at
    assert await defined(client, document, "cell", 1) == [f"{line('cell')}:cell"]
    assert await defined(client, document, "width", 1) == [f"{line('width')}:width"]
    assert await defined(client, document, "label", 1) == [f"{line('label')}:label"]
    assert await defined(client, document, "stride", 2) == [f"{line('stride')}:stride"]


async def test_the_definition_of_a_file_is_the_file(
    client: LanguageClient, open_text: Open, tmp_path: Path
) -> None:
    (tmp_path / "rows.npz").touch()
    for name, text in (("net.yaml", YAML), ("net.specc", LANGUAGE)):
        document = open_text(name, text)
        params = lsp.DefinitionParams(**document.place("rows"))
        (found,) = await client.text_document_definition_async(params)
        assert found.uri == (tmp_path / "rows.npz").as_uri()
    for odd in ("r" * 5000, "\\0", "../" * 99, "gone.npz"):
        document = open_text("odd.yaml", YAML.replace("rows.npz", f'"rows{odd}"'))
        params = lsp.DefinitionParams(**document.place("rows"))
        assert list(await client.text_document_definition_async(params)) == []
    assert "failed" not in "".join(message.message for message in client.log_messages)


@FORMS
async def test_references(client: LanguageClient, open_text: Open, name: str, text: str) -> None:
    document = open_text(name, text)
    for declaration in (True, False):
        context = lsp.ReferenceContext(include_declaration=declaration)
        params = lsp.ReferenceParams(context, **document.place("probabilities"))
        found = await client.text_document_references_async(params)
        assert len(found) == 2 + declaration
        assert {document.text_of(place.range) for place in found} == {"probabilities"}


@FORMS
async def test_rename(client: LanguageClient, open_text: Open, name: str, text: str) -> None:
    document = open_text(name, text)
    for word, occurrence, new in (
        ("probabilities", 1, "digits"), ("width", 0, "breadth"), ("cell", 0, "tower"),
        ("label", 0, "wanted"), ("image", 0, "picture"), ("filters", 0, "maps"),
        ("first", 0, "stem"),
    ):  # fmt: skip
        place = document.place(word, occurrence)
        prepared = await client.text_document_prepare_rename_async(lsp.PrepareRenameParams(**place))
        assert document.text_of(prepared) == word
        edit = await client.text_document_rename_async(lsp.RenameParams(new_name=new, **place))
        changed = document.applied(edit.changes[document.uri])
        expected = re.sub(rf"\b{word}\b", new, text)
        if word == "filters":  # the attribute of conv2d keeps its name
            expected = expected.replace(f"{{{new}: $", f"{{{word}: $")
        assert changed == expected
        other = open_text(f"renamed_{new}_{name}", changed)
        assert await other.diagnostics() == []


@FORMS
async def test_rename_refuses(
    client: LanguageClient, open_text: Open, name: str, text: str
) -> None:
    document = open_text(name, text)
    for word, new, why in (
        ("probabilities", "relu", "is the name of an op"),
        ("probabilities", "1st", "cannot be a name"),
        ("probabilities", "first", "is taken"),
        ("width", "classes", "is taken"),
        ("width", "if", "has a meaning of its own"),
        ("image", "label", "is taken"),
    ):
        params = lsp.RenameParams(new_name=new, **document.place(word))
        with pytest.raises(Exception, match=why):
            await client.text_document_rename_async(params)
    with pytest.raises(Exception, match="no name here"):
        params = lsp.PrepareRenameParams(**document.place("activation"))
        await client.text_document_prepare_rename_async(params)


# Outline, hints, formatting, actions


def flat(symbols: list[lsp.DocumentSymbol] | None, above: str = "") -> list[str]:
    found: list[str] = []
    for symbol in symbols or ():
        found += [f"{above}{symbol.name}", *flat(symbol.children, f"{above}{symbol.name}/")]
    return found


@FORMS
async def test_document_symbols(
    client: LanguageClient, open_text: Open, name: str, text: str
) -> None:
    document = open_text(name, text)
    params = lsp.DocumentSymbolParams(document.identifier)
    found = await client.text_document_document_symbol_async(params)
    names = flat(found)
    wanted = """width image label cell cell/filters cell/z cell/relu first flatten probabilities
        training training/optimizer data data/path""".split()
    assert [each for each in wanted if each not in names] == []
    assert "conv2d (batch, 6, 6, 8)" in {symbol.detail for symbol in found}
    for symbol in found:
        assert symbol.range.start <= symbol.selection_range.start
        assert symbol.selection_range.end <= symbol.range.end


@FORMS
async def test_inlay_hints(client: LanguageClient, open_text: Open, name: str, text: str) -> None:
    document = open_text(name, text)
    params = lsp.InlayHintParams(document.identifier, WHOLE)
    found = await client.text_document_inlay_hint_async(params)
    assert [hint.label for hint in found] == [
        "(batch, 6, 6, 16)", "(batch, 6, 6, 16)", "(batch, 6, 6, 8)", "(batch, 6, 6, 16)",
        "(batch, 576)", "(batch, 3)",
    ]  # fmt: skip
    line = document.text.split("\n")[found[2].position.line]
    assert "conv2d" in line[: found[2].position.character]


@FORMS
async def test_formatting(client: LanguageClient, open_text: Open, name: str, text: str) -> None:
    ugly = text.replace(": ", ":   ").replace(" | ", "|")
    options = lsp.FormattingOptions(tab_size=2, insert_spaces=True)
    document = open_text(name, ugly)
    params = lsp.DocumentFormattingParams(document.identifier, options)
    changed = document.applied(await client.text_document_formatting_async(params))
    document.change(changed)
    assert await document.diagnostics() == []
    assert list(await client.text_document_formatting_async(params)) == []
    document.change(text + "{")
    assert not await client.text_document_formatting_async(params)


@FORMS
async def test_code_actions(client: LanguageClient, open_text: Open, name: str, text: str) -> None:
    wrong = text.replace("flatten", "flaten").replace("activation=softmax", "activation=sofmax")
    document = open_text(name, wrong.replace("activation: softmax", "activation: sofmax"))
    for found in await document.diagnostics():
        context = lsp.CodeActionContext(diagnostics=[found])
        params = lsp.CodeActionParams(document.identifier, found.range, context)
        (action,) = await client.text_document_code_action_async(params)
        assert action.title.startswith(f"Change '{document.text_of(found.range)}' to '")
        document.change(document.applied(action.edit.changes[document.uri]))
    assert await document.diagnostics() == []


# Included files and positions


@FORMS
async def test_included_files_are_taken_from_the_editor(
    client: LanguageClient, open_text: Open, name: str, text: str
) -> None:
    part = {
        "net.yaml": "blocks:\n  tower:\n    layers: [{dense: 4}]\n",
        "net.specc": "block tower() {\n  input x\n  x | dense(4)\n}\n",
    }[name]
    parts = open_text(f"parts{name[3:]}", part)  # it is in no folder: only the editor has it
    assert await parts.diagnostics() == []
    head = {"net.yaml": "includes: [parts.yaml]\n", "net.specc": 'include "parts.specc"\n'}[name]
    text = text.replace('use: cell, with: {filters: "${width * 2}"}', "use: tower")
    text = text.replace("cell(width * 2)", "tower")
    first, rest = text.split("\n", 1)
    document = open_text(name, f"{first}\n{head}{rest}")
    assert [found.code for found in await document.diagnostics()] == ["W1001"]  # cell is unused
    params = lsp.DefinitionParams(**document.place("tower"))
    (place,) = await client.text_document_definition_async(params)
    assert place.uri == parts.uri and parts.text_of(place.range) == "tower"
    with pytest.raises(Exception, match="is defined in"):
        params = lsp.RenameParams(new_name="castle", **document.place("tower"))
        await client.text_document_rename_async(params)
    client.diagnostics.pop(document.uri)
    parts.change(part.replace("tower", "castle"))
    found = await document.diagnostics()
    assert "E0415" in {each.code for each in found} or "E0412" in {each.code for each in found}
    client.diagnostics.pop(document.uri)
    parts.change(part.replace("dense(4)", "dense(").replace("[{dense: 4}]", "[{dense: 4}"))
    (broken,) = await document.diagnostics()
    assert broken.related_information[0].location.uri == parts.uri
    assert "parts." in document.text_of(broken.range)


async def test_more_mistakes_than_are_shown(open_text: Open) -> None:
    """They are too many before any layer is looked at, in a spec and in what others include."""
    sections = "".join(f"odd{index}: 1\n" for index in range(150))
    assert len(await open_text("net.yaml", f"specc: 1\n{sections}").diagnostics()) >= 100
    blocks = "".join(f"  {index}: 1\n" for index in range(150))
    assert len(await open_text("parts.yaml", f"blocks:\n{blocks}").diagnostics()) >= 100


@pytest.mark.parametrize(
    "odd", ["\U0001f642", "\u6f22\u5b57", "e\u0301", "\U0001f642\u6f22\U0001f642"]
)
async def test_columns_count_code_units(open_text: Open, odd: str) -> None:
    """An emoji is two code units, a CJK character one: what follows them is still found."""
    head = "specc: 1\nname: net\ninputs: {x: {shape: [4]}}\n"
    document = open_text("net.yaml", f'{head}layers: [{{"dens{odd}": 3}}, {{dens: 3}}]\n')
    found = await document.diagnostics()
    assert [document.text_of(each.range) for each in found] == [f'"dens{odd}"', "dens"]
    document.change(
        f'{head}layers: [relu]\ndata: {{source: npz, path: "{odd}", split: {{test: 0.1}}}}\n'
    )
    assert "How the rows are divided." in await document.hover("split")
    document = open_text(
        "net.specc", f'spec 1 net\ninput x: float[4]\ny = x | dens("{odd}", unit=▮)\n'
    )
    document.change(document.text.replace("unit=", "activation=▮").replace("dens(", "dense("))
    items = await document.completions()
    edit = items["relu"].text_edit
    assert edit is not None
    assert document.applied([edit]) == document.text.replace("activation=", "activation=relu")

"""The reference part of the page on diagnostics: the pages of the catalogue by family."""

from __future__ import annotations

from specc.diagnostics.catalogue import FAMILIES, Page, pages
from specc.documentation.tables import code, table


def diagnostics_reference() -> str:
    """A list of all codes, then every code with what makes it, its message and what to do."""
    lines: list[str] = []
    families = {prefix: [p for p in pages() if p.code.startswith(prefix)] for prefix in FAMILIES}
    for prefix, found in families.items():
        rows = [(_link(page), page.title) for page in found]
        lines += [f"**{FAMILIES[prefix]}**", "", *table(("code", ""), rows)]
    for prefix, found in families.items():
        lines += [f"## {FAMILIES[prefix]}", ""]
        for page in found:
            lines += _page(page)
    return "\n".join(lines).rstrip() + "\n"


def _link(page: Page) -> str:
    name = f" `{page.name}`" if page.name else ""
    return f"[{page.code}](#{page.code.lower()}){name}"


def _page(page: Page) -> list[str]:
    lines = [
        f"### {page.code}",
        "",
        f"**{page.title[:1].upper()}{page.title[1:]}.** {page.mistake}",
        "",
    ]
    if page.name:
        lines += [f"A spec silences it with `allow: [{page.name}]`.", ""]
    for name, text in page.files.items():
        if not name.startswith("net."):
            lines += [f"`{name}`:", ""]
        lines += code(text, f"{'specc' if name.endswith('.specc') else 'yaml'} fragment")
    lines += code(page.setup, "python") if page.setup else []
    if page.commands[-1:] not in (["specc check net.yaml"], ["specc check net.specc"]):
        commands = "\n".join(f"$ {command}" for command in page.commands)
        lines += code(commands, "console") if commands else []
    lines += [*code(page.message, "text"), page.fix, ""]
    return [*lines, *(code(page.change, "diff") if page.change else [])]

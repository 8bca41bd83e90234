"""specc lsp."""

from __future__ import annotations

import click

from specc.diagnostics import Diagnostic, SpecError


@click.command()
@click.option("--stdio", is_flag=True, help="The only way to speak; some editors ask for it.")
def command(stdio: bool) -> None:
    """Serve editors: diagnostics while typing, hover, completion, renaming and more.

    Speaks the Language Server Protocol on standard input and output. The editor starts it; see
    docs/editors. It needs the package pygls: pip install 'specc[lsp]'.

    \b
    Examples:
      specc lsp
    """
    from specc.plugins import load_operations

    try:
        from specc.lsp.server import create_server
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "specc":
            raise
        raise SpecError(
            Diagnostic(
                "E1018",
                f"the language server needs the package '{package}', which is not installed",
                help="pip install 'specc[lsp]'",
            )
        ) from None
    load_operations()
    create_server().start_io()

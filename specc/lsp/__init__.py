"""The language server: what an editor shows of a spec while it is typed.

One file for each feature, over the ``Analysis`` of a document. Only ``server`` knows the protocol's
transport; pygls, which brings it, is the optional extra ``lsp``.
"""

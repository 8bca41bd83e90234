"""Random valid specs, run on every backend and at every optimisation level, and compared.

`draw` makes a spec from the op table and the registries, `check` runs and judges it, `shrink` makes
a failing one as small as it gets, `case` keeps it as a folder that runs again, and `campaign` does
this many times over.
"""

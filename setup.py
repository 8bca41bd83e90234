"""What pyproject.toml cannot say: the folders grammar/ and schemas/ ship inside the package, and so
do the style and the script of the page that `specc graph` writes.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["specc", "specc.*"]), "specc.grammar", "specc.schemas"],
    package_dir={"specc.grammar": "grammar", "specc.schemas": "schemas"},
    package_data={
        "specc.diagnostics.catalogue": ["*.md"],
        "specc.grammar": ["*.lark"],
        "specc.schemas": ["*.json"],
        "specc.page": ["assets/*"],
    },
)

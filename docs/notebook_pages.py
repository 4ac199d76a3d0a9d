"""Pages of the notebooks: a hook of MkDocs, which needs no plugin for them.

A notebook is kept without its outputs, so its page has its text and its code. The notebook itself
stands beside the page, to be downloaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def as_markdown(notebook: dict[str, Any], name: str) -> str:
    """A notebook as Markdown; below its title stands a link to the notebook.

    Parameters
    ----------
    notebook : its JSON.
    name : name of its file, which lies beside the page.
    """
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"]).strip()
        parts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
    title, _, rest = parts[0].partition("\n\n")
    parts[0:1] = [title, f"This page is a notebook: [{name}]({name}).", rest]
    return "\n\n".join(part for part in parts if part) + "\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook; MkDocs calls it once the files are found."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            page = file.src_uri.removesuffix(".ipynb") + ".md"
            source = Path(config.docs_dir) / file.src_uri
            text = as_markdown(json.loads(source.read_text()), source.name)
            files.append(File.generated(config, page, content=text))
    return files

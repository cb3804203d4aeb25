"""A hook of mkdocs: makes a page of each notebook, from the outputs that are stored in it.

Nothing is executed, and nothing beside mkdocs is needed. Pictures become files beside the page.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_NOTEBOOK = re.compile(r"\]\(([\w/.-]+)\.ipynb\)")
_DOWNLOAD = "[Download this notebook]({name}){{ .md-button download }}\n"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page, and its pictures, for each notebook."""
    for file in [each for each in files if each.src_uri.endswith(".ipynb")]:
        source = Path(str(file.abs_src_path))
        book = json.loads(source.read_text(encoding="utf-8"))
        stem = file.src_uri.removesuffix(".ipynb")
        text, pictures = _page(book["cells"], source.stem)
        text += "\n" + _DOWNLOAD.format(name=f"{source.name}")
        files.append(File.generated(config, f"{stem}.md", content=text))
        for name, content in pictures.items():
            place = f"{Path(stem).parent.as_posix()}/{name}"
            files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to notebooks, which lead somewhere in the repository too, lead to their pages."""
    if "Download this notebook" in markdown:
        return markdown
    return _NOTEBOOK.sub(r"](\1.md)", markdown)


def _page(cells: list[dict[str, Any]], stem: str) -> tuple[str, dict[str, bytes]]:
    """The page of a notebook, and its pictures by file name."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            image = output.get("data", {}).get("image/png")
            if image is None:
                parts.append(f"``` {{ .text .output }}\n{_text(output)}\n```")
                continue
            name = f"{stem}_{len(pictures) + 1}.png"
            pictures[name] = base64.b64decode("".join(image))
            parts.append(f"![What the cell above draws]({name})")
    return "\n\n".join(parts) + "\n", pictures


def _text(output: dict[str, Any]) -> str:
    """What a cell printed, or its last value as text."""
    lines = output.get("text") or output["data"]["text/plain"]
    return "".join(lines).rstrip()

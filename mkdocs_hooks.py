"""Tutorials are notebooks in Markdown (jupytext): mkdocs executes them and shows what their cells print.

mkdocs reads this file; see ``hooks`` in mkdocs.yml. A cell that fails ends the build.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbconvert.filters import strip_ansi

FRAME = '<table border="1" class="dataframe">'  # pandas's; a table without a class has the look of the site
QUIET = ["--log-level=40"]  # the kernel's errors alone
SECONDS = 1800  # of one cell, on a machine that does much else


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str | None:
    """Return a notebook's cells with their outputs, and put its figures and the executed notebook beside it."""
    if "jupyter" not in page.meta:
        return None
    notebook = executed(markdown)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = strip_ansi(output.text)  # colours
    text, resources = MarkdownExporter().from_notebook_node(notebook, {"output_files_dir": f"{page.file.name}_files"})
    folder = page.file.src_uri.rpartition("/")[0]
    made = {f"{page.file.name}.ipynb": nbformat.writes(notebook)} | resources["outputs"]
    for name, content in made.items():
        files.append(File.generated(config, f"{folder}/{name}", content=content))
    link = f"[This page as a notebook, with its outputs]({page.file.name}.ipynb)"
    return f"{text.replace(FRAME, '<table>')}\n\n{link}{{: download }}\n"


def executed(markdown: str) -> Any:
    """Return the notebook of a Markdown text after its cells have run in a folder of their own."""
    notebook = jupytext.reads(markdown, "md")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            notebook, timeout=SECONDS, resources=resources, coalesce_streams=True, extra_arguments=QUIET
        )
        client.execute(env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"})
    return notebook

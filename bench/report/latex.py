"""The leaderboard as LaTeX tables for a paper, with booktabs' rules."""

from __future__ import annotations

import pandas as pd

from bench.report.text import EXPLANATION, tables

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
}


def escape(text: str) -> str:
    """``text`` so that LaTeX prints it as it stands."""
    return "".join(SPECIAL.get(letter, letter) for letter in text)


def latex(board: pd.DataFrame) -> str:
    """A ``table`` environment for each dataset and shape; needs the package booktabs."""
    parts = [f"% {EXPLANATION}", ""]
    for title, heads, lines in tables(board):
        label = "".join(letter if letter.isalnum() else "-" for letter in title)
        parts += [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(title)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{ll{'r' * (len(heads) - 2)}}}",
            r"\toprule",
            " & ".join(map(escape, heads)) + r" \\",
            r"\midrule",
            *(" & ".join(map(escape, line)) + r" \\" for line in lines),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    return "\n".join(parts)

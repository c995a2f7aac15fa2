"""The two ways in which batch statistics normalize the queries of an episode."""

from __future__ import annotations

from typing import Literal

Mode = Literal["transductive", "inductive"]
"""``transductive``: by the query set's own statistics; ``inductive``: by those of the support set."""

MODES: tuple[Mode, ...] = ("transductive", "inductive")

"""What of a network can be chosen by name, apart from the networks themselves, which need PyTorch."""

from __future__ import annotations

from typing import Literal

HeadInit = Literal["small", "normal", "glorot"]
"""How the weights of a head are drawn; see ``algorithms.networks.conv4.Conv4``."""

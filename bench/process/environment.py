"""The environment of a result: code, packages, hardware, linear algebra, threads, environment variables."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch
from threadpoolctl import threadpool_info

PACKAGES = (
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "pyarrow",
    "safetensors",
    "pydantic",
    "seaborn",
    "matplotlib",
    "learn2learn",
)
NUMERIC_VARIABLES = (  # choose the kernels that compute, so that they may change a result's last digits
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
VARIABLES = (
    *NUMERIC_VARIABLES,
    "CUDA_VISIBLE_DEVICES",
    "MALLOC_CONF",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_CUDA_ALLOC_CONF",
)
DRIVER = Path("/proc/driver/nvidia/version")
ROOT = Path(__file__).resolve().parents[2]
CODE = ("bench", "algorithms", "datasets")  # where a new file changes what a cell does


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def uncommitted() -> str | None:
    """SHA-256 of what the code has beyond its commit: the difference, and new modules; None where there is nothing."""
    changes = _git("diff", "HEAD") or ""
    for name in (_git("ls-files", "--others", "--exclude-standard", "--", *CODE) or "").splitlines():
        if name.endswith(".py"):
            changes += f"{name}\n{(ROOT / name).read_text(encoding='utf-8', errors='replace')}"
    return hashlib.sha256(changes.encode()).hexdigest() if changes else None


def package_versions() -> dict[str, str | None]:
    """Versions of the packages that matter to a result; None where one is not installed."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def processor() -> str:
    """The processor's model, as the system calls it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def blas() -> dict[str, str | None]:
    """The libraries of linear algebra: those in PyTorch, and NumPy's with the processor that its kernels are for."""
    built = torch.__config__.show()
    loaded = [library for library in threadpool_info() if library["user_api"] == "blas"]
    of_numpy = [library for library in loaded if "numpy" in library["filepath"]]  # SciPy may bring one of its own
    kernels = (f"{each['internal_api']} {each['version']} {each.get('architecture')}" for each in of_numpy or loaded)
    return {
        "torch": _first_match(r"(Math Kernel Library Version \S+)", built) or _first_match(r"BLAS_INFO=(\w+)", built),
        "onednn": _first_match(r"MKL-DNN v(\S+)", built),
        "numpy": next(kernels, None),
    }


def driver(place: Path = DRIVER) -> str | None:
    """The version of NVIDIA's driver, where the system says it."""
    return (
        _first_match(r"Kernel Module.*?\s(\d+\.[\d.]+)", place.read_text(encoding="utf-8")) if place.is_file() else None
    )


def _first_match(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1] if match else None


@cache
def environment() -> dict[str, Any]:
    """Commit (and the digest of what is not committed), versions, machine; JSON-ready. Read once a process."""
    return {
        "commit": (_git("rev-parse", "HEAD") or "").strip() or None,
        "uncommitted": uncommitted(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "system": platform.platform(),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "processor": processor(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mib": psutil.virtual_memory().total // 2**20,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,  # type: ignore[no-untyped-call]
        "driver": driver(),
        "blas": blas(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }

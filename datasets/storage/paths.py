"""The folders of data and of caches."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from datasets.core.errors import UserError

ENVIRONMENT_VARIABLE = "BENCH_DATA"
CACHE_VARIABLE = "BENCH_CACHE"


def data_root(chosen: Path | str | None = None) -> Path:
    """The folder that holds the datasets: ``chosen``, else $BENCH_DATA, else the platform's user cache.

    Raises:
        UserError: what was chosen cannot be a path; see ``user_path``.
    """
    if chosen is not None:
        return user_path(chosen, "the data root")
    if from_environment := os.environ.get(ENVIRONMENT_VARIABLE):
        return user_path(from_environment, ENVIRONMENT_VARIABLE)
    return Path(platformdirs.user_cache_dir("meta-learning-bench"))


def cache_root() -> Path:
    """Return the folder of all caches: $BENCH_CACHE, else the platform's user cache.

    Raises:
        UserError: what was chosen cannot be a path; see ``user_path``.
    """
    if from_environment := os.environ.get(CACHE_VARIABLE):
        return user_path(from_environment, CACHE_VARIABLE)
    return Path(platformdirs.user_cache_dir("meta-learning-bench"))


def user_path(text: Path | str, what: str) -> Path:
    """``text`` as a path, with ``~`` and ``~user`` in front replaced.

    Raises:
        UserError: there is no such user, or no file can have that name; ``what`` names the setting.
    """
    if why := unusable_name(str(text)):
        raise UserError(f"{str(text)!a} {why}; give another path", what)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = Path(text).parts[0].removeprefix("~")
        whose = f"there is no user '{user}'" if user else "the home folder of this user is not known"
        raise UserError(f"{whose} for '{text}'; give the whole path, or ./{text} for a folder here", what) from None


def unusable_name(name: str) -> str:
    """Return why no dataset can have a file of that name, in words; empty where one can."""
    if "\0" in name:
        return "has a zero byte in it"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    return ""

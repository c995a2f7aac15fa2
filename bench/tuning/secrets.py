"""Removal of passwords from database URLs and messages."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote

from sqlalchemy.engine import URL

HIDDEN = "***"
SECRET = re.compile(r"pass|pwd|secret|token|key|credential", re.IGNORECASE)  # in the names of connection options
SHORTEST = 3  # characters of a value that is looked for in messages


def without_secrets(url: str) -> str:
    """A URL, which may be malformed, with its password and all secret options hidden."""
    url = re.sub(r"(:/+[^:/@]*):.*@", rf"\1:{HIDDEN}@", url, flags=re.DOTALL)
    url = re.sub(r":[^:@/]+@", f":{HIDDEN}@", url)
    return re.sub(r"([?&;])([^=&;]*)=([^&;]*)", _option, url)


def hide_secrets(message: str, url: URL) -> str:
    """A message of a database's driver, without what the URL keeps secret."""
    candidates = [
        url.password,
        *(secret for name, value in url.query.items() if SECRET.search(name) for secret in _each(value)),
    ]
    values = {str(secret) for secret in candidates if secret is not None and len(str(secret)) >= SHORTEST}
    for value in sorted(
        {form for secret in values for form in (secret, quote(secret, safe=""), quote_plus(secret))}, key=len
    )[::-1]:
        message = message.replace(value, HIDDEN)
    return message


def _each(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _option(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}={HIDDEN}" if SECRET.search(unquote(match[2])) else match[0]

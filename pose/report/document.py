"""Make HTML from a template: one file with its scripts, styles and data, which may load nothing.

Three things keep the text of a result from becoming markup or a script. The template escapes each value. Data
for scripts are JSON without `<`, `>` and `&`. The page's Content Security Policy allows no request, and no
script but those whose hashes it names.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pose.report.texts import Texts


@functools.cache
def environment() -> Environment:
    """Return the templates' environment, made once: it keeps compiled templates. It escapes all values."""
    return Environment(
        loader=PackageLoader("pose.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(
    template: str, texts: Texts, *, scripts: Sequence[str], styles: Sequence[str], **values: Any
) -> str:
    """Return a page.

    Args:
        template: file in `templates`.
        texts: the words of the page.
        scripts, styles: files in `static`, in the order in which they run.
        values: what the template shows.
    """
    code = [_asset(name) for name in scripts]
    looks = "\n".join(_asset(name) for name in styles)
    return (
        environment()
        .get_template(template)
        .render(
            _=texts.say,
            texts=texts,
            # These files are part of the package.
            scripts=[Markup(each) for each in code],
            style=Markup(looks),
            policy=_policy(code, looks),
            **values,
        )
    )


def _policy(scripts: Sequence[str], style: str) -> str:
    """Return a Content Security Policy that allows these scripts, this style and `data:` pictures."""
    allowed = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.cache
def _asset(name: str) -> str:
    """Return a file of `static`. It must not end the element in which it stands."""
    text = resources.files("pose.report").joinpath("static", name).read_text("utf-8")
    if "</script" in text.lower() or "<!--" in text or "</style" in text.lower():
        raise ValueError(f"{name} holds the end of a script or style element")
    return text

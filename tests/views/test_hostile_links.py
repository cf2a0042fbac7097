"""Links and views from strangers: an error or a view, without requests, files or long waits."""

from __future__ import annotations

import builtins
import io
import json
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.links import Jump
from napari_cryoet.views.links import parse_link
from napari_cryoet.views.neuroglancer import KEY
from napari_cryoet.views.packing import pack
from napari_cryoet.views.view import View
from viewer_states import PAGE, component, config, page_link

VIEW = json.loads((Path(__file__).parent / "version_1.view.json").read_text())
HOSTILE: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1e308,
        -1e308,
        10**400,
        2**63,
        "",
        "\0",
        "\u202e",
        "%",
        "../../etc/passwd",
    ),
    *("file:///etc/passwd", "http://169.254.169.254/", "\\\\host\\share", "x" * 100_000),
    *([], {}, [[]], [{}], ["a"] * 1000, {"$more": {"a": 1}}, {"__class__": "os.system"}),
    *(json.loads("[" * 200 + "]" * 200), {str(number): number for number in range(2000)}),
)


def own(view: Any) -> str:
    return f"napari-cryoet:v1/{pack(json.dumps(view).encode())}"


def portal(state: Any, view: Any) -> str:
    kept = quote(json.dumps({"hash": "0", "view": view}))
    return page_link({"neuroglancer": f"#!{component(state)}", KEY: kept})


FORMS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (VIEW, own),
    (VIEW, lambda view: portal(config(), view)),
    (config(), lambda state: f"{PAGE}#!{component(state)}"),
    (config(), lambda state: f"https://neuroglancer-demo.appspot.com/#!{json.dumps(state)}"),
    (config(), lambda state: portal(state, VIEW)),
)


def mutated(data: Any, seed: random.Random) -> Any:
    """A copy with one part replaced by something hostile, or left out."""
    data = json.loads(json.dumps(data))
    part = data
    while True:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        key = seed.choice(keys)
        inner = part[key]
        if not (isinstance(inner, dict | list) and inner) or seed.random() < 0.2:
            break
        part = inner
    if seed.random() < 0.15:
        del part[key]
    else:
        part[key] = seed.choice(HOSTILE)
    return data


def hostile_links() -> Iterator[str]:
    seed = random.Random(34)
    for number in range(240):
        data, link_of = FORMS[number % len(FORMS)]
        yield link_of(mutated(data, seed))
    whole = [own(VIEW), portal(config(), VIEW), f"{PAGE}#!{component(config())}"]
    for number in range(60):  # damaged in transport
        text = whole[number % 3]
        at = seed.randrange(len(text))
        cut = text[:at] + seed.choice(["", "A", "%", "=", "\n", "\ud800", "é"]) + text[at + 1 :]
        yield cut if number % 2 else text[:at]
    large = (bytes(20_000_000), b"[" * 1_000_000, b'{"a":' * 100_000)
    for text in (*map(pack, large), "A" * 300_000, "%" * 300_000):
        yield f"napari-cryoet:v1/{text}"
        yield f"{PAGE}#!{text}"
    yield from (
        "napari-cryoet:",
        "napari-cryoet:v9/AAAA",
        f"{PAGE}#!{'%7B' * 50_000}",
        "#!" * 1000,
    )
    yield from ("https://x.y/" + "runs/1/" * 50_000 + " ", f"{PAGE}#!https://example.org/a.json")


def test_hostile_links_give_an_error_or_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    links = list(hostile_links())
    assert len(links) >= 300
    touched: list[object] = []
    here = threading.get_ident()

    def refusing(original: Callable[..., object]) -> Callable[..., object]:
        """Refuse calls of this thread; others may be those of an earlier test's threads."""

        def call(*arguments: object, **options: object) -> object:
            if threading.get_ident() != here:
                return original(*arguments, **options)
            touched.append(arguments)
            raise OSError

        return call

    views = 0
    with monkeypatch.context() as patch:
        for module, name in ((socket, "socket"), (builtins, "open"), (io, "open"), (os, "open")):
            patch.setattr(module, name, refusing(getattr(module, name)))
        for link in links:
            try:
                result = parse_link(link)
            except CryoETError:
                result = None
            assert result is None or isinstance(result, View | Jump)
            if isinstance(result, View):
                views += 1
                assert View.of(result.to_dict()) == result
                assert parse_link(result.link()) == result
    assert not touched
    assert views > 50

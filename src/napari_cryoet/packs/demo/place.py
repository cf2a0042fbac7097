"""Where a file lies: on disk, over HTTPS and in S3, from one path below the bucket's root."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_cryoet.packs.demo.content import HTTPS_PREFIX, S3_PREFIX


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder of the demo; ``key`` is its path below the bucket's root, with slashes."""

    root: Path
    key: str

    def __truediv__(self, name: str) -> Place:
        return Place(self.root, f"{self.key}/{name}")

    @property
    def path(self) -> Path:
        """On disk."""
        return self.root.joinpath(*self.key.split("/"))

    @property
    def https(self) -> str:
        """Its URL."""
        return HTTPS_PREFIX + self.key

    @property
    def s3(self) -> str:
        """Its address in S3."""
        return S3_PREFIX + self.key

    def write_text(self, text: str) -> int:
        """Write a text file and give its size in bytes."""
        return self.write_bytes(text.encode("utf-8"))

    def write_bytes(self, content: bytes) -> int:
        """Write a file and give its size in bytes."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.path.write_bytes(content)

    def write_json(self, content: dict[str, Any]) -> int:
        """Write a metadata file and give its size in bytes."""
        return self.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n")

"""The metadata that depend on the repository's address: the README's links and the project's URLs."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: The start of a link or picture whose target is a file of the repository.
RELATIVE_LINK = re.compile(r"(!?)(\[[^]]*\]\()(?!https?:|#)")


class RepositoryHook(MetadataHookInterface):
    """Set ``readme`` and ``urls``. Without an address, there are no URLs and links stay relative."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in the two fields."""
        address = self.config["repository"]
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        if address:
            version = metadata["version"]
            revision = "main" if ".dev" in version else f"v{version}"
            readme = RELATIVE_LINK.sub(
                lambda link: (
                    f"{link[1]}{link[2]}{address}/{'raw' if link[1] else 'blob'}/{revision}/"
                ),
                readme,
            )
            metadata["urls"] = {
                "Source": address,
                "Issues": f"{address}/issues",
                "Changelog": f"{address}/blob/main/CHANGELOG.md",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}

"""Where an object of S3 is on the web: ``s3://bucket/key`` as an https address that anybody may read.

Nothing is signed, so only public buckets can be read. The address is the virtual-hosted one,
``https://bucket.s3.amazonaws.com/key``, which the name servers lead to the bucket's own region; a bucket with dots in
its name doesn't fit Amazon's certificate and is named in the path. Where Amazon says that a bucket is in another region
it is asked there, which costs each request a round trip. That region, and other stores that speak S3, can be set as
Amazon's own tools take them: ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL`` in the environment,
``https://s3.eu-south-1.amazonaws.com`` for example; the bucket then is named in the path.

A public bucket that may not be listed says 403 of what is missing; that is told as a refusal and not taken for missing.
"""

from __future__ import annotations

import os
import re
from urllib.parse import quote

from napari_cryoet.exceptions import FormatError
from napari_cryoet.files import without_login

_SCHEME = "s3://"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_AMAZON = "s3.amazonaws.com"


def https_address(s3_url: str) -> str:
    """The http(s) address of an ``s3://`` address.

    Raises
    ------
    FormatError
        If it names no bucket.
    """
    bucket, _, key = s3_url[len(_SCHEME) :].partition("/")
    if not s3_url.lower().startswith(_SCHEME) or not _BUCKET.fullmatch(bucket):
        raise FormatError(
            f"{without_login(s3_url)!r} names no bucket.", hint="An address on S3 looks like s3://bucket/folder/file."
        )
    path = quote(key)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}/{path}"
    if re.fullmatch(r"[a-z0-9-]+", bucket):
        return f"https://{bucket}.{_AMAZON}/{path}"
    return f"https://{_AMAZON}/{bucket}/{path}"

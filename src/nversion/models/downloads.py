"""One sentence for weights that could not be downloaded, whichever library tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nversion.core import UserError
from nversion.core.reasons import reason_of

_NETWORK_PACKAGES = ("huggingface_hub", "httpx", "httpcore", "requests", "urllib", "urllib3", "http")


@contextmanager
def downloading(what: str, cache: str) -> Iterator[None]:
    """Turn a failed download inside the block into a UserError.

    Args:
        what: the weights, as they read in the error.
        cache: how to point the library at a folder filled elsewhere.
    """
    try:
        yield
    except Exception as error:
        if not _is_download_failure(error):
            raise
        reason = reason_of(error)
        raise UserError(
            expected=f"to download {what}",
            found=reason,
            next_step=f"load it once on a machine with internet access and copy its cache ({cache}), "
            'or use a weights file with `source = "file:..."`, or set `pretrained = false`',
        ) from error


def _is_download_failure(error: Exception) -> bool:
    # The hub's own errors are OSErrors in some of its versions and not in others.
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in _NETWORK_PACKAGES

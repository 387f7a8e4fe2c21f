"""One sentence for weights that could not be downloaded, whichever library tried."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from nversion.core import UserError
from nversion.core.reasons import reason_of

_SECONDS = 5
_NETWORK_PACKAGES = (
    "huggingface_hub",
    "httpx",
    "httpx2",
    "httpcore",
    "requests",
    "urllib",
    "urllib3",
    "http",
)


@contextmanager
def downloading(what: str, cache: str, *, from_hub: bool = False) -> Iterator[None]:
    """Turn a failed download inside the block into a UserError.

    The Hugging Face hub's client tries each file six times, 25 s long, also for files that are in the cache.
    Without a connection to the hub it is kept offline inside the block: what is in the cache loads at once,
    and the rest fails at once.

    Args:
        what: the weights, as they read in the error.
        cache: how to point the library at a folder filled elsewhere.
        from_hub: whether the block downloads from the Hugging Face hub.
    """
    unreachable = ""
    try:
        if from_hub:
            with _offline_if_unreachable() as unreachable:
                yield
        else:
            yield
    except Exception as error:
        if not _is_download_failure(error):
            raise
        reason = (
            f"no connection ({unreachable}) and no copy in the cache" if unreachable else reason_of(error)
        )
        raise UserError(
            expected=f"to download {what}",
            found=reason,
            next_step=f"load it once on a machine with internet access and copy its cache ({cache}), "
            'or use a weights file with `source = "file:..."`, or set `pretrained = false`',
        ) from error


@contextmanager
def _offline_if_unreachable() -> Iterator[str]:
    """Yields why the hub cannot be reached; empty if it can."""
    from huggingface_hub import constants

    reason = "" if constants.HF_HUB_OFFLINE else _why_unreachable(constants.ENDPOINT)
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or bool(reason)
    try:
        yield reason
    finally:
        constants.HF_HUB_OFFLINE = before


@functools.lru_cache(maxsize=1)
def _why_unreachable(endpoint: str) -> str:
    """One request with the hub's own client, which knows the user's proxies; asked once a process."""
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=_SECONDS)
    except Exception as error:
        return reason_of(error)
    return ""


def _is_download_failure(error: Exception) -> bool:
    # The hub's own errors are OSErrors in some of its versions and not in others.
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in _NETWORK_PACKAGES

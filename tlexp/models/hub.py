"""Pretrained weights from the model hub: the local cache first, then a bounded look whether the hub is there."""

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

PATIENCE_SECONDS = 10.0
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_TRUE = {"1", "ON", "YES", "TRUE"}


@dataclass(frozen=True, kw_only=True)
class Remote:
    """Where timm keeps one model's weights.

    Attributes:
        label: For people: the hub's repository, or the address.
        files: File names to try, in order.
        repository: The hub's repository, or "" for a plain address.
        revision: Of the repository; None is its main line.
        address: The plain address, or "".
    """

    label: str
    files: tuple[str, ...]
    repository: str = ""
    revision: str | None = None
    address: str = ""


def find_remote(source: Mapping[str, Any]) -> Remote | None:
    """Return where timm's pretrained configuration has the weights, None where there are none."""
    if source.get("hf_hub_id"):
        repository, _, revision = str(source["hf_hub_id"]).partition("@")
        stated = source.get("hf_hub_filename")
        return Remote(
            label=f"hub {repository}",
            files=(stated,) if stated else _HUB_FILES,
            repository=repository,
            revision=revision or None,
        )
    if source.get("url"):
        address = str(source["url"])
        return Remote(label=f"address {address}", files=(address.rsplit("/", 1)[-1],), address=address)
    return None


def fetch(remote: Remote) -> tuple[Path | None, str]:
    """Return the weights' local path, from the cache or downloaded; else None and why they cannot be had.

    A download starts only when the server answered a first question within ten seconds in all.
    """
    cached = find_cached(remote)
    if cached is not None:
        return cached, ""
    if reason := why_out_of_reach(remote):
        return None, reason
    try:
        return _download(remote), ""
    except (OSError, EntryNotFoundError, RuntimeError, ValueError) as error:
        return None, f"the download of {_address(remote)} failed: {type(error).__name__}: {error}"


def why_out_of_reach(remote: Remote) -> str:
    """Return why weights that are not in the cache could not be downloaded now, "" if they could."""
    if _offline():
        return "HF_HUB_OFFLINE is set"
    reason = unreachable(_address(remote), seconds=PATIENCE_SECONDS)
    return f"{_address(remote)} is not reachable: {reason}" if reason else ""


def find_cached(remote: Remote) -> Path | None:
    """Return the weights in the hub's local cache, or in torch's for a plain address."""
    if remote.address:
        path = _torch_cache() / remote.files[0]
        return path if path.is_file() else None
    for file in remote.files:
        found = try_to_load_from_cache(remote.repository, file, cache_dir=cache_folder(), revision=remote.revision)
        if isinstance(found, str):
            return Path(found)
    return None


def cache_folder() -> Path:
    """Return the hub's cache; its library reads the environment only when it is imported, this at each call."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if stated := os.environ.get(variable):
            return Path(os.path.expandvars(stated)).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(os.path.expandvars(home)).expanduser() / "hub"
    return Path(constants.HF_HUB_CACHE)


def unreachable(address: str, *, seconds: float) -> str:
    """Return why an address does not answer within so many seconds in all, or "" if it does.

    In a thread of its own, because looking up a name cannot be given a time limit.
    """
    outcome = [f"no answer within {seconds:g} s"]
    thread = threading.Thread(target=_ask, args=(address, seconds, outcome), daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer already."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _ask(address: str, seconds: float, outcome: list[str]) -> None:
    """Put "" into the outcome if the server answers, or else why it does not."""
    if not address.startswith(("http://", "https://")):
        outcome[0] = "not an http address"
        return
    question = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.build_opener(_NoRedirect).open(question, timeout=seconds):
            outcome[0] = ""
    except urllib.error.HTTPError as error:
        # Below 500 the server is there, and the download itself will say what is wrong.
        outcome[0] = "" if error.code < 500 else f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        outcome[0] = str(getattr(error, "reason", error))


def _offline() -> bool:
    stated = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return stated.upper() in _TRUE


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")


def _address(remote: Remote) -> str:
    if remote.address:
        return remote.address
    return f"{_endpoint()}/{remote.repository}/resolve/{remote.revision or 'main'}/{remote.files[0]}"


def _torch_cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _download(remote: Remote) -> Path:
    """Download as timm does: safetensors where the repository has it, else the pickled file."""
    if remote.address:
        path = _torch_cache() / remote.files[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(remote.address, str(path))
        return path
    *first, last = remote.files
    for file in first:
        try:
            return _download_file(remote, file)
        except LocalEntryNotFoundError:
            raise  # the connection broke: another file will not come either
        except EntryNotFoundError:
            continue
    return _download_file(remote, last)


def _download_file(remote: Remote, file: str) -> Path:
    return Path(
        hf_hub_download(
            remote.repository, file, revision=remote.revision, cache_dir=cache_folder(), endpoint=_endpoint()
        )
    )

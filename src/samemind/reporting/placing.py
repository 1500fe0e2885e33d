"""A report's folder appears complete or not at all, whoever else writes one in the same place."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from samemind.errors import StoreError
from samemind.store.leases import owner, split_owner

DRAFT, OLD = "draft", "old"


@contextmanager
def put_in_place(out: Path) -> Iterator[Path]:
    """A draft folder beside `out` that takes its place when the block ends well.

    Of several that come at once the last one stays. What processes that were killed had left
    beside it is removed.

    **Raises:** `StoreError` if nothing can be written there.
    """
    draft = out.parent / f".{out.name}-{DRAFT}-{owner()}"
    try:
        _sweep(out)
        draft.mkdir(parents=True)
        yield draft
        _swap(draft, out)
    except OSError as error:
        raise StoreError(
            f"Cannot write the report to {out}: {error.strerror or error}. "
            f"Name another folder with --out, or make room there."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _swap(draft: Path, out: Path) -> None:
    while True:
        old = out.parent / f".{out.name}-{OLD}-{owner()}"
        is_new = not _is_moved(out, old)
        try:
            draft.rename(out)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                if not is_new:
                    old.rename(out)
                raise
            # Another process put its report there in this moment; ours is newer.
        else:
            return
        finally:
            shutil.rmtree(old, ignore_errors=True)


def _is_moved(out: Path, old: Path) -> bool:
    try:
        out.rename(old)
    except FileNotFoundError:
        return False
    return True


def _sweep(out: Path) -> None:
    """Removes the drafts and replaced reports of processes of this machine that have ended."""
    if not out.parent.is_dir():
        return
    for path in out.parent.iterdir():
        if path.name.startswith((f".{out.name}-{DRAFT}-", f".{out.name}-{OLD}-")):
            _, who = split_owner(path.name)
            if who is not None and who.is_gone:
                shutil.rmtree(path, ignore_errors=True)

"""A download that is given up when it stalls, and that shows how far it is when it takes long."""

import queue
import threading
import time
import urllib.request

from .._progress import progress

# A download goes on as long as each further megabyte takes no more than so many seconds.
_PATIENCE = 15.0
_MEGABYTE = 1_000_000
_UNSEEN = 2.0  # seconds that a download may take before it shows


def download(url: str, title: str) -> bytes:
    """Return what is at `url`; `OSError` when it fails or a megabyte takes over `_PATIENCE`."""
    arrived: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
    abandoned = threading.Event()

    def read() -> None:
        try:
            # The limit is kept below; this one, later, only ends the thread.
            with urllib.request.urlopen(url, timeout=2 * _PATIENCE) as response:
                bar.total = response.length
                chunk = b" "
                while chunk and not abandoned.is_set():
                    chunk = response.read1(1 << 16)
                    arrived.put(chunk)
        except Exception as error:
            arrived.put(error)

    what = f"Downloading {title}"
    with progress(desc=what, unit="B", unit_scale=True, delay=_UNSEEN) as bar:
        # In a thread, because no time limit reaches a name server that does not answer.
        threading.Thread(target=read, daemon=True).start()
        chunks: list[bytes] = []
        missing, deadline = _MEGABYTE, time.monotonic() + _PATIENCE
        try:
            while chunk := arrived.get(timeout=max(0, deadline - time.monotonic())):
                if isinstance(chunk, Exception):
                    raise OSError(str(chunk)) from chunk
                chunks.append(chunk)
                bar.update(len(chunk))
                missing -= len(chunk)
                if missing <= 0:
                    missing, deadline = _MEGABYTE, time.monotonic() + _PATIENCE
        except queue.Empty:
            raise TimeoutError(f"less than 1 MB came in {_PATIENCE:.3g} s") from None
        finally:
            abandoned.set()
    return b"".join(chunks)

"""A record: the finished runs of a sweep in one text file that outlives versions and machines.

Line 1 is a header: the keys of the grid, digests of the code of `build_model` and `data` (the
arrays' own where `data` is a `Data`), where the data are from, what is measured, and `made_by`, a
list of the versions and devices that runs were made with. Each further line is a run: its keys,
its seed, the limit it was given, what was measured, a digest of its data, and, unless it is 0, the
place in `made_by` of what made it. Measures are kept as float32, in which Keras measures: they come
back bit for bit. Seconds are kept to four digits.

A run once recorded is read by all later versions, and neither data nor models are needed for it.
Only another digest or source is refused. While runs are made, each is appended as one line; at the
end the lines are sorted, so that new runs change few of them.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from .._arguments import instance
from .._files import check_same, naming, write
from ..data.loading import Data
from .digests import code_digest, data_digest, rule_text
from .folders import Cache, check_result
from .jobs import Job, lock

# What a run's line has beside keys, counts and measures.
_OWN = ("seed", "limit", "seconds", "restored_epoch", "step", "reason", "data_sha256", "made_by")


class Record(Cache):
    """A cache in one file, which several processes may fill at once."""

    identified = ("data",)

    def __init__(self, path: Path, job: Job) -> None:
        if taken := set(_OWN) & job.point.keys():
            raise ValueError(f"grid must not have the key {taken.pop()!r}, as a record has it.")
        data, stopping = job.data, job.stopping
        if stopping:
            stopping = stopping | {"rule": rule_text(stopping["rule"])}
        # Of a link what it leads to, or the file there would stay as it is.
        path = Path(os.path.realpath(path))
        self.path, self._end, self._written = path, 0, False
        self._stamp: tuple[int, ...] = ()
        self._lock, self._turn = FileLock(f"{path}.lock"), threading.Lock()  # processes; threads
        self.header: dict[str, Any] = {
            "keys": sorted(job.point),
            "build_model": code_digest("build_model", job.build_model),
            "data": data_digest(data)[:16] if isinstance(data, Data) else code_digest("data", data),
            "settings": {"curves": job.curves} | stopping,
            "made_by": [],
        }
        self.runs: dict[str, dict[str, Any]] = {}  # as in the file, by what tells them apart
        self._load()

    def read(self, job: Job) -> dict[str, Any] | None:
        with self._turn:
            self._load()
            run = self.runs.get(self._id(self._begun(job)))
        return None if run is None else self._result(run)

    def write(self, job: Job, result: dict[str, Any]) -> dict[str, Any]:
        rows, begun = result["rows"], self._begun(job)
        names = [name for name in rows[0] if name not in ("epoch", "step")]
        measures: dict[str, Any] = {name: _short(rows[0][name]) for name in names}
        if job.curves:
            measures = {name: [_short(row[name]) for row in rows] for name in names}
            measures["step"] = [row["step"] for row in rows]
        restored = {"restored_epoch": result["restored_epoch"]} if job.stopping else {}
        counts = {name: result[name] for name in ("epochs", "steps") if name not in begun}
        run = begun | counts | {"seconds": float(f"{result['seconds']:.4g}")} | restored | measures
        run |= {"reason": result["reason"], "data_sha256": result["data"]["sha256"][:12]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._turn, self._lock:
            self._load()
            self._check_source(result["source"])
            makers = self.header["made_by"]
            known = result["made_by"] in makers
            if not known:
                makers.append(result["made_by"])
            if place := makers.index(result["made_by"]):
                run["made_by"] = place
            run = self.runs.setdefault(self._id(run), run)
            # Without a stamp there is no file, or no more; without an end, the last line has none.
            self._append(run) if known and self._stamp and self._end else self._write_all()
            self._written = True
        return self._result(run)

    def check(self, kept: list[Job], missing: list[Job]) -> None:
        if not missing:
            return
        with lock:
            each = {job.data_id[:-1]: job for job in reversed(missing)}.values()
            sources = sorted({job.load().source for job in each})
            if len(sources) > 1:
                raise ValueError(
                    "cache must be a folder, or a record for each source of data, as a record is "
                    f"of one; got the sources {', '.join(map(repr, sources))}."
                )
            self._check_source(sources[0])
            for job in {job.data_id[:-1]: job for job in reversed(kept)}.values():
                run = self.runs[self._id(self._begun(job))]
                found = job.identity()["data"]
                if not found["sha256"].startswith(run["data_sha256"]):
                    raise ValueError(
                        f"cache must be a record of the same data, or another path; {self.path} "
                        f"has data of digest {run['data_sha256']} for seed {job.seed}, this sweep "
                        f"{found['sha256'][:12]} ({found['description']})."
                    )

    def close(self) -> None:
        """Sort the lines, if some were added."""
        if self._written:
            with self._lock:
                self._load()
                self._write_all()

    def _begun(self, job: Job) -> dict[str, Any]:
        """Return what a run's line begins with."""
        point = job.settings()["settings"]
        limit = [f"{k}={v}" for k, v in job.training.items() if k not in job.point]
        begun = {key: point[key] for key in self.header["keys"]} | {"seed": job.seed}
        return begun | ({"limit": limit[0]} if limit else {})

    def _id(self, run: dict[str, Any]) -> str:
        keys = (*self.header["keys"], "seed")
        return json.dumps([*(run[key] for key in keys), run.get("limit")])

    def _result(self, run: dict[str, Any]) -> dict[str, Any]:
        """Return a run as `run_job` does."""
        try:
            result = self._as_made(run)
            check_result(result)
            instance("data_sha256", run["data_sha256"], str, "a digest")
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f"cache must be a record; the line of {self._id(run)} in {self.path} is damaged "
                f"({error!r}). Without it, the run is trained again."
            ) from error
        return result

    def _as_made(self, run: dict[str, Any]) -> dict[str, Any]:
        known = {*self.header["keys"], *_OWN, "epochs", "steps"}
        measures = {name: value for name, value in run.items() if name not in known}
        if self.header["settings"]["curves"]:
            epochs = enumerate(zip(run["step"], *measures.values(), strict=True))
            rows = [
                {"epoch": epoch, "step": step} | dict(zip(measures, map(_exact, row), strict=True))
                for epoch, (step, *row) in epochs
            ]
        else:
            rows = [{name: _exact(value) for name, value in measures.items()}]
        names = ("epochs", "steps", "seconds", "reason")
        counts = {name: run.get(name) for name in (*names, "restored_epoch")}
        return counts | {"rows": rows}

    def _load(self) -> None:
        """Read the file, if it is another than the one read last."""
        if not self.path.exists():
            self.runs, self._stamp = {}, ()
            return
        if not self.path.is_file():  # to read a pipe would wait for ever
            raise ValueError(f"cache must be a file, as it ends in .jsonl; got {self.path}.")
        status = self.path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._stamp:
            return
        content = self.path.read_bytes()
        *lines, last = content.split(b"\n")
        self._end = len(content) - len(last)
        if last and not _is_begun(last):  # an editor took its newline away
            lines, self._end = [*lines, last], 0
        if content and not lines:
            raise ValueError(
                f"cache must be a record, or a file that is not there yet; {self.path} has no "
                f"header, but {content[:80]!r}."
            )
        runs: dict[str, dict[str, Any]] = {}
        for number, line in enumerate(lines, 1):
            try:
                if number == 1:
                    header = json.loads(line)
                    self._check(header, {k: v for k, v in self.header.items() if k != "made_by"})
                    self.header = header
                else:
                    run = json.loads(line)
                    runs.setdefault(self._id(run), run)
            except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
                raise ValueError(
                    f"cache must be a record; line {number} of {self.path} is damaged ({error!r}). "
                    "Without a run's line, the run is trained again."
                ) from error
        self.runs, self._stamp = runs, stamp

    def _check(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Raise `ValueError` naming the first place where a record differs from this sweep."""
        wanted = "cache must be a record of the same model, data and settings, or another path"
        check_same(wanted, self.path, {key: old[key] for key in new}, new)

    def _check_source(self, source: str) -> None:
        self._check({"source": self.header.setdefault("source", source)}, {"source": source})

    def _append(self, run: dict[str, Any]) -> None:
        with naming(self.path), self.path.open("r+b") as file:
            file.truncate(self._end)
            file.seek(self._end)
            file.write(_line(run))
            file.flush()
            os.fsync(file.fileno())

    def _write_all(self) -> None:
        runs = sorted(self.runs.values(), key=self._place)
        write(self.path, b"".join(map(_line, [self.header, *runs])))

    def _place(self, run: dict[str, Any]) -> list[tuple[bool, float, str]]:
        """Return what to sort by: numbers as such and first, other keys as their text."""
        values = (run[key] for key in (*self.header["keys"], "seed"))
        return [
            (False, value, "") if isinstance(value, (int, float)) else (True, 0, json.dumps(value))
            for value in values
        ]


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _is_begun(line: bytes) -> bool:
    """Whether a line without its end was cut off, or is being written."""
    try:
        json.loads(line)
    except ValueError:
        return line.startswith(b"{")
    return False


def _short(value: float) -> float:
    """Return the float whose text is the shortest that means this float32."""
    return float(str(np.float32(value)))


def _exact(value: float) -> float:
    return float(np.float32(value))

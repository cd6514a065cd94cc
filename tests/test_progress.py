"""What `progress` shows, where, and that nothing of it stays."""

import io
import sys

import pytest
from jupyter_client.manager import start_new_kernel

from epochlab._progress import progress

WORK = """
print("before")
from epochlab._progress import progress
with progress(total=50, desc="Runs", mininterval=0) as bar:
    for _ in range(50):
        bar.update()
print("after")
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def work(**settings):
    with progress(total=4, desc="Runs", mininterval=0, **settings) as bar:
        for _ in range(2):
            bar.update(2)


@pytest.fixture(scope="module")
def kernel():
    manager, client = start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def outputs(kernel, *, allow_stdin):
    messages = []
    kernel.execute_interactive(WORK, allow_stdin=allow_stdin, output_hook=messages.append)
    shown = ("stream", "display_data", "update_display_data", "error")
    return [(m["msg_type"], m["content"]) for m in messages if m["msg_type"] in shown]


def test_in_a_notebook_that_a_person_runs(kernel):
    (_, before), (first, bar), *updates, (_, after) = outputs(kernel, allow_stdin=True)
    assert (before["text"], after["text"]) == ("before\n", "after\n")
    assert first == "display_data" and bar["data"]["text/plain"].startswith("Runs:   0%")
    assert {kind for kind, _ in updates} == {"update_display_data"}
    texts = [update["data"].get("text/plain", "") for _, update in updates]
    assert "Runs: 100%" in texts[-2] and "50/50" in texts[-2]
    assert updates[-1][1]["data"] == {}, "something stays in the notebook"


def test_in_a_notebook_that_a_program_executes(kernel):
    texts = [content["text"] for _, content in outputs(kernel, allow_stdin=False)]
    assert "".join(texts) == "before\nafter\n"


def test_in_a_terminal_it_is_wiped_away(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    work()
    lines = terminal.getvalue().split("\r")
    assert any("Runs: 100%" in line for line in lines)
    assert not lines[-1] and not lines[-2].strip()

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    work(delay=60)
    assert terminal.getvalue() == "" and capsys.readouterr() == ("", "")


def test_elsewhere_nothing(monkeypatch, capsys):
    work()
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setitem(sys.modules, "tqdm", None)  # as where it is not installed
    work()
    assert terminal.getvalue() == "" and capsys.readouterr() == ("", "")

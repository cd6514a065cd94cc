"""The site builds without a warning, fetches nothing, and works in a real browser.

`AXE` names axe-core's `axe.min.js`, if it is not in `docs/node_modules`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx_book_theme", reason="the extra docs is not installed")
import epochlab

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
AXE = Path(os.environ.get("AXE") or ROOT / "docs/node_modules/axe-core/axe.min.js")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "site"
    before = os.times()
    command = [sys.executable, "-m", "sphinx", "-W", "-E", "docs", folder, "-d", f"{folder}.read"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-3000:]
    after = os.times()
    # Of the processor, since other work on the machine takes none of it.
    seconds = after.children_user - before.children_user
    assert seconds < 60, f"the build took {seconds:.0f} s"
    return folder


@pytest.fixture(scope="module")
def pages(site):
    found = sorted(site.rglob("*.html"))
    found = [path for path in found if "_static" not in path.parts]  # templates of the theme
    of_code = [path for path in found if "_modules" in path.parts]
    return [path for path in found if path not in of_code[1:]]  # these are all alike


def test_site_is_small(site):
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    assert size < 25e6, f"the site has {size / 1e6:.1f} megabytes"


def test_nothing_is_loaded_from_elsewhere(site):
    loads = re.compile(
        r"""<(?:script|img|iframe|source|audio|video|embed)\b[^>]*\bsrc=["']?(?:https?:)?//[^\s>]*"""
        r"""|<link\b(?![^>]*rel="(?:canonical|next|prev|license)")[^>]*href=["']?(?:https?:)?//[^\s>]*"""
        r"""|@import\s+(?:url\()?["']?(?:https?:)?//[^\s;]*|url\(\s*["']?(?:https?:)?//[^)]*"""
        r"""|(?:fetch|importScripts|import)\(\s*["'`]https?://[^)]*"""
    )
    for path in site.rglob("*"):
        if path.suffix in {".html", ".css", ".js"}:
            found = loads.search(path.read_text(encoding="utf-8"))
            assert not found, f"{path.relative_to(site)} loads {found[0]}"


def test_every_lesson_has_its_page_and_every_public_name_its_entry(site):
    for path in (ROOT / "notebooks").glob("**/[0-9]*.ipynb"):
        page = (site / path.relative_to(ROOT)).with_suffix(".html")
        text = page.read_text(encoding="utf-8")
        assert text.count('class="description"') >= text.count("<img") - text.count("logo")
    described = (site / "api.html").read_text(encoding="utf-8")
    for name in set(epochlab.__all__) - {"__version__"}:
        assert f'id="epochlab.{name}"' in described, name


def test_pages_made_from_the_lessons_are_not_empty(site):
    shown = {
        "glossary": "effective batch size",
        "copy_this": "load_data",
        "teachers": "Reading takes",
        "lessons": "02_batch_size.html",
    }
    for page, word in shown.items():
        article = (site / f"{page}.html").read_text(encoding="utf-8").partition("<article")[2]
        assert word in article, page


# ---- in a browser


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("there is no Chromium; on Debian: apt-get install chromium")
    with playwright.sync_playwright() as running:
        yield running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def visit(browser, request):
    """Opens a page and notes what it complains of and what it asks of others."""
    context = browser.new_context(**getattr(request, "param", {}))
    complaints = []

    def opened(path):
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"{path.name}: {error}"))
        page.on(
            "console",
            lambda said: (
                complaints.append(f"{path.name}: {said.text}") if said.type == "error" else None
            ),
        )
        page.on(
            "request",
            lambda asked: (
                complaints.append(f"{path.name}: {asked.url}")
                if not asked.url.startswith(("file:", "data:", "blob:"))
                else None
            ),
        )
        page.goto(path.as_uri())
        return page

    yield opened
    context.close()
    assert complaints == []


NARROW = {"viewport": {"width": 390, "height": 844}}
BEYOND = """() => document.documentElement.scrollWidth > innerWidth ? ["the page"] : [
    ...document.querySelectorAll("article :is(p, li, td, th, table, details, .verdict-card)")
].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest("pre, svg"))
 .map((one) => one.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("visit", [NARROW], indirect=True)
def test_no_page_scrolls_sideways_on_a_phone(visit, pages):
    for path in pages:
        page = visit(path)
        assert page.evaluate(BEYOND) == [], path.name
        page.close()


@pytest.mark.parametrize("visit", [{"color_scheme": s} for s in ("light", "dark")], indirect=True)
def test_pages_have_no_serious_barrier(visit, pages):
    if not AXE.exists():
        pytest.skip("there is no axe-core; in docs/: npm install axe-core")
    script = AXE.read_text(encoding="utf-8")
    for path in pages:
        page = visit(path)
        # What is still being faded in has too little contrast.
        page.add_style_tag(content="* { animation: none !important; transition: none !important }")
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        page.evaluate(script)
        found = page.evaluate("axe.run(document, {preload: false})")["violations"]
        serious = [
            (one["id"], one["nodes"][0]["html"][:200])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], path.name
        page.close()


def brightness(page):
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", color)[:3])) / 3


@pytest.mark.parametrize("visit", [{"color_scheme": "dark"}], indirect=True)
def test_dark_for_those_who_want_it_dark(visit, site):
    assert brightness(visit(site / "index.html")) < 60


def test_light_for_others(visit, site):
    assert brightness(visit(site / "index.html")) > 200


def test_claims_open_to_their_evidence(visit, pages):
    opened = 0
    for path in pages:
        if "notebooks" not in path.parts or 'class="claim' not in path.read_text("utf-8"):
            continue
        page = visit(path)
        claim = page.locator("details.claim").first
        evidence = claim.locator("p, dl").first
        assert not evidence.is_visible() and claim.locator("summary").is_visible()
        claim.locator("summary").press("Enter")
        assert evidence.is_visible()
        opened += 1
        page.close()
    assert opened


def test_solutions_are_folded_and_unfold(visit, site):
    page = visit(site / "notebooks" / "02_batch_size.html")
    solutions = page.locator(".tag_solution")
    assert solutions.count() >= 2
    for solution in solutions.all():
        assert solution.locator("pre:visible").count() == 0
        solution.locator("summary").first.click()
        assert solution.locator("pre:visible").count() >= 1


def test_cards_of_a_world_are_those_measured_there(visit, site):
    page = visit(site / "verdicts.html")
    cards = page.locator(".verdict-card")
    everywhere = cards.count()
    assert page.locator(".verdict-card:visible").count() == everywhere
    page.get_by_label("photos").check()
    there = page.locator(".verdict-card.in-photos").count()
    assert page.locator(".verdict-card:visible").count() == there <= everywhere
    assert page.locator(".verdict-count").inner_text().startswith(f"{there} of {everywhere} ")


@pytest.mark.parametrize(
    "visit", [{"permissions": ["clipboard-read", "clipboard-write"]}], indirect=True
)
def test_code_can_be_copied(visit, site):
    page = visit(site / "copy_this.html")
    block = page.locator("div.highlight").first
    block.get_by_role("button", name="Copy").press("Enter")
    block.get_by_role("button", name="Copied").wait_for()
    code = block.locator("pre").inner_text()
    assert page.evaluate("navigator.clipboard.readText()").strip() == code.strip()

"""Opens a report in a real browser: what it asks for, how it reads, on a screen and on paper.

Run by `make browser-test`, which also names the pictures that it leaves to be looked at.
"""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from diffclf_lightning.cli import main as diffclf

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CONTRAST = Path(__file__).with_name("contrast.js").read_text()
SHIFTS = "[digits, rotation_30, noise_0.25]"
CHEAP = ["--data.num_test=60", "--trainer.callbacks=[]", "--trainer.enable_progress_bar=false"]


def make_reports(folder: Path) -> list[Path]:
    """A report of one run with stored errors, and one of two runs on several sets."""
    one, few, many = (str(folder / name) for name in ("one", "few", "many"))
    if not (folder / "many/summary.json").is_file():
        test = ["test", "--config", "digits", *CHEAP, "--results.errors=true", "--results.folder"]
        diffclf([*test, one, "--data.num_test=200"])
        several = ["--data.test_sets", SHIFTS]
        diffclf([*test, few, *several, "--model.strategy.max_trials=4"])
        diffclf([*test, many, *several])
    diffclf(["report", one])
    diffclf(["report", few, many, "--output", str(folder / "both.html")])
    return [folder / "one/report.html", folder / "both.html"]


def look(browser: "Browser", report: Path, width: int, scheme: str) -> None:
    """Open the page in one size and colour scheme, use its keyboard, and take a picture."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(report.resolve().as_uri())
    page.evaluate("for (const d of document.querySelectorAll('details.set')) d.open = true")
    summaries = page.locator(".card > summary")
    summaries.first.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    outline = summaries.first.evaluate("e => getComputedStyle(e).outlineStyle")
    page.keyboard.press("Enter")
    opened = page.locator(".card[open]").count()
    name = f"{report.parent.name}-{report.stem}-{width}-{scheme}"
    page.screenshot(path=report.parent / f"{name}.png", full_page=True)
    outside = [url for url in asked if not url.startswith(("file:", "data:"))]
    faults = {
        "requests that leave the page": outside,
        "messages on the console": said,
        "the page is wider than the screen": page.evaluate(
            "Math.max(0, document.documentElement.scrollWidth - innerWidth)"
        ),
        "no visible focus": outline != "solid",
        "Enter opens no card": opened != 1,
        "texts of low contrast": page.evaluate(CONTRAST),
        "pictures without a text": page.locator("img:not([alt]), svg[role=img]:not([aria-label])")
        .count(),
        "not one h1": page.locator("h1").count() != 1,
        "ids twice": page.evaluate(
            "(all => all.length - new Set(all).size)"
            "([...document.querySelectorAll('[id]')].map(e => e.id).filter(i => !/^[mp]/.test(i)))"
        ),
    }  # fmt: skip
    page.close()
    found = [f"{what}: {value}" for what, value in faults.items() if value]
    print(f"{name}.png: {'; '.join(found) or 'well'}")
    if found:
        sys.exit(1)


def printed(browser: "Browser", report: Path) -> None:
    """Print the page, with every set open."""
    page = browser.new_page()
    page.goto(report.resolve().as_uri())
    page.pdf(path=report.parent / f"{report.stem}.pdf", format="A4", print_background=True)
    closed = page.locator("details.set:not([open])").count()
    print(f"{report.stem}.pdf: {f'{closed} sets closed' if closed else 'well'}")
    if closed:
        sys.exit(1)


def main(folder: Path) -> None:
    """Make reports in a folder and look at them."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        sys.exit(f"Expected one of {', '.join(BROWSERS)}. Install it: apt install chromium.")
    reports = make_reports(folder)
    # Here, since pytest imports every file of the tests.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for report in reports:
            for width, scheme in ((1280, "light"), (1280, "dark"), (360, "light")):
                look(browser, report, width, scheme)
            printed(browser, report)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

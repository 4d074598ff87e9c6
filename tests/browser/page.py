"""The page as a person uses it: what to look at, what to click, each waited for."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser.chromium import Chromium
from tests.lab.debian import REPOSITORY

PATIENCE = 30.0
PICTURES = REPOSITORY / "build/screenshots"
_READABLE = Path(__file__).with_name("readable.js")

T = TypeVar("T")


class Page:
    """The page in the browser's present window."""

    def __init__(self, browser: Chromium, url: str) -> None:
        self.browser = browser
        self.driver = browser.driver
        self.url = url

    def open(self) -> Page:
        """Load it."""
        self.driver.get(self.url)
        return self

    # waiting

    def until(self, condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
        """What the condition returns, once that is true."""

        def look(_: object) -> object:
            try:
                return condition()
            except StaleElementReferenceException:
                return None

        wait = WebDriverWait(self.driver, patience, poll_frequency=0.05)
        try:
            found: T = wait.until(look)
        except TimeoutException:
            raise AssertionError(f"not within {patience:g} s: {what}; the page shows:\n{self.text}") from None
        return found

    def until_view(self, view: str, patience: float = PATIENCE) -> Page:
        """Until it shows loading, signin, sites, connecting, failed, session or moving."""
        self.until(lambda: self.view == view, f"the view {view!r}", patience)
        return self

    def until_text(self, text: str, within: str = "body", patience: float = PATIENCE) -> Page:
        """Until a person can read that there."""
        self.until(lambda: text in self.read(within), f"{text!r} in {within}", patience)
        return self

    # looking

    @property
    def view(self) -> str:
        """Which view it shows."""
        found: str | None = self.driver.execute_script("return document.body.dataset.view")
        return found or ""

    @property
    def text(self) -> str:
        """All that can be read."""
        return self.read("body")

    def read(self, selector: str) -> str:
        """What can be read there; nothing where it is not shown."""
        return "\n".join(found.text for found in self.all(selector))

    def all(self, selector: str) -> list[WebElement]:
        """The elements that are there now."""
        found: list[WebElement] = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return found

    def one(self, selector: str) -> WebElement:
        """The element, once it is shown."""
        shown: WebElement = self.until(
            lambda: next((e for e in self.all(selector) if e.is_displayed()), None), f"{selector} is shown"
        )
        return shown

    @property
    def sites(self) -> list[str]:
        """The accounts of the sites that are listed, in their order."""
        return [row.get_attribute("data-id") or "" for row in self.all("#site-list > li")]

    def site(self, account: str) -> WebElement:
        """Its row, once it is there."""
        return self.one(f'#site-list > li[data-id="{account}"]')

    @property
    def steps(self) -> list[str]:
        """The steps of connecting so far."""
        return [step.text for step in self.all("#steps > li")]

    def amount(self, selector: str) -> float:
        """The bytes that stand there; -1 where none do."""
        found = re.search(r"(\d+(?:\.\d+)?) ([kMG]?)B", self.read(selector))
        return float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]] if found else -1.0

    @property
    def samples(self) -> int:
        """How many round-trip times the graph shows."""
        drawn = [line.get_attribute("d") or "" for line in self.all(".graph-line")]
        return sum(len(re.findall(r"[ML]", line)) for line in drawn)

    # doing

    def click(self, selector: str) -> None:
        """Once it is shown and can be clicked; again where the page has drawn it anew just then."""

        def clicked() -> bool:
            found = next((e for e in self.all(selector) if e.is_displayed() and e.is_enabled()), None)
            if found is not None:
                found.click()
            return found is not None

        self.until(clicked, f"{selector} can be clicked")

    def search(self, text: str, *, enter: bool = False) -> None:
        """Type into the search."""
        field = self.one("#search")
        field.clear()
        field.send_keys(text, *([Keys.ENTER] if enter else []))

    def ask(self, account: str, mode: str = "L3", *, reason: str = "", hours: int | None = None) -> None:
        """Open the dialog and fill it in."""
        self.click(f'#site-list > li[data-id="{account}"] button')
        self.one("#ask")
        self.choose("mode", mode)
        if reason:
            self.one("#reason").send_keys(reason)
        if hours is not None:
            self.choose("seconds", str(hours * 3600))

    def choose(self, name: str, value: str) -> None:
        """One of several, in the dialog: by its label, for the button itself is not to be seen."""
        self.click(f'#ask label:has(input[name="{name}"][value="{value}"])')

    def chosen(self, name: str) -> str:
        """Which one is chosen."""
        found = self.all(f'#ask input[name="{name}"]:checked')
        return found[0].get_attribute("value") or ""

    def connect(self, account: str, mode: str = "L3", *, reason: str = "", hours: int | None = None) -> None:
        """Fill the dialog in and send it off."""
        self.ask(account, mode, reason=reason, hours=hours)
        self.click("#ask-connect")

    def picture(self, name: str) -> Path:
        """Keep what is shown now as build/screenshots/NAME.png."""
        file = PICTURES / f"{name}.png"
        self.browser.picture(file)
        return file

    def fits(self) -> bool:
        """Whether nothing is wider than the window."""
        script = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        return bool(self.driver.execute_script(script))

    def unreadable(self) -> list[str]:
        """Texts that stand out too little from what is behind them."""
        found: list[str] = self.driver.execute_script(_READABLE.read_text(encoding="utf-8"))
        return found

    def unnamed(self) -> list[str]:
        """What can be operated but has no name that a screen reader could say."""
        # What is behind an open dialog cannot be operated, nor has it a name then.
        where = "dialog[open]" if self.all("dialog[open]") else "body"
        shown = [
            e
            for e in self.all(f"{where} :is(button, input, a, select):not([aria-hidden])")
            if e.is_displayed()
        ]
        return [e.get_attribute("outerHTML") or "" for e in shown if not e.accessible_name]

"""A headless Chromium in a network namespace, driven from outside of it.

chromedriver and the browser run inside; each connection to chromedriver is opened inside and used
here, for a socket stays in the namespace in which it was opened.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chromium.remote_connection import ChromiumRemoteConnection
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from tests.lab.process import Program
from vtunlib.namespace import inside

FONTS = Path(__file__).with_name("fonts.conf")
START_SECONDS = 60.0
COMMAND_SECONDS = 60
"""What one WebDriver command may take on a loaded machine."""
DESKTOP = (1280, 800)
PHONE = (390, 844)
SMALL = (360, 740)
_PORT = 9515
_HARMLESS = re.compile(r"net::ERR_|/favicon.ico |/api/\S+ - Failed to load resource: .* status of 4")


class Chromium:
    """One browser, with one window at first."""

    def __init__(self, driver: WebDriver) -> None:
        self.driver = driver
        self._hurried = ""

    def size(self, size: tuple[int, int], *, dark: bool = False) -> None:
        """The window's content in CSS pixels; up to 500 wide it is a phone's."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width <= 500}
        self.devtools("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme, still])

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of the Chrome DevTools Protocol."""
        words = {"cmd": command, "params": parameters}
        return self.driver.execute("executeCdpCommand", words)["value"]

    def complaints(self) -> list[str]:
        """What the console has had to say since the last call: errors, warnings, violated policies.

        Not that the server could not be reached, or that it refused something: that is the page's to tell.
        """
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        # Of its own pages, one of which an empty tab shows, the console is Chromium's business.
        return [
            message
            for message in said
            if not message.startswith("chrome://") and not _HARMLESS.search(message)
        ]

    def hosts_asked(self) -> set[str]:
        """Where the windows have sent requests since the last call."""
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [e["params"]["request"]["url"] for e in entries if e["method"] == "Network.requestWillBeSent"]
        return {urlsplit(url).hostname or "" for url in urls if url.startswith(("http", "ws"))}

    def hurry(self, factor: int) -> None:
        """In what is loaded from now on, until it is tidied up, the clock runs faster."""
        source = (
            "const start = Date.now(), real = Date.now.bind(Date);"
            f"Date.now = () => start + (real() - start) * {factor};"
        )
        made = self.devtools("Page.addScriptToEvaluateOnNewDocument", source=source)
        self._hurried = made["identifier"]

    def picture(self, file: Path) -> None:
        """What the window shows, as PNG."""
        file.parent.mkdir(parents=True, exist_ok=True)
        assert self.driver.get_screenshot_as_file(str(file))

    def tidy(self) -> None:
        """One empty window, nothing remembered."""
        first, *others = self.driver.window_handles
        for other in others:
            self.driver.switch_to.window(other)
            self.driver.close()
        self.driver.switch_to.window(first)
        if self._hurried:
            self.devtools("Page.removeScriptToEvaluateOnNewDocument", identifier=self._hurried)
            self._hurried = ""
        self.devtools("Network.clearBrowserCookies")
        self.driver.get("about:blank")
        self.driver.find_element(By.TAG_NAME, "body")
        self.complaints()
        self.hosts_asked()


@contextmanager
def chromium(netns: str, directory: Path, names: Mapping[str, str] | None = None) -> Iterator[Chromium]:
    """A browser whose network is that namespace's. directory: its profile; names: addresses it knows."""
    profile = directory / "profile"
    argv = [
        "ip",
        "netns",
        "exec",
        netns,
        "env",
        f"FONTCONFIG_FILE={FONTS}",
        "chromedriver",
        f"--port={_PORT}",
    ]
    with Program(argv, shown=["chromedriver"], where=netns) as server:
        server.wait_line("started successfully", deadline=START_SECONDS)
        connection = _Connection(netns)
        driver = WebDriver(command_executor=connection, options=_options(profile, names or {}))
        try:
            driver.set_page_load_timeout(COMMAND_SECONDS)
            yield Chromium(driver)
        finally:
            driver.quit()
            shutil.rmtree(profile, ignore_errors=True)


def _options(profile: Path, names: Mapping[str, str]) -> Options:
    options = Options()
    for word in (
        "--headless=new",
        "--no-sandbox",  # as root it has none
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--no-proxy-server",
        "--hide-scrollbars",
        "--lang=en-GB",
        f"--user-data-dir={profile}",
        f"--host-resolver-rules={', '.join(f'MAP {name} {address}' for name, address in names.items())}",
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return options


class _Connection(ChromiumRemoteConnection):  # type: ignore[misc]  # it has no types in bookworm
    """To a chromedriver in that namespace."""

    def __init__(self, netns: str) -> None:
        self._netns = netns
        super().__init__(f"http://127.0.0.1:{_PORT}", "goog", "chrome", keep_alive=True, ignore_proxy=True)

    def _get_connection_manager(self) -> urllib3.PoolManager:
        netns = self._netns

        class Connection(urllib3.connection.HTTPConnection):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                return inside(netns, socket.create_connection, (self.host, self.port), COMMAND_SECONDS)

        class Pool(urllib3.HTTPConnectionPool):  # type: ignore[misc]
            ConnectionCls = Connection

        made = urllib3.PoolManager(timeout=COMMAND_SECONDS)
        made.pool_classes_by_scheme = {"http": Pool}
        return made

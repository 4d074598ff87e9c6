"""For pytest: a line that says that the report begins, to whoever reads what pytest says.

On its own, not in tests/__main__.py, for pytest imports it as a plugin.
"""

from __future__ import annotations

import pytest

LINE = "\f\n"


@pytest.hookimpl(trylast=True)  # type: ignore[misc]  # pytest's own decorator has no types in bookworm
def pytest_sessionfinish(session: pytest.Session) -> None:
    """pytest's own reporter comes after all others here, with what failed and how it ended."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reporter.ensure_newline()
    reporter.write(LINE)

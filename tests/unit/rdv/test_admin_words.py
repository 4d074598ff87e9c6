"""The words of rdv-admin: each loads what it needs, and all are shown to who asks which there are."""

from __future__ import annotations

import pytest

from rdv.admin import main as rdv_admin


@pytest.mark.parametrize("word", rdv_admin.SUBJECTS)
def test_each_word_is_known_where_it_alone_is_loaded(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        rdv_admin._parser([word]).parse_args([word, "--help"])
    assert ended.value.code == 0
    assert f"usage: rdv-admin {word}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["--help"], ["nonsense"]])
def test_who_names_none_is_shown_all(words: list[str]) -> None:
    shown = rdv_admin._parser(words).format_help()
    assert all(f"\n    {word} " in shown for word in rdv_admin.SUBJECTS)

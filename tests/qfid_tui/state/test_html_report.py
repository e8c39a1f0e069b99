"""The page of a saved run: its worst passages with their text, or with ids."""

from __future__ import annotations

from itertools import pairwise

from page_markup import checked
from token_text_runs import token_run

from qfid_tui.pictures.token_glyphs import inert_text
from qfid_tui.state import html_report as module
from qfid_tui.state.html_report import html_report, with_text
from qfid_tui.state.run_tokens import Spelling
from scorer.demo import demo_model_path
from scorer.report.passages import Passages, worst_passages
from scorer.report.saved_report import saved_report
from scorer.text.tokens.tokenizer_file import load_tokenizer_file


def test_the_page_shows_the_text_around_the_largest_kl() -> None:
    run = token_run(length=96, chunks=(0, 1))
    report = saved_report(run)
    page = checked(html_report(run, report))
    assert "The river rose in the night" in page.text or "Nobody in the village" in page.text
    found = worst_passages(run, report)
    stored = run.read()["2"]
    largest = max(float(positions.kl.max()) for positions, _ in stored)
    assert found.found["2"][0].kl == largest
    assert [each.kl for each in found.found["2"]] == sorted(
        (each.kl for each in found.found["2"]), reverse=True
    )


def test_passages_of_a_chunk_do_not_overlap() -> None:
    run = token_run(length=400, chunks=(0,))
    passages = worst_passages(run, saved_report(run)).found["4"]
    assert len(passages) == 3
    spans = sorted((p.position - p.worst, p.position - p.worst + len(p.tokens)) for p in passages)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_only_chunks_that_the_numbers_rest_on_are_looked_at() -> None:
    run = token_run(chunks=(0, 1, 2), scored={"4": (1,)})
    assert {each.chunk for each in worst_passages(run, saved_report(run)).found["4"]} == {1}


def test_a_setting_computed_as_another_has_no_passages_of_its_own() -> None:
    run = token_run(settings="8,4,4~dequantized", same_as={"4~dequantized": "4"})
    assert set(worst_passages(run, saved_report(run)).found) == {"8", "4"}


def test_ids_where_the_tokenizer_is_another() -> None:
    run = token_run(identity={"tokenizer": "00" * 32})
    page = checked(html_report(run, saved_report(run)))
    assert "tokens are shown as ids: the tokenizer of `demo` is another than" in page.text
    assert "In the text: #" in page.text
    assert "river" not in page.text


def test_a_run_without_its_positions_still_has_a_page() -> None:
    run = token_run()
    report = saved_report(run)
    (run.path / "positions.arrow").write_bytes(b"gone")
    page = checked(html_report(run, report))
    assert "The positions of the run cannot be read" in page.text
    assert "Does the drift grow with depth?" in page.headings


def test_hostile_tokens_make_no_markup() -> None:
    run = token_run()
    found = worst_passages(run, saved_report(run))
    piece = b"</span><script>x</script>\x1b\xff\n"
    spelling = Spelling(dict.fromkeys(found.ids, piece))
    passages = with_text(found, spelling)
    page = checked(module.to_html(saved_report(run), passages))
    assert inert_text(piece) in page.text


def test_characters_that_tokens_share_are_whole() -> None:
    run = token_run("東京 🎉 naïve " * 40)
    found = worst_passages(run, saved_report(run))
    tokenizer = load_tokenizer_file(demo_model_path())
    pieces = {token: tokenizer.token_bytes(token) for token in found.ids}
    passages: Passages = with_text(found, Spelling(pieces))
    text = "".join(token.text for token in passages.found["4"][0].tokens)
    assert "東" in text
    assert "\ufffd" not in text

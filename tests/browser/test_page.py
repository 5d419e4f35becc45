"""The chat page in a real browser, against the real orchestrator."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.conftest import RAGLINE, Stack, answers

CHROMIUM = shutil.which("chromium")
HOSTILE = (
    '<img src=x onerror="document.title=1"> [the pump](javascript:alert(1)) '
    "Pump P-99 was painted green by Olga Petrova."
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to test the page")


@pytest.fixture
def page(stack: Stack) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
        page.goto(stack.addresses["server"])
        yield page
        assert errors == []
        browser.close()


def put(stack: Stack, folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    done = stack.ragline("index", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    return file


def ask(page: Page, question: str) -> None:
    page.get_by_label("Question").fill(question)
    page.get_by_label("Question").press("Enter")
    expect(page.locator("#turns li:last-child .timings")).to_be_visible(timeout=30_000)


def test_an_answer_streams_with_its_sources_and_marks_the_quote(stack: Stack, page: Page, tmp_path: Path) -> None:
    file = put(
        stack, tmp_path, "boats.md", "# Boats\n\nThe ferry Marigold carries 45 passengers. It is painted blue.\n"
    )
    page.reload()
    ask(page, "How many passengers does the ferry Marigold carry?")
    expect(page.locator(".answer")).to_contain_text("45")
    expect(page.locator("#turns .note")).to_have_text(
        re.compile("Quoted word for word|In the language model's own words")
    )
    expect(page.locator(".cite").first).to_be_visible()
    first = page.locator(".source").first
    expect(first).to_have_class("source cited")
    expect(first).to_contain_text(file.name)
    expect(first.locator("mark").first).to_contain_text("45 passengers")
    page.locator(".cite").first.click()
    expect(page.locator(".source[aria-current=true] mark.chosen")).to_have_count(1)


def test_a_follow_up_says_what_was_searched_for_and_takes_another(stack: Stack, page: Page, tmp_path: Path) -> None:
    put(stack, tmp_path, "lupine.md", "# Lupine\n\nThe ferry Lupine carries 45 passengers. It was launched in 1931.\n")
    put(stack, tmp_path, "iris.md", "# Iris\n\nThe ferry Iris carries 99 passengers. It was launched in 1950.\n")
    page.reload()
    ask(page, "How many passengers does the ferry Lupine carry?")
    expect(page.get_by_label("Searched for")).to_have_count(0)
    ask(page, "And when was it launched?")
    expect(page.get_by_label("Searched for")).to_have_value(re.compile(r"^And when was it launched\? .*Lupine"))
    expect(page.locator("#turns li:last-child .answer")).to_contain_text("1931")
    page.get_by_label("Searched for").fill("When was the ferry Iris launched?")
    page.get_by_label("Searched for").press("Enter")
    expect(page.locator("#turns li:last-child .answer")).to_contain_text("1950", timeout=30_000)
    expect(page.get_by_label("Searched for")).to_have_value("When was the ferry Iris launched?")
    expect(page.locator("#turns .turn")).to_have_count(2)


def test_what_is_not_found_is_said_with_the_nearest_sources(stack: Stack, page: Page, tmp_path: Path) -> None:
    put(stack, tmp_path, "boats.md", "# Boats\n\nThe ferry Marigold carries 45 passengers. It is painted blue.\n")
    page.reload()
    ask(page, "How are tomatoes fried in Portugal?")
    expect(page.locator(".answer")).to_have_text("The documents do not answer this question.")
    expect(page.locator(".answer")).not_to_have_class("answer unanswered")
    expect(page.locator("#turns .note")).to_have_text("In none of the sources: Portugal.")
    expect(page.locator("#turns footer")).to_contain_text("nearest source")
    expect(page.locator(".source.cited")).to_have_count(0)


def test_the_short_view_of_a_source_begins_at_its_quote(stack: Stack, page: Page, tmp_path: Path) -> None:
    before = "Nothing is known of this rock, and nobody goes there in any season. " * 8
    put(stack, tmp_path, "rock.md", f"# Rock\n\n{before}\n\nThe beacon Halvard burns for 77 hours.\n")
    page.reload()
    ask(page, "How long does the beacon Halvard burn?")
    expect(page.locator(".source.cited mark").first).to_be_in_viewport()


def test_hostile_text_stays_text(stack: Stack, page: Page, tmp_path: Path) -> None:
    put(stack, tmp_path, "hostile.txt", HOSTILE)
    page.reload()
    ask(page, "Who painted pump P-99?")
    expect(page.locator(".source").first).to_contain_text("<img src=x onerror=")
    expect(page.locator("img")).to_have_count(0)
    expect(page.locator("a")).to_have_count(0)
    assert page.title() == "Who painted pump P-99? – ragline"


def test_a_document_is_uploaded_found_and_deleted(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "violets.md"
    file.write_text("# Violets\n\nThe violet Aurora flowers in week 17.\n")
    page.get_by_role("button", name="Documents", exact=True).click()
    page.locator("#files").set_input_files(file)
    expect(page.locator("#uploads")).to_contain_text("Ready", timeout=30_000)
    page.get_by_role("button", name="Close").click()
    ask(page, "When does the violet Aurora flower?")
    expect(page.locator(".answer")).to_contain_text("17")
    page.get_by_role("button", name="Documents", exact=True).click()
    page.get_by_role("button", name="Delete Violets").click()
    page.get_by_role("button", name="Really delete? Violets").click()
    expect(page.locator("#document-list")).not_to_contain_text("Violets")


def test_a_bad_upload_says_why(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "broken.pdf"
    file.write_bytes(b"%PDF-1.7 rubbish")
    page.get_by_role("button", name="Documents", exact=True).click()
    page.locator("#files").set_input_files(file)
    expect(page.locator("#uploads .failed")).to_be_visible(timeout=30_000)


def test_an_error_is_shown_where_the_answer_would_be(page: Page) -> None:
    page.get_by_label("Question").fill("x" * 30_000)
    page.get_by_label("Question").press("Enter")
    expect(page.locator("#turns .note")).to_contain_text("max_question_chars")


def test_the_key_is_given_by_keyboard_and_the_collections_load(stack: Stack, tmp_path: Path) -> None:
    """Enter takes the key; where it was first cancelled, a later question asks again, and the page is whole."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    locked = {"RAGLINE_SERVER__PORT": str(port), "RAGLINE_SERVER__API_KEY": "secret", "RAGLINE_SERVER__URL": ""}
    services = {f"RAGLINE_{name.upper()}__URL": stack.addresses[name] for name in ("embed", "score", "generate")}
    env = {**stack.env, **services, **locked, "RAGLINE_DATA_DIR": str(tmp_path)}
    server = subprocess.Popen([RAGLINE, "orchestrate"], env=env)
    try:
        while not answers(port):
            assert server.poll() is None
            time.sleep(0.1)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{port}")
            expect(page.locator("#key-value")).to_be_focused()
            page.keyboard.type("wrong")
            page.keyboard.press("Enter")
            expect(page.get_by_text("That key was refused.")).to_be_visible()
            page.keyboard.press("Escape")
            expect(page.locator("#key")).not_to_be_visible()
            expect(page.locator("#collection option")).to_have_count(0)
            page.get_by_label("Question").fill("Is it open?")
            page.get_by_label("Question").press("Enter")
            expect(page.locator("#key-value")).to_be_focused()
            page.keyboard.type("secret")
            page.keyboard.press("Enter")
            expect(page.locator("#collection option")).to_have_count(1)
            expect(page.locator("#turns .note")).to_contain_text("ragline index")
            browser.close()
    finally:
        server.terminate()
        server.wait(30)


def test_the_address_of_a_citation_shows_its_document_at_the_quote(stack: Stack, page: Page, tmp_path: Path) -> None:
    around = "Nothing happened on this day, and nobody wrote of it. " * 110
    put(stack, tmp_path, "log.md", f"# Log\n\n{around}\n\nThe brig Tern ran aground at 04:10.\n\n{around}\n")
    said = httpx2.post(
        f"{stack.addresses['server']}/v1/chat/completions",
        json={"model": "default", "messages": [{"role": "user", "content": "When did the brig Tern run aground?"}]},
        timeout=60,
    ).json()
    page.goto(said["choices"][0]["message"]["annotations"][0]["url_citation"]["url"])
    expect(page.locator("mark")).to_contain_text("The brig Tern ran aground at 04:10")
    expect(page.locator("mark")).to_be_in_viewport()
    expect(page.locator("#where")).to_contain_text("log.md")
    shown = len(page.locator("#text").inner_text())
    page.get_by_role("button", name="Earlier").click()
    expect(page.locator("#text")).to_contain_text("Log")
    assert len(page.locator("#text").inner_text()) > shown
    page.goto(f"{stack.addresses['server']}/documents/no%2Fsuch/view#collection=default")
    expect(page.locator("#text")).to_contain_text("no document 'no/such'")


def test_conversations_are_kept_with_their_citations(stack: Stack, page: Page, tmp_path: Path) -> None:
    put(stack, tmp_path, "inn.md", "# Inn\n\nThe inn Golden Carp was opened in 1781 by Jakob Moser.\n")
    page.reload()
    ask(page, "Who opened the inn Golden Carp?")
    said = page.locator(".answer").inner_text()
    page.reload()
    expect(page.locator(".answer")).to_have_text(said)
    expect(page.locator(".question")).to_have_text("Who opened the inn Golden Carp?")
    assert page.title() == "Who opened the inn Golden Carp? – ragline"
    page.locator(".cite").first.click()
    expect(page.locator(".source[aria-current=true] mark.chosen")).to_contain_text("Jakob Moser")
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".answer")).to_have_count(0)
    page.get_by_role("button", name="History").click()
    page.on("dialog", lambda dialog: dialog.accept("The inn"))
    page.get_by_role("button", name="Rename").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export The inn").click()
    text = download.value.path().read_text()
    assert text.startswith("# The inn\n\n## Who opened the inn Golden Carp?\n\n")
    assert "> The inn Golden Carp was opened in 1781 by Jakob Moser." in text
    page.get_by_role("button", name="The inn", exact=True).click()
    expect(page.locator(".answer")).to_have_text(said)
    page.get_by_role("button", name="Edit question").click()
    expect(page.get_by_label("Question")).to_have_value("Who opened the inn Golden Carp?")
    expect(page.locator(".answer")).to_have_count(0)


def test_on_a_phone_nothing_is_cut_and_back_closes_the_sources(stack: Stack, page: Page, tmp_path: Path) -> None:
    put(stack, tmp_path, "mill.md", "# Mill\n\nThe mill at Vadum grinds 12 tonnes of rye a day.\n")
    page.set_viewport_size({"width": 375, "height": 700})
    page.reload()
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    ask(page, "How much rye does the mill at Vadum grind?")
    address = page.url
    page.locator(".cite").first.click()
    expect(page.locator("#sources h2")).to_be_in_viewport()
    expect(page.locator("mark.chosen")).to_be_in_viewport()
    page.go_back()
    expect(page.locator("#sources")).to_be_hidden()
    expect(page.locator(".answer")).to_be_visible()
    assert page.url == address


def test_markdown_is_drawn_and_nothing_of_it_loaded(page: Page) -> None:
    text = (
        "A *fine* [link](http://127.0.0.1:9/x) [1].\n\n| Pump | Limit |\n|---|---|\n| P-17 | 8 bar [1] |\n\n"
        "> Said\n> so.\n\n- one\n  - inner\n- two\n\n![](http://127.0.0.1:9/y.png) 2*3*4 snake_case_name"
    )
    drawn = page.evaluate(
        """async (text) => {
            const { draw } = await import("./markdown.js");
            const target = document.createElement("div");
            const at = [];
            draw(target, text, (index, where) => {
                at.push(text.slice(where, where + 4));
                return document.createElement("i");
            });
            return [target.innerHTML, at];
        }""",
        text,
    )
    assert drawn[1] == [" [1]", " [1]"]
    assert drawn[0] == (
        "<p>A <em>fine</em> link (http://127.0.0.1:9/x)<i></i>.</p>"
        '<div class="table"><table><tr><th>Pump</th><th>Limit</th></tr>'
        "<tr><td>P-17</td><td>8 bar<i></i></td></tr></table></div>"
        "<blockquote>Said\nso.</blockquote>"
        "<ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>"
        "<p>http://127.0.0.1:9/y.png 2*3*4 snake_case_name</p>"
    )

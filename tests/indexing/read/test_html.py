"""What of a page is content, and what is noise."""

import pytest

from indexing.read.formats.load import load_bytes

LONG = "<p>The reservoir above the village was built in 1934 and holds nine million litres of water.</p>" * 6


def text_of(body: str) -> str:
    page = f'<!doctype html><html><head><meta charset="utf-8"><title>Dam</title></head><body>{body}</body></html>'
    return next(iter(load_bytes(page.encode(), "a.html"))).text


@pytest.mark.parametrize("after", ["", "<footer>Water board</footer>", "<div>Water board, open on weekdays</div>"])
def test_a_page_inside_one_form(after: str) -> None:
    fields = '<input name="__VIEWSTATE" value="abc"><select><option>Oslo</option></select><button>Go</button>'
    text = text_of(f'<form id="aspnetForm" method="post">{fields}<h1>Dam</h1>{LONG}</form>{after}')
    assert text.startswith("# Dam\n\nThe reservoir above")
    assert "Oslo" not in text
    assert "Go" not in text


@pytest.mark.parametrize(
    "noise",
    [
        '<form role="search"><p>Search</p><input name="q"><button>Find</button></form>',
        '<form action="/search"><label>Search the site</label><input name="q"><button>Find</button></form>',
        "<nav><a href=a>Search</a></nav>",
        "<aside><h2>Search</h2><ul><li><a href=a>More about dams</a></li><li><a href=b>Lakes</a></li></ul></aside>",
        "<footer>Search the imprint</footer>",
    ],
)
def test_search_forms_menus_and_the_footer_of_the_page_go(noise: str) -> None:
    text = text_of(f"{noise}<h1>Dam</h1>{LONG}{noise}")
    assert "Search" not in text
    assert "nine million litres" in text


@pytest.mark.parametrize(
    "content",
    [
        '<aside class="warning"><p>Do not swim near the sluice.</p></aside>',
        '<aside epub:type="footnote"><p><a href="#r">Do not swim near the sluice.</a></p></aside>',
        "<blockquote><p>It held.</p><footer>Do not swim near the sluice.</footer></blockquote>",
        "<article><p>It held.</p><footer>Do not swim near the sluice.</footer></article>",
        "<h2><button>Do not swim near the sluice.</button></h2>",
        '<div class="comments"><div id="comment-1"><p>Do not swim near the sluice.</p></div></div>',
    ],
)
@pytest.mark.parametrize("menu", ["", "<ul class=menu>" + "<li><a href=a>One more page</a></li>" * 20 + "</ul>"])
def test_what_a_reader_sees_as_content_stays(content: str, menu: str) -> None:
    assert "Do not swim near the sluice." in text_of(f"{menu}<main><h1>Dam</h1>{LONG}{content}{LONG}</main>")

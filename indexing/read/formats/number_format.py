"""Numbers as spreadsheets show them, by their format codes (ECMA-376 part 1, 18.8.31)."""

import re
from collections.abc import Callable
from functools import lru_cache

BUILT_IN = {
    "1": "0", "2": "0.00", "3": "#,##0", "4": "#,##0.00", "9": "0%", "10": "0.00%", "11": "0.00E+00",
    **dict.fromkeys(("5", "6"), '"$"#,##0;("$"#,##0)'), **dict.fromkeys(("7", "8"), '"$"#,##0.00;("$"#,##0.00)'),
    **dict.fromkeys(("37", "38", "41"), "#,##0;(#,##0)"), **dict.fromkeys(("39", "40", "43"), "#,##0.00;(#,##0.00)"),
    "42": '"$"#,##0;("$"#,##0)', "44": '"$"#,##0.00;("$"#,##0.00)',
}  # fmt: skip
"""The numeric ones among the ids whose codes a file need not spell out."""
_EXACT = 2**53
"""A larger float need not be the whole number that was typed."""
_LONGEST = 255
"""Characters of a code, by spreadsheets' own limit."""
_NUDGE = 1 + 1e-15
"""Rounds up the half that is written in 15 digits, though the binary value is a little less."""
_SECTION = re.compile(r'((?:"[^"]*"?|[\\_*].|\[[^\]]*\]|[^;"\\_*\[])+|(?=;))(?:;|$)')
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|(?P<blank>_.)|\*.|\[\$(?P<currency>[^\]-]*)[^\]]*\]|\[[^\]]*\]'
    r"|(?P<number>(?P<whole>[0#?][0#?,]*|(?=\.[0#?]))(?:\.(?P<decimals>[0#?]*))?(?P<scale>,*)(?:E[+-](?P<power>0+))?)"
    r"|(?P<literal>.)",
    re.DOTALL,
)
_NO_LITERAL = frozenset("ymdhsbegYMDHSBEGA@/")
"""Signs, outside quotes, of dates, fractions, text and General."""
_CONDITION = re.compile(r"\[(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)\]")
_TESTS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b, "<>": lambda a, b: a != b,
}  # fmt: skip

Show = Callable[[float], str]


def plain(value: float) -> str:
    """The 15 digits that a spreadsheet keeps of a number; whole numbers without ".0"."""
    text = f"{value + 0.0:.15g}"  # -0.0 + 0.0 is 0.0
    return str(int(value)) if "e" in text and value.is_integer() and abs(value) < _EXACT else text


@lru_cache(maxsize=4096)
def of(code: str) -> Show | None:
    """What writes a number in this format; None for General, and for formats of dates, fractions and text."""
    codes = _SECTION.findall(code)[:3] if len(code) <= _LONGEST else []
    shows = [show for section in codes if (show := _section(section)) is not None]
    if not codes or len(shows) < len(codes):
        return None
    conditions = [_CONDITION.search(section) for section in codes]
    if any(conditions):
        tests = [each and (_TESTS[each[1]], float(each[2])) for each in conditions]
        return lambda value: _by_condition(value, list(zip(tests, shows, strict=True)))
    positive, *others = shows
    if not others:
        return lambda value: positive(value) if value >= 0 else f"-{positive(-value)}"
    negative, zero = others[0], others[-1] if len(others) > 1 else positive

    def signed(value: float) -> str:
        """A number for which the format shows nothing is written plainly, but for 0."""
        if value == 0:
            return zero(value)
        return (positive if value > 0 else negative)(abs(value)) or plain(value)

    return signed


def _by_condition(
    value: float, sections: list[tuple[tuple[Callable[[float, float], bool], float] | None, Show]]
) -> str:
    for test, show in sections:
        if test is None or test[0](value, test[1]):
            return f"{'-' * (value < 0)}{show(abs(value))}"
    return plain(value)


def _section(code: str) -> Show | None:
    """What writes a number that is not negative in one section of a code."""
    tokens = list(_TOKEN.finditer(code))
    if any((each["literal"] or "") in _NO_LITERAL for each in tokens if each["literal"]):
        return None
    numbers = [at for at, each in enumerate(tokens) if each["number"]]
    if not numbers:
        constant = _literal(tokens).strip()
        return lambda _: constant
    first, last = numbers[0], numbers[-1]
    before, after = _literal(tokens[:first]).lstrip(), _literal(tokens[last + 1 :]).rstrip()
    percents = sum(each["literal"] == "%" for each in tokens)
    if first == last:
        return _digits(tokens[first], 100**percents, before, after)
    return _spread(tokens[first : last + 1], before, after)


def _literal(tokens: list[re.Match[str]]) -> str:
    text = (t["quoted"] or t["escaped"] or t["currency"] or t["literal"] or (" " if t["blank"] else "") for t in tokens)
    return re.sub(r"\s+", " ", "".join(text))


def _digits(number: re.Match[str], factor: float, before: str, after: str) -> Show | None:
    whole, decimals = number["whole"], number["decimals"] or ""
    inner = whole.rstrip(",")
    scale = factor / 1000 ** (len(whole) - len(inner) + len(number["scale"]))
    if number["power"]:
        if len(inner) > 1:
            return None
        return lambda value: f"{before}{_scientific(value * scale, decimals, number)}{after}"
    spec = f"{',' if ',' in inner else ''}.{len(decimals)}f"
    optional = len(decimals) - len(decimals.rstrip("#?"))
    zeros = inner.count("0")
    width = zeros + len(decimals) + bool(decimals) if zeros > 1 and "," not in inner else 0

    def show(value: float) -> str:
        value *= scale
        text = format(value * _NUDGE if value < _EXACT / 16 else value, spec)
        if optional:
            kept = text[: len(text) - optional]
            text = (kept + text[len(text) - optional :].rstrip("0")).removesuffix(".")
        if width:
            text = text.zfill(width)
        elif not zeros and text == "0":
            text = ""
        return f"{before}{text}{after}"

    nudged = scale * _NUDGE

    def show_simply(value: float) -> str:
        return f"{before}{value * nudged:{spec}}{after}" if value < _EXACT / 16 else show(value)

    return show if optional or width or not zeros else show_simply


def _scientific(value: float, decimals: str, number: re.Match[str]) -> str:
    mantissa, _, power = f"{value:.{len(decimals)}E}".partition("E")
    sign = "-" if power[0] == "-" else "+" if "E+" in number["number"] else ""
    return f"{mantissa}E{sign}{power[1:].lstrip('0').zfill(len(number['power']))}"


def _spread(tokens: list[re.Match[str]], before: str, after: str) -> Show | None:
    """Digits with literals between them, such as 000-00-0000."""
    if any(each["number"] and not set(each["number"]) <= set("0#?") for each in tokens):
        return None

    def show(value: float) -> str:
        left = f"{value:.0f}".zfill(sum((each["number"] or "").count("0") for each in tokens))
        text = ""
        for at, each in reversed(list(enumerate(tokens))):
            width = len(each["number"] or "")
            text = (left[-width:] if at else left) + text if width else _literal([each]) + text
            left = left[:-width] if width else left
        return f"{before}{text}{after}"

    return show

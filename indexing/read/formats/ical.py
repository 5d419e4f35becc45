"""iCalendar (RFC 5545): events and tasks as lines; alarms and time zones are passed over."""

import re

from indexing.errors import UnreadableError
from indexing.read.formats.charset import decode
from indexing.read.formats.extract import Extract, Limits, tidy

_SHOWN = {
    "SUMMARY": "Event", "DTSTART": "Start", "DTEND": "End", "DUE": "Due", "RRULE": "Repeats", "LOCATION": "Location",
    "ORGANIZER": "Organizer", "STATUS": "Status", "DESCRIPTION": "Description",
}  # fmt: skip
_KINDS = ("VEVENT", "VTODO")
_LINE = re.compile(r'([A-Za-z-]+)((?:;(?:[^":\n]|"[^"\n]*")*+)?):(.*)')
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)\d\d(Z?))?$")


def load(content: bytes, _media_type: str, _limits: Limits) -> Extract:
    text = tidy(events(decode(content)))
    if not text:
        raise UnreadableError("empty: it has no events")
    return Extract(text)


def events(calendar: str) -> str:
    """A paragraph for each event or task; "" without any."""
    found: list[dict[str, str]] = []
    inside: list[str] = []
    for line in re.sub(r"\r?\n[ \t]", "", calendar).splitlines():
        if not (match := _LINE.match(line)):
            continue
        name, parameters, value = match[1].upper(), match[2], match[3]
        if name == "BEGIN":
            inside.append(value.strip())
            found += [{}] if inside[-1] in _KINDS else []
        elif name == "END":
            inside = inside[:-1]
        elif name in _SHOWN and inside and inside[-1] in _KINDS:
            found[-1].setdefault(name, _value(parameters, value))
    return "\n\n".join(
        "\n".join(f"{label}: {event[name]}" for name, label in _SHOWN.items() if event.get(name)) for event in found
    )


def _value(parameters: str, value: str) -> str:
    named = dict(parameter.split("=", 1) for parameter in parameters.split(";") if "=" in parameter)
    if time := _TIME.match(value):
        year, month, day, hour, minute, utc = time.groups()
        zone = " UTC" if utc else f" ({named['TZID']})" if "TZID" in named else ""
        return f"{year}-{month}-{day}" + (f" {hour}:{minute}{zone}" if hour else "")
    if value.lower().startswith("mailto:"):
        value = f"{named.get('CN', '')} <{value[7:]}>".strip('" ').replace('" <', " <")
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] in "nN" else found[1], value)

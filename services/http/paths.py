"""Registers `{name:id}` for addresses: any text, with slashes, and line breaks, which `{name:path}` does not match."""

from starlette.convertors import PathConvertor, register_url_convertor


class _IdConvertor(PathConvertor):
    regex = "(?s:.+)"


register_url_convertor("id", _IdConvertor())

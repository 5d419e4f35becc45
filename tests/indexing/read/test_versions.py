from indexing.read.formats import load, versions


def test_each_loader_has_a_version() -> None:
    loaders = {*load._LOADERS, *load._STREAMED, "json"}
    assert {reader.rpartition(" ")[0] for reader in versions.CURRENT} == loaders

"""Runs of the indexer over real files, a real store and an embedding server over HTTP."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from indexing.document import Document
from indexing.read.web import Fetcher
from indexing.settings import IndexSettings
from indexing.store.local import Store
from indexing.sync.indexer import Indexer, manifest_of
from indexing.sync.progress import Progress
from services.errors import NotFoundError, UnavailableError
from tests.indexing.made import known
from tests.indexing.read.test_formats import docx, paragraph

pytestmark = pytest.mark.anyio
SETTINGS = IndexSettings(chunk_tokens=64, batch_chunks=16)
NOTE = Document("note-1", "note-1", "Note", "First words.", "text/plain", {"year": 2024}, (), "h1")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "bees.md").write_text("# Bees\n\nBees make honey from nectar.\n")
    (folder / "wasps.md").write_text("# Wasps\n\nWasps build nests of paper.\n")
    records = [{"_id": f"r{i}", "title": f"Ant {i}", "text": f"Ants of colony {i} carry leaves."} for i in range(40)]
    (folder / "ants.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


@pytest.fixture
async def store(tmp_path: Path, embed_server) -> AsyncIterator[Store]:
    client = embed_server.client()
    store = Store.create_or_open(tmp_path / "index", await manifest_of(client, SETTINGS))
    await client.aclose()
    embed_server.texts.clear()
    yield store
    store.close()


@pytest.fixture
async def indexer(store: Store, embed_server) -> AsyncIterator[Indexer]:
    client = embed_server.client()
    async with Indexer(store, client, SETTINGS) as indexer:
        yield indexer
    await client.aclose()


async def test_everything_is_found_and_progress_ends_at_the_total(indexer, store, docs) -> None:
    seen: list[Progress] = []
    report = await indexer.sync([docs], on_progress=seen.append)
    assert (report.documents, report.failures, report.unchanged) == (42, (), 0)
    assert report.chunks == store.stats().chunks == 42
    assert (seen[-1].files, seen[-1].total_files, seen[-1].documents) == (3, 3, 42)
    (hit, *_) = store.search_sparse("nectar", 3)
    (chunk,) = store.chunks([hit.chunk_id])
    assert chunk.source == str(docs / "bees.md")
    assert chunk.heading == "Bees"


async def test_progress_is_told_while_a_long_document_is_embedded(store, embed_server, tmp_path) -> None:
    long = tmp_path / "long.txt"
    long.write_text("\n\n".join(f"Hive {i} gave {i} jars of honey. " * 20 for i in range(16)))
    embed_server.delay_s = 0.3
    seen: list[Progress] = []
    client = embed_server.client()
    async with Indexer(store, client, SETTINGS.model_copy(update={"batch_chunks": 2, "embed_in_flight": 1})) as indexer:
        report = await indexer.sync([long], on_progress=seen.append)
    await client.aclose()
    early, last = next(p for p in seen if p.chunks), seen[-1]
    assert early.documents == 0
    assert early.chunks < early.total_chunks == report.chunks
    assert (last.documents, last.chunks, last.total_chunks) == (1, report.chunks, report.chunks)
    assert [p.chunks for p in seen] == sorted(p.chunks for p in seen)


async def test_a_second_run_embeds_nothing(indexer, docs, embed_server) -> None:
    await indexer.sync([docs])
    embed_server.texts.clear()
    report = await indexer.sync([docs])
    assert (report.documents, report.unchanged, report.embedded) == (0, 42, 0)
    assert embed_server.texts == []


async def test_documents_of_an_older_reader_are_told_and_read_anew_where_asked(
    indexer, store, docs, embed_server
) -> None:
    await indexer.sync([docs])
    assert store.info().readers == {"text 2": 2, "jsonl 2": 40}
    with store._current.using() as generation, generation.database.writing() as connection:
        connection.execute("UPDATE documents SET reader = 'text 0' WHERE title IN ('Bees', 'Ant 7', 'Ant 8')")
    embed_server.texts.clear()
    report = await indexer.sync([docs])
    assert (report.outdated, report.unchanged, report.documents) == (3, 42, 0)
    report = await indexer.sync([docs], reread=True)
    assert (report.outdated, report.unchanged, report.documents) == (0, 39, 3)
    assert store.info().readers == {"text 2": 2, "jsonl 2": 40}
    assert embed_server.texts == []


async def test_a_file_that_another_run_moves_meanwhile_is_there_once(store, embed_server, tmp_path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "old.txt").write_text("Bees make honey.")
    client = embed_server.client()
    settings = SETTINGS.model_copy(update={"batch_chunks": 2, "embed_in_flight": 1, "parse_workers": 1})
    async with Indexer(store, client, settings) as indexer:
        await indexer.sync([folder])
        (old,) = store.known_below("")
        renamed = (folder / "old.txt").rename(folder / "renamed.txt")
        for name in "abcd":  # more than its readers take before one is embedded
            (folder / f"{name}.txt").write_text(
                "\n\n".join(f"{name} {i} gave {i} jars of honey. " * 20 for i in range(16))
            )
        embed_server.delay_s = 0.3
        embed_server.requests.clear()
        running = asyncio.create_task(indexer.sync([folder], prune="gone"))
        while not embed_server.requests:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(store.move, old.id, str(renamed))
        embed_server.delay_s = 0.0
        await running
    await client.aclose()
    names = sorted(Path(row.source).name for row in store.known_below(""))
    assert names == ["a.txt", "b.txt", "c.txt", "d.txt", "renamed.txt"]


async def test_an_edited_file_is_replaced_and_only_it_is_embedded(indexer, store, docs, embed_server) -> None:
    await indexer.sync([docs])
    embed_server.texts.clear()
    (docs / "bees.md").write_text("# Bees\n\nBees dance to show the way.\n")
    report = await indexer.sync([docs])
    assert (report.documents, report.unchanged) == (1, 41)
    assert len(embed_server.texts) == 1
    assert store.search_sparse("nectar", 3) == []
    assert len(store.search_sparse("dance", 3)) == 1
    assert store.stats().documents == 42


async def test_records_that_change_come_and_go_one_by_one(indexer, store, docs, embed_server) -> None:
    await indexer.sync([docs])
    embed_server.texts.clear()
    lines = (docs / "ants.jsonl").read_text().splitlines()
    edited = json.dumps({"_id": "r7", "title": "Ant 7", "text": "Seven now eats sugar."})
    (docs / "ants.jsonl").write_text("\n".join([*lines[:7], edited, *lines[9:], '{"_id": "new", "text": "Newcomer."}']))
    report = await indexer.sync([docs])
    assert (report.documents, report.removed) == (2, 1)
    assert len(embed_server.texts) == 2
    assert store.stats().documents == 42
    assert not store.search_sparse("colony 8", 50) or all(
        "colony 8 " not in chunk.text
        for chunk in store.chunks([h.chunk_id for h in store.search_sparse("colony 8", 50)])
    )


async def test_a_record_put_before_the_others_shifts_nothing(indexer, store, docs) -> None:
    path = docs / "plain.jsonl"
    path.write_text("".join(json.dumps({"text": f"line {i}"}) + "\n" for i in range(5)))
    await indexer.sync([path])
    path.write_text('{"text": "line new"}\n' + path.read_text())
    await indexer.sync([path])
    texts = sorted(store.document_chunks(identity)[0].text for identity, _ in known(store).values())
    assert texts == sorted(["line new", *(f"line {i}" for i in range(5))])


async def test_a_renamed_file_is_moved_without_embedding(indexer, store, docs, embed_server) -> None:
    await indexer.sync([docs])
    before = known(store)[str(docs / "bees.md")]
    embed_server.texts.clear()
    (docs / "bees.md").rename(docs / "renamed.md")
    report = await indexer.sync([docs], prune="gone")
    assert (report.moved, report.removed, report.documents) == (1, 0, 0)
    assert known(store)[str(docs / "renamed.md")] == before
    assert embed_server.texts == []
    (docs / "bees.md").write_text("# Bees\n\nOther bees live here now.\n")
    await indexer.sync([docs])
    assert {str(docs / "bees.md"), str(docs / "renamed.md")} <= set(known(store))


async def test_a_folder_of_equal_files_is_renamed(indexer, store, tmp_path, embed_server) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for number in range(200):
        (old / f"{number}.txt").write_text("equal words")
    await indexer.sync([old])
    before = {Path(source).name: identity for source, (identity, _) in known(store).items()}
    embed_server.texts.clear()
    old.rename(tmp_path / "new")
    report = await indexer.sync([tmp_path / "new"])
    after = {Path(source): identity for source, (identity, _) in known(store).items()}
    assert (report.moved, report.documents, embed_server.texts) == (200, 0, [])
    assert {path.parent for path in after} == {tmp_path / "new"}
    assert {path.name for path in after} == set(before)
    assert set(after.values()) == set(before.values())
    assert all(store.document(identity).title == path.stem for path, identity in after.items())


async def test_a_renamed_file_has_the_title_headings_and_kind_of_its_new_name(indexer, store, docs) -> None:
    old = docs / "minutes.txt"
    old.write_text("# not a heading\n\nWe met on Monday.")
    await indexer.sync([docs])
    (identity, _) = known(store)[str(old)]
    old.rename(docs / "budget.txt")
    await indexer.sync([docs])
    row = store.document(identity)
    assert (row.title, row.source) == ("budget", str(docs / "budget.txt"))
    assert store.search_sparse("minutes", 3) == []
    assert [chunk.heading for chunk in store.document_chunks(identity)] == ["budget"]
    (docs / "budget.txt").rename(docs / "budget.md")
    await indexer.sync([docs])
    row = store.document(identity)
    assert (row.title, row.media_type) == ("not a heading", "text/markdown")
    assert store.stats().documents == 43


async def test_a_renamed_file_of_records_moves_them(indexer, store, docs, embed_server) -> None:
    (docs / "rows.csv").write_text("name,colour\nfox,red\n")
    (docs / "untitled.jsonl").write_text('{"id": "a", "text": "alpha"}\n{"id": "b", "text": "beta"}\n')
    await indexer.sync([docs])
    before = {identity for identity, _ in known(store).values()}
    for name in ("rows.csv", "untitled.jsonl", "ants.jsonl"):
        (docs / name).rename(docs / f"new-{name}")
    embed_server.texts.clear()
    report = await indexer.sync([docs])
    assert (report.moved, report.documents, report.removed) == (40, 3, 0)  # 3 have the file's name as their title
    assert {identity for identity, _ in known(store).values()} == before
    assert not [source for source in known(store) if Path(source).name.startswith(("rows", "untitled", "ants"))]
    assert {store.document(identity).title for identity in before} >= {"Ant 1", "new-rows", "new-untitled"}
    assert len(embed_server.texts) == 3
    assert (await indexer.sync([docs], prune="gone")).unchanged == len(before)


@pytest.mark.parametrize("prune", ["no", "gone"])
async def test_a_file_without_text_any_more_is_not_answered_from(indexer, store, docs, prune) -> None:
    now = {"emptied.md": b"", "image.md": b"\x89PNG\r\n\x1a\n\0\0\0", "blank.html": b"<html><body></body></html>"}
    (docs / "image.docx").write_bytes(docx(paragraph("Gone words.")))
    for name in now:
        (docs / name).write_text("Gone words.")
    (docs / "lines.jsonl").write_text('{"text": "Gone words."}\n{"text": "Gone too."}\n')
    await indexer.sync([docs])
    for name, content in {**now, "image.docx": docx(""), "lines.jsonl": b""}.items():
        (docs / name).write_bytes(content)
    report = await indexer.sync([docs], prune=prune)
    assert report.removed == 6
    assert store.search_sparse("gone", 9) == []
    reasons = {Path(failure.source).name: failure.reason for failure in report.failures}
    assert set(reasons) == {*now, "image.docx", "lines.jsonl"}
    assert all(reason.endswith("; what was indexed of it before is removed") for reason in reasons.values())
    again = await indexer.sync([docs], prune=prune)
    assert (again.unchanged, again.removed) == (42, 0)


async def test_a_root_that_is_empty_or_has_lost_most_is_not_pruned(indexer, store, docs, tmp_path) -> None:
    await indexer.sync([docs])
    away = docs.rename(tmp_path / "away")
    for _ in range(2):  # no folder at all, then an empty one: a disk that is not mounted
        report = await indexer.sync([docs], prune="gone")
        assert (report.removed, store.stats().documents) == (0, 42)
        (sentence,) = report.kept
        assert sentence.startswith(f"42 of the 42 documents below {docs} have no file any more")
        assert sentence in store.job(report.job).message
        docs.mkdir(exist_ok=True)
    (away / "ants.jsonl").rename(docs / "bees.txt")
    (docs / "bees.txt").write_text("A new file.")
    assert (await indexer.sync([docs], prune="gone")).removed == 0
    assert (await indexer.sync([docs], prune="all")).removed == 42
    assert set(known(store)) == {str(docs / "bees.txt")}


async def test_half_of_a_folder_and_files_that_are_named_are_pruned(indexer, store, tmp_path) -> None:
    folder = tmp_path / "six"
    folder.mkdir()
    names = [folder / f"{name}.txt" for name in "abcdef"]
    for name in names:
        name.write_text(name.stem)
    await indexer.sync([folder])
    for name in names[:3]:
        name.unlink()
    assert (await indexer.sync([folder], prune="gone")).removed == 3
    for name in names[3:]:
        name.rename(name.with_suffix(".md"))
    report = await indexer.sync([folder], prune="gone")
    assert (report.kept, report.removed, store.stats().documents) == ((), 0, 3)
    names[3].with_suffix(".md").unlink()
    assert (await indexer.sync([names[3].with_suffix(".md")], prune="gone")).removed == 1
    assert store.stats().documents == 2


async def test_files_that_cannot_be_looked_at_are_not_gone(indexer, store, docs) -> None:
    away = docs / "away"
    away.mkdir()
    (away / "hornets.md").write_text("Hornets hunt bees.")
    await indexer.sync([docs])
    (away / "hornets.md").unlink()
    away.rmdir()
    away.symlink_to(away)
    report = await indexer.sync([docs], prune="gone")
    assert report.removed == 0
    assert str(away / "hornets.md") in known(store)
    away.unlink()
    assert (await indexer.sync([docs], prune="gone")).removed == 1


async def test_gone_files_go_with_prune_only_and_only_below_the_roots(indexer, store, docs, tmp_path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("elsewhere")
    await indexer.sync([docs, other])
    (docs / "bees.md").unlink()
    other.unlink()
    assert (await indexer.sync([docs])).removed == 0
    assert (await indexer.sync([docs], prune="gone")).removed == 1
    assert str(other) in known(store)
    assert (await indexer.sync([other], prune="gone")).removed == 1


async def test_the_same_text_in_two_files_is_embedded_once(indexer, store, docs, embed_server) -> None:
    (docs / "copy").mkdir()
    (docs / "copy/bees.md").write_bytes((docs / "bees.md").read_bytes())
    report = await indexer.sync([docs])
    assert report.documents == 43
    assert sum("nectar" in text for text in embed_server.texts) == 1


async def test_files_that_are_passed_over_are_named(indexer, store, docs) -> None:
    (docs / "program.exe").write_bytes(b"MZ..binary")
    (docs / "tool").write_bytes(b"MZ\x90\0binary")
    (docs / "nothing.txt").write_bytes(b"")
    report = await indexer.sync([docs])
    reasons = {Path(each.source).name: each.reason for each in report.passed_over}
    assert reasons == {
        "program.exe": "not a document",
        "tool": "not indexed: a program or data file, not a document",
        "nothing.txt": "empty: it has no bytes",
    }
    assert not report.failures
    assert all(f"{docs / name}: {reason}" in store.job(report.job).message for name, reason in reasons.items())


async def test_a_program_that_is_named_itself_is_refused(indexer, docs) -> None:
    (docs / "program.exe").write_bytes(b"MZ..binary")
    report = await indexer.sync([docs / "program.exe"])
    assert [failure.reason for failure in report.failures] == ["not indexed: a program or data file, not a document"]


async def test_what_cannot_be_read_is_reported_and_stops_nothing(indexer, store, docs) -> None:
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (docs / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    (docs / "poison.txt").write_text("the service refuses poison")
    (docs / "mixed.jsonl").write_text('{"text": "good"}\nbad\n')
    report = await indexer.sync([docs])
    reasons = {Path(failure.source).name: failure.reason for failure in report.failures}
    assert set(reasons) == {"broken.pdf", "poison.txt", "mixed.jsonl"}
    assert "refused" in reasons["poison.txt"]
    assert report.skipped == {"not a document": 1}
    assert report.documents == 43
    job = store.job(report.job)
    assert (job.state, job.done, job.total, dict(job.failures)) == (
        "done", 7, 7, {failure.source: failure.reason for failure in report.failures},
    )  # fmt: skip


async def test_what_the_store_refuses_is_reported_and_stops_nothing(indexer, store, docs) -> None:
    old = os.fsdecode(b"caf\xe9.txt")  # Latin-1, as old disks and archives have it
    (docs / old).write_text("an old name")
    odd = [{"_id": "name", "text": "bad name", "\ud800": "x"}, {"_id": "\ud800", "text": "bad key"}]
    (docs / "odd.jsonl").write_text("\n".join(map(json.dumps, [*odd, {"_id": "good", "text": "good"}])))
    report = await indexer.sync([docs], prune="gone")
    reasons = {failure.source: failure.reason for failure in report.failures}
    assert set(reasons) == {f"{docs}/caf\\udce9.txt", f"{docs}/odd.jsonl#record=\\ud800"}
    assert "rename it" in reasons[f"{docs}/caf\\udce9.txt"]
    assert (report.documents, store.stats().documents) == (44, 44)  # a field's odd name is no reason
    assert dict(store.job(report.job).failures) == reasons


async def test_what_was_not_read_of_a_document_is_reported(indexer, store, docs) -> None:
    sheet = '<o:OLEObject xmlns:o="urn:schemas-microsoft-com:office:office"/>'
    body = f"{paragraph('Sales')}<w:p><w:r><w:object>{sheet}</w:object></w:r></w:p>"
    (docs / "r.docx").write_bytes(docx(body))
    report = await indexer.sync([docs])
    assert report.failures == ()
    assert [(Path(each.source).name, each.reason) for each in report.omitted] == [("r.docx", "1 embedded object")]
    assert store.job(report.job).message == f"not read: {docs / 'r.docx'}: 1 embedded object"


async def test_a_title_that_cannot_be_hashed_is_that_documents_failure(indexer, store) -> None:
    bad = Document("bad", "bad", "\ud800", "# Text\n\nwords", "text/markdown", {}, (), "h")
    good = Document("good", "good", "Good", "words", "text/markdown", {}, (), "h")
    report = await indexer.add_all([bad, good], count=2)
    assert [failure.source for failure in report.failures] == ["bad"]
    assert set(known(store)) == {"good"}


async def test_a_file_that_breaks_keeps_its_old_version(indexer, store, docs) -> None:
    (docs / "data.json").write_text('{"colour": "ultramarine"}')
    await indexer.sync([docs])
    (docs / "data.json").write_text('{"colour": ')
    report = await indexer.sync([docs], prune="gone")
    assert len(report.failures) == 1
    assert len(store.search_sparse("ultramarine", 1)) == 1


async def test_a_service_that_is_away_ends_the_run_and_the_next_one_goes_on(indexer, store, docs, embed_server) -> None:
    embed_server.down = True
    client = embed_server.client()
    async with Indexer(store, client, SETTINGS, retry_for_s=0.2) as impatient:
        with pytest.raises(UnavailableError):
            await impatient.sync([docs])
    await client.aclose()
    assert store.jobs()[0].state == "failed"
    embed_server.down = False
    assert (await indexer.sync([docs])).documents == 42


async def test_a_service_that_dies_in_the_midst_of_a_large_file_ends_the_run(store, docs, embed_server) -> None:
    """The parser is ahead then, and its pipe is full."""
    (docs / "long.jsonl").write_text("".join(json.dumps({"text": f"Line {i} {'x' * 990}"}) + "\n" for i in range(6000)))
    embed_server.delay_s = 0.05
    client = embed_server.client()
    async with Indexer(store, client, SETTINGS, retry_for_s=0.2) as impatient:
        build = asyncio.create_task(impatient.sync([docs / "long.jsonl"]))
        while store.stats().documents < 100:
            await asyncio.sleep(0.02)
        embed_server.down = True
        async with asyncio.timeout(60):
            with pytest.raises(UnavailableError):
                await build
    await client.aclose()
    assert store.jobs()[0].state == "failed"


async def test_stopping_keeps_what_is_committed(indexer, store, docs, embed_server) -> None:
    lines = [json.dumps({"_id": str(i), "text": f"Sentence {i} " * 8}) for i in range(600)]
    (docs / "many.jsonl").write_text("\n".join(lines))
    embed_server.delay_s = 0.05
    build = asyncio.create_task(indexer.sync([docs]))
    while store.stats().documents < 100:
        await asyncio.sleep(0.02)
    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await build
    kept = store.stats().documents
    assert 100 <= kept < 642
    assert store.jobs()[0].state == "cancelled"
    embed_server.delay_s = 0.0
    report = await indexer.sync([docs])
    assert report.unchanged >= kept
    assert store.stats().documents == 642


async def test_adding_and_replacing_one_text(indexer, store) -> None:
    assert (await indexer.add(NOTE)).chunks == 1
    await indexer.add(replace(NOTE, text="Second words.", content_hash="h2"))
    assert [chunk.text for chunk in store.document_chunks("note-1")] == ["Second words."]
    assert store.stats().documents == 1


async def test_uploads_keep_their_name_and_get_the_given_id_and_metadata(indexer, store, tmp_path) -> None:
    spooled = tmp_path / "spool-1"
    spooled.write_text("# Notes\n\nUploaded words.")
    tally = await indexer.upload(spooled, "../note.md", document_id="up-1", metadata={"by": "me"})
    assert (tally.chunks, tally.failures) == (1, [])
    row = store.document("up-1")
    assert row is not None
    assert (row.title, row.source, dict(row.metadata)) == ("Notes", "../note.md", {"by": "me"})
    await indexer.upload(spooled, "../note.md", document_id="up-1", title="Mine")
    row = store.document("up-1")
    assert row is not None
    assert (row.title, dict(row.metadata)) == ("Mine", {})
    spooled.write_bytes(b"")
    tally = await indexer.upload(spooled, "empty.md", document_id="up-1")
    assert [failure.source for failure in tally.failures] == ["empty.md"]
    assert "empty" in tally.failures[0].reason
    assert store.document("up-1") is not None


async def test_an_upload_of_records_replaces_those_of_its_id(indexer, store, tmp_path) -> None:
    spooled = tmp_path / "spool"

    async def upload(*lines: str) -> dict[str, str]:
        spooled.write_text("\n".join(lines))
        tally = await indexer.upload(spooled, "notes.jsonl", document_id="up", title="Notes")
        assert [failure.source for failure in tally.failures] == ["notes.jsonl"] * lines.count("no JSON")
        rows, _ = store.documents()
        return {row.id: store.text(row.id) for row in rows}

    await indexer.upload(await _file(tmp_path, "beside"), "b.txt", document_id="up-2")
    a, b = '{"id": "a", "text": "alpha"}', '{"id": "b", "text": "beta"}'
    first = {"up#record=a": "alpha", "up#record=b": "beta", "up-2": "beside"}
    assert await upload(a, b) == first
    await upload('{"id": "a", "text": "changed"}', "no JSON")
    assert store.text("up#record=a") == "changed"
    assert store.text("up#record=b") == "beta"
    assert await upload(b) == {"up#record=b": "beta", "up-2": "beside"}
    await indexer.upload(await _file(tmp_path, "one text"), "notes.txt", document_id="up")
    assert {row.id for row in store.documents()[0]} == {"up", "up-2"}


async def _file(folder: Path, text: str) -> Path:
    path = folder / "one.txt"
    await asyncio.to_thread(path.write_text, text)
    return path


async def test_what_is_known_to_the_store_is_not_held_in_memory(store, embed_server, tmp_path) -> None:
    client = embed_server.client()
    (tmp_path / "a.txt").write_text("the same words")
    async with Indexer(store, client, SETTINGS) as indexer:
        await indexer.upload(tmp_path / "a.txt", "a.txt", document_id="a")
        embed_server.texts.clear()
        store.delete(["a"])
        await indexer.upload(tmp_path / "a.txt", "a.txt", document_id="b")
    await client.aclose()
    assert embed_server.texts == ["a\n\nthe same words"]


async def test_closing_ends_an_upload_that_waits_for_its_vectors(store, embed_server, tmp_path) -> None:
    client = embed_server.client()
    (tmp_path / "a.txt").write_text("words")
    indexer = Indexer(store, client, SETTINGS)
    await indexer.add(NOTE)
    embed_server.down = True
    upload = asyncio.create_task(indexer.upload(tmp_path / "a.txt", "a.txt", document_id="a"))
    await asyncio.sleep(0.3)
    await indexer.aclose()
    async with asyncio.timeout(10):
        with pytest.raises(UnavailableError):
            await upload
    await client.aclose()


async def test_the_records_of_an_upload_are_embedded_in_full_batches(indexer, store, embed_server, tmp_path) -> None:
    lines = [f'{{"id": "{n}", "text": "The word of number {n}."}}' for n in range(300)]
    (tmp_path / "words.jsonl").write_text("\n".join(lines))
    embed_server.requests.clear()
    tally = await indexer.upload(tmp_path / "words.jsonl", "words.jsonl", document_id="words")
    assert (tally.documents, tally.chunks, store.stats().documents) == (300, 300, 300)
    assert sum(embed_server.requests) == 300
    assert len(embed_server.requests) <= 2 * (300 // SETTINGS.batch_chunks + 1)


async def test_a_refused_document_leaves_nothing_in_memory(indexer, store, embed_server, tmp_path) -> None:
    """What was embedded of it is forgotten: it is asked for again."""
    long = "\n\n".join(f"## Part {n}\n\n" + f"word {n} " * 60 for n in range(4))
    (tmp_path / "a.md").write_text(f"{long}\n\n## Last\n\npoison")
    for times in (1, 2):
        tally = await indexer.upload(tmp_path / "a.md", "a.md", document_id="a")
        assert [failure.by_service for failure in tally.failures] == [True]
        first = next(text for text in embed_server.texts if "word 0" in text)
        assert embed_server.texts.count(first) == times
    assert store.stats().documents == 0


async def test_what_an_upload_holds_and_is_not_read_is_said(indexer, tmp_path) -> None:
    sheet = '<o:OLEObject xmlns:o="urn:schemas-microsoft-com:office:office"/>'
    (tmp_path / "r.docx").write_bytes(docx(f"{paragraph('Sales')}<w:p><w:r><w:object>{sheet}</w:object></w:r></w:p>"))
    tally = await indexer.upload(tmp_path / "r.docx", "r.docx", document_id="r")
    assert (tally.documents, tally.omissions()) == (1, "not read: r.docx: 1 embedded object")


async def test_uploads_at_once(indexer, store, tmp_path) -> None:
    for i in range(8):
        (tmp_path / f"{i}.txt").write_text(f"shared words and number {i}")
    await asyncio.gather(*(indexer.upload(tmp_path / f"{i}.txt", f"{i}.txt", document_id=str(i)) for i in range(8)))
    assert store.stats().documents == 8


async def test_a_path_that_is_not_there(indexer, tmp_path) -> None:
    with pytest.raises(NotFoundError, match="nothing at"):
        await indexer.sync([tmp_path / "no/such/folder"])


async def test_a_page_by_its_url_is_fetched_again_only_where_it_changed(store, embed_server, site) -> None:
    client = embed_server.client()
    fetcher = Fetcher(max_bytes=10_000, allowed=lambda address: address.is_loopback)
    async with Indexer(store, client, SETTINGS, fetcher=fetcher) as indexer:
        first = await indexer.sync([f"{site}/", f"{site}/guide.md", f"{site}/missing", "http://a..b/"])
        second = await indexer.sync([f"{site}/"], prune="gone")
    await client.aclose()
    assert (first.documents, second.unchanged, second.removed) == (2, 1, 0)
    assert {failure.reason for failure in first.failures} == {
        "cannot be fetched: the server answers 404", "cannot be fetched: the name a..b is not known",
    }  # fmt: skip
    identity, _ = known(store)[f"{site}/"]
    assert store.text(identity, 0, 6) == "# Bees"


async def test_the_event_loop_is_never_blocked(store, embed_server, docs, tmp_path, site) -> None:
    client = embed_server.client()
    fetcher = Fetcher(max_bytes=10_000, allowed=lambda address: address.is_loopback)
    (tmp_path / "spool").write_text("uploaded")
    with blockbuster_ctx("indexing"):
        async with Indexer(store, client, SETTINGS, fetcher=fetcher) as indexer:
            assert (await indexer.sync([docs, f"{site}/"])).documents == 43
            assert (await indexer.sync([docs], prune="gone")).unchanged == 42
            await indexer.upload(tmp_path / "spool", "u.txt", document_id="u")
    await client.aclose()


async def test_private_urls_are_refused(indexer, site) -> None:
    report = await indexer.sync([f"{site}/"])
    assert "not a public address" in report.failures[0].reason

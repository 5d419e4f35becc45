"""The store against a plain dictionary: adds, replacements, deletes, moves, merges, reopening, crashes."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from indexing.store.local import Store, collection_path
from tests.indexing.made import MANIFEST, bulk, clustered, item, vector_of

IDS = st.sampled_from("abcdef")
BULK = clustered(9000, seed=8)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="store-machine-"))
        self.model: dict[str, tuple[int, tuple[str, ...], str]] = {}
        self.copies = 0
        self.bulky = False
        self.version = 0

    @initialize()
    def create(self) -> None:
        self.store = Store.create_or_open(collection_path(self.root, "c0"), MANIFEST)
        self.reader = Store.open(self.store.path)

    @rule(ids=st.lists(IDS, min_size=1, max_size=4), chunks=st.integers(0, 5))
    def put(self, ids: list[str], chunks: int) -> None:
        self.version += 1
        items = []
        for place, identity in enumerate(ids):  # the same id twice: the last one stays
            texts = tuple(f"word{identity} version{self.version} place{place} part{n}" for n in range(chunks))
            source = f"/{identity}/{self.version}/{place}"
            items.append(item(identity, *texts, metadata={"version": self.version}, source=source))
            self.model[identity] = self.version, texts, source
        self.store.put(items)

    @rule(ids=st.lists(IDS, min_size=1, max_size=3))
    def delete(self, ids: list[str]) -> None:
        assert self.store.delete(ids) == len(set(ids) & self.model.keys())
        for identity in ids:
            self.model.pop(identity, None)

    @rule(identity=IDS)
    def move(self, identity: str) -> None:
        self.version += 1
        assert self.store.move(identity, f"/moved/{self.version}") == (identity in self.model)
        if identity in self.model:
            self.model[identity] = (*self.model[identity][:2], f"/moved/{self.version}")

    @rule()
    def put_many(self) -> None:
        """Enough to seal a segment."""
        self.store.put(bulk(BULK))
        self.bulky = True

    @rule()
    def delete_many(self) -> None:
        self.store.delete([f"bulk{number:05}" for number in range(90)])
        self.bulky = False

    @rule()
    def compact(self) -> None:
        self.store.compact()

    @rule()
    def run_merges(self) -> None:
        self.store.run_merges()

    @rule()
    def reopen(self) -> None:
        path = self.store.path
        self.store.close()
        self.store = Store.open(path)

    @rule()
    def crash(self) -> None:
        """What lies on the disk now, without the process that wrote it."""
        self.copies += 1
        copy = collection_path(self.root, f"c{self.copies}")
        shutil.copytree(self.store.path, copy)
        for store in (self.store, self.reader):
            store.close()
        self.store, self.reader = Store.open(copy), Store.open(copy)

    @invariant()
    def is_as_the_model(self) -> None:
        for store in (self.store, self.reader):
            rows = [row for row in store.documents(limit=200)[0] if not row.id.startswith("bulk")]
            found = {row.id: (row.metadata["version"], row.source) for row in rows}
            assert found == {identity: (version, source) for identity, (version, _, source) in self.model.items()}
            assert store.stats().chunks == sum(len(texts) for _, texts, _ in self.model.values()) + 9000 * self.bulky
            for identity, (version, texts, _) in self.model.items():
                self._is_found(store, identity, version, texts)

    def _is_found(self, store: Store, identity: str, version: int, texts: tuple[str, ...]) -> None:
        assert [chunk.text for chunk in store.document_chunks(identity)] == list(texts)
        only = {"type": "and", "filters": [
            {"type": "eq", "key": "document_id", "value": identity}, {"type": "eq", "key": "version", "value": version},
        ]}  # fmt: skip
        query = vector_of("a question")
        ranked = sorted(texts, key=lambda text: -float(vector_of(text) @ query))
        hits = store.search_dense(query, 10, only)
        assert [chunk.text for chunk in store.chunks([hit.chunk_id for hit in hits])] == ranked
        found = store.search_sparse(f"word{identity}", 10)
        assert {chunk.text for chunk in store.chunks([hit.chunk_id for hit in found])} == set(texts)
        for text in texts[:1]:
            (best, *_) = store.search_dense(vector_of(text), 2)
            assert store.chunks([best.chunk_id])[0].text == text

    @invariant()
    def the_bulk_is_found(self) -> None:
        if self.bulky:
            (best, *_) = self.reader.search_dense(np.ascontiguousarray(BULK[4321]), 2)
            assert self.reader.chunks([best.chunk_id])[0].text == "row 4321"

    def teardown(self) -> None:
        assert self.store.verify() == []
        self.store.close()
        self.reader.close()
        shutil.rmtree(self.root)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=8, stateful_step_count=12, deadline=None, phases=(Phase.reuse, Phase.generate)
)

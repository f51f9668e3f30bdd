from __future__ import annotations

import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc

from audit.sources import ColumnMapping, ReadLimits, inspect_inputs, plan, texts

TABLE = pa.table({"text": [f"t{n}" for n in range(30)], "id": list(range(30))})


def write_stream(path, table=TABLE, rows=8):
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


def test_streams_and_files(tmp_path, reading):
    write_stream(tmp_path / "a.arrow")
    pyarrow.feather.write_feather(TABLE, tmp_path / "b.feather", chunksize=8)
    for shard in plan([str(tmp_path)]):
        found = reading(shard, limits=ReadLimits(batch_rows=5))
        assert found.error is None
        assert [row["doc_id"] for row in found.rows] == [str(n) for n in range(30)]
        assert found.bytes_read <= shard.size
        picked = texts(shard, ColumnMapping(), ReadLimits(), {29, 1})
        assert [position for position, _, _ in picked] == [1, 29]


def test_damage(tmp_path, reading):
    content = write_stream(tmp_path / "a.arrow").read_bytes()
    for cut in (8, 20, 300):
        (tmp_path / "a.arrow").write_bytes(content[:-cut])
        (shard,) = plan([str(tmp_path / "a.arrow")])
        found = reading(shard)
        assert found.reason in ("truncated", "corrupt")
        assert found.positions == list(range(len(found.rows)))
    (tmp_path / "a.arrow").write_bytes(b"")
    assert reading(plan([str(tmp_path / "a.arrow")])[0]).rows == []
    (tmp_path / "a.arrow").write_bytes(b"no arrow at all, but long enough")
    assert reading(plan([str(tmp_path / "a.arrow")])[0]).reason == "corrupt"


def test_save_to_disk_folder_without_its_cache(tmp_path, reading):
    import datasets

    data = datasets.Dataset.from_dict({"text": [f"t{n}" for n in range(10)]})
    saved = datasets.DatasetDict({"train": data, "test": data.select(range(2))})
    saved.save_to_disk(str(tmp_path / "saved"), num_shards={"train": 2, "test": 1})
    write_stream(tmp_path / "saved" / "train" / "cache-0123.arrow")
    found = inspect_inputs([str(tmp_path / "saved")])
    assert [shard.name for shard in found.shards] == [
        "test/data-00000-of-00001.arrow",
        "train/data-00000-of-00002.arrow",
        "train/data-00001-of-00002.arrow",
    ]
    assert any(path.endswith("cache-0123.arrow") for path in found.skipped)
    assert [text for shard in found.shards for text in reading(shard).texts] == ["t0", "t1"] + [
        f"t{n}" for n in range(10)
    ]

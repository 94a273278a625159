"""All that can happen to the index of a folder with shards, class by class."""

import json
from collections.abc import Iterator

from tests.reliability.folder_mutants import Change, Files, index_text
from zeroinit_cli.filenames import INDEX


def indexes_alike(files: Files) -> Iterator[Change]:
    """An index that means the same, but is written otherwise."""
    data = files[INDEX]
    table = json.loads(data)
    names = dict(reversed(table["weight_map"].items()))
    for other in (
        json.dumps(table).encode(),
        json.dumps(table, indent=4, sort_keys=True).encode() + b"\n",
        json.dumps({**table, "weight_map": names}, indent=2).encode() + b"\n",
        json.dumps(dict(reversed(table.items())), indent=2).encode() + b"\n",
        index_text({"weight_map": table["weight_map"]}),
        index_text({**table, "metadata": {}}),
        index_text({**table, "metadata": {**table["metadata"], "format": "pt"}}),
        index_text({**table, "more": 1}),
        data.replace(b"\n", b"\r\n"),
        data.replace(b"weight_map", b"weight_\\u006dap"),
        b"\xef\xbb\xbf" + data,
        data.rstrip(),
        data + b" ",
    ):
        yield {INDEX: other}


def indexes_otherwise(files: Files) -> Iterator[Change]:
    """An index with other entries: elsewhere, gone, one too many, another sum."""
    table = json.loads(files[INDEX])
    places: dict[str, str] = table["weight_map"]
    shards = sorted(set(places.values()))
    elsewhere = [*shards, "no.safetensors", f"./{shards[0]}", f"../net/{shards[0]}", "", INDEX]
    for name, place in places.items():
        for other in elsewhere:
            if other != place:
                yield {INDEX: index_text({**table, "weight_map": {**places, name: other}})}
        rest = {each: shard for each, shard in places.items() if each != name}
        yield {INDEX: index_text({**table, "weight_map": rest})}
        yield {INDEX: index_text({**table, "weight_map": {**rest, f"{name}.more": place}})}
        line = f'    "{name}": "{place}",\n'.encode()
        if line in files[INDEX]:
            yield {INDEX: files[INDEX].replace(line, 2 * line)}
    total = table["metadata"]["total_size"]
    for size in (0, total - 1, total + 1, -total, float(total), str(total), None):
        yield {INDEX: index_text({**table, "metadata": {"total_size": size}})}

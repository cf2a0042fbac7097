"""Print as JSON the records that mlcroissant reads. Needs an environment with mlcroissant."""

import json
import sys

import mlcroissant

dataset = mlcroissant.Dataset(jsonld=sys.argv[1])
assert not dataset.metadata.issues.errors, dataset.metadata.issues.errors


def plain(value):
    return value.decode() if isinstance(value, bytes) else value


record_sets = {
    record_set.id: [
        {key: plain(value) for key, value in row.items()} for row in dataset.records(record_set.id)
    ]
    for record_set in dataset.metadata.record_sets
}
json.dump(record_sets, sys.stdout, default=str)

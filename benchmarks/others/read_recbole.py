"""Read an export in RecBole's own environment, and print as JSON what RecBole makes of it."""

import hashlib
import json
import os
import sys

import numpy as np
import recbole
from recbole.config import Config
from recbole.data import create_dataset

np.float = float  # RecBole 1.2.1 says so of vectors; numpy has removed the name


def main() -> None:
    given = json.loads(sys.argv[1])
    os.chdir(given["folder"])
    name, sys.argv = given["name"], sys.argv[:1]  # RecBole reads arguments, too
    files = [f"{name}.yaml"] + ([f"{name}-features.yaml"] if given["vectors"] else [])
    settings = {"use_gpu": False, "show_progress": False}
    config = Config("SASRec", name, config_file_list=files, config_dict=settings)
    dataset = create_dataset(config)
    found = {
        "version": recbole.__version__,
        "users": dataset.user_num - 1,  # less the padding
        "items": dataset.item_num - 1,
        "parts": {},
        "vectors": {},
    }
    for part, data in zip(config["benchmark_filename"], dataset.build(), strict=True):
        rows = {key: data.inter_feat[key].numpy() for key in data.inter_feat.columns}
        digest = hashlib.sha256()
        for user, history, length, item in zip(
            dataset.id2token("user_id", rows["user_id"]),
            rows["item_id_list"],
            rows["item_length"],
            dataset.id2token("item_id", rows["item_id"]),
            strict=True,
        ):
            seen = dataset.id2token("item_id", history[:length])
            digest.update(json.dumps([user, list(seen), item]).encode())
        found["parts"][part] = {"targets": len(rows["item_id"]), "sha256": digest.hexdigest()}
    for modality in given["vectors"]:
        matrix = dataset.get_preload_weight(f"iid_{modality}")
        ids = dataset.id2token("item_id", np.arange(1, dataset.item_num))
        order = np.argsort(ids)
        vectors = matrix[1:][order].astype(np.float32)
        found["vectors"][modality] = hashlib.sha256(vectors.tobytes()).hexdigest()
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""Chroma: vectors added to a folder, and searched by the same queries."""

import json
import sys
import time

import chromadb
import numpy as np

VECTORS_PER_ADD = 5000


def main() -> None:
    """Print how fast vectors were added, how long a search took, and what was found."""
    wanted = json.loads(sys.argv[1])
    kept = np.load(f"{wanted['folder']}/vectors.npz")
    client = chromadb.PersistentClient(
        wanted["folder"], settings=chromadb.Settings(anonymized_telemetry=False)
    )
    collection = client.create_collection(
        "bench",
        embedding_function=None,
        configuration={"hnsw": {"space": "cosine", "ef_search": 100}},
    )
    vectors = kept["vectors"]
    begun = time.perf_counter()
    for at in range(0, len(vectors), VECTORS_PER_ADD):
        some = vectors[at : at + VECTORS_PER_ADD]
        collection.add(ids=[str(at + place) for place in range(len(some))], embeddings=list(some))
    added = len(vectors) / (time.perf_counter() - begun)
    took, places = [], []
    for vector in kept["wanted"]:
        begun = time.perf_counter()
        found = collection.query(query_embeddings=[vector], n_results=wanted["found"], include=[])
        took.append((time.perf_counter() - begun) * 1000)
        places.append([int(name) for name in found["ids"][0]])
    print(json.dumps({"per second": added, "p50": sorted(took)[len(took) // 2], "places": places}))


main()

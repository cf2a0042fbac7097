"""Run a dask.distributed cluster of four processes: prints its address and the workers' ids, exits with its stdin."""

import json
import sys

if __name__ == "__main__":
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=4, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        pids = [worker.process.process.pid for worker in cluster.workers.values()]
        sys.stdout.write(json.dumps({"address": cluster.scheduler_address, "pids": pids}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
